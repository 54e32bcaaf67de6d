//! Events folded into what a run looks like now: its tasks, their states, who created whom, its scopes.
//!
//! [`Progress::take`] takes one event after the other; [`graph`](super::graph) draws the result. History does not tell which of the ready tasks is
//! running at this moment (leases are not replicated), so a ready task may be running.

use std::collections::BTreeMap;

use graft_client::proto::event::Happened;
use graft_client::proto::{CreatedTask, Event, OnExhausted, OpenedScope, WorkflowStatus, on_exhausted};

/// What a run looks like after some of its events.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// What the workflow is doing.
    pub(crate) status: WorkflowStatus,
    /// Why it is paused or ended.
    pub(crate) reason: String,
    /// When it was accepted.
    pub(crate) started_ms: u64,
    /// When it ended; 0 = it has not.
    pub(crate) ended_ms: u64,
    /// The first tasks.
    pub(crate) first: Vec<u32>,
    /// Tasks by number.
    pub(crate) tasks: BTreeMap<u32, Task>,
    /// Fan-outs by number; the outermost scope is not among them.
    pub(crate) scopes: BTreeMap<u32, Scope>,
    /// Tasks that were not made, since their key had been used.
    pub(crate) skipped: usize,
}

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    /// Its node.
    pub(crate) node: String,
    /// Its scope.
    pub(crate) scope: u32,
    /// What it is doing.
    pub(crate) state: TaskState,
    /// Attempts that ended.
    pub(crate) attempts: u32,
    /// When it was created.
    pub(crate) created_ms: u64,
    /// What its last failed attempt said.
    pub(crate) error: String,
    /// Plain successors, and the error task that took its place.
    pub(crate) next: Vec<u32>,
    /// Fan-outs that it opened.
    pub(crate) opened: Vec<u32>,
    /// Whether its scope goes on without it.
    pub(crate) resolved: bool,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TaskState {
    /// It finished, having run for so many microseconds.
    Done {
        /// How long the node ran.
        execution_us: u64,
    },
    /// It waits for a worker, or runs.
    Ready,
    /// It waits for a time.
    Delayed {
        /// Milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// It waits for a change of the state.
    Blocked,
    /// It failed and is tried again.
    Failed {
        /// When; milliseconds since the Unix epoch.
        retry_at_ms: u64,
    },
    /// It was given up.
    GivenUp,
    /// It was given up, and an operator put it away.
    Discarded,
}

/// A fan-out.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Node of its continuation; empty = none.
    pub(crate) continuation: String,
    /// Its tasks, first those that the fan-out made; descendants hang below their makers.
    pub(crate) first: Vec<u32>,
    /// Tasks in it, descendants included.
    pub(crate) total: usize,
    /// Those of them that have resolved.
    pub(crate) resolved: usize,
    /// Whether its join has fired.
    pub(crate) closed: bool,
    /// The task that continued it.
    pub(crate) continued: Option<u32>,
}

