//! Reading the state: pages for a new leader that rebuilds its queues and timers, and for the API.
//!
//! Every function costs in proportion to the page it returns, never to the state; a page holds at most [`PAGE_MAX`] records, whatever is
//! asked for. A page that is shorter than asked for (and than `PAGE_MAX`) is the last one, unless its type says otherwise.

mod answers;
mod last;
mod lists;

use std::sync::Arc;

use crate::access::{Act, ApiToken};
use crate::effect::Offer;
use crate::event::Event;
use crate::ids::{AttemptRef, EventPos, Run, TaskId, TaskRef};
use crate::limits::{JOIN_GRANTS_MAX, PAGE_MAX};
use crate::names::{check_id, check_name};
use crate::session::{JoinGrant, Limit, Session};
use crate::state::StateRead;
use crate::tables::{
    ActKey, Acts, ApiTokenKey, ApiTokens, CounterKey, CounterName, Counters, Descending, EventKey, Events, JoinGrants, LimitKey, Limits,
    Meta, MetaKey, MetaRecord, NameKey, Names, Prefix, ReadyKey, ReadyTasks, RunEventKey, RunEvents, RunKey, SessionKey, Sessions,
    TaskEvents, TaskKey, Tasks, TimerKey, Timers, Workflows,
};
use crate::task::{Task, TaskState};
use crate::time::Millis;
use crate::workflow::{StatusKind, Workflow};

pub use answers::{answered, retention_over, would_discard, would_redrive};
pub use last::LastWorkflow;
pub use lists::{all_status_counts, dead_letters, failed_attempts, status_counts, tasks_by_node, youngest};

/// Tasks of one node in one namespace, waiting for workers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    /// Namespace.
    pub namespace: String,
    /// Node.
    pub node: String,
}

/// Who this cluster is, and the machine's time.
pub fn meta(state: &impl StateRead) -> Arc<MetaRecord> {
    state.get::<Meta>(&MetaKey {}).unwrap_or_default()
}

/// How many runs have ever been started.
pub fn runs_started(state: &impl StateRead) -> u64 {
    counted(state, CounterName::Run)
}

/// One of the numbers of the whole cluster; 0 where there is nothing to count. Costs the same at any size.
pub fn counted(state: &impl StateRead, name: CounterName) -> u64 {
    state.get::<Counters>(&CounterKey { name: name as u8 }).map_or(0, |counter| counter.value)
}

/// The queues that hold a ready task, in order, after `after`. Skips from queue to queue: costs one look-up for each.
pub fn queues(state: &impl StateRead, after: Option<&Queue>, limit: usize) -> Vec<Queue> {
    let mut found: Vec<Queue> = Vec::new();
    while found.len() < limit.min(PAGE_MAX) {
        let end = found.last().or(after).map(end_of);
        let Some((key, _)) = state.scan::<ReadyTasks>(Prefix::new().as_bytes(), end.as_ref(), 1).pop() else { break };
        found.push(Queue { namespace: key.namespace, node: key.node });
    }
    found
}

/// A key that sorts after every task of the queue.
fn end_of(queue: &Queue) -> ReadyKey {
    ReadyKey {
        namespace: queue.namespace.clone(),
        node: queue.node.clone(),
        fairness: char::MAX.to_string(),
        priority: Descending(i32::MIN),
        rank: u64::MAX,
        run: u64::MAX,
        task: u32::MAX,
    }
}

/// The ready tasks of a queue, in the order of dispatch, after `after`. Shortly after a pause, a cancellation or an end, while the sweep is
/// on its way, there may be tasks of that workflow among them: [`assignment`] decides when one is dispatched.
pub fn ready(state: &impl StateRead, queue: &Queue, after: Option<&ReadyKey>, limit: usize) -> Vec<Offer> {
    let prefix = Prefix::new().text(&queue.namespace).text(&queue.node);
    let page = state.scan::<ReadyTasks>(prefix.as_bytes(), after, limit.min(PAGE_MAX));
    page.into_iter().map(|(key, record)| Offer::of(key, *record)).collect()
}

/// What a worker is to be handed for an attempt, read when it is dispatched. None if it must not run (any more): the attempt is not its
/// task's current one, the task is not ready (or still frozen), or its workflow is not running.
pub fn assignment(state: &impl StateRead, at: AttemptRef) -> Option<(Arc<Workflow>, Arc<Task>)> {
    let workflow = workflow(state, at.run).filter(|workflow| workflow.kind() == StatusKind::Running)?;
    let task = task(state, at.task_ref()).filter(|task| task.attempt == at.attempt && matches!(task.state(), TaskState::Ready(_)))?;
    (task.thawed == workflow.reopened).then_some((workflow, task))
}

/// Timers in the order in which they are due, after `after`.
pub fn timers(state: &impl StateRead, after: Option<&TimerKey>, limit: usize) -> Vec<TimerKey> {
    state.scan::<Timers>(Prefix::new().as_bytes(), after, limit.min(PAGE_MAX)).into_iter().map(|(key, _)| key).collect()
}

/// Timers that are due at `now`, in order, after `after`.
pub fn timers_due(state: &impl StateRead, now: Millis, after: Option<&TimerKey>, limit: usize) -> Vec<TimerKey> {
    let mut page = timers(state, after, limit);
    page.truncate(page.partition_point(|key| key.due <= now));
    page
}

