//! Keys whose effect shows under work: what is flushed, what leaves the log, what a worker is given.

use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::from_worker::Message as From;
use graft_proto::v1::to_worker::Message as To;
use graft_proto::v1::worker_service_client::WorkerServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::Daemon;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{channel, said, started};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts workflows of one node that nobody serves, one after the other, with states of so many bytes.
async fn start(daemon: &Daemon, prefix: &str, node: (&str, &str), count: usize, bytes: usize) {
    let mut client = WorkflowServiceClient::new(channel(daemon).await);
    for n in 0..count {
        let nodes = vec![v1::NewTask { node: node.1.into(), ..Default::default() }];
        let text = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
        let state = Some(v1::Payload { data: text.into(), ..Default::default() });
        let workflow_id = format!("{prefix}-{n}");
        let request = v1::StartRequest { namespace: node.0.into(), workflow_id, nodes, state, ..Default::default() };
        client.start(request).await.expect("started");
    }
}

/// One number of `/metrics`.
async fn metric(daemon: &Daemon, name: &str) -> u64 {
    let mut stream = TcpStream::connect(daemon.client_address()).await.expect("it answers");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: graft\r\nConnection: close\r\n\r\n").await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let line = answer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {answer}"));
    line.trim().parse().unwrap_or_else(|e| panic!("{name} {line}: {e}"))
}

