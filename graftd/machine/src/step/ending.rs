//! The status of a workflow: pausing, resuming, cancelling, ending, reopening; with the lists, timers and sweeps that go with each.

use crate::derived;
use crate::effect::{Effect, Withdrawn};
use crate::event::{Happened, WorkflowEnded};
use crate::state::StateTx;
use crate::step::{Turn, sweep};
use crate::tables::{StatusKey, StatusList, TimerKind};
use crate::time::Millis;
use crate::workflow::{Cancelling, Ended, Paused, Running, Status, StatusKind, Workflow};

/// Changes the status, and the list and counts of workflows by status.
pub(crate) fn set_status<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, status: Status) {
    let key = |status: StatusKind| StatusKey { namespace: workflow.namespace.clone(), status: status as u8, run: workflow.run };
    turn.tx.delete::<StatusList>(&key(workflow.kind()));
    turn.tx.put::<StatusList>(key(status.kind()), ());
    derived::count(turn.tx, &workflow.namespace, workflow.kind(), -1);
    derived::count(turn.tx, &workflow.namespace, status.kind(), 1);
    workflow.status = Some(status);
}

/// Pauses a running workflow. The event is the caller's matter.
pub(crate) fn pause<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, paused: Paused) {
    set_status(turn, workflow, Status::Paused(paused));
    turn.effects.push(Effect::StopRun { run: workflow.run, reason: Withdrawn::Paused });
    sweep::start(turn, workflow);
}

/// Resumes a paused workflow. The event is the caller's matter.
pub(crate) fn resume<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    set_status(turn, workflow, Status::Running(Running {}));
    sweep::start(turn, workflow);
}

/// Lets a workflow that has ended go on, with the tasks that were frozen with it. The event is the caller's matter, and so is its outermost
/// scope. A deadline that has passed meanwhile is dropped: it would end the workflow again at once. Blocked tasks that judged an earlier state are
/// asked again, since a change may have come while they could not be told.
pub(crate) fn reopen<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    let run = workflow.run;
    let deleted_at = retention_over(workflow).expect("asked for of what has ended only");
    turn.clear_timer(deleted_at, TimerKind::Retention, run, 0);
    if workflow.deadline > turn.now {
        turn.set_timer(workflow.deadline, TimerKind::Deadline, run, 0);
    } else {
        workflow.deadline = 0;
    }
    workflow.reopened += 1;
    if workflow.blocked_tasks > 0 {
        workflow.sweep_touched = vec![String::new()];
    }
    set_status(turn, workflow, Status::Running(Running {}));
    sweep::start(turn, workflow);
}

/// When a workflow that has ended is to be deleted. From then on it may be half deleted.
pub(crate) fn retention_over(workflow: &Workflow) -> Option<Millis> {
    workflow.ended_at().map(|ended| ended.saturating_add(workflow.retention))
}

/// Tells running attempts to end, and starts nothing more. The event is the caller's matter. A workflow without a task that somebody could
/// hold is cancelled at once.
pub(crate) fn cancel<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, cancelling: Cancelling) {
    let (until, nobody) = (cancelling.until, workflow.open_tasks == workflow.blocked_tasks);
    set_status(turn, workflow, Status::Cancelling(cancelling));
    if nobody {
        cancelled(turn, workflow);
        return;
    }
    turn.set_timer(until, TimerKind::CancelGrace, workflow.run, 0);
    turn.effects.push(Effect::StopRun { run: workflow.run, reason: Withdrawn::Cancelled });
    sweep::start(turn, workflow);
}

/// Ends a workflow that is being cancelled, if no task is open any more.
pub(crate) fn cancelled_if_empty<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    if workflow.open_tasks == 0 {
        cancelled(turn, workflow);
    }
}

/// Ends a workflow that is being cancelled.
pub(crate) fn cancelled<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    let Status::Cancelling(Cancelling { reason, .. }) = workflow.status() else { unreachable!("asked for while cancelling only") };
    let ended = Ended { at: turn.now, reason: reason.clone() };
    let event = Happened::WorkflowCancelled(WorkflowEnded { reason: ended.reason.clone(), task: 0 });
    end(turn, workflow, Status::Cancelled(ended), event);
}

/// Completes a workflow whose outermost scope is empty.
pub(crate) fn complete<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    let status = Status::Completed(Ended { at: turn.now, reason: String::new() });
    end(turn, workflow, status, Happened::WorkflowCompleted(WorkflowEnded::default()));
}

/// Ends a workflow: its last event, no more deadline or grace, its retention timer, and the sweep that removes (or, after a failure,
/// freezes) its open tasks.
pub(crate) fn end<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, status: Status, event: Happened) {
    let run = workflow.run;
    if let Status::Cancelling(Cancelling { until, .. }) = workflow.status() {
        turn.clear_timer(*until, TimerKind::CancelGrace, run, 0);
    }
    if workflow.deadline != 0 {
        turn.clear_timer(workflow.deadline, TimerKind::Deadline, run, 0);
    }
    set_status(turn, workflow, status);
    turn.event(workflow, event);
    turn.set_timer(turn.now.saturating_add(workflow.retention), TimerKind::Retention, run, 0);
    if workflow.open_tasks > 0 {
        turn.effects.push(Effect::StopRun { run, reason: Withdrawn::Ended });
    }
    if workflow.kind() == StatusKind::Completed {
        // Its outermost scope is gone: nothing is open. A sweep that was under way has nothing left to do.
        sweep::stop(turn, workflow);
    } else {
        sweep::start(turn, workflow);
    }
}
