//! The source against an API server that does what a real one does not do on demand: it forgets versions, breaks watches off, hangs, refuses,
//! and talks nonsense. It speaks HTTP over a socket, as far as a list and a watch need it; each request is handed to the test, which answers.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::super::says::Report;
use super::*;
use crate::observability::metrics::Metrics;

/// Longest wait of a test for something that has to come.
const COMES_WITHIN: Duration = Duration::from_secs(30);
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices?";

/// A request that is not answered yet.
struct Call {
    stream: TcpStream,
    path: String,
    token: String,
}

/// A watch that is open.
struct Watch(TcpStream);

/// The source, running, and the server that it asks.
struct Lab {
    calls: UnboundedReceiver<Call>,
    heard: watch::Receiver<Report>,
    metrics: Metrics,
    account: tempfile::TempDir,
    _running: [AbortOnDropHandle<()>; 2],
}

async fn comes<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(COMES_WITHIN, future).await.unwrap_or_else(|_| panic!("{what} does not come"))
}

/// The head of a request; a GET has no body.
async fn read(mut stream: TcpStream) -> Option<Call> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("text");
    let path = head.strip_prefix("GET ").expect("only reads are allowed").split(' ').next().expect("a path").to_owned();
    let authorization = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
    Some(Call { stream, path, token: authorization.unwrap_or_default().to_owned() })
}

fn write_account(dir: &Path, token: &str) {
    std::fs::write(dir.join("token"), token).unwrap();
    std::fs::write(dir.join("namespace"), "ns\n").unwrap();
}

/// Fails fast and often.
fn impatient() -> Patience {
    Patience { answer: COMES_WITHIN, silence: COMES_WITHIN, pause_min: Duration::from_millis(1), pause_max: Duration::from_millis(20) }
}

impl Lab {
    async fn with(patience: Patience) -> Self {
        Self::of(patience, None).await
    }

    async fn of(patience: Patience, namespace: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let account = tempfile::tempdir().unwrap();
        write_account(account.path(), "first");
        let options = KubernetesOptions {
            server: Some(format!("http://{}", listener.local_addr().unwrap())),
            account: account.path().to_owned(),
            service: "graft".into(),
            namespace,
            port: PeerPort::Named("peer".into()),
            patience,
        };
        let (come, calls) = unbounded_channel();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let come = come.clone();
                tokio::spawn(async move { read(stream).await.map(|call| come.send(call).ok()) });
            }
        });
        let (metrics, source) = (Metrics::new(), Kubernetes::new(options));
        let (says, heard) = Says::of(&source, &metrics);
        let running = tokio::spawn(Box::new(source).run(says, CancellationToken::new()));
        Self { calls, heard, metrics, account, _running: [serving, running].map(AbortOnDropHandle::new) }
    }

    async fn start() -> Self {
        Self::with(impatient()).await
    }

    /// With a watch from this version on, after a list with these slices.
    async fn watching(version: &str, slices: &[Value]) -> (Self, Watch) {
        let mut lab = Self::start().await;
        lab.list().await.answer(list(version, slices)).await;
        let watch = lab.watch_from(version).await;
        (lab, watch)
    }

    async fn call(&mut self) -> Call {
        let call = comes("a request", self.calls.recv()).await.expect("it serves");
        let selector = call.path.strip_prefix(SLICES).unwrap_or_else(|| panic!("it asks for {}", call.path));
        assert!(selector.contains("labelSelector=kubernetes.io%2Fservice-name%3Dgraft"), "{selector}");
        call
    }

    /// The next request, which has to be a list.
    async fn list(&mut self) -> Call {
        let call = self.call().await;
        assert!(!call.path.contains("watch=true"), "{}", call.path);
        call
    }

    /// The next request, which has to be a watch from this version on.
    async fn watch_from(&mut self, version: &str) -> Watch {
        let call = self.call().await;
        for part in ["watch=true", "allowWatchBookmarks=true", &format!("resourceVersion={version}")] {
            assert!(call.path.split(['?', '&']).any(|given| given == part), "{part}: {}", call.path);
        }
        call.open().await
    }

    async fn finds(&mut self, addresses: &[&str]) -> Report {
        let found = self.heard.wait_for(|report| report.addresses == addresses && report.failure.is_none());
        let found = comes(&format!("{addresses:?}"), found).await.expect("it runs");
        found.clone()
    }

    async fn fails(&mut self, part: &str) -> Report {
        let failed = self.heard.wait_for(|report| report.failure.as_ref().is_some_and(|failure| failure.contains(part)));
        comes(part, failed).await.expect("it runs").clone()
    }

    fn errors(&self) -> u64 {
        self.metrics.cluster.discovery_errors.with_label_values(&["kubernetes"]).get()
    }
}

