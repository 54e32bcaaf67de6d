//! Ten thousand worker sessions, and workers that are deaf or slow.
//!
//! The sessions are streams of the worker protocol, spoken by hand, so that one process can hold them all: each grants credit for one task at
//! a time. The deaf ones grant much credit, and read nothing: their streams fill, and are closed; what was on its way to them is executed by
//! others. The slow ones read one message now and then. Others must not feel it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graft_client::{Client, Next, StartWorkflow};
use graft_proto::v1::worker_service_client::WorkerServiceClient;
use graft_proto::v1::{
    Completed, Credit, FromWorker, Heartbeat, Hello, Inventory, NodeCapacity, Result as TaskResult, Results, from_worker, result, to_worker,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::starts::completed;
use super::{Found, Size, memory};
use crate::cluster::Cluster;
use crate::wait;

/// Sessions of one connection.
const PER_CONNECTION: usize = 500;
/// Tasks for each session.
const TASKS_EACH: u64 = 4;
/// Most memory of the member, in bytes.
const MEMORY_MAX: u64 = 500 << 20;
/// Deaf and slow workers.
const DEAF: usize = 20;
const SLOW: usize = 20;
/// How long a slow worker takes for one message.
const SLOW_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of the state that tasks for deaf workers carry.
const HEAVY_BYTES: usize = 256 << 10;
/// Workflows while some are deaf.
const HEAVY: u64 = 400;
/// The attempt lease of the test, in seconds.
const LEASE_S: u64 = 5;
/// Longest wait for all to be connected, and for all to be done.
const WITHIN: Duration = Duration::from_secs(300);

/// How a session reads its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// As it comes.
    All,
    /// Now and then.
    Slowly,
    /// Its welcome, and nothing more.
    Nothing,
}

struct Session {
    node: &'static str,
    capacity: u32,
    reads: Reads,
}

fn said(message: from_worker::Message) -> FromWorker {
    FromWorker { message: Some(message) }
}

/// Speaks for one worker until its stream ends.
async fn session(channel: Channel, name: String, session: Session, done: Arc<AtomicU64>) {
    let Session { node, capacity, reads } = session;
    let (outbound, messages) = mpsc::channel(64);
    let hello = Hello {
        protocol_min: graft_proto::WORKER_PROTOCOL,
        protocol_max: graft_proto::WORKER_PROTOCOL,
        worker_id: name,
        incarnation: uuid::Uuid::new_v4().to_string(),
        nodes: vec![NodeCapacity { node: node.to_owned(), capacity, cluster_limit: 0 }],
        ..Hello::default()
    };
    let _ = outbound.send(said(from_worker::Message::Hello(hello))).await;
    let mut client = WorkerServiceClient::new(channel).max_decoding_message_size(graft_proto::ANSWER_BYTES_MAX);
    let Ok(answers) = client.work(ReceiverStream::new(messages)).await else { return };
    let mut answers = answers.into_inner();
    let mut beat = tokio::time::interval(Duration::from_secs(LEASE_S) / 3);
    let (mut window, mut sequence, began) = (u64::from(capacity), 0, Instant::now());
    let mut heard_welcome = false;
    loop {
        let deaf = reads == Reads::Nothing && heard_welcome;
        let message = tokio::select! {
            _ = beat.tick() => {
                let sent_ms = began.elapsed().as_millis() as u64 + 1;
                if outbound.send(said(from_worker::Message::Heartbeat(Heartbeat { sent_ms, progress: vec![] }))).await.is_err() {
                    return;
                }
                continue;
            }
            message = answers.message(), if !deaf => message,
        };
        let Ok(Some(message)) = message else { return };
        let replies = match message.message {
            Some(to_worker::Message::Welcome(welcome)) if welcome.leading => {
                heard_welcome = true;
                let inventory = Inventory { term: welcome.term, ..Inventory::default() };
                vec![from_worker::Message::Inventory(inventory)]
            }
            Some(to_worker::Message::Tasks(tasks)) => {
                let completed = |task: graft_proto::v1::Task| TaskResult {
                    at: task.at,
                    lease: task.lease,
                    outcome: Some(result::Outcome::Completed(Completed { base_revision: task.state_revision, ..Completed::default() })),
                    ..TaskResult::default()
                };
                let results: Vec<TaskResult> = tasks.tasks.into_iter().map(completed).collect();
                done.fetch_add(results.len() as u64, Ordering::Relaxed);
                window += results.len() as u64;
                vec![from_worker::Message::Results(Results { results })]
            }
            _ => continue,
        };
        sequence += 1;
        let credit = from_worker::Message::Credit(Credit { node: node.to_owned(), window, sequence, ..Credit::default() });
        for reply in replies.into_iter().chain([credit]) {
            if outbound.send(said(reply)).await.is_err() {
                return;
            }
        }
        if reads == Reads::Slowly {
            tokio::time::sleep(SLOW_PAUSE).await;
        }
    }
}

