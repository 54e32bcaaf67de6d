//! A failed attempt: another try, or a dead letter and what its policy says follows.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::command::FailureKind;
use crate::content;
use crate::derived;
use crate::event::{Controlled, Happened, TaskDeadLettered, TaskFailed, WorkflowEnded};
use crate::ids::{AttemptRef, Lease, TaskRef};
use crate::limits::CONFIG_BYTES_MAX;
use crate::retry;
use crate::state::StateTx;
use crate::step::{Turn, create, ending, ready, scopes};
use crate::tables::{AttemptEvents, AttemptKey, DeadLetters, TaskKey, Tasks};
use crate::task::{DeadLettered, Exhausted, NewTask, Task, TaskState};
use crate::time::Millis;
use crate::workflow::{FailedBy, Paused, Status, StatusKind, Workflow};

/// How an attempt failed.
pub(crate) struct Failure<'a> {
    /// The attempt.
    pub at: AttemptRef,
    /// Its lease.
    pub lease: Lease,
    /// What kind of failure.
    pub kind: FailureKind,
    /// What it said.
    pub message: &'a str,
    /// When it may be tried again.
    pub again: Again,
    /// Progress that it reported last.
    pub progress: &'a str,
    /// The worker.
    pub worker: &'a str,
    /// How long it ran, in microseconds.
    pub execution_us: u64,
}

/// When a failed attempt may be tried again, if its policy allows another try.
#[derive(Clone, Copy)]
pub(crate) enum Again {
    /// As the policy says.
    Policy,
    /// After so many milliseconds.
    After(Millis),
    /// At once the first time: what was lost with its worker is most often not the task's fault. Then as the policy says.
    LostOnce,
}

/// Applies a failure to the current attempt of a task in a workflow that has not ended.
pub(crate) fn fail<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, task: &Task, failure: &Failure<'_>) {
    let id = failure.at.task;
    let error = content::message(failure.message);
    let mut event = TaskFailed {
        task: id,
        node: task.node.clone(),
        attempt: failure.at.attempt,
        lease: failure.lease,
        kind: failure.kind as i32,
        message: error.clone(),
        retry_at: 0,
        worker: content::who(failure.worker),
        execution_us: failure.execution_us,
    };
    if workflow.kind() == StatusKind::Cancelling {
        let at = turn.resolution(workflow, id, Happened::Failed(event));
        turn.tx.put::<AttemptEvents>(AttemptKey::of(workflow.run, id, at), ());
        ready::remove(turn, workflow, id, task);
        scopes::shift(turn, workflow, task.scope, -1);
        ending::cancelled_if_empty(turn, workflow);
        return;
    }
    let failures = task.failures + 1;
    let hopeless = matches!(failure.kind, FailureKind::Permanent | FailureKind::BadOutcome);
    ready::leave(turn, workflow, id, task);
    let mut task = Task { failures, last_error: error, ..task.clone() };
    if !failure.progress.is_empty() {
        // An attempt that ended before it had anything to report leaves what an earlier one had.
        task.progress = content::message(failure.progress);
    }
    if hopeless || failures >= task.retry.max_attempts {
        failed(turn, workflow, event);
        give_up(turn, workflow, task, failure);
        return;
    }
    let delay = match failure.again {
        Again::After(delay) => delay,
        Again::LostOnce if failures == 1 => 0,
        Again::LostOnce | Again::Policy => task.retry.delay_after(failures, retry::seed(TaskRef { run: workflow.run, task: id }, failures)),
    };
    task.attempt = task.attempt.saturating_add(1);
    event.retry_at = turn.now.saturating_add(delay);
    let retry_at = event.retry_at;
    failed(turn, workflow, event);
    match (retry_at > turn.now, task.state()) {
        (true, _) => ready::delay(turn, workflow, id, task, retry_at),
        (false, TaskState::Ready(ready)) => {
            // It keeps its place in the order: it has waited already.
            let since = ready.since;
            ready::make_ready(turn, workflow, id, task, since);
        }
        (false, _) => unreachable!("only a ready task has a current attempt"),
    }
}

fn failed<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, event: TaskFailed) {
    let id = event.task;
    let at = turn.event(workflow, Happened::Failed(event));
    turn.tx.put::<AttemptEvents>(AttemptKey::of(workflow.run, id, at), ());
}

/// Makes a dead letter of a task, and does what its policy says.
fn give_up<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, mut task: Task, failure: &Failure<'_>) {
    let id = failure.at.task;
    let error = task.last_error.clone();
    workflow.open_tasks -= 1;
    workflow.dead_letters += 1;
    let state = TaskState::DeadLettered(DeadLettered { at: turn.now, error: error.clone() });
    turn.counted.task(task.state.as_ref(), Some(&state));
    task.state = Some(state);
    let policy = task.on_exhausted.as_ref().map_or(&Exhausted::Fail(()), |policy| {
        policy.then.as_ref().expect("a stored policy is known: it was checked when the task was created")
    });
    let error_task = match policy {
        Exhausted::ErrorNode(node) => {
            let new = NewTask { node: node.clone(), config: error_config(id, &task, &error), ..Default::default() };
            Some(create::task(turn, workflow, &new, task.scope, id))
        }
        _ => None,
    };
    let event = TaskDeadLettered {
        task: id,
        node: task.node.clone(),
        error: error.clone(),
        then: task.on_exhausted.clone(),
        error_task,
        attempt: failure.at.attempt,
        lease: failure.lease,
    };
    turn.resolution(workflow, id, Happened::DeadLettered(event));
    let policy = policy.clone();
    let (scope, node) = (task.scope, task.node.clone());
    if let Some(key) = derived::dead_letter(workflow, id, &task) {
        turn.tx.put::<DeadLetters>(key, ());
    }
    turn.tx.put::<Tasks>(TaskKey { run: workflow.run, task: id }, task);
    match policy {
        Exhausted::Fail(()) => {
            let ended = WorkflowEnded { reason: error.clone(), task: id };
            let by = FailedBy { at: turn.now, task: id, node, error };
            ending::end(turn, workflow, Status::Failed(by), Happened::WorkflowFailed(ended));
        }
        Exhausted::Pause(()) if workflow.kind() == StatusKind::Running => {
            let reason = content::message(&format!("task {id} ({node}) was given up: {error}"));
            let event = Controlled { principal: "machine".to_owned(), reason: reason.clone() };
            turn.event(workflow, Happened::Paused(event));
            ending::pause(turn, workflow, Paused { at: turn.now, reason, task: id });
        }
        Exhausted::Continue(()) => scopes::shift(turn, workflow, scope, -1),
        // It takes the dead letter's place in the scope: nothing to count.
        Exhausted::Pause(()) | Exhausted::ErrorNode(_) => {}
    }
}

/// Config of an error node's task.
fn error_config(id: u32, task: &Task, error: &str) -> Bytes {
    let document = |config: Value| json!({"error": error, "node": task.node, "task": id, "config": config});
    let config = serde_json::from_slice(&task.config).expect("a stored config is JSON: it was checked when the task was created");
    let full = content::canonical(&document(config));
    if full.len() <= CONFIG_BYTES_MAX { full } else { content::canonical(&document(Value::Null)) }
}
