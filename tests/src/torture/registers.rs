//! Registers made of workflows, which several clients write and read through different members at the same time. Their histories must be
//! linearizable.
//!
//! | register | a write | a read |
//! |---|---|---|
//! | [`Made::Anew`] | a start that replaces the run before, with a new first state; refused while that one runs | the state of the workflow |
//! | [`Made::Patched`] | a redrive of a dead letter with a patch of the state; refused while it is being tried | the state |
//! | [`Made::Paused`] | pause (1) or resume (0) | the status |
//!
//! A refused write changes nothing and is left out; one with an unknown outcome stays, as one that may take effect at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use graft_client::proto::WorkflowStatus;
use graft_client::{Client, ClientError, Next, OnConflict, Redrive, Retry};
use serde_json::{Value, json};

use super::history::{Does, History, Operation};
use super::linearizable::{Verdict, check};
use super::load::Shared;
use super::oracle::Outcome;
use crate::loop_sim::rng::Rng;

/// Node of the registers that are started anew: it ends at once.
pub const REGISTER: &str = "register";
/// Node of the registers that are patched: it always fails, for good.
pub const PATCHED: &str = "patched";

/// Operations on one register; then another one takes its place.
const OPERATIONS: usize = 150;
/// Clients of one register.
const CLIENTS: u32 = 4;
/// Most operations whose outcome is unknown: the search for an order grows with them.
const UNKNOWN_MAX: usize = 24;

/// How a register is made of a workflow. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// By starting it anew.
    Anew,
    /// By patching its state.
    Patched,
    /// By pausing and resuming it.
    Paused,
}

/// All kinds.
pub const MADE: [Made; 3] = [Made::Anew, Made::Patched, Made::Paused];

/// What was found out about all registers.
#[derive(Debug, Default)]
pub struct Found {
    /// Histories that were judged.
    pub histories: AtomicU64,
    /// Operations in them.
    pub operations: AtomicU64,
    /// Of those, with an unknown outcome.
    pub unknown: AtomicU64,
    /// Histories that are too large for the search.
    pub undecided: AtomicU64,
    /// Those that are not linearizable: why, and the history.
    pub violations: std::sync::Mutex<Vec<(String, Vec<Operation>)>>,
}

/// Uses one register after the other, until the load is over.
pub async fn use_registers(shared: Arc<Shared>, made: Made, found: Arc<Found>) {
    for number in 0_u64.. {
        if shared.is_over() {
            return;
        }
        let id = format!("register-{made:?}-{number}").to_lowercase();
        let Some(first) = prepare(&shared, made, &id).await else { continue };
        let history = Arc::new(History::new(id.clone(), shared.since));
        let clients = (0..CLIENTS).map(|client| {
            let (shared, history) = (shared.clone(), history.clone());
            let rng = Rng::new(shared.seed ^ number << 20 ^ u64::from(client) << 8 ^ made as u64);
            tokio::spawn(async move { one_client(&shared, made, client, &history, rng).await })
        });
        join_all(clients).await;
        if made == Made::Paused {
            let _ = shared.client(number).workflow(&id).terminate("the register is done").await;
        }
        judge(&history, first, &found).await;
    }
}

async fn judge(history: &History, first: Option<u64>, found: &Found) {
    let operations = history.operations();
    found.histories.fetch_add(1, Ordering::Relaxed);
    found.operations.fetch_add(operations.len() as u64, Ordering::Relaxed);
    found.unknown.fetch_add(operations.iter().filter(|operation| operation.answered.is_none()).count() as u64, Ordering::Relaxed);
    let verdict = {
        let operations = operations.clone();
        tokio::task::spawn_blocking(move || check(&operations, first)).await
    };
    match verdict {
        Ok(Verdict::Linearizable) => {}
        Ok(Verdict::Undecided) => drop(found.undecided.fetch_add(1, Ordering::Relaxed)),
        Ok(Verdict::Not(why)) => keep(found, format!("{}: {why}", history.register), operations),
        Err(error) => keep(found, format!("{}: the check failed: {error}", history.register), operations),
    }
}

fn keep(found: &Found, why: String, operations: Vec<Operation>) {
    found.violations.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((why, operations));
}

/// Makes the workflow, if it has to be there before the first operation; its first value then.
async fn prepare(shared: &Shared, made: Made, id: &str) -> Option<Option<u64>> {
    let client = shared.client(0);
    let start = match made {
        Made::Anew => return Some(None),
        Made::Patched => client
            .start(id)
            .state_json(json!({ "value": 0 }))
            .node(Next::named(PATCHED, ()).retry(Retry::none()))
            .request_id(format!("prepare-{id}")),
        // Nothing of it is ever due.
        Made::Paused => {
            client.start(id).node(Next::named(REGISTER, ()).delay(Duration::from_secs(86_400))).request_id(format!("prepare-{id}"))
        }
    };
    // The value of the register is known from the answer on: what was unknown once is asked again under the same id.
    while !shared.is_over() {
        match start.clone().await {
            Ok(_) => {
                shared.stalls.moved();
                return Some(Some(0));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
    None
}

async fn one_client(shared: &Shared, made: Made, client: u32, history: &History, mut rng: Rng) {
    let through = shared.client(u64::from(client));
    let unknown = || history.operations().iter().filter(|operation| operation.answered.is_none()).count();
    while !shared.is_over() && history.len() < OPERATIONS && unknown() < UNKNOWN_MAX {
        tokio::time::sleep(Duration::from_millis(rng.between(20, 160))).await;
        let asked = history.now();
        if rng.chance(500) {
            // A value that nobody else writes, where the register can hold one.
            let value = if made == Made::Paused { rng.below(2) } else { asked << 4 | u64::from(client) };
            let outcome = match write(through, made, &history.register, value).await {
                Ok(()) => {
                    shared.stalls.moved();
                    Outcome::Acknowledged { run: 0 }
                }
                Err(error) => Outcome::of(&error),
            };
            let answered = match outcome {
                Outcome::Acknowledged { .. } => Some(history.now()),
                Outcome::Refused => continue,
                Outcome::Unknown => None,
            };
            history.keep(Operation { client, does: Does::Write(value), asked, answered });
        } else if let Ok(value) = read(through, made, &history.register).await {
            shared.reads.fetch_add(1, Ordering::Relaxed);
            history.keep(Operation { client, does: Does::Read(value), asked, answered: Some(history.now()) });
        }
    }
}

async fn write(client: &Client, made: Made, id: &str, value: u64) -> Result<(), ClientError> {
    let handle = client.workflow(id);
    match made {
        Made::Anew => {
            let start = client.start(id).state_json(json!({ "value": value })).node(Next::named(REGISTER, ()));
            start.on_conflict(OnConflict::ReplaceFinished).await.map(drop)
        }
        // Its only task has the number 1.
        Made::Patched => handle.task(1).redrive(Redrive::new().state_patch(&json!({ "value": value }))?).await.map(drop),
        Made::Paused if value == 1 => handle.pause("torture").await.map(drop),
        Made::Paused => handle.resume("torture").await.map(drop),
    }
}

async fn read(client: &Client, made: Made, id: &str) -> Result<Option<u64>, ClientError> {
    let found = match client.workflow(id).get().await {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(match made {
        Made::Anew | Made::Patched => found.state_as::<Value>()?["value"].as_u64(),
        Made::Paused => Some(u64::from(found.status() == WorkflowStatus::Paused)),
    })
}
