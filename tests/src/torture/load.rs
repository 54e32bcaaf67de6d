//! The load: workflows that are started at a steady rate through all members, and the operators that help those which need it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use graft_client::{Client, ClientError, OnConflict, Redrive, StartWorkflow, Started};
use tokio::sync::{Semaphore, mpsc};

use super::leases::Halt;
use super::ledger::now_ms;
use super::oracle::{Oracle, Outcome, Start, workflow_id};
use super::program::Program;
use super::stalls::Stalls;
use super::worker::task;
use crate::loop_sim::rng::Rng;

/// Starts that are under way at once; what is due while so many are is left out, and counted.
const AT_ONCE: usize = 256;
/// How long a client repeats by itself. Short, so that many outcomes are unknown.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a workflow stays paused.
const PAUSED_FOR: Duration = Duration::from_millis(200);
/// How long after its start a workflow is cancelled, at most: some have ended by then.
const CANCELLED_WITHIN_MS: u64 = 300;
/// How long attempts may go on after a cancellation.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Workflows that wait for an operator; more are helped by the judge.
const TO_HELP_MAX: usize = 4_096;

/// What all parts of the load share.
#[derive(Debug)]
pub struct Shared {
    /// A client for each member, which asks that one first.
    pub clients: Vec<Client>,
    /// What was answered.
    pub oracle: Oracle,
    /// Who measures how long nothing moves.
    pub stalls: Stalls,
    /// The beginning: times of histories count from here.
    pub since: Instant,
    /// The same, on the clock of the machine: all other times count from here, and those of the ledger.
    pub since_ms: u64,
    /// The seed of the run.
    pub seed: u64,
    over: AtomicBool,
    next: AtomicU64,
    /// Starts that were due while too many were under way.
    pub held_back: AtomicU64,
    /// Reads that were answered.
    pub reads: AtomicU64,
    /// Starts that were repeated under the same request id after they had been answered.
    pub repeats: AtomicU64,
}

impl Shared {
    /// For these clients.
    pub fn new(clients: Vec<Client>, seed: u64) -> Self {
        Self {
            clients,
            oracle: Oracle::default(),
            stalls: Stalls::begin(),
            since: Instant::now(),
            since_ms: now_ms(),
            seed,
            over: AtomicBool::new(false),
            next: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
        }
    }

    /// Whether the load is to end.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Ends the load: what is under way is finished.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// A client by a number that is taken around.
    pub fn client(&self, number: u64) -> &Client {
        &self.clients[number as usize % self.clients.len()]
    }

    /// Milliseconds since the beginning.
    pub fn ms(&self) -> u64 {
        now_ms().saturating_sub(self.since_ms)
    }

    fn request(&self, number: u64, program: &Program) -> StartWorkflow {
        StartWorkflow::new(workflow_id(number)).node(task(program)).on_conflict(OnConflict::Fail).request_id(request_id(number))
    }

    async fn ask(&self, number: u64, through: u64, program: &Program) -> Result<Started, ClientError> {
        let answer = self.client(through).start(self.request(number, program)).await;
        if answer.is_ok() {
            self.stalls.moved();
        }
        answer
    }
}

fn request_id(number: u64) -> String {
    format!("start-{number}")
}

