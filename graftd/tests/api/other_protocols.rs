//! What else may knock at the port: probes, browsers, TLS clients, clients of other versions, and nonsense.

use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graftd::observability::readiness::Readiness;
use http::uri::PathAndQuery;
use tonic::Code;

use crate::member::{Member, refusal, start};

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
