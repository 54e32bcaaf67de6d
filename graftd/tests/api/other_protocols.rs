//! What else may knock at the port: probes, browsers, TLS clients, clients of other versions, and nonsense.

use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graftd::observability::readiness::Readiness;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::member::{Member, get, refusal, start, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_gets_an_answer_that_says_what_this_port_speaks() {
    let member = Member::start().await;
    let tls = [&[0x16, 3, 1, 0, 0x2e, 1, 0, 0, 0x2a, 3, 3][..], &[7; 39]].concat();
    let answer = member.send(&tls).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("use http:// in place of https://"), "{answer}");
    for garbage in [&b"SSH-2.0-OpenSSH_9.6\r\n"[..], b"*1\r\n$4\r\nPING\r\n", b"\0\0\0\x10hello", b"EHLO here\r\n"] {
        let answer = member.send(garbage).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("This port speaks gRPC"), "{answer}");
    }
    let (code, answer) = member.get("/nothing/here").await;
    assert_eq!(code, 404);
    assert!(answer.contains("application/problem+json") && answer.contains("/readyz") && answer.contains("/nothing/here"), "{answer}");
    let (code, answer) = member.get("/graft.v1.WorkflowService/Start").await;
    assert_eq!(code, 426, "{answer}");
    assert!(answer.contains("needs HTTP/2"), "{answer}");
    let (code, answer) = member.get("/").await;
    assert_eq!(code, 200);
    assert!(answer.contains("graftd 1.2.3, member m1"), "{answer}");
    member.stop().await;
}

/// What a page can make a browser send without being asked first: any method, any body, with these types or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_page_of_another_origin_can_make_a_browser_send_is_no_call() {
    let member = Member::start().await;
    member.workflows().await.start(start("w", "n")).await.expect("started");
    let mut channel = member.channel().await;
    let message = v1::ControlRequest { workflow_id: "w".into(), ..Default::default() }.encode_to_vec();
    let framed = [&[0][..], &u32::try_from(message.len()).expect("small").to_be_bytes(), &message].concat();
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data")] {
        let mut request = http::Request::post("http://here/graft.v1.WorkflowService/Terminate").header("te", "trailers");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let request = request.body(tonic::body::Body::new(axum::body::Body::from(framed.clone()))).expect("a request");
        within(std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx))).await.expect("it is there");
        let answer = within(tower::Service::call(&mut channel, request)).await.expect("an answer");
        assert_eq!(answer.status(), http::StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind:?}");
    }
    let found = member.workflows().await.get(get("w")).await.expect("there").into_inner().workflow.expect("a workflow");
    assert_eq!(found.status(), v1::WorkflowStatus::Running);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_stops_within_its_first_line_is_closed() {
    let member = Member::start().await;
    // `P` may become POST or the preface of HTTP/2. Nobody may hold a connection with it.
    let begun = std::time::Instant::now();
    let held = [&b"P"[..], b"PRI * HTTP/2.0\r\n", b"GET / HTT"].map(|beginning| member.closes(beginning));
    futures::future::join_all(held).await;
    assert!(begun.elapsed().as_secs() < 15, "closed after {:?}", begun.elapsed());
    member.stop().await;
}

