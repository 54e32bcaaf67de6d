//! The clients: each lane has one workflow in flight.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use graft_client::proto::WorkflowStatus;
use graft_client::{Client, status_name};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::latency::{Latencies, Sums};
use super::workload::Plan;
use crate::error::CliResult;

/// Lanes that share a connection.
const LANES_PER_CONNECTION: u32 = 128;
/// How long workflows in flight may take to end when it is over; then they are terminated, and count as errors.
pub(crate) const END_GRACE: Duration = Duration::from_secs(10);
/// Longest wait for that.
const TERMINATE_GRACE: Duration = Duration::from_secs(5);
/// The wait after an error, so that a server in trouble is not hammered.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What came out, counted by all lanes together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    measuring: AtomicBool,
    latencies: Latencies,
    errors: AtomicU64,
    first_error: OnceLock<String>,
    unfinished: AtomicU64,
    first_unfinished: OnceLock<String>,
}

impl Tally {
    /// From now on what ends counts, or no longer.
    pub(crate) fn measure(&self, on: bool) {
        self.measuring.store(on, Ordering::Relaxed);
    }

    /// How long the workflows took that completed while it was measured.
    pub(crate) fn latencies(&self) -> Sums {
        self.latencies.sums()
    }

    /// Workflows that went wrong, warm-up included.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// What the first of them said.
    pub(crate) fn first_error(&self) -> Option<String> {
        self.first_error.get().cloned()
    }

    /// Workflows that had not ended long after they should have, and were terminated.
    pub(crate) fn unfinished(&self) -> u64 {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Id of the first of them.
    pub(crate) fn first_unfinished(&self) -> Option<String> {
        self.first_unfinished.get().cloned()
    }

    fn hangs(&self, id: String) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.first_unfinished.get_or_init(|| id);
    }

    fn completed(&self, took: Duration) {
        if self.measuring.load(Ordering::Relaxed) {
            self.latencies.add(took);
        }
    }

    fn went_wrong(&self, error: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.first_error.get_or_init(|| error);
    }
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// No lane starts another workflow.
    Ending,
    /// What is still in flight is terminated.
    Cut,
}

/// The lanes while they run.
pub(crate) struct Lanes {
    tasks: JoinSet<()>,
    phase: watch::Sender<Phase>,
}

impl Lanes {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { tasks: JoinSet::new(), phase: watch::Sender::new(Phase::Running) }
    }

    /// Starts as many lanes as workflows are to be in flight.
    pub(crate) fn start(&mut self, plan: &Arc<Plan>, tally: &Arc<Tally>, count: u32, connect: impl Fn() -> CliResult<Client>) -> CliResult {
        let mut client = connect()?;
        for number in 0..count {
            if number > 0 && number % LANES_PER_CONNECTION == 0 {
                client = connect()?;
            }
            self.tasks.spawn(lane(plan.clone(), tally.clone(), client.clone(), number, self.phase.subscribe()));
        }
        Ok(())
    }

    /// Starts nothing more, and lets what is in flight end, if it does in time.
    pub(crate) async fn drain(&mut self) {
        self.phase.send_replace(Phase::Ending);
        let _ = timeout(END_GRACE, all(&mut self.tasks)).await;
    }

    /// Terminates what is still in flight.
    pub(crate) async fn cut(mut self) {
        self.phase.send_replace(Phase::Cut);
        let _ = timeout(TERMINATE_GRACE, all(&mut self.tasks)).await;
    }
}

async fn all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn lane(plan: Arc<Plan>, tally: Arc<Tally>, client: Client, number: u32, mut phase: watch::Receiver<Phase>) {
    for sequence in 0.. {
        if *phase.borrow() != Phase::Running {
            return;
        }
        let id = plan.workflow_id(number, sequence);
        let begun = Instant::now();
        let outcome = match client.start(plan.start(&id)).await {
            // Not cut short: what was sent may take effect, and would be left behind.
            Err(error) => Err(error.to_string()),
            Ok(_) => tokio::select! {
                biased;
                outcome = ended(&plan, &client, &id) => outcome,
                () = cut(&mut phase) => {
                    let _ = client.workflow(&id).terminate("the bench is over").await;
                    tally.hangs(id);
                    return;
                }
            },
        };
        match outcome {
            Ok(()) => tally.completed(begun.elapsed()),
            Err(error) => {
                tally.went_wrong(error);
                sleep(ERROR_PAUSE).await;
            }
        }
    }
}

/// Waits until what is in flight is to be terminated.
async fn cut(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Cut).await;
}

/// The end of a workflow, as a client sees it.
async fn ended(plan: &Plan, client: &Client, id: &str) -> Result<(), String> {
    let ended = client.workflow(id).wait().await.map_err(|error| error.to_string())?;
    match ended.status() {
        WorkflowStatus::Completed if plan.is_right(&ended.state) => Ok(()),
        WorkflowStatus::Completed => {
            Err(format!("workflow \"{id}\" completed with a state that does not count its steps: {}", ended.state))
        }
        status => Err(format!("workflow \"{id}\" ended as {}: {}", status_name(status), ended.summary.reason)),
    }
}
