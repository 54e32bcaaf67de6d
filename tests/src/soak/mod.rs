//! A log that never rests: entry after entry, as fast as three members take them, a snapshot point after every so many of them, and a purge
//! behind each. Nothing else happens; whatever ends a member is found by itself.
//!
//! openraft has a report open of members that die when an apply that was queued runs after the purge that a snapshot brought about
//! (databendlabs/openraft#2116), seen with thousands of writes a second for minutes. So few commands share an entry here, and the log is kept as
//! short as the settings allow. A member that ends is started again, and has to come back: ready, and as far as the others.
//!
//! What is written are starts of workflows that nobody executes, and that time out a second later: the state stays small, however long it goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use graft_client::{Client, StartWorkflow};
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::member::Member;
use crate::wait;

/// Starts of one call: few enough that all are answered long before the workflow's time is over.
const STARTS_PER_CALL: u64 = 500;
/// How long a workflow is open, and how long it is kept after that.
const KEPT: Duration = Duration::from_secs(1);
/// How often members are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A member that had to be started again is as far as the others within this time (the aim of the soak).
pub const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for a member to come back, and for all to come to rest.
const REST_WITHIN: Duration = Duration::from_secs(120);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asks {
    /// For how long it is written.
    pub time: Duration,
    /// A snapshot point after so many entries.
    pub snapshot_every: u64,
    /// Commands that share an entry, at most.
    pub batch: u64,
    /// Calls that are open at once.
    pub lanes: usize,
}

/// A member that ended by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// Which.
    pub member: String,
    /// Seconds after the beginning.
    pub after_s: u64,
    /// Its exit code; `None`: a signal.
    pub code: Option<i32>,
    /// The end of what it said.
    pub said: String,
    /// Until it was ready again and had what the others had when it was started, in milliseconds.
    pub back_after_ms: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Soaked {
    /// How long it was written.
    pub seconds: u64,
    /// Entries of the log.
    pub entries: u64,
    /// The same, a second.
    pub entries_per_s: u64,
    /// Commands that were written with them, a second.
    pub writes_per_s: u64,
    /// Starts that were acknowledged.
    pub acknowledged: u64,
    /// Calls that failed as a whole.
    pub failed_calls: u64,
    /// Snapshot points that the members passed, together.
    pub snapshot_points: u64,
    /// Changes of leader.
    pub terms: u64,
    /// Members that ended by themselves.
    pub ended: Vec<Ended>,
    /// What is wrong.
    pub wrong: Vec<String>,
}

const APPLIED: &str = "graft_raft_log_index{position=\"applied\"}";
const SNAPSHOT: &str = "graft_raft_log_index{position=\"snapshot\"}";
const TERM: &str = "graft_raft_term";

const WRITES: &str = "graft_commands_total{kind=";

/// Commands that a member has applied since it was started.
fn writes(member: &Member) -> u64 {
    ["step", "start", "session", "other"].iter().map(|kind| member.metric(&format!("{WRITES}\"{kind}\"}}")) as u64).sum()
}

fn settings(Asks { snapshot_every, batch, .. }: Asks) -> String {
    format!(
        "\n[raft]\nbatch_commands = {batch}\nentries_in_flight = 64\nsnapshot_every = {snapshot_every}\nlog_keep = 1024\nlog_keep_bytes = \"1MiB\"\n"
    )
}

/// Clients that start workflows until they are told to stop.
struct Lanes {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Lanes {
    fn begin(clients: &[Client], count: usize) -> Self {
        let mut lanes = Self { stop: Arc::default(), acknowledged: Arc::default(), failed: Arc::default(), tasks: Vec::new() };
        for lane in 0..count {
            let client = clients[lane % clients.len()].clone();
            let (stop, acknowledged, failed) = (lanes.stop.clone(), lanes.acknowledged.clone(), lanes.failed.clone());
            lanes.tasks.push(tokio::spawn(async move {
                for call in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let start = |number| {
                        let start = StartWorkflow::new(format!("soak-{lane}-{call}-{number}"));
                        start.node_named("nobody", ()).deadline(SystemTime::now() + KEPT).retention(KEPT)
                    };
                    match client.start_many((0..STARTS_PER_CALL).map(start)).await {
                        Ok(answers) => {
                            acknowledged.fetch_add(answers.iter().filter(|answer| answer.is_ok()).count() as u64, Ordering::Relaxed)
                        }
                        Err(_) => failed.fetch_add(1, Ordering::Relaxed),
                    };
                }
            }));
        }
        lanes
    }