/// Settings of HTTP/2 by their numbers (RFC 9113, section 6.5.2): what the library holds the other side to, it has told it before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_connection_of_http_2_may_hold_is_told_at_its_beginning() {
    let member = Member::start().await;
    let mut stream = TcpStream::connect(member.address).await.expect("it accepts");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    let mut head = [0; 9];
    within(stream.read_exact(&mut head)).await.expect("a frame");
    assert_eq!(head[3], 4, "settings come first");
    let mut settings = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    within(stream.read_exact(&mut settings)).await.expect("its payload");
    let told = |number: u8| {
        settings.chunks_exact(6).find(|one| one[..2] == [0, number]).map(|one| u32::from_be_bytes([one[2], one[3], one[4], one[5]]))
    };
    let (streams, window, head_bytes) = (told(3), told(4), told(6));
    assert_eq!((streams, window, head_bytes), (Some(1_024), Some(2 << 20), Some(32 << 10)), "{settings:?}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_refused() {
    let member = Member::start().await;
    let head = |bytes: usize| format!("GET /livez HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx: {}\r\n\r\n", "a".repeat(bytes));
    let answer = member.send(head(16 << 10).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = member.send(head(64 << 10).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_answered_with_the_reason() {
    let member = Member::start().await;
    assert_eq!(member.get("/livez").await.0, 200);
    assert_eq!(member.get("/readyz").await.0, 200);
    let (code, answer) = member.get("/healthz").await;
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((code, &body["ready"], &body["cluster"]["leader"]), (200, &true.into(), &1.into()));
    member.readiness.send(Readiness { ready: false, reason: "no leader is known".into() }).expect("it listens");
    let (code, answer) = member.get("/readyz").await;
    assert_eq!(code, 503);
    assert!(answer.contains("not ready: no leader is known"), "{answer}");
    let (code, answer) = member.get("/readyz?verbose").await;
    assert_eq!(code, 503);
    assert!(answer.contains("[+]leader 1") && answer.contains("[-]not ready: no leader is known"), "{answer}");
    assert_eq!(member.get("/livez").await.0, 200, "a member without a leader is not made better by a restart");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_requests_by_method_and_code() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(start("a", "n")).await.expect("started");
    client.start(start("a", "n")).await.expect_err("taken");
    let (code, answer) = member.get("/metrics").await;
    assert_eq!(code, 200);
    for line in [
        "graft_grpc_requests_total{code=\"OK\",method=\"graft.v1.WorkflowService/Start\"} 1",
        "graft_grpc_requests_total{code=\"ALREADY_EXISTS\",method=\"graft.v1.WorkflowService/Start\"} 1",
        "graft_watchers 0",
    ] {
        assert!(answer.contains(line), "{line} is not in {answer}");
    }
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_version_is_told_what_is_spoken_here() {
    let member = Member::start().await;
    for path in ["/graft.v1.WorkflowService/Signal", "/graft.v9.WorkflowService/Start"] {
        let mut grpc = tonic::client::Grpc::new(member.channel().await);
        grpc.ready().await.expect("connected");
        let codec = tonic_prost::ProstCodec::<graft_proto::v1::StatsRequest, graft_proto::v1::StatsResponse>::default();
        let path = PathAndQuery::from_static(path);
        let answer = grpc.unary(tonic::Request::new(graft_proto::v1::StatsRequest {}), path, codec).await;
        let status = answer.expect_err("unknown");
        assert_eq!(status.code(), Code::Unimplemented);
        for part in ["graftd 1.2.3 speaks graft.v1.WorkflowService, ", "graft.v1.WorkerService, ", "grpc.health.v1.Health"] {
            assert!(status.message().contains(part), "{}", status.message());
        }
        assert_eq!(refusal::<()>(Err(status)).0, "GR0015");
    }
    // Bytes that are no message of this method: a client whose protos differ.
    let mut grpc = tonic::client::Grpc::new(member.channel().await);
    grpc.ready().await.expect("connected");
    let codec = tonic_prost::ProstCodec::<graft_proto::v1::Heartbeat, graft_proto::v1::StatsResponse>::default();
    let path = PathAndQuery::from_static("/graft.v1.WorkflowService/Start");
    let answer = grpc.unary(tonic::Request::new(graft_proto::v1::Heartbeat { sent_ms: 7, progress: vec![] }), path, codec).await;
    let (code, message) = refusal(answer);
    assert_eq!(code, "GR0018", "{message}");
    let mut cluster = ClusterServiceClient::new(member.channel().await);
    cluster.stats(graft_proto::v1::StatsRequest {}).await.expect("the port still answers");
    member.stop().await;
}