impl Call {
    async fn answer(self, body: Value) {
        self.refuse("200 OK", body).await;
    }

    async fn refuse(mut self, status: &str, body: Value) {
        let body = body.to_string();
        let length = body.len();
        let text =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn open(mut self) -> Watch {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        self.stream.write_all(head.as_bytes()).await.unwrap();
        Watch(self.stream)
    }
}

impl Watch {
    async fn send(&mut self, line: &str) {
        self.0.write_all(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes()).await.unwrap();
    }
    async fn event(&mut self, kind: &str, object: Value) {
        self.send(&json!({ "type": kind, "object": object }).to_string()).await;
    }
    /// As a server does whose time is over.
    async fn end(mut self) {
        self.0.write_all(b"0\r\n\r\n").await.unwrap();
    }
}

fn slice(name: &str, version: &str, addresses: &[&str]) -> Value {
    let ready = |(i, address): (usize, &&str)| json!({ "addresses": [address], "conditions": { "ready": i == 0 } });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "name": name, "namespace": "ns", "resourceVersion": version, "labels": { "kubernetes.io/service-name": "graft" } },
        "addressType": "IPv4",
        "endpoints": addresses.iter().enumerate().map(ready).collect::<Vec<_>>(),
        "ports": [{ "name": "peer", "port": 7421, "protocol": "TCP" }],
    })
}

fn list(version: &str, slices: &[Value]) -> Value {
    json!({ "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": { "resourceVersion": version }, "items": slices })
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code })
}

#[tokio::test]
async fn a_list_is_followed_by_a_watch_and_a_watch_that_was_closed_is_taken_up_where_it_ended() {
    // First there is a slice, and nobody in it.
    let (mut lab, mut watch) = Lab::watching("10", &[slice("a", "9", &[])]).await;
    watch.event("MODIFIED", slice("a", "11", &["10.0.0.1", "10.0.0.2"])).await;
    lab.finds(&["10.0.0.1:7421", "10.0.0.2:7421"]).await;
    watch.end().await;
    let mut watch = lab.watch_from("11").await;
    // The slice is split in two, then the endpoint moves back.
    watch.event("ADDED", slice("b", "12", &["10.0.0.2", "10.0.0.3"])).await;
    lab.finds(&["10.0.0.1:7421", "10.0.0.2:7421", "10.0.0.3:7421"]).await;
    watch.event("MODIFIED", slice("a", "13", &["10.0.0.1", "10.0.0.2"])).await;
    watch.event("DELETED", slice("b", "14", &[])).await;
    lab.finds(&["10.0.0.1:7421", "10.0.0.2:7421"]).await;
    // A bookmark moves the version on, though nothing has changed.
    watch
        .event("BOOKMARK", json!({ "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": { "resourceVersion": "20" } }))
        .await;
    watch.end().await;
    let watch = lab.watch_from("20").await;
    // However often it is closed, at once even, and with nothing said: nothing is lost, and nothing is wrong.
    watch.end().await;
    for _ in 0..3 {
        lab.watch_from("20").await.end().await;
    }
    let mut watch = lab.watch_from("20").await;
    watch.event("MODIFIED", slice("a", "21", &["10.0.0.9"])).await;
    lab.finds(&["10.0.0.9:7421"]).await;
    assert_eq!(lab.errors(), 0);
}

#[tokio::test]
async fn another_namespace_than_that_of_the_account_can_be_asked_for() {
    let mut lab = Lab::of(impatient(), Some("elsewhere".into())).await;
    let call = comes("a request", lab.calls.recv()).await.expect("it serves");
    assert!(call.path.starts_with("/apis/discovery.k8s.io/v1/namespaces/elsewhere/endpointslices?"), "{}", call.path);
    call.answer(list("10", &[slice("a", "9", &["10.0.0.1"])])).await;
    lab.finds(&["10.0.0.1:7421"]).await;
}

