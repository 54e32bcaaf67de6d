//! What the scheduler reads of the state: a few records at a time, under one lock, always of the newest state.
//!
//! The newest state is at least as new as every effect that the core has seen. So what is found not to be runnable here either stays so, or
//! becomes runnable by a later entry, whose offer is still to come: dropping it loses nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use graft_machine::command::TimerRef;
use graft_machine::effect::Offer;
use graft_machine::ids::{AttemptRef, Run};
use graft_machine::state::StateRead;
use graft_machine::tables::{Prefix, ReadyKey, ReadyTasks, RunKey, TaskKey, Tasks, TimerKey, Timers, Workflows};
use graft_machine::task::{Task, TaskState};
use graft_machine::workflow::{StatusKind, Workflow};

use super::message::{Found, Read};
use super::options::REFILL_PAGE;
use super::queues::{Place, Waiting};
use crate::observability::traces::ids::Trace;

/// What a worker needs to execute an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Revision of the state.
    pub revision: u64,
    /// The state.
    pub state: Bytes,
    /// The config.
    pub config: Bytes,
    /// The same for every attempt of the task.
    pub execution_key: String,
    /// Tries that failed before.
    pub failures: u32,
    /// Most tries.
    pub max_attempts: u32,
    /// Progress that the last ended attempt reported.
    pub progress: String,
    /// The workflow's labels.
    pub labels: BTreeMap<String, String>,
    /// Its trace.
    pub trace: Trace,
}

/// Whether an attempt that a worker holds is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is; `timeout` is its longest execution in milliseconds, 0 = none.
    Wanted {
        /// Longest execution, in milliseconds; 0 = none.
        timeout: u64,
    },
    /// It is to end early: its workflow is being cancelled.
    Cancelling,
    /// Its workflow has ended.
    Ended,
    /// It is not the current attempt of its task.
    Gone,
}

/// What an attempt is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The namespace of its workflow.
    pub namespace: String,
    /// Its node; `None`: its task is resolved, and nothing can come of it any more.
    pub node: Option<String>,
}

/// Reads what is asked for.
pub fn read<S: StateRead>(state: &S, read: Read) -> Found {
    match read {
        Read::Tasks(attempts) => Found::Tasks(attempts.into_iter().map(|at| (at, load(state, at))).collect()),
        Read::Standings(attempts) => Found::Standings(attempts.into_iter().map(|at| (at, standing(state, at))).collect()),
        Read::Scopes(attempts) => Found::Scopes(attempts.into_iter().map(|at| scope(state, at)).collect()),
        Read::Cancelling(runs) => Found::Cancelling(runs.into_iter().map(|run| (run, cancelling(state, run))).collect()),
        Read::ReadyPage { namespace, node, after } => {
            let (rows, complete) = ready_page(state, &namespace, &node, Some(after), REFILL_PAGE);
            Found::ReadyPage { namespace, node, rows, complete }
        }
        Read::TimerPage(after) => {
            let (rows, complete) = timer_page(state, Some(after), REFILL_PAGE);
            Found::TimerPage { rows, complete }
        }
        Read::Timers(timers) => {
            Found::Timers(timers.into_iter().filter(|timer| state.get::<Timers>(&timer_key(*timer)).is_some()).collect())
        }
    }
}

/// Ready tasks of a node in their order, and whether these are the last.
pub(super) fn ready_page<S: StateRead>(
    state: &S,
    namespace: &str,
    node: &str,
    after: Option<Place>,
    limit: usize,
) -> (Vec<(Place, Waiting)>, bool) {
    let prefix = Prefix::new().text(namespace).text(node);
    let after = after.map(|place| place.key(namespace, node));
    let rows = state.scan::<ReadyTasks>(prefix.as_bytes(), after.as_ref(), limit);
    let complete = rows.len() < limit;
    let offers = rows.into_iter().map(|(key, row)| Offer::of(key, *row));
    (offers.map(|offer| (Place::of(&offer.key), Waiting::of(&offer))).collect(), complete)
}

