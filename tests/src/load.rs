//! Load, and what must have come of it: workflows of the `chain` and `fan` kinds (see [`crate::workers`]), started with request ids by many
//! tasks at once, and the exact state that each must end in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use graft_client::{Client, ClientError, ListFilter, Next, status_name};
use serde_json::Value;

use crate::wait;
use crate::workers::{ChainConfig, FanConfig};

/// Starts that are under way at once.
const STARTS_AT_ONCE: usize = 64;
/// Reads that are under way at once.
const READS_AT_ONCE: usize = 32;
/// Longest wait for everything to end once nothing is broken any more.
const END_WITHIN: Duration = Duration::from_secs(300);

/// What was asked for, and what was answered.
#[derive(Debug)]
pub struct Load {
    client: Client,
    prefix: String,
    /// Steps of a chain.
    pub steps: u32,
    /// Leaves of a fan-out.
    pub width: u32,
    count: u64,
    acknowledged: Arc<AtomicU64>,
}

/// How the workflows of a load stand.
pub type Counts = BTreeMap<String, u64>;

impl Load {
    /// `count` workflows named `PREFIX-chain-N` and `PREFIX-fan-N`, one of the latter for each ten. Starts nothing yet.
    pub fn new(client: Client, prefix: &str, count: u64, steps: u32, width: u32) -> Self {
        Self { client, prefix: prefix.to_owned(), steps, width, count, acknowledged: Arc::default() }
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{}-{number}", self.prefix, if number.is_multiple_of(10) { "fan" } else { "chain" })
    }

    /// Starts that were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Starts all workflows; each start is repeated (same request id) until it is acknowledged. Returns how many repeats that took.
    pub async fn start_all(&self) -> u64 {
        let repeats = AtomicU64::new(0);
        stream::iter(0..self.count)
            .for_each_concurrent(STARTS_AT_ONCE, |number| {
                let repeats = &repeats;
                async move {
                    let id = self.id(number);
                    let first = match number.is_multiple_of(10) {
                        true => Next::named("fan", FanConfig { width: self.width }),
                        false => Next::named("chain", ChainConfig { left: self.steps - 1 }),
                    };
                    wait::until(&format!("the start of {id}"), END_WITHIN, || {
                        let start = self.client.start(id.as_str()).node(first.clone()).request_id(format!("start-{id}"));
                        async move {
                            let answer = start.await;
                            if answer.is_err() {
                                repeats.fetch_add(1, Ordering::Relaxed);
                            }
                            answer.map(|_| ()).map_err(|error| error.to_string())
                        }
                    })
                    .await;
                    self.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            })
            .await;
        repeats.into_inner()
    }

    /// How many workflows of the load stand in which status.
    pub async fn counts(&self) -> Result<Counts, ClientError> {
        let mut counts = Counts::new();
        let mut cursor = String::new();
        loop {
            let page = self.client.list(ListFilter::new().id_prefix(format!("{}-", self.prefix)).limit(1000).cursor(cursor)).await?;
            for workflow in &page.workflows {
                *counts.entry(status_name(workflow.status()).to_owned()).or_default() += 1;
            }
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(counts),
            }
        }
    }

    /// Waits until at least `count` workflows have completed.
    pub async fn completed_at_least(&self, count: u64) {
        wait::until(&format!("{count} completed workflows"), END_WITHIN, || async {
            let counts = self.counts().await.map_err(|error| error.to_string())?;
            if counts.get("completed").copied().unwrap_or(0) >= count { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await;
    }

    /// Waits until all have completed, then reads every one and checks it: chains counted to `steps`, fan-outs joined exactly once with every
    /// leaf applied exactly once, no dead letter anywhere.
    pub async fn check_all(&self) {
        self.completed_at_least(self.count).await;
        let broken: Vec<String> = stream::iter(0..self.count)
            .map(|number| async move {
                let id = self.id(number);
                let found = match self.client.workflow(&id).get().await {
                    Ok(found) => found,
                    Err(error) => return Some(format!("{id}: {error}")),
                };
                let state: Value = found.state_as().unwrap_or(Value::Null);
                let right = match number.is_multiple_of(10) {
                    false => state["count"] == self.steps,
                    true => {
                        let mut seen: Vec<u64> = state["seen"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
                        seen.sort_unstable();
                        state["fans"] == 1
                            && state["joins"] == 1
                            && state["leaves"] == self.width
                            && seen == (0..u64::from(self.width)).collect::<Vec<_>>()
                    }
                };
                (!right || found.summary.dead_letters != 0)
                    .then(|| format!("{id}: {state} with {} dead letters", found.summary.dead_letters))
            })
            .buffer_unordered(READS_AT_ONCE)
            .filter_map(|broken| async move { broken })
            .take(20)
            .collect()
            .await;
        assert!(broken.is_empty(), "wrong results:\n{}", broken.join("\n"));
    }
}