#[tokio::test]
async fn a_version_that_the_server_has_forgotten_is_no_failure_and_what_is_listed_then_counts() {
    let (mut lab, mut watch) = Lab::watching("10", &[slice("a", "9", &["10.0.0.1"])]).await;
    watch.event("ERROR", status(410, "Expired", "too old resource version: 10 (50)")).await;
    lab.list().await.answer(list("60", &[slice("b", "55", &["10.0.0.2"])])).await;
    lab.finds(&["10.0.0.2:7421"]).await;
    // Some servers say so before the watch is open.
    let call = lab.call().await;
    assert!(call.path.contains("resourceVersion=60"), "{}", call.path);
    call.refuse("410 Gone", status(410, "Expired", "too old resource version: 60 (90)")).await;
    lab.list().await.answer(list("91", &[slice("b", "90", &["10.0.0.3"])])).await;
    lab.finds(&["10.0.0.3:7421"]).await;
    lab.watch_from("91").await;
    assert_eq!(lab.errors(), 0);
}

#[tokio::test]
async fn an_error_in_a_watch_is_told_and_followed_by_a_list() {
    let (mut lab, mut watch) = Lab::watching("10", &[slice("a", "9", &["10.0.0.1"])]).await;
    lab.finds(&["10.0.0.1:7421"]).await;
    watch.event("ERROR", status(500, "InternalError", "etcdserver: no leader")).await;
    let told = lab.fails("500 etcdserver: no leader").await;
    assert_eq!(told.addresses, ["10.0.0.1:7421"], "what was found stays");
    lab.list().await.answer(list("20", &[slice("a", "19", &["10.0.0.2"])])).await;
    lab.finds(&["10.0.0.2:7421"]).await;
    assert_eq!(lab.errors(), 1);
    // A connection that breaks in the middle of an event: the watch is taken up before it.
    let mut watch = lab.watch_from("20").await;
    watch.0.write_all(b"ff\r\n{\"type\":").await.unwrap();
    drop(watch);
    lab.watch_from("20").await.event("MODIFIED", slice("a", "29", &["10.0.0.3"])).await;
    lab.finds(&["10.0.0.3:7421"]).await;
}

#[tokio::test]
async fn a_server_that_hangs_is_told_of_and_asked_again() {
    let answer = Duration::from_millis(300);
    let mut lab = Lab::with(Patience { answer, silence: Duration::from_secs(1), ..impatient() }).await;
    let hanging = lab.list().await;
    lab.fails("no answer within 300ms").await;
    lab.list().await.answer(list("10", &[slice("a", "9", &["10.0.0.1"])])).await;
    lab.finds(&["10.0.0.1:7421"]).await;
    // A watch that says nothing may be a connection that nobody is at the other end of: the list is read again after a while.
    let silent = lab.watch_from("10").await;
    lab.list().await.answer(list("20", &[slice("a", "19", &["10.0.0.2"])])).await;
    lab.finds(&["10.0.0.2:7421"]).await;
    assert_eq!(lab.errors(), 1);
    drop((hanging, silent));
}

#[tokio::test]
async fn who_may_not_look_is_told_why_and_keeps_what_he_knew_and_finds_again_when_he_may() {
    let (mut lab, mut watch) = Lab::watching("10", &[slice("a", "9", &["10.0.0.1"])]).await;
    lab.finds(&["10.0.0.1:7421"]).await;
    watch.event("ERROR", status(410, "Expired", "too old")).await;
    let why = "endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:ns:graft\" cannot list resource";
    for _ in 0..3 {
        lab.list().await.refuse("403 Forbidden", status(403, "Forbidden", why)).await;
        let told = lab.fails(&format!("403 {why}")).await;
        assert_eq!(told.addresses, ["10.0.0.1:7421"]);
    }
    lab.list().await.answer(list("20", &[slice("a", "19", &["10.0.0.2"])])).await;
    lab.finds(&["10.0.0.2:7421"]).await;
    assert_eq!(lab.errors(), 3);
}