/// Waits until a number is as it should be, and returns it.
pub(super) async fn until(daemon: &Daemon, name: &str, good: impl Fn(u64) -> bool) -> u64 {
    let wait = async {
        loop {
            let now = metric(daemon, name).await;
            if good(now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{name} never came to what it should be"))
}

const SNAPSHOT: &str = "graft_raft_log_index{position=\"snapshot\"}";
const PURGED: &str = "graft_raft_log_index{position=\"purged\"}";
const STATE_FSYNCS: &str = "graft_storage_fsyncs_total{store=\"state\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_points_come_and_the_log_goes_as_the_keys_say() {
    let dir = || tempfile::tempdir().expect("a directory");
    // By default neither comes after so little.
    let (plain, by_count, by_bytes, kept) = (dir(), dir(), dir(), dir());
    let plain = started(said(plain.path(), "")).await;
    let by_count = started(said(by_count.path(), "[raft]\nsnapshot_every = 16\nlog_keep = 64")).await;
    let by_bytes = started(said(by_bytes.path(), "[raft]\nsnapshot_every_bytes = \"1MiB\"")).await;
    let kept = started(said(kept.path(), "[raft]\nsnapshot_every = 16\nlog_keep = 100000")).await;
    for daemon in [&plain, &by_count, &by_bytes, &kept] {
        start(daemon, "order", ("", "nobody"), 150, 20_000).await;
    }
    let purged = until(&by_count, PURGED, |purged| purged > 0).await;
    assert!(purged + 64 <= metric(&by_count, SNAPSHOT).await, "64 entries stay below the snapshot");
    until(&by_bytes, SNAPSHOT, |snapshot| snapshot > 0).await;
    until(&kept, SNAPSHOT, |snapshot| snapshot > 100).await;
    assert_eq!(metric(&kept, PURGED).await, 0);
    assert_eq!((metric(&plain, SNAPSHOT).await, metric(&plain, PURGED).await), (0, 0));
    for daemon in [plain, by_count, by_bytes, kept] {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_is_flushed_when_the_keys_say() {
    let dir = || tempfile::tempdir().expect("a directory");
    let (by_time, by_size, never) = (dir(), dir(), dir());
    let by_time = started(said(by_time.path(), "[storage]\nflush_interval = \"10ms\"")).await;
    let by_size = started(said(by_size.path(), "[storage]\nflush_interval = \"1h\"\noverlay = \"1MiB\"")).await;
    let never = started(said(never.path(), "[storage]\nflush_interval = \"1h\"")).await;
    for daemon in [&by_time, &by_size, &never] {
        start(daemon, "order", ("", "nobody"), 60, 50_000).await;
    }
    let mut status = ClusterServiceClient::new(channel(&by_time).await);
    let flushed = async {
        loop {
            let now = status.status(v1::ClusterStatusRequest {}).await.expect("a status").into_inner();
            if now.members[0].flushed_index == now.members[0].applied_index {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, flushed).await.expect("all is flushed soon");
    until(&by_size, STATE_FSYNCS, |fsyncs| fsyncs > 0).await;
    assert_eq!(metric(&never, STATE_FSYNCS).await, 0);
    assert!(metric(&never, "graft_storage_overlay_bytes").await >= 3_000_000, "all of it waits in memory");
    for daemon in [by_time, by_size, never] {
        daemon.shutdown().await;
    }
}

/// A worker that takes what it is given and does nothing.
struct Worker {
    messages: mpsc::Sender<v1::FromWorker>,
    incoming: Streaming<v1::ToWorker>,
    lease_ms: u64,
}

impl Worker {
    async fn connect(daemon: &Daemon, namespace: &str, id: &str, nodes: &[&str]) -> Self {
        let (messages, outgoing) = mpsc::channel(16);
        let nodes: Vec<_> = nodes.iter().map(|node| v1::NodeCapacity { node: (*node).into(), capacity: 10, cluster_limit: 0 }).collect();
        let hello = v1::Hello {
            protocol_min: 1,
            protocol_max: 1,
            namespace: namespace.into(),
            worker_id: id.into(),
            incarnation: format!("6f9619ff-8b86-4d11-b42d-00c04fc964{:02x}", id.len()),
            nodes: nodes.clone(),
            build_id: "test".into(),
            ..v1::Hello::default()
        };
        let send = |message| v1::FromWorker { message: Some(message) };
        messages.send(send(From::Hello(hello))).await.expect("room");
        let mut incoming =
            WorkerServiceClient::new(channel(daemon).await).work(ReceiverStream::new(outgoing)).await.expect("welcome").into_inner();
        let welcome = loop {
            if let Some(To::Welcome(welcome)) = incoming.message().await.expect("it goes on").expect("it goes on").message
                && welcome.leading
            {
                break welcome;
            }
        };
        messages.send(send(From::Inventory(v1::Inventory { term: welcome.term, held: vec![], more: false }))).await.expect("room");
        messages.send(send(From::Heartbeat(v1::Heartbeat { sent_ms: 1, progress: vec![] }))).await.expect("room");
        for node in nodes {
            let credit = v1::Credit { partition: 0, node: node.node, window: 10, sequence: 1 };
            messages.send(send(From::Credit(credit))).await.expect("room");
        }
        Self { messages, incoming, lease_ms: welcome.lease_ms }
    }

    /// Waits for so many tasks, and counts them by node.
    async fn tasks(&mut self, count: usize) -> BTreeMap<String, usize> {
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        let all = async {
            while given.values().sum::<usize>() < count {
                let message = self.incoming.message().await.expect("it goes on").expect("it goes on").message;
                if let Some(To::Tasks(tasks)) = message {
                    tasks.tasks.into_iter().for_each(|task| *given.entry(task.node).or_default() += 1);
                }
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("not {count} tasks"));
        given
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_holds_as_much_and_as_long_as_the_keys_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = "[scheduler]\nlease = \"1500ms\"\ntotal_limit = 4\n[scheduler.node_limits]\nocr = 2\n\"team/scan\" = 1\n";
    let daemon = started(said(dir.path(), text)).await;
    start(&daemon, "scan", ("team", "scan"), 5, 1).await;
    let mut team = Worker::connect(&daemon, "team", "w1", &["scan"]).await;
    assert_eq!(team.lease_ms, 1_500);
    assert_eq!(team.tasks(1).await, [("scan".to_owned(), 1)].into());
    start(&daemon, "ocr", ("", "ocr"), 5, 1).await;
    let mut worker = Worker::connect(&daemon, "", "w-2", &["ocr", "free"]).await;
    assert_eq!(worker.tasks(2).await, [("ocr".to_owned(), 2)].into());
    start(&daemon, "free", ("", "free"), 5, 1).await;
    assert_eq!(worker.tasks(1).await, [("free".to_owned(), 1)].into());
    // All that are left are there to be given, and nothing more is.
    assert_eq!(until(&daemon, "graft_attempts_held", |held| held == 4).await, 4);
    // Both workers say nothing any more: when the lease is over, what they held is lost, and goes to who is there.
    drop((team.messages, team.incoming));
    let mut other = Worker::connect(&daemon, "team", "w---3", &["scan"]).await;
    assert_eq!(other.tasks(1).await, [("scan".to_owned(), 1)].into());
    daemon.shutdown().await;
}

/// No disk has so much room: the same one, with and without a reserve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflows_are_started_while_the_disk_has_more_room_than_the_key_says() {
    let dir = || tempfile::tempdir().expect("a directory");
    let (none, all) = (dir(), dir());
    let none = started(said(none.path(), "[storage]\ndisk_reserve = \"0B\"")).await;
    let all = started(said(all.path(), "[storage]\ndisk_reserve = \"60000GiB\"")).await;
    let request = || {
        let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
        v1::StartRequest { workflow_id: "order-1".into(), nodes, ..Default::default() }
    };
    until(&all, "graft_storage_starts_refused", |refused| refused == 1).await;
    let refused = WorkflowServiceClient::new(channel(&all).await).start(request()).await.expect_err("there is no room");
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert!(refused.message().contains("the disk") && refused.message().contains("storage.disk_reserve"), "{}", refused.message());
    WorkflowServiceClient::new(channel(&none).await).start(request()).await.expect("there is room");
    assert_eq!(metric(&none, "graft_storage_starts_refused").await, 0);
    all.shutdown().await;
    none.shutdown().await;
}