/// Starts workflows until the load is over, and waits for those under way.
pub async fn start_workflows(shared: Arc<Shared>, rate: u64, to_help: mpsc::Sender<u64>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate.max(1)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !shared.is_over() {
        ticks.tick().await;
        let Ok(place) = places.clone().try_acquire_owned() else {
            shared.held_back.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (shared, to_help) = (shared.clone(), to_help.clone());
        tokio::spawn(async move {
            one(&shared, &to_help).await;
            drop(place);
        });
    }
    let _all = places.acquire_many(AT_ONCE as u32).await;
}

/// One workflow, from the question to an answer that is final as far as this client is concerned.
async fn one(shared: &Shared, to_help: &mpsc::Sender<u64>) {
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    let mut rng = Rng::new(shared.seed ^ number.wrapping_mul(0x9E6C_63D0_876A_3F00) ^ 0x10AD);
    let program = Program::of(shared.seed, number);
    let asked_ms = shared.ms();
    let mut answer = shared.ask(number, number, &program).await;
    // Some ask until they know, through one member after the other; the others leave it at that.
    let persistent = rng.chance(700);
    let mut through = number;
    // A later refusal says nothing of an earlier try in doubt.
    let mut doubt = false;
    while let Err(error) = &answer {
        doubt |= error.outcome_unknown();
        if !(persistent && doubt && error.is_retryable()) || shared.is_over() {
            break;
        }
        through += 1;
        answer = shared.ask(number, through, &program).await;
    }
    let outcome = match &answer {
        Ok(started) => Outcome::Acknowledged { run: started.run },
        Err(_) if doubt => Outcome::Unknown,
        Err(error) => Outcome::of(error),
    };
    shared.oracle.started(Start { number, outcome, asked_ms, answered_ms: shared.ms() });
    let Outcome::Acknowledged { run } = outcome else { return };
    if program.needs_help() {
        let _ = to_help.try_send(number);
    }
    // The same request again gets the same answer, from whatever member.
    if rng.chance(50) {
        tokio::time::sleep(Duration::from_millis(rng.below(3_000))).await;
        match shared.ask(number, rng.next() % 16, &program).await {
            Ok(again) => {
                shared.repeats.fetch_add(1, Ordering::Relaxed);
                if again.run != run {
                    shared.oracle.contradiction(format!("start {number}: first answered with run {run}, then with run {}", again.run));
                }
            }
            Err(error) if error.is_retryable() || error.outcome_unknown() => {}
            Err(error) => shared.oracle.contradiction(format!("start {number}: acknowledged as run {run}, and when repeated: {error}")),
        }
    }
    // Some are paused for a moment, some are cancelled, and some are read.
    if rng.chance(20) {
        pause(shared, number, run, rng.next()).await;
    } else if rng.chance(20) && !program.needs_help() {
        tokio::time::sleep(Duration::from_millis(rng.below(CANCELLED_WITHIN_MS))).await;
        cancel(shared, number, run, rng.next()).await;
    } else if rng.chance(100) && shared.client(rng.next() % 16).workflow(workflow_id(number)).get().await.is_ok() {
        shared.reads.fetch_add(1, Ordering::Relaxed);
    }
}

async fn pause(shared: &Shared, number: u64, run: u64, through: u64) {
    let handle = |through| shared.client(through % 16).workflow(workflow_id(number));
    let acknowledged = handle(through).pause("torture").await.is_ok();
    let acknowledged_ms = shared.ms();
    tokio::time::sleep(PAUSED_FOR).await;
    if acknowledged {
        shared.stalls.moved();
        shared.oracle.halted(Halt { run, acknowledged_ms, until_ms: Some(shared.ms()) });
    }
    // Whether or not it is known to be paused: after this, it is not. What cannot be resumed now, the judge resumes.
    if handle(through + 1).resume("torture").await.is_ok() {
        shared.stalls.moved();
    }
}

async fn cancel(shared: &Shared, number: u64, run: u64, through: u64) {
    let asked = shared.client(through).workflow(workflow_id(number)).cancel_within("torture", CANCEL_GRACE).await;
    let outcome = match &asked {
        Ok(_) => Outcome::Acknowledged { run },
        Err(error) => Outcome::of(error),
    };
    shared.oracle.cancelled(number, outcome);
    if asked.is_ok() {
        shared.oracle.halted(Halt { run, acknowledged_ms: shared.ms(), until_ms: None });
        shared.stalls.moved();
    }
}

/// The state that an operator patches in, together with a redrive.
pub fn helping_value(number: u64) -> u64 {
    number.wrapping_mul(7_919) % 1_000_003
}

/// Helps the workflows that need an operator: patches the state and gives the dead letter another chance, in one step.
pub async fn help(shared: Arc<Shared>, mut numbers: mpsc::Receiver<u64>) {
    let mut helping = Vec::new();
    while let Some(number) = numbers.recv().await {
        if helping.len() < TO_HELP_MAX {
            helping.push(tokio::spawn(help_one(shared.clone(), number)));
        }
        helping.retain(|task| !task.is_finished());
    }
    join_all(helping).await;
}

async fn help_one(shared: Arc<Shared>, number: u64) {
    while !shared.is_over() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if try_to_help(&shared, number).await == Helped::Done {
            return;
        }
    }
}

/// What came of an attempt to help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helped {
    /// The patch was acknowledged, or is not needed any more.
    Done,
    /// Not yet.
    NotYet,
}

/// Looks at a workflow, and redrives its dead letter if it has one.
pub async fn try_to_help(shared: &Shared, number: u64) -> Helped {
    let handle = shared.client(number).workflow(workflow_id(number));
    let Ok(found) = handle.get().await else { return Helped::NotYet };
    shared.reads.fetch_add(1, Ordering::Relaxed);
    let Some(letter) = found.tasks.iter().find(|task| task.state == "dead-lettered") else {
        let marks: super::program::Marks = found.state_as().unwrap_or_default();
        return if marks.redriven.is_some() { Helped::Done } else { Helped::NotYet };
    };
    let value = helping_value(number);
    let Ok(how) = Redrive::new().request_id(format!("help-{number}")).state_patch(&serde_json::json!({ "redriven": value })) else {
        return Helped::NotYet;
    };
    match handle.task(letter.task).redrive(how).await {
        Ok(_) => {
            shared.stalls.moved();
            shared.oracle.redriven(number, value);
            Helped::Done
        }
        Err(_) => Helped::NotYet,
    }
}