    async fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        (self.acknowledged.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// The highest value of a metric among the members that run.
fn highest(cluster: &Cluster, metric: &str) -> u64 {
    cluster.members.iter().filter(|member| member.runs()).map(|member| member.metric(metric) as u64).max().unwrap_or(0)
}

/// Starts a member that has ended, and waits until it has what the others had then.
async fn bring_back(cluster: &mut Cluster, at: usize) -> Duration {
    let began = Instant::now();
    let goal = highest(cluster, APPLIED);
    cluster.members[at].start();
    cluster.members[at].ready().await;
    let member = &cluster.members[at];
    wait::until(&format!("{} to have entry {goal}", member.name), REST_WITHIN, || async {
        let applied = member.metric(APPLIED) as u64;
        if applied >= goal { Ok(()) } else { Err(format!("it has {applied}")) }
    })
    .await;
    began.elapsed()
}

/// See the module.
pub async fn soak(asks: Asks) -> Soaked {
    let mut cluster = Cluster::start(3, &settings(asks)).await;
    let mut soaked = Soaked::default();
    let (first_entry, first_term) = (highest(&cluster, APPLIED), highest(&cluster, TERM));
    let lanes = Lanes::begin(&cluster.clients(), asks.lanes);
    let began = Instant::now();
    let mut points = vec![0; cluster.members.len()];
    while began.elapsed() < asks.time {
        tokio::time::sleep(LOOK_EVERY).await;
        for (at, last_point) in points.iter_mut().enumerate() {
            if let Some(status) = cluster.members[at].take_ended() {
                let log = cluster.members[at].log();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                let said = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                let (member, after_s) = (cluster.members[at].name.clone(), began.elapsed().as_secs());
                let back_after_ms = bring_back(&mut cluster, at).await.as_millis() as u64;
                soaked.ended.push(Ended { member, after_s, code: status.code(), said, back_after_ms });
            }
            let point = cluster.members[at].metric(SNAPSHOT) as u64;
            soaked.snapshot_points += u64::from(point > *last_point);
            *last_point = point;
        }
    }
    soaked.seconds = began.elapsed().as_secs();
    // A member counts from its start: whoever was never started again has counted all of it.
    soaked.writes_per_s = cluster.members.iter().map(writes).max().unwrap_or(0) / soaked.seconds.max(1);
    soaked.entries = highest(&cluster, APPLIED) - first_entry;
    soaked.entries_per_s = soaked.entries / soaked.seconds.max(1);
    soaked.terms = highest(&cluster, TERM) - first_term;
    (soaked.acknowledged, soaked.failed_calls) = lanes.end().await;
    for ended in &soaked.ended {
        if ended.code == Some(0) {
            soaked.wrong.push(format!("{} ended by itself, and said that all is well", ended.member));
        }
        if u128::from(ended.back_after_ms) > BACK_WITHIN.as_millis() {
            soaked.wrong.push(format!("{} came back after {} ms only", ended.member, ended.back_after_ms));
        }
    }
    // Workflows still time out, and what is remembered of requests runs out: that goes on for long, but nobody lags behind.
    wait::until("the members to come to one index", REST_WITHIN, || async {
        let applied: Vec<u64> = cluster.members.iter().map(|member| member.metric(APPLIED) as u64).collect();
        let together = applied.iter().all(|index| *index == applied[0]);
        if together { Ok(()) } else { Err(format!("{applied:?}")) }
    })
    .await;
    soaked
}