async fn connect(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).expect("an address").connect().await.expect("it listens")
}

async fn start(client: &Client, prefix: &str, count: u64, node: &str, state: &Value) {
    let starts = (0..count).map(|number| {
        let start = StartWorkflow::<()>::new(format!("{prefix}-{number}")).node(Next::named(node, ()));
        start.state(state).expect("a state")
    });
    for answer in client.start_many(starts).await.expect("the server takes them") {
        answer.expect("it is started");
    }
}

/// See the module.
pub async fn run(size: Size) -> Found {
    let mut found = Found::default();
    let cluster = Cluster::start(1, &format!("\n[scheduler]\nlease = \"{LEASE_S}s\"\n")).await;
    let member = &cluster.members[0];
    let pid = member.process_id().expect("it runs");
    let client = Client::connect(member.url().as_str()).expect("an address");
    let done = Arc::new(AtomicU64::new(0));

    let mut crowd = JoinSet::new();
    let began = Instant::now();
    let mut channel = None;
    for number in 0..size.sessions {
        if number.is_multiple_of(PER_CONNECTION) {
            channel = Some(connect(&member.url()).await);
        }
        let channel = channel.clone().expect("made above");
        let one = Session { node: "crowd", capacity: 1, reads: Reads::All };
        crowd.spawn(session(channel, format!("crowd-{number}"), one, done.clone()));
    }
    let connected = |sessions: usize| async move {
        wait::until("all sessions to be there", WITHIN, || async {
            let seen = member.metric("graft_workers_connected") as usize;
            if seen >= sessions { Ok(()) } else { Err(seen) }
        })
        .await;
    };
    connected(size.sessions).await;
    found.figure("sessions", size.sessions as u64);
    found.figure("connected_after_ms", began.elapsed().as_millis() as u64);
    found.figure("memory_with_sessions_bytes", memory(pid).0);

    let tasks = TASKS_EACH * size.sessions as u64;
    let began = Instant::now();
    start(&client, "crowd", tasks, "crowd", &json!({})).await;
    let all_done = |goal: u64| async move {
        wait::until("all to complete", WITHIN, || async {
            let seen = completed(&member.client_address);
            if seen >= goal { Ok(()) } else { Err(seen) }
        })
        .await;
    };
    all_done(tasks).await;
    found.figure("tasks_per_s_over_all_sessions", tasks * 1_000 / began.elapsed().as_millis() as u64);
    found.figure("memory_max_bytes", memory(pid).1);
    found.bound(memory(pid).1 <= MEMORY_MAX, format!("{} sessions took {} bytes", size.sessions, memory(pid).1));

    // Deaf, slow and good workers of one node.
    let mut mixed = JoinSet::new();
    for (count, reads, capacity) in [(DEAF, Reads::Nothing, 8), (SLOW, Reads::Slowly, 1), (4, Reads::All, 8)] {
        for number in 0..count {
            let one = Session { node: "heavy", capacity, reads };
            mixed.spawn(session(connect(&member.url()).await, format!("{reads:?}-{number}"), one, done.clone()));
        }
    }
    connected(size.sessions + DEAF + SLOW + 4).await;
    let began = Instant::now();
    start(&client, "heavy", HEAVY, "heavy", &json!({ "text": "x".repeat(HEAVY_BYTES) })).await;
    all_done(tasks + HEAVY).await;
    found.figure("beside_deaf_and_slow_workers_ms", began.elapsed().as_millis() as u64);
    let [lost] = member.metrics(["graft_attempts_lost_total{reason=\"handed_back\"}"]);
    found.figure("attempts_handed_back", lost);
    found.figure("streams_closed_for_reading_nothing", member.log().matches("a worker's stream took nothing").count() as u64);
    // The crowd has not suffered.
    let began = Instant::now();
    start(&client, "again", tasks, "crowd", &json!({})).await;
    all_done(2 * tasks + HEAVY).await;
    found.figure("tasks_per_s_afterwards", tasks * 1_000 / began.elapsed().as_millis() as u64);
    found.figure("memory_max_with_deaf_bytes", memory(pid).1);
    crowd.abort_all();
    mixed.abort_all();
    found
}