/// The first queue (namespace, node) after the given one that has ready tasks.
pub(super) fn next_queue<S: StateRead>(state: &S, after: Option<(&str, &str)>) -> Option<(String, String)> {
    let after = after.map(|(namespace, node)| Place::last().key_after_all(namespace, node));
    let rows = state.scan::<ReadyTasks>(Prefix::new().as_bytes(), after.as_ref(), 1);
    rows.into_iter().next().map(|(ReadyKey { namespace, node, .. }, _)| (namespace, node))
}

/// Timers in their order, and whether these are the last.
pub(super) fn timer_page<S: StateRead>(state: &S, after: Option<TimerRef>, limit: usize) -> (Vec<TimerRef>, bool) {
    let after = after.map(timer_key);
    let rows = state.scan::<Timers>(Prefix::new().as_bytes(), after.as_ref(), limit);
    let complete = rows.len() < limit;
    (rows.into_iter().map(|(TimerKey { due, kind, run, task }, _)| TimerRef { due, kind: kind.into(), run, task }).collect(), complete)
}

fn timer_key(timer: TimerRef) -> TimerKey {
    TimerKey { due: timer.due, kind: timer.kind as u8, run: timer.run, task: timer.task }
}

fn current<S: StateRead>(state: &S, at: AttemptRef) -> Option<(std::sync::Arc<Task>, std::sync::Arc<Workflow>)> {
    let task = state.get::<Tasks>(&TaskKey { run: at.run, task: at.task })?;
    let ready = task.attempt == at.attempt && matches!(task.state(), TaskState::Ready(_));
    let workflow = ready.then(|| state.get::<Workflows>(&RunKey { run: at.run })).flatten()?;
    Some((task, workflow))
}

fn load<S: StateRead>(state: &S, at: AttemptRef) -> Option<Loaded> {
    let (task, workflow) = current(state, at)?;
    // A frozen task of a workflow that was reopened is offered again under another number: see `Task::thawed`.
    (workflow.kind() == StatusKind::Running && task.thawed == workflow.reopened).then(|| Loaded {
        workflow_id: workflow.id.clone(),
        revision: workflow.revision,
        state: workflow.state.clone(),
        config: task.config.clone(),
        execution_key: task.execution_key.clone(),
        failures: task.failures,
        max_attempts: task.retry.max_attempts,
        progress: task.progress.clone(),
        labels: workflow.labels.clone(),
        trace: Trace::of(&workflow),
    })
}

fn standing<S: StateRead>(state: &S, at: AttemptRef) -> Standing {
    let Some((task, workflow)) = current(state, at) else {
        let ended = state.get::<Workflows>(&RunKey { run: at.run }).is_none_or(|workflow| workflow.kind().is_final());
        return if ended { Standing::Ended } else { Standing::Gone };
    };
    match workflow.kind() {
        StatusKind::Running | StatusKind::Paused => Standing::Wanted { timeout: task.timeout },
        StatusKind::Cancelling => Standing::Cancelling,
        _ => Standing::Ended,
    }
}

/// A task that is to come would be there when its result is decided: it has none yet.
fn scope<S: StateRead>(state: &S, at: AttemptRef) -> Option<Scope> {
    let workflow = state.get::<Workflows>(&RunKey { run: at.run })?;
    let task = state.get::<Tasks>(&TaskKey { run: at.run, task: at.task });
    let node = task.map(|task| task.node.clone());
    (node.is_some() || at.task < workflow.next_task).then(|| Scope { namespace: workflow.namespace.clone(), node })
}

fn cancelling<S: StateRead>(state: &S, run: Run) -> Option<(String, String)> {
    let workflow = state.get::<Workflows>(&RunKey { run })?;
    (workflow.kind() == StatusKind::Cancelling).then(|| (workflow.namespace.clone(), workflow.id.clone()))
}
