//! Spans that a daemon brings to a collector: the keys of `[tracing]`, as an operator writes them, and what a collector can do to it. What a worker's
//! attempts look like is shown with real workers (`graft-client/tests/tracing.rs`).

use std::time::Duration;

use collector::{Collector, Mood, attribute, called, hex, links, status};
use graft_proto::v1;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::{Daemon, Prepared};
use graftd::tls::authority::{Authority, CERTIFICATE_DAYS, Subject};
use one_daemon::{said, started};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

#[path = "fixtures/collector.rs"]
mod collector;
#[path = "fixtures/one_daemon.rs"]
mod one_daemon;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PATIENCE: Duration = Duration::from_secs(60);

async fn workflows(daemon: &Daemon) -> WorkflowServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", daemon.client_address())).expect("an address");
    WorkflowServiceClient::new(endpoint.connect().await.expect("it answers"))
}

fn start(id: &str) -> v1::StartRequest {
    let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
    v1::StartRequest { workflow_id: id.into(), nodes, ..Default::default() }
}

/// Starts a workflow and ends it.
async fn ends(daemon: &Daemon, start: v1::StartRequest) {
    let mut client = workflows(daemon).await;
    let workflow_id = start.workflow_id.clone();
    client.start(start).await.expect("started");
    let reason = "enough".to_owned();
    client.terminate(v1::ControlRequest { workflow_id, reason, ..Default::default() }).await.expect("ended");
}

