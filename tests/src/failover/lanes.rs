//! Clients that ask without an end, each lane one workflow after the other: start it, wait for its result, look whether it is right. Nothing is
//! asked again here: what fails after the SDK's own repeats counts as failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use graft_client::{Client, Next};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::workers::ChainConfig;

/// Steps of each workflow.
const STEPS: u32 = 3;
/// Failures whose words are kept.
const TOLD_MAX: usize = 20;

/// What was asked, and what became of it.
#[derive(Debug, Default)]
pub struct Asked {
    /// Starts that were acknowledged.
    pub acknowledged: u64,
    /// Workflows that completed with the right state.
    pub completed: u64,
    /// Starts and waits that failed after the SDK's own repeats, in words (the first of them).
    pub failures: Vec<String>,
    /// How many they are.
    pub failed: u64,
    /// Acknowledged workflows that ended otherwise than they should, or are not there, in words.
    pub wrong: Vec<String>,
}

#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    done: AtomicBool,
}

/// The lanes.
#[derive(Debug)]
pub struct Lanes {
    counts: Arc<Counts>,
    tasks: JoinSet<(Vec<String>, Vec<String>)>,
}

impl Lanes {
    /// Begins `lanes` of them through these clients, in turn; together they start at most `rate` workflows a second (0: as many as they can).
    pub fn begin(clients: Vec<Client>, lanes: usize, rate: u32) -> Self {
        let counts = Arc::new(Counts::default());
        let every = if rate == 0 { Duration::ZERO } else { Duration::from_secs(1) * lanes as u32 / rate };
        let mut tasks = JoinSet::new();
        for lane in 0..lanes {
            let (client, counts) = (clients[lane % clients.len()].clone(), counts.clone());
            let first = Instant::now() + every * lane as u32 / lanes as u32;
            tasks.spawn(run(client, lane, first, every, counts));
        }
        Self { counts, tasks }
    }

    /// Workflows that have completed with the right state so far.
    pub fn completed(&self) -> u64 {
        self.counts.completed.load(Ordering::SeqCst)
    }

    /// Requests that have failed so far.
    pub fn failed(&self) -> u64 {
        self.counts.failed.load(Ordering::SeqCst)
    }

    /// Lets each lane bring its last workflow to its end.
    pub async fn end(self) -> Asked {
        self.counts.done.store(true, Ordering::SeqCst);
        let (mut failures, mut wrong) = (Vec::new(), Vec::new());
        for (failed, not_right) in self.tasks.join_all().await {
            failures.extend(failed);
            wrong.extend(not_right);
        }
        failures.truncate(TOLD_MAX);
        let count = |count: &AtomicU64| count.load(Ordering::SeqCst);
        Asked {
            acknowledged: count(&self.counts.acknowledged),
            completed: count(&self.counts.completed),
            failed: count(&self.counts.failed),
            failures,
            wrong,
        }
    }
}

async fn run(client: Client, lane: usize, first: Instant, every: Duration, counts: Arc<Counts>) -> (Vec<String>, Vec<String>) {
    let (mut failures, mut wrong) = (Vec::new(), Vec::new());
    let mut due = first;
    for number in 0.. {
        if counts.done.load(Ordering::SeqCst) {
            break;
        }
        sleep_until(due).await;
        due = (due + every).max(Instant::now());
        let id = format!("lane-{lane}-{number}");
        let mut failed = |what: &str, error: graft_client::ClientError| {
            counts.failed.fetch_add(1, Ordering::SeqCst);
            if failures.len() < TOLD_MAX {
                failures.push(format!("{what} {id}: {error}"));
            }
        };
        if let Err(error) = client.start(id.as_str()).node(Next::named("chain", ChainConfig { left: STEPS - 1 })).await {
            failed("start of", error);
            continue;
        }
        counts.acknowledged.fetch_add(1, Ordering::SeqCst);
        match client.workflow(&id).result::<Value>().await {
            Ok(state) if state["count"] == STEPS => drop(counts.completed.fetch_add(1, Ordering::SeqCst)),
            Ok(state) => wrong.push(format!("{id}: {state}")),
            // It was acknowledged, so it is there: whether it ended well is asked once more, and what is told then counts.
            Err(error) => {
                failed("wait for", error);
                match client.workflow(&id).result::<Value>().await {
                    Ok(state) if state["count"] == STEPS => drop(counts.completed.fetch_add(1, Ordering::SeqCst)),
                    other => wrong.push(format!("{id}: {other:?}")),
                }
            }
        }
    }
    (failures, wrong)
}
