//! Lists and counts out of the derived tables ([`crate::derived`]): tasks by node, dead letters by age, workflows by status, failed attempts.
//!
//! Every row carries its key; the last one of a page is where the next page goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::Event;
use crate::ids::{EventPos, Run, TaskId, TaskRef};
use crate::limits::PAGE_MAX;
use crate::names::check_name;
use crate::state::StateRead;
use crate::tables::{
    AttemptEvents, AttemptKey, DeadLetterKey, DeadLetters, EventKey, Events, Prefix, StatusCounts, Table, TaskKey, TaskList, TaskListKey,
    Tasks,
};
use crate::task::Task;
use crate::workflow::{StatusKind, Workflow};

/// A row of a list of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<K> {
    /// Its place in the list.
    pub key: K,
    /// Its workflow.
    pub workflow: Arc<Workflow>,
    /// The task.
    pub task: Arc<Task>,
}

/// The open tasks and dead letters of a namespace, or of one node in it: by node, run and number, after `after`.
pub fn task_list(
    state: &impl StateRead,
    namespace: &str,
    node: Option<&str>,
    after: Option<&TaskListKey>,
    limit: usize,
) -> Vec<Listed<TaskListKey>> {
    if check_name(namespace).is_err() || node.is_some_and(|node| check_name(node).is_err()) {
        return Vec::new();
    }
    let prefix = Prefix::new().text(namespace);
    let prefix = if let Some(node) = node { prefix.text(node) } else { prefix };
    rows::<TaskList>(state, &prefix, after, limit, |key| (key.run, key.task))
}

/// The dead letters of a namespace, those that were given up first first, after `after`.
pub fn dead_letters(state: &impl StateRead, namespace: &str, after: Option<&DeadLetterKey>, limit: usize) -> Vec<Listed<DeadLetterKey>> {
    if check_name(namespace).is_err() {
        return Vec::new();
    }
    rows::<DeadLetters>(state, &Prefix::new().text(namespace), after, limit, |key| (key.run, key.task))
}

fn rows<T: Table>(
    state: &impl StateRead,
    prefix: &Prefix,
    after: Option<&T::Key>,
    limit: usize,
    names: impl Fn(&T::Key) -> (Run, TaskId),
) -> Vec<Listed<T::Key>> {
    let page = state.scan::<T>(prefix.as_bytes(), after, limit.min(PAGE_MAX));
    let row = |(key, _)| {
        let (run, task) = names(&key);
        let task = state.get::<Tasks>(&TaskKey { run, task }).expect("a listed task is there");
        Listed { workflow: super::listed(state, run), key, task }
    };
    page.into_iter().map(row).collect()
}

/// How many workflows of a namespace have each status; a status that none has is left out.
pub fn status_counts(state: &impl StateRead, namespace: &str) -> BTreeMap<StatusKind, u64> {
    if check_name(namespace).is_err() {
        return BTreeMap::new();
    }
    let counts = state.scan::<StatusCounts>(Prefix::new().text(namespace).as_bytes(), None, PAGE_MAX);
    let status = |number: u8| StatusKind::try_from(i32::from(number)).expect("a status that is not known here: a newer version wrote it");
    counts.into_iter().map(|(key, counter)| (status(key.status), counter.value)).collect()
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
