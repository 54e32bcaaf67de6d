//! Lists and counts out of the derived tables ([`crate::derived`]): tasks by node, dead letters by age, workflows by status, failed attempts.
//!
//! Every row carries its key; the last one of a page is where the next page goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::Event;
use crate::ids::{EventPos, Run, TaskRef};
use crate::limits::PAGE_MAX;
use crate::names::check_name;
use crate::state::StateRead;
use crate::tables::{
    AttemptEvents, AttemptKey, DeadLetterKey, DeadLetters, EventKey, Events, Prefix, StatusCounts, Table, TaskList, TaskListKey, TimeList,
};
use crate::workflow::StatusKind;

/// The open tasks and dead letters of a namespace, or of one node in it: by node, run and number, after `after`. Only where they are: a task
/// and its workflow may have a megabyte each, and whoever filters reads one after the other ([`super::LastWorkflow`]).
pub fn tasks_by_node(
    state: &impl StateRead,
    namespace: &str,
    node: Option<&str>,
    after: Option<&TaskListKey>,
    limit: usize,
) -> Vec<TaskListKey> {
    if check_name(namespace).is_err() || node.is_some_and(|node| check_name(node).is_err()) {
        return Vec::new();
    }
    let prefix = Prefix::new().text(namespace);
    let prefix = if let Some(node) = node { prefix.text(node) } else { prefix };
    keys::<TaskList>(state, &prefix, after, limit)
}

/// The dead letters of a namespace, those that were given up first first, after `after`. Only where they are, as [`tasks_by_node`].
pub fn dead_letters(state: &impl StateRead, namespace: &str, after: Option<&DeadLetterKey>, limit: usize) -> Vec<DeadLetterKey> {
    if check_name(namespace).is_err() {
        return Vec::new();
    }
    keys::<DeadLetters>(state, &Prefix::new().text(namespace), after, limit)
}

/// The youngest workflows of a namespace, the youngest first.
pub fn youngest(state: &impl StateRead, namespace: &str, limit: usize) -> Vec<Run> {
    if check_name(namespace).is_err() {
        return Vec::new();
    }
    keys::<TimeList>(state, &Prefix::new().text(namespace), None, limit).into_iter().map(|key| key.run).collect()
}

fn keys<T: Table>(state: &impl StateRead, prefix: &Prefix, after: Option<&T::Key>, limit: usize) -> Vec<T::Key> {
    state.scan::<T>(prefix.as_bytes(), after, limit.min(PAGE_MAX)).into_iter().map(|(key, _)| key).collect()
}

/// How many workflows of a namespace have each status; a status that none has is left out.
pub fn status_counts(state: &impl StateRead, namespace: &str) -> BTreeMap<StatusKind, u64> {
    if check_name(namespace).is_err() {
        return BTreeMap::new();
    }
    let counts = state.scan::<StatusCounts>(Prefix::new().text(namespace).as_bytes(), None, PAGE_MAX);
    counts.into_iter().map(|(key, counter)| (status(key.status), counter.value)).collect()
}

/// The same for all namespaces, by name, as far as `limit` counts go (a namespace has at most one for each status).
pub fn all_status_counts(state: &impl StateRead, limit: usize) -> Vec<(String, StatusKind, u64)> {
    let counts = state.scan::<StatusCounts>(Prefix::new().as_bytes(), None, limit.min(PAGE_MAX));
    counts.into_iter().map(|(key, counter)| (key.namespace, status(key.status), counter.value)).collect()
}

fn status(number: u8) -> StatusKind {
    StatusKind::try_from(i32::from(number)).expect("a status that is not known here: a newer version wrote it")
}

/// The failed and lost attempts of a task that are still kept, the youngest first, before `before`. Of a task that is resolved, too.
pub fn failed_attempts(state: &impl StateRead, task: TaskRef, before: Option<EventPos>, limit: usize) -> Vec<(EventPos, Arc<Event>)> {
    let TaskRef { run, task } = task;
    let after = before.map(|at| AttemptKey::of(run, task, at));
    let page = state.scan::<AttemptEvents>(Prefix::new().number(run).short(task).as_bytes(), after.as_ref(), limit.min(PAGE_MAX));
    let read = |key: AttemptKey| {
        let at = key.at();
        (at, state.get::<Events>(&EventKey { index: at.index, ordinal: at.ordinal }).expect("a listed event is there"))
    };
    page.into_iter().map(|(key, _)| read(key)).collect()
}
