//! Load, and what must have come of it: workflows of the `chain` and `fan` kinds (see [`crate::workers`]), started with request ids by many
//! tasks at once, and the exact state that each must end in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::{StreamExt, stream};
use graft_client::{Client, ClientError, ListFilter, Next, status_name};
use graft_proto::v1::{WorkflowStatus, WorkflowSummary};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::wait;
use crate::workers::{ChainConfig, FanConfig};

/// Starts that are under way at once.
const STARTS_AT_ONCE: usize = 64;
/// Reads that are under way at once.
const READS_AT_ONCE: usize = 32;
/// Longest wait for everything to end once nothing is broken any more.
const END_WITHIN: Duration = Duration::from_secs(300);

/// Workflows of one portion of a load without an end.
const PORTION: u64 = 200;
/// Longest wait for a load without an end to get on.
const GETS_ON_WITHIN: Duration = Duration::from_secs(60);

/// What was asked for, and what was answered.
#[derive(Debug)]
pub struct Load {
    clients: Vec<Client>,
    prefix: String,
    /// Steps of a chain.
    pub steps: u32,
    /// Leaves of a fan-out.
    pub width: u32,
    count: u64,
    acknowledged: Arc<AtomicU64>,
}

impl Load {
    /// `count` workflows named `PREFIX-chain-N` and `PREFIX-fan-N`, one of the latter for each ten, asked for through these clients in turn.
    /// Starts nothing yet.
    pub fn new(clients: Vec<Client>, prefix: &str, count: u64, steps: u32, width: u32) -> Self {
        Self { clients, prefix: prefix.to_owned(), steps, width, count, acknowledged: Arc::default() }
    }

    /// The same workflows, looked at through other clients: of a cluster that was made of a backup.
    pub fn through(self, clients: Vec<Client>) -> Self {
        Self { clients, ..self }
    }

    fn client(&self, number: u64) -> &Client {
        &self.clients[number as usize % self.clients.len()]
    }

    /// Id of one of them.
    pub fn id(&self, number: u64) -> String {
        format!("{}-{}-{number}", self.prefix, if number.is_multiple_of(10) { "fan" } else { "chain" })
    }

    /// How many workflows it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many steps they take together.
    pub fn steps_in_all(&self) -> u64 {
        let fans = self.count.div_ceil(10);
        (self.count - fans) * u64::from(self.steps) + fans * (u64::from(self.width) + 2)
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
                        let start = self.client(number).start(id.as_str()).node(first.clone()).request_id(format!("start-{id}"));
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

    /// Every workflow of the load that there is.
    async fn all(&self) -> Result<Vec<WorkflowSummary>, ClientError> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.client(0).list(ListFilter::new().id_prefix(format!("{}-", self.prefix)).limit(1000).cursor(cursor)).await?;
            all.extend(page.workflows);
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(all),
            }
        }
    }

    /// How many workflows of the load were open at this moment, once all have ended; the cluster's time runs with this machine's.
    pub async fn open_at(&self, moment: SystemTime) -> u64 {
        let moment = moment.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64;
        let all = self.all().await.expect("a healthy cluster answers");
        all.iter().filter(|workflow| workflow.created_ms <= moment && workflow.ended_ms > moment).count() as u64
    }

    /// Waits until no workflow is running, of any load: one row at a time, so that the waiting costs the members nothing.
    async fn none_runs(&self) {
        wait::until("the last workflow to end", END_WITHIN, || async {
            let running = ListFilter::new().status(WorkflowStatus::Running).limit(1);
            match self.client(0).list(running).await {
                Ok(page) if page.workflows.is_empty() => Ok(()),
                Ok(page) => Err(page.workflows[0].workflow_id.clone()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Waits until all have completed, then reads every one and checks it: chains counted to `steps`, fan-outs joined exactly once with every
    /// leaf applied exactly once, no dead letter anywhere.
    pub async fn check_all(&self) {
        self.none_runs().await;
        let mut counts = BTreeMap::new();
        for workflow in self.all().await.expect("a healthy cluster answers") {
            *counts.entry(status_name(workflow.status())).or_default() += 1;
        }
        assert_eq!(counts, BTreeMap::from([("completed", self.count)]), "all that was acknowledged is there, and completed");
        let broken: Vec<String> = stream::iter(0..self.count)
            .map(|number| async move {
                let id = self.id(number);
                let found = match self.client(number).workflow(&id).get().await {
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

/// A load without an end: portion after portion of workflows, until it is told to stop.
#[derive(Debug)]
pub struct Loading {
    done: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    task: JoinHandle<(Vec<Load>, u64)>,
}

impl Loading {
    /// Starts workflows through these clients, in turn, from now on.
    pub fn begin(clients: Vec<Client>, prefix: &str) -> Self {
        let (done, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, told, prefix) = (done.clone(), acknowledged.clone(), prefix.to_owned());
        let task = tokio::spawn(async move {
            let (mut loads, mut failed) = (Vec::new(), 0);
            while !until.load(Ordering::SeqCst) {
                let load = Load::new(clients.clone(), &format!("{prefix}{}", loads.len()), PORTION, 3, 5);
                let load = Load { acknowledged: told.clone(), ..load };
                failed += load.start_all().await;
                loads.push(load);
            }
            (loads, failed)
        });
        Self { done, acknowledged, task }
    }

    /// How many starts have been acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many more starts have been acknowledged.
    pub async fn gets_on(&self, by: u64) {
        let goal = self.acknowledged() + by;
        wait::until(&format!("{by} more starts"), GETS_ON_WITHIN, || async {
            let seen = self.acknowledged();
            if seen >= goal { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// Ends it, and checks that no start failed after the SDK's own repeats, that nothing is lost, and that everything has completed. How many
    /// workflows that were.
    pub async fn end_and_check(self) -> u64 {
        self.done.store(true, Ordering::SeqCst);
        let (loads, failed) = self.task.await.expect("the load goes on");
        assert_eq!(failed, 0, "starts that failed after the SDK's own repeats");
        for load in &loads {
            load.check_all().await;
        }
        loads.len() as u64 * PORTION
    }
}
