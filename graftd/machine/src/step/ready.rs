//! Tasks between waiting and ready, and the indexes that go with it: the ready table, the timers, the blocked table.

use crate::command::ORDER_BY_START;
use crate::derived;
use crate::effect::{Effect, Offer, Withdrawn};
use crate::ids::{AttemptRef, TaskId};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{BlockedTasks, DeadLetters, Descending, ReadyKey, ReadyRecord, ReadyTasks, TaskKey, TaskList, Tasks, TimerKind};
use crate::task::{Blocked, Delayed, Ready, Task, TaskState};
use crate::time::Millis;
use crate::workflow::{StatusKind, Workflow};

/// The place of a ready task in the ready order.
pub(crate) fn key(workflow: &Workflow, id: TaskId, task: &Task, ready: &Ready) -> ReadyKey {
    ReadyKey {
        namespace: workflow.namespace.clone(),
        node: task.node.clone(),
        fairness: String::new(),
        priority: Descending(task.priority),
        rank: ready.rank(),
        run: workflow.run,
        task: id,
    }
}

/// Puts a ready task into the ready order and offers it, if its workflow runs; otherwise it waits for that.
pub(crate) fn list<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &Workflow, id: TaskId, task: &Task) {
    if let (StatusKind::Running, TaskState::Ready(ready)) = (workflow.kind(), task.state()) {
        let key = key(workflow, id, task, ready);
        // Members of the first version do not know it, and all have to write the same.
        let since = if ready.started == 0 { 0 } else { ready.since };
        let record = ReadyRecord { attempt: task.attempt, timeout: task.timeout, since };
        turn.tx.put::<ReadyTasks>(key.clone(), record);
        turn.effects.push(Effect::Offer(Offer::of(key, record)));
    }
}

/// Takes a task out of whatever index its state put it into, and out of the count of blocked tasks where it is one.
pub(crate) fn leave<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, id: TaskId, task: &Task) {
    let run = workflow.run;
    match task.state() {
        TaskState::Ready(_) => unlist(turn, workflow, id, task),
        TaskState::Delayed(Delayed { until }) => turn.clear_timer(*until, TimerKind::Task, run, id),
        TaskState::Blocked(Blocked { recheck, .. }) => {
            workflow.blocked_tasks -= 1;
            turn.tx.delete::<BlockedTasks>(&TaskKey { run, task: id });
            if *recheck != 0 {
                turn.clear_timer(*recheck, TimerKind::Task, run, id);
            }
        }
        TaskState::DeadLettered(_) => {}
    }
}

/// Takes a ready task out of the ready order.
pub(crate) fn unlist<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &Workflow, id: TaskId, task: &Task) {
    if let TaskState::Ready(ready) = task.state() {
        turn.tx.delete::<ReadyTasks>(&key(workflow, id, task, ready));
    }
}

/// Stores a task that has become (or stays) ready, and offers it.
pub(crate) fn make_ready<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &Workflow, id: TaskId, mut task: Task, since: Millis) {
    let started = if turn.meta.machine_version >= ORDER_BY_START { workflow.created } else { 0 };
    let state = TaskState::Ready(Ready { since, started });
    turn.counted.task(task.state.as_ref(), Some(&state));
    task.state = Some(state);
    task.thawed = workflow.reopened;
    list(turn, workflow, id, &task);
    turn.tx.put::<Tasks>(TaskKey { run: workflow.run, task: id }, task);
}

/// Offers a ready task that was frozen with its workflow, under another attempt number: whoever was handed the one before may be executing
/// it still, and not have heard that the workflow had ended. It is told (again), and counts against the limits until it is let go.
pub(crate) fn thaw<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &Workflow, id: TaskId, task: &Task, since: Millis) {
    let at = AttemptRef { run: workflow.run, task: id, attempt: task.attempt };
    turn.effects.push(Effect::Withdraw { at, reason: Withdrawn::Ended });
    let task = Task { attempt: task.attempt.saturating_add(1), ..task.clone() };
    make_ready(turn, workflow, id, task, since);
}

/// Stores a task that waits for a time.
pub(crate) fn delay<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &Workflow, id: TaskId, mut task: Task, until: Millis) {
    let state = TaskState::Delayed(Delayed { until });
    turn.counted.task(task.state.as_ref(), Some(&state));
    task.state = Some(state);
    turn.tx.put::<Tasks>(TaskKey { run: workflow.run, task: id }, task);
    turn.set_timer(until, TimerKind::Task, workflow.run, id);
}

/// Deletes an open task: its record, its place in the indexes, and its share in the counts. Its scope is the caller's matter.
pub(crate) fn remove<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, id: TaskId, task: &Task) {
    leave(turn, workflow, id, task);
    workflow.open_tasks -= 1;
    turn.counted.task(Some(task.state()), None);
    turn.tx.delete::<TaskList>(&derived::listed(workflow, id, task));
    turn.tx.delete::<Tasks>(&TaskKey { run: workflow.run, task: id });
}

/// Deletes a dead letter: its record, its place in the lists, and its share in the counts. Its scope is the caller's matter.
pub(crate) fn remove_dead_letter<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, id: TaskId, task: &Task) {
    workflow.dead_letters -= 1;
    turn.counted.task(Some(task.state()), None);
    if let Some(key) = derived::dead_letter(workflow, id, task) {
        turn.tx.delete::<DeadLetters>(&key);
    }
    turn.tx.delete::<TaskList>(&derived::listed(workflow, id, task));
    turn.tx.delete::<Tasks>(&TaskKey { run: workflow.run, task: id });
}
