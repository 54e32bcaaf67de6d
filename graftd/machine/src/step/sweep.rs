//! One flag, then bounded steps: what a workflow's new status means for each of its tasks, `SWEEP_STEP` tasks at a time.
//!
//! The first step is taken with the command that set the flag; while tasks remain, one sweep timer stands, due at once, and each `Due`
//! takes the next step. The step does what the status says when it is taken: ready tasks of a running workflow are listed and offered (under
//! another attempt number, if they were frozen before);
//! those of a paused, cancelled-soon or failed one leave the ready order; open tasks of one that ended otherwise are deleted, and then its
//! scopes. Blocked tasks that a change of the state concerns are woken on the way.

use crate::ids::TaskId;
use crate::limits::SWEEP_STEP;
use crate::state::StateTx;
use crate::step::{Turn, ready, wake};
use crate::tables::{Prefix, ScopeKey, Scopes, TaskKey, Tasks, TimerKind};
use crate::task::{Task, TaskState};
use crate::workflow::{StatusKind, Workflow};

/// Starts over from the first task, because the status changed; takes the first step at once.
pub(crate) fn start<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    workflow.sweep_cursor = 0;
    workflow.sweep_again = false;
    workflow.sweep_wakes_only = false;
    step(turn, workflow);
}

/// Sees to it that every blocked task is visited (again) from now on, without a step now. A pass that is under way is not disturbed, so that
/// changes that come faster than its steps cannot keep it from reaching the end.
pub(crate) fn again<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    if workflow.sweep_due == 0 {
        workflow.sweep_cursor = 0;
        workflow.sweep_wakes_only = true;
        arm(turn, workflow);
    } else {
        workflow.sweep_again = true;
    }
}

/// Ends a sweep that has nothing left to do.
pub(crate) fn stop<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    if workflow.sweep_due != 0 {
        turn.clear_timer(workflow.sweep_due, TimerKind::Sweep, workflow.run, 0);
    }
    workflow.sweep_due = 0;
    workflow.sweep_cursor = 0;
    workflow.sweep_again = false;
    workflow.sweep_wakes_only = false;
    workflow.sweep_touched.clear();
}

fn arm<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    if workflow.sweep_due != 0 {
        turn.clear_timer(workflow.sweep_due, TimerKind::Sweep, workflow.run, 0);
    }
    workflow.sweep_due = turn.now.max(1);
    turn.set_timer(workflow.sweep_due, TimerKind::Sweep, workflow.run, 0);
}

/// Takes one step; arms the timer for the next, or ends the sweep.
pub(crate) fn step<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow) {
    let run = workflow.run;
    let prefix = Prefix::new().number(run);
    let after = TaskKey { run, task: workflow.sweep_cursor };
    let page = turn.tx.scan::<Tasks>(prefix.as_bytes(), Some(&after), SWEEP_STEP);
    let mut touched = page.len();
    for (TaskKey { task: id, .. }, task) in &page {
        visit(turn, workflow, *id, task);
        workflow.sweep_cursor = *id;
    }
    let mut finished = page.len() < SWEEP_STEP;
    if finished && removes_tasks(workflow.kind()) {
        let room = SWEEP_STEP - page.len();
        let scopes = turn.tx.scan::<Scopes>(prefix.as_bytes(), None, room);
        for (ScopeKey { scope, .. }, _) in &scopes {
            turn.tx.delete::<Scopes>(&ScopeKey { run, scope: *scope });
        }
        touched += scopes.len();
        finished = scopes.len() < room;
    }
    if finished && workflow.sweep_again {
        workflow.sweep_cursor = 0;
        workflow.sweep_again = false;
        finished = false;
    }
    turn.budget = turn.budget.saturating_sub(touched.max(1));
    if finished { stop(turn, workflow) } else { arm(turn, workflow) }
}

/// Whether a workflow with this status deletes its open tasks and scopes.
pub(crate) fn removes_tasks(status: StatusKind) -> bool {
    matches!(status, StatusKind::Completed | StatusKind::Cancelled | StatusKind::Terminated | StatusKind::TimedOut)
}

fn visit<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, id: TaskId, task: &Task) {
    if matches!(task.state(), TaskState::DeadLettered(_)) {
        return;
    }
    match workflow.kind() {
        status if removes_tasks(status) => ready::remove(turn, workflow, id, task),
        StatusKind::Running if workflow.sweep_wakes_only => {}
        StatusKind::Running => match task.state() {
            TaskState::Ready(place) if task.thawed != workflow.reopened => ready::thaw(turn, workflow, id, task, place.since),
            _ => ready::list(turn, workflow, id, task),
        },
        _ => ready::unlist(turn, workflow, id, task),
    }
    if matches!(workflow.kind(), StatusKind::Running | StatusKind::Paused) && workflow.blocked_tasks > 0 {
        let announced = std::mem::take(&mut workflow.sweep_touched);
        if !announced.is_empty() {
            wake::wake(turn, workflow, id, task, &announced);
        }
        workflow.sweep_touched = announced;
    }
}