/// Waits until a number of `/metrics` is that.
async fn until(daemon: &Daemon, series: &str, wanted: u64) {
    let wait = async {
        loop {
            let mut stream = TcpStream::connect(daemon.client_address()).await.expect("it answers");
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: graft\r\nConnection: close\r\n\r\n").await.expect("asked");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("answered");
            if answer.lines().any(|line| line == format!("{series} {wanted}")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{series} never came to {wanted}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_is_a_span_of_its_callers_trace_at_the_collector_that_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let collector = Collector::start(None).await;
    let text = format!("[node]\nname = \"m1\"\n[cluster]\nname = \"prod\"\n[tracing]\nendpoint = \"http://{}\"\n", collector.address);
    let daemon = started(dir.path(), &text).await;
    let mut client = workflows(&daemon).await;
    let mut request = Request::new(start("by-metadata"));
    request.metadata_mut().insert("traceparent", CALLER.parse().expect("ascii"));
    let warnings = client.start(request).await.expect("started").into_inner().warnings;
    assert!(!warnings.iter().any(|warning| warning.contains("traceparent")), "{warnings:?}");
    let control = v1::ControlRequest { workflow_id: "by-metadata".into(), reason: "enough".into(), ..Default::default() };
    client.terminate(control).await.expect("ended");
    // A field of the start stands above the metadata of the call.
    let mut request = Request::new(v1::StartRequest { traceparent: CALLER.replace("00f0", "11f1"), ..start("by-field") });
    request.metadata_mut().insert("traceparent", CALLER.parse().expect("ascii"));
    client.start(request).await.expect("started");
    client.terminate(v1::ControlRequest { workflow_id: "by-field".into(), ..Default::default() }).await.expect("ended");
    let spans = collector.spans(2).await;
    for (span, (name, parent)) in spans.iter().zip([("by-metadata", "00f067aa0ba902b7"), ("by-field", "11f167aa0ba902b7")]) {
        assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), (TRACE, parent));
        assert_eq!((called(span), attribute(&span.attributes, "graft.workflow.id")), (format!("workflow {name}"), name.to_owned()));
        assert_eq!((attribute(&span.attributes, "graft.outcome").as_str(), status(span)), ("terminated", (1, "")));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.flags & 0x301 == 0x301, "{span:?}");
    }
    assert_eq!(attribute(&spans[0].attributes, "graft.reason"), "enough");
    let told = ["service.name", "service.namespace", "service.instance.id"].map(|key| collector.resource(key));
    assert_eq!(told, ["graftd", "prod", "m1"]);
    until(&daemon, "graft_trace_spans_exported_total", 2).await;
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_brought_there_yet_is_when_the_daemon_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let collector = Collector::start(None).await;
    let daemon = started(dir.path(), &format!("[tracing]\nendpoint = \"http://{}\"\n", collector.address)).await;
    ends(&daemon, start("last")).await;
    daemon.shutdown().await;
    assert_eq!(collector.now().iter().map(called).collect::<Vec<_>>(), ["workflow last"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_are_traced_as_was_said_and_a_caller_decides_for_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let collector = Collector::start(None).await;
    let daemon = started(dir.path(), &format!("[tracing]\nendpoint = \"http://{}\"\nsample = \"0%\"\n", collector.address)).await;
    ends(&daemon, start("of-nobody")).await;
    ends(&daemon, v1::StartRequest { traceparent: CALLER.replace("-01", "-00"), ..start("unwanted") }).await;
    ends(&daemon, v1::StartRequest { traceparent: CALLER.into(), ..start("wanted") }).await;
    daemon.shutdown().await;
    assert_eq!(collector.now().iter().map(called).collect::<Vec<_>>(), ["workflow wanted"]);

    let (dir, collector) = (tempfile::tempdir().expect("a directory"), Collector::start(None).await);
    let daemon = started(dir.path(), &format!("[tracing]\nendpoint = \"http://{}\"\nsample = \"50%\"\n", collector.address)).await;
    for n in 0..64 {
        ends(&daemon, start(&format!("w{n}"))).await;
    }
    daemon.shutdown().await;
    let traced = collector.now().len();
    assert!((8..57).contains(&traced), "{traced} of 64");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_believed_over_tls_of_the_authority_that_was_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (authority, issued) = Authority::create("observers").expect("an authority");
    let ca = dir.path().join("observers.pem");
    std::fs::write(&ca, &issued.cert).expect("a file");
    let subject = Subject::Member { cluster: "observers".into(), member: "o1".into(), hosts: vec!["localhost".into()] };
    let shown = authority.issue(&subject, CERTIFICATE_DAYS).expect("a certificate");
    let collector = Collector::start(Some((shown.cert, shown.key))).await;
    let endpoint = format!("[tracing]\nendpoint = \"https://localhost:{}\"\n", collector.address.port());
    let believed = started(dir.path(), &format!("{endpoint}ca = {ca:?}\n")).await;
    ends(&believed, start("believed")).await;
    collector.spans(1).await;
    believed.shutdown().await;
    // This machine knows nothing of that authority.
    let dir = tempfile::tempdir().expect("a directory");
    let stranger = started(dir.path(), &endpoint).await;
    ends(&stranger, start("not-believed")).await;
    until(&stranger, "graft_trace_spans_dropped_total{reason=\"not_taken\"}", 1).await;
    stranger.shutdown().await;
    assert_eq!(collector.now().iter().map(called).collect::<Vec<_>>(), ["workflow believed"]);
    std::fs::remove_file(&ca).expect("it was there");
    let text = format!("{endpoint}ca = {ca:?}\n");
    let refused = Prepared::new(said(dir.path(), &text).expect("well written")).await.expect_err("it is gone").to_string();
    assert!(refused.contains("tracing.ca") && refused.contains("observers.pem"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let collector = Collector::start(None).await;
    let daemon = started(dir.path(), &format!("[tracing]\nendpoint = \"http://{}\"\n", collector.address)).await;
    // What may be repeated is, and arrives when the collector is back.
    collector.mood(Mood::IsAway);
    ends(&daemon, start("late")).await;
    collector.asked(1).await;
    collector.mood(Mood::Takes);
    assert_eq!(called(&collector.spans(1).await[0]), "workflow late");
    // What may not is not.
    collector.mood(Mood::Refuses);
    ends(&daemon, start("refused")).await;
    until(&daemon, "graft_trace_spans_dropped_total{reason=\"not_taken\"}", 1).await;
    collector.mood(Mood::Rejects(1));
    ends(&daemon, start("rejected")).await;
    until(&daemon, "graft_trace_spans_dropped_total{reason=\"rejected\"}", 1).await;
    until(&daemon, "graft_trace_spans_exported_total", 1).await;
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_are_brought_by_the_way_that_was_said_with_the_headers_of_a_file() {
    for (protocol, path) in [("http/protobuf", ""), ("http/protobuf", "/"), ("grpc", "")] {
        let dir = tempfile::tempdir().expect("a directory");
        let (collector, headers) = (Collector::start(None).await, dir.path().join("headers"));
        std::fs::write(&headers, "authorization: Bearer first\n").expect("a file");
        let endpoint = format!("http://{}{path}", collector.address);
        let text = format!("[tracing]\nendpoint = {endpoint:?}\nprotocol = {protocol:?}\nheaders_file = {headers:?}\n");
        let daemon = started(dir.path(), &text).await;
        ends(&daemon, start("first")).await;
        assert_eq!(called(&collector.spans(1).await[0]), "workflow first");
        assert_eq!(collector.header("authorization"), "Bearer first", "{protocol}");
        // A key that was changed is shown from the next batch on; a batch that may be sent again is.
        std::fs::write(&headers, "authorization: Bearer second\n").expect("a file");
        collector.mood(Mood::IsAway);
        ends(&daemon, start("second")).await;
        collector.asked(2).await;
        assert_eq!(collector.header("authorization"), "Bearer second", "{protocol}");
        collector.mood(Mood::Takes);
        assert_eq!(called(&collector.spans(2).await[1]), "workflow second");
        collector.mood(Mood::Refuses);
        ends(&daemon, start("refused")).await;
        until(&daemon, "graft_trace_spans_dropped_total{reason=\"not_taken\"}", 1).await;
        collector.mood(Mood::Rejects(1));
        ends(&daemon, start("rejected")).await;
        until(&daemon, "graft_trace_spans_dropped_total{reason=\"rejected\"}", 1).await;
        daemon.shutdown().await;
        std::fs::write(&headers, "authorization Bearer-third\n").expect("a file");
        let refused = Prepared::new(said(dir.path(), &text).expect("well written")).await.expect_err("no header").to_string();
        assert!(refused.contains("tracing.headers_file") && refused.contains("line 1") && !refused.contains("third"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_traceparent_is_told_and_otherwise_not_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let collector = Collector::start(None).await;
    let daemon = started(dir.path(), &format!("[tracing]\nendpoint = \"http://{}\"\n", collector.address)).await;
    let mut client = workflows(&daemon).await;
    let malformed = v1::StartRequest { traceparent: "00-nonsense".into(), ..start("odd") };
    let warnings = client.start(malformed).await.expect("started all the same").into_inner().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("\"00-nonsense\" is malformed")), "{warnings:?}");
    client.terminate(v1::ControlRequest { workflow_id: "odd".into(), ..Default::default() }).await.expect("ended");
    let spans = collector.spans(1).await;
    assert!(spans[0].parent_span_id.is_empty() && spans[0].trace_id != [0; 16] && links(&spans[0], &spans).is_empty(), "{:?}", spans[0]);
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_from_within_another_span_is_the_same_request() {
    let dir = tempfile::tempdir().expect("a directory");
    let collector = Collector::start(None).await;
    let daemon = started(dir.path(), &format!("[tracing]\nendpoint = \"http://{}\"\n", collector.address)).await;
    let mut client = workflows(&daemon).await;
    let meta = Some(v1::RequestMeta { request_id: "r-1".into(), not_after_ms: 0 });
    let first = v1::StartRequest { meta, traceparent: CALLER.into(), ..start("once") };
    let again = v1::StartRequest { traceparent: CALLER.replace("00f0", "11f1"), ..first.clone() };
    let run = client.start(first).await.expect("started").into_inner().run;
    assert_eq!(client.start(again).await.expect("the first answer").into_inner().run, run);
    client.terminate(v1::ControlRequest { workflow_id: "once".into(), ..Default::default() }).await.expect("ended");
    assert_eq!(hex(&collector.spans(1).await[0].parent_span_id), "00f067aa0ba902b7", "the first stands");
    daemon.shutdown().await;
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    for (text, words) in [
        ("endpoint = \"collector.example:4317\"", "no address of a collector"),
        ("endpoint = \"https://collector.example\"", "no address of a collector"),
        ("endpoint = \"https://collector.example:4317/v1/traces\"", "without a path"),
        ("endpoint = \"http://collector.example:4317\"", "in the clear"),
        ("endpoint = \"http://127.0.0.1:4317\"\nca = \"/ca.pem\"", "no TLS"),
        ("endpoint = \"https://collector.example:4318?key=1\"\nprotocol = \"http/protobuf\"", "no address of a collector"),
        ("endpoint = \"http://127.0.0.1:4317\"\nprotocol = \"http\"", "protocol"),
        ("protocol = \"http/protobuf\"", "none are"),
        ("headers_file = \"/headers\"", "none are"),
        ("sample = \"1%\"", "none are"),
        ("insecure = true", "none are"),
        ("endpoint = \"http://127.0.0.1:4317\"\nsample = \"0.5\"", "no share"),
    ] {
        let error = said(dir.path(), &format!("[tracing]\n{text}\n")).expect_err(text);
        assert!(error.contains(words), "{text}: {error}");
    }
    let text = "[tracing]\nendpoint = \"http://collector.example:4317\"\ninsecure = true\n";
    assert!(said(dir.path(), text).expect("it was said").tracing.insecure);
}