/// Worker sessions by incarnation, after `after`.
pub fn sessions(state: &impl StateRead, after: Option<&str>, limit: usize) -> Vec<Arc<Session>> {
    let after =
        after.filter(|incarnation| check_id(incarnation).is_ok()).map(|incarnation| SessionKey { incarnation: incarnation.to_owned() });
    let page = state.scan::<Sessions>(Prefix::new().as_bytes(), after.as_ref(), limit.min(PAGE_MAX));
    page.into_iter().map(|(_, session)| session).collect()
}

/// Concurrency limits, after `after`.
pub fn limits(state: &impl StateRead, after: Option<&LimitKey>, limit: usize) -> Vec<(LimitKey, Limit)> {
    let page = state.scan::<Limits>(Prefix::new().as_bytes(), after, limit.min(PAGE_MAX));
    page.into_iter().map(|(key, limit)| (key, *limit)).collect()
}

/// The permissions to join, by id; those that have expired may be among them.
pub fn join_grants(state: &impl StateRead) -> Vec<(String, Arc<JoinGrant>)> {
    let all = state.scan::<JoinGrants>(Prefix::new().as_bytes(), None, JOIN_GRANTS_MAX);
    all.into_iter().map(|(key, grant)| (key.id, grant)).collect()
}

/// An API token.
pub fn api_token(state: &impl StateRead, id: &str) -> Option<Arc<ApiToken>> {
    check_id(id).ok()?;
    state.get::<ApiTokens>(&ApiTokenKey { id: id.to_owned() })
}

/// API tokens by id, after `after`; those that have expired may be among them.
pub fn api_tokens(state: &impl StateRead, after: Option<&str>, limit: usize) -> Vec<(String, Arc<ApiToken>)> {
    let after = after.filter(|id| check_id(id).is_ok()).map(|id| ApiTokenKey { id: id.to_owned() });
    let page = state.scan::<ApiTokens>(Prefix::new().as_bytes(), after.as_ref(), limit.min(PAGE_MAX));
    page.into_iter().map(|(key, token)| (key.id, token)).collect()
}

/// Administrative acts, the latest first, before the one of number `before` (0: from the latest on).
pub fn acts(state: &impl StateRead, before: u64, limit: usize) -> Vec<(u64, Arc<Act>)> {
    let last = state.get::<Counters>(&CounterKey { name: CounterName::Act as u8 }).map_or(0, |counter| counter.value);
    let from = if before == 0 { last } else { last.min(before - 1) };
    let numbers = (1..=from).rev().take(limit.min(PAGE_MAX));
    numbers.map_while(|number| Some((number, state.get::<Acts>(&ActKey { number })?))).collect()
}

/// A run.
pub fn workflow(state: &impl StateRead, run: Run) -> Option<Arc<Workflow>> {
    state.get::<Workflows>(&RunKey { run })
}

/// The workflow of that id: the given run of it, or its current one (`run` = 0).
pub fn find(state: &impl StateRead, namespace: &str, id: &str, run: Run) -> Option<Arc<Workflow>> {
    if check_name(namespace).is_err() || check_id(id).is_err() {
        return None;
    }
    let run = match run {
        0 => state.get::<Names>(&NameKey { namespace: namespace.to_owned(), id: id.to_owned() })?.run,
        run => run,
    };
    workflow(state, run).filter(|found| found.namespace == namespace && found.id == id)
}

/// An open task or dead letter.
pub fn task(state: &impl StateRead, task: TaskRef) -> Option<Arc<Task>> {
    state.get::<Tasks>(&TaskKey { run: task.run, task: task.task })
}

/// The open tasks and dead letters of a run by number, after `after` (0 = from the first).
pub fn tasks(state: &impl StateRead, run: Run, after: TaskId, limit: usize) -> Vec<(TaskId, Arc<Task>)> {
    let after = TaskKey { run, task: after };
    let page = state.scan::<Tasks>(Prefix::new().number(run).as_bytes(), Some(&after), limit.min(PAGE_MAX));
    page.into_iter().map(|(key, task)| (key.task, task)).collect()
}

/// The event that resolved a task, while the history lasts.
pub fn resolution(state: &impl StateRead, task: TaskRef) -> Option<(EventPos, Arc<Event>)> {
    let at = *state.get::<TaskEvents>(&TaskKey { run: task.run, task: task.task })?;
    Some((at, state.get::<Events>(&EventKey { index: at.index, ordinal: at.ordinal })?))
}

/// The history of a run, oldest first, after `after`.
pub fn events(state: &impl StateRead, run: Run, after: Option<EventPos>, limit: usize) -> Vec<(EventPos, Arc<Event>)> {
    let after = after.map(|at| RunEventKey { run, index: at.index, ordinal: at.ordinal });
    let page = state.scan::<RunEvents>(Prefix::new().number(run).as_bytes(), after.as_ref(), limit.min(PAGE_MAX));
    let read = |key: RunEventKey| {
        let event = state.get::<Events>(&EventKey { index: key.index, ordinal: key.ordinal }).expect("a listed event is there");
        (EventPos { index: key.index, ordinal: key.ordinal }, event)
    };
    page.into_iter().map(|(key, _)| read(key)).collect()
}