impl Progress {
    /// Takes the next event.
    pub(crate) fn take(&mut self, event: &Event) {
        let at = event.time_ms;
        match &event.happened {
            Some(Happened::Started(e)) => {
                (self.status, self.started_ms) = (WorkflowStatus::Running, at);
                for task in &e.created {
                    self.create(task, at);
                    self.first.extend((task.task > 0).then_some(task.task));
                }
            }
            Some(Happened::TaskCompleted(e)) => {
                self.update(e.task, TaskState::Done { execution_us: e.execution_us }, Some(e.attempt), None);
                self.resolve(e.task);
                let opened: Vec<u32> = e.opened.iter().map(|opened| self.open(opened)).collect();
                let mut next = Vec::new();
                for task in &e.created {
                    if !self.create(task, at) {
                        continue;
                    }
                    match self.scopes.get_mut(&task.scope) {
                        Some(scope) if opened.contains(&task.scope) => scope.first.push(task.task),
                        _ => next.push(task.task),
                    }
                }
                if let Some(task) = self.tasks.get_mut(&e.task) {
                    (task.next, task.opened) = (next, opened);
                }
            }
            Some(Happened::TaskFailed(e)) => {
                let state = if e.retry_at_ms > 0 { TaskState::Failed { retry_at_ms: e.retry_at_ms } } else { TaskState::GivenUp };
                self.update(e.task, state, Some(e.attempt), Some(&e.message));
            }
            Some(Happened::TaskBlocked(e)) => self.update(e.task, TaskState::Blocked, None, None),
            Some(Happened::TaskHandedBack(e)) => self.update(e.task, TaskState::Ready, None, None),
            Some(Happened::ScopeClosed(e)) => {
                let continued = e.continuation.as_ref().filter(|task| self.create(task, at)).map(|task| task.task);
                if let Some(scope) = self.scopes.get_mut(&e.scope) {
                    (scope.closed, scope.continued) = (true, continued);
                }
            }
            Some(Happened::TaskDeadLettered(e)) => {
                self.update(e.task, TaskState::GivenUp, None, Some(&e.error));
                if resolves(e.then.as_ref()) {
                    self.resolve(e.task);
                }
                if let Some(replacement) = e.error_task.as_ref().filter(|task| self.create(task, at)) {
                    self.tasks.entry(e.task).and_modify(|task| task.next.push(replacement.task));
                }
            }
            Some(Happened::DeadLetterRedriven(e)) => {
                self.update(e.task, TaskState::Ready, None, None);
                self.reopen(e.task, e.scope);
                (self.status, self.ended_ms, self.reason) = (WorkflowStatus::Running, 0, String::new());
            }
            Some(Happened::DeadLetterDiscarded(e)) => {
                self.update(e.task, TaskState::Discarded, None, None);
                self.resolve(e.task);
            }
            Some(Happened::TaskRetried(e)) => self.update(e.task, TaskState::Ready, None, None),
            Some(Happened::LateResultIgnored(_)) | None => {}
            Some(Happened::Paused(e)) => (self.status, self.reason) = (WorkflowStatus::Paused, e.reason.clone()),
            Some(Happened::Resumed(_)) => (self.status, self.reason) = (WorkflowStatus::Running, String::new()),
            Some(Happened::Cancelling(e)) => (self.status, self.reason) = (WorkflowStatus::Cancelling, e.reason.clone()),
            Some(Happened::Completed(e)) => self.end(WorkflowStatus::Completed, &e.reason, at),
            Some(Happened::Failed(e)) => self.end(WorkflowStatus::Failed, &e.reason, at),
            Some(Happened::Cancelled(e)) => self.end(WorkflowStatus::Cancelled, &e.reason, at),
            Some(Happened::Terminated(e)) => self.end(WorkflowStatus::Terminated, &e.reason, at),
            Some(Happened::TimedOut(e)) => self.end(WorkflowStatus::TimedOut, &e.reason, at),
        }
    }

    fn end(&mut self, status: WorkflowStatus, reason: &str, at: u64) {
        (self.status, self.ended_ms) = (status, at);
        reason.clone_into(&mut self.reason);
    }

    /// Notes a task that was made; false if it was skipped.
    fn create(&mut self, created: &CreatedTask, at: u64) -> bool {
        if created.task == 0 {
            self.skipped += 1;
            return false;
        }
        let state = if created.not_before_ms > at { TaskState::Delayed { until_ms: created.not_before_ms } } else { TaskState::Ready };
        if let Some(scope) = self.scopes.get_mut(&created.scope) {
            scope.total += 1;
        }
        let (node, scope) = (created.node.clone(), created.scope);
        let (next, opened) = (Vec::new(), Vec::new());
        self.tasks.insert(
            created.task,
            Task { node, scope, state, attempts: 0, created_ms: at, error: String::new(), next, opened, resolved: false },
        );
        true
    }

    fn open(&mut self, opened: &OpenedScope) -> u32 {
        let continuation = opened.continuation.clone();
        let scope = Scope { continuation, first: Vec::new(), total: 0, resolved: 0, closed: false, continued: None };
        self.scopes.insert(opened.scope, scope);
        opened.scope
    }

    fn update(&mut self, task: u32, state: TaskState, attempt: Option<u32>, error: Option<&str>) {
        if let Some(task) = self.tasks.get_mut(&task) {
            task.state = state;
            task.attempts = attempt.unwrap_or(task.attempts);
            if let Some(error) = error {
                error.clone_into(&mut task.error);
            }
        }
    }

    /// Its scope goes on without it. Once: a dead letter that it had gone on without may be discarded later.
    fn resolve(&mut self, number: u32) {
        let Some(task) = self.tasks.get_mut(&number).filter(|task| !task.resolved) else { return };
        task.resolved = true;
        if let Some(scope) = self.scopes.get_mut(&task.scope) {
            scope.resolved += 1;
        }
    }

    /// A dead letter is a task again, in its old scope, or in a new one if the join of the old one has fired.
    fn reopen(&mut self, number: u32, now: u32) {
        let Some(task) = self.tasks.get_mut(&number) else { return };
        let was = std::mem::replace(&mut task.scope, now);
        let resolved = std::mem::replace(&mut task.resolved, false);
        if was != now {
            let scope = Scope { continuation: String::new(), first: vec![number], total: 1, resolved: 0, closed: false, continued: None };
            self.scopes.insert(now, scope);
        } else if let Some(scope) = self.scopes.get_mut(&now).filter(|_| resolved) {
            scope.resolved -= 1;
        }
    }
}

/// Whether the scope of a task that was given up goes on without it.
fn resolves(then: Option<&OnExhausted>) -> bool {
    matches!(then.and_then(|then| then.then.as_ref()), Some(on_exhausted::Then::Continue(_) | on_exhausted::Then::ErrorNode(_)))
}
