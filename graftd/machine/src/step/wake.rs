//! The state of a workflow changed: blocked tasks that wait for it are asked again.

use bytes::Bytes;

use crate::command::Operation;
use crate::ids::TaskId;
use crate::limits::{SWEEP_STEP, TOUCHED_MAX};
use crate::patch;
use crate::state::StateTx;
use crate::step::{Turn, ready, sweep};
use crate::tables::{BlockedTasks, Prefix, TaskKey, Tasks};
use crate::task::{Task, TaskState};
use crate::workflow::Workflow;

/// What a patch and operations change in the state, before it is changed; `None` while no task is blocked: then it costs nothing.
pub(crate) fn touched(workflow: &Workflow, patch: &Bytes, operations: &[Operation]) -> Option<Vec<String>> {
    (workflow.blocked_tasks > 0).then(|| patch::touched(&workflow.state, patch, operations))
}

/// Wakes the blocked tasks that changes at these pointers concern: the first `SWEEP_STEP` at once, the others by a sweep.
pub(crate) fn after<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, touched: Vec<String>) {
    let prefix = Prefix::new().number(workflow.run);
    let page = turn.tx.scan::<BlockedTasks>(prefix.as_bytes(), None, SWEEP_STEP);
    for (TaskKey { run, task: id }, _) in &page {
        let task = turn.tx.get::<Tasks>(&TaskKey { run: *run, task: *id }).expect("a blocked task has a record");
        wake(turn, workflow, *id, &task, &touched);
    }
    if page.len() == SWEEP_STEP {
        workflow.sweep_touched.extend(touched);
        workflow.sweep_touched.sort();
        workflow.sweep_touched.dedup();
        if workflow.sweep_touched.len() > TOUCHED_MAX {
            workflow.sweep_touched = vec![String::new()];
        }
        sweep::again(turn, workflow);
    }
}

/// Wakes a blocked task if the change concerns it and came after what it judged.
pub(crate) fn wake<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, id: TaskId, task: &Task, touched: &[String]) {
    let TaskState::Blocked(blocked) = task.state() else { return };
    if blocked.since_revision < workflow.revision && patch::concerns(touched, &blocked.wake_on) {
        ready::leave(turn, workflow, id, task);
        ready::make_ready(turn, workflow, id, task.clone(), turn.now);
    }
}