#[tokio::test]
async fn a_token_that_was_replaced_is_used_as_soon_as_the_old_one_is_refused() {
    let (mut lab, watch) = Lab::watching("10", &[slice("a", "9", &["10.0.0.1"])]).await;
    lab.finds(&["10.0.0.1:7421"]).await;
    write_account(lab.account.path(), "second");
    watch.end().await;
    let call = lab.call().await;
    assert_eq!(call.token, "first", "it is good until it is refused, or a minute has passed");
    call.refuse("401 Unauthorized", status(401, "Unauthorized", "Unauthorized")).await;
    let call = lab.list().await;
    assert_eq!(call.token, "second");
    call.answer(list("20", &[slice("a", "19", &["10.0.0.2"])])).await;
    lab.finds(&["10.0.0.2:7421"]).await;
}

#[tokio::test]
async fn slices_that_make_no_sense_are_told_and_the_others_count() {
    let mut lab = Lab::start().await;
    let mut odd = slice("odd", "8", &["10.0.0.8"]);
    odd["endpoints"] = json!("many");
    lab.list().await.answer(list("10", &[odd.clone(), slice("a", "9", &["10.0.0.1"])])).await;
    let told = lab.fails("EndpointSlice odd: cannot be read").await;
    assert_eq!(told.addresses, ["10.0.0.1:7421"]);
    let mut watch = lab.watch_from("10").await;
    odd["metadata"]["resourceVersion"] = json!("11");
    odd["endpoints"] = json!([{ "addresses": ["10.0.0.8"] }]);
    odd["ports"] = json!([{ "name": "grpc", "port": 1 }]);
    watch.event("MODIFIED", odd).await;
    lab.fails("EndpointSlice odd: names no port `peer`, but [\"grpc\"]").await;
    watch.event("DELETED", slice("odd", "12", &[])).await;
    lab.finds(&["10.0.0.1:7421"]).await;
    // What is no event at all: everything is read again.
    watch.send("{\"type\": \"MODIFIED\", \"object\": 7}").await;
    lab.list().await.answer(list("20", &[slice("a", "19", &["10.0.0.2"])])).await;
    lab.finds(&["10.0.0.2:7421"]).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_and_an_account_that_is_not_there_yet_are_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let account = tempfile::tempdir().unwrap();
    let options = KubernetesOptions {
        server: Some(format!("http://{address}")),
        account: account.path().to_owned(),
        service: "graft".into(),
        namespace: None,
        port: PeerPort::Number(7421),
        patience: impatient(),
    };
    let (metrics, source) = (Metrics::new(), Kubernetes::new(options.clone()));
    drop(listener);
    let (says, mut heard) = Says::of(&source, &metrics);
    let _running = AbortOnDropHandle::new(tokio::spawn(Box::new(source).run(says, CancellationToken::new())));
    let mut fails = async |part: &str| {
        let failed = heard.wait_for(|report| report.failure.as_ref().is_some_and(|failure| failure.contains(part)));
        comes(part, failed).await.expect("it runs");
    };
    fails("token: No such file or directory").await;
    std::fs::write(account.path().join("token"), "first").unwrap();
    fails("namespace: No such file or directory").await;
    write_account(account.path(), "first");
    fails("Connection refused").await;
    let listener = TcpListener::bind(address).await.unwrap();
    let call = comes("a list", async { read(listener.accept().await.unwrap().0).await.unwrap() }).await;
    call.answer(list("10", &[slice("a", "9", &["10.0.0.1"])])).await;
    comes("an address", heard.wait_for(|report| report.addresses == ["10.0.0.1:7421"])).await.expect("it runs");

    // Outside of a pod nobody says where the server is.
    let source = Kubernetes::new(KubernetesOptions { server: None, ..options });
    let (says, mut heard) = Says::of(&source, &metrics);
    let _running = AbortOnDropHandle::new(tokio::spawn(Box::new(source).run(says, CancellationToken::new())));
    let failed = heard.wait_for(|report| report.failure.as_ref().is_some_and(|failure| failure.contains("discovery.kubernetes_api")));
    comes("a reason", failed).await.expect("it runs");
}
