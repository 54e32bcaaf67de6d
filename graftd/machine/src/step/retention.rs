//! A finished workflow is deleted when its retention is over, `SWEEP_STEP` records at a time; its own record and its places in the lists
//! go last, so that it is known until it is gone.

use crate::derived;
use crate::ids::{EventPos, Run};
use crate::limits::SWEEP_STEP;
use crate::state::StateTx;
use crate::step::{Turn, ready};
use crate::tables::{
    AttemptEvents, EventKey, Events, IdempotencyKeys, LabelKey, LabelList, NameKey, Names, Prefix, RunEvents, RunKey, Scopes, StatusKey,
    StatusList, Table, TaskEvents, Tasks, TimeKey, TimeList, TimerKind, Workflows,
};
use crate::task::TaskState;
use crate::workflow::Workflow;

/// Takes one step: either something of the run remains, and the timer stands again, due at once; or the workflow is gone.
pub(crate) fn step<S: StateTx>(turn: &mut Turn<'_, S>, mut workflow: Workflow) {
    let run = workflow.run;
    let room = drop_some(turn, &mut workflow, SWEEP_STEP);
    turn.budget = turn.budget.saturating_sub((SWEEP_STEP - room).max(1));
    if room > 0 {
        forget(turn, &workflow);
    } else {
        turn.set_timer(turn.now, TimerKind::Retention, run, 0);
        turn.save(workflow);
    }
}

/// Deletes at most `room` records of the run; returns how many more it could have.
fn drop_some<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, mut room: usize) -> usize {
    let run = workflow.run;
    let prefix = Prefix::new().number(run);
    let tasks = turn.tx.scan::<Tasks>(prefix.as_bytes(), None, room);
    for (key, task) in &tasks {
        if matches!(task.state(), TaskState::DeadLettered(_)) {
            ready::remove_dead_letter(turn, workflow, key.task, task);
        } else {
            ready::remove(turn, workflow, key.task, task);
        }
    }
    room -= tasks.len();
    room -= drop_table::<Scopes, S>(turn, run, room);
    room -= drop_table::<IdempotencyKeys, S>(turn, run, room);
    room -= drop_table::<TaskEvents, S>(turn, run, room);
    let events = turn.tx.scan::<RunEvents>(prefix.as_bytes(), None, room);
    // Most runs have no failed attempt: then no event needs to be read for its place in that list.
    let some_failed = !turn.tx.scan::<AttemptEvents>(prefix.as_bytes(), None, 1).is_empty();
    for (key, _) in &events {
        let place = EventKey { index: key.index, ordinal: key.ordinal };
        if some_failed
            && let Some(event) = turn.tx.get::<Events>(&place)
            && let Some(attempt) = derived::attempt(&event, EventPos { index: key.index, ordinal: key.ordinal })
        {
            turn.tx.delete::<AttemptEvents>(&attempt);
        }
        turn.tx.delete::<Events>(&place);
        turn.tx.delete::<RunEvents>(key);
    }
    room - events.len()
}

/// Deletes at most `room` records of a table that starts with the run; returns how many it found.
fn drop_table<T: Table, S: StateTx>(turn: &mut Turn<'_, S>, run: Run, room: usize) -> usize {
    let page = turn.tx.scan::<T>(Prefix::new().number(run).as_bytes(), None, room);
    for (key, _) in &page {
        turn.tx.delete::<T>(key);
    }
    page.len()
}

/// Deletes the workflow itself, and what names and lists it.
fn forget<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &Workflow) {
    let Workflow { namespace, id, run, created, .. } = workflow;
    let (namespace, run) = (namespace.clone(), *run);
    if workflow.sweep_due != 0 {
        turn.clear_timer(workflow.sweep_due, TimerKind::Sweep, run, 0);
    }
    let name = NameKey { namespace: namespace.clone(), id: id.clone() };
    if turn.tx.get::<Names>(&name).is_some_and(|current| current.run == run) {
        turn.tx.delete::<Names>(&name);
    }
    for (label, value) in &workflow.labels {
        let key = LabelKey { namespace: namespace.clone(), label: label.clone(), value: value.clone(), run };
        turn.tx.delete::<LabelList>(&key);
    }
    turn.tx.delete::<StatusList>(&StatusKey { namespace: namespace.clone(), status: workflow.kind() as u8, run });
    derived::count(turn.tx, &namespace, workflow.kind(), -1);
    turn.tx.delete::<TimeList>(&TimeKey { namespace, age: u64::MAX - created, run });
    turn.tx.delete::<Workflows>(&RunKey { run });
}
