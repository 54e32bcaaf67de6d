//! Whether a worker's result still counts.
//!
//! It does if its attempt is the task's current one and the task is ready. Otherwise it takes no effect, and the answer says why:
//! `AlreadyResolved` if this very attempt, under this very lease, is what resolved the task (the worker repeats itself because it heard no
//! answer), `Stale` in all other cases.

use std::sync::Arc;

use crate::content;
use crate::effect::{Effect, Withdrawn};
use crate::event::{Happened, TaskHandedBack};
use crate::ids::{AttemptRef, Lease};
use crate::reply::{Answer, Reply, Resolution, Resolved};
use crate::state::StateTx;
use crate::step::{Turn, ready};
use crate::tables::{EventKey, Events, TaskEvents, TaskKey, Tasks};
use crate::task::{Task, TaskState};
use crate::workflow::{StatusKind, Workflow};

/// What a result finds.
pub(crate) enum Standing {
    /// It counts, and the leader forgets the attempt: the workflow and the task as they are.
    Current(Box<Workflow>, Arc<Task>),
    /// It does not, for this reason.
    Settled(Answer),
}

/// The answer to a result that took effect.
pub(crate) fn applied() -> Answer {
    answer(Resolution::Applied, None)
}

fn answer(resolution: Resolution, accepted: Option<Lease>) -> Answer {
    Ok(Reply::Resolved(Resolved { resolution: resolution as i32, accepted }))
}

/// Looks up what a result is about. `worker` is who sends it; none for a loss that the scheduler reports, which is no result and leaves no
/// trace when it comes late.
pub(crate) fn check<S: StateTx>(turn: &mut Turn<'_, S>, at: AttemptRef, lease: Lease, worker: Option<&str>) -> Standing {
    let key = TaskKey { run: at.run, task: at.task };
    let Some(task) = turn.tx.get::<Tasks>(&key) else { return Standing::Settled(settled(turn, at, lease)) };
    match task.state() {
        TaskState::DeadLettered(_) => return Standing::Settled(settled(turn, at, lease)),
        TaskState::Ready(_) if task.attempt == at.attempt => {}
        _ => return Standing::Settled(answer(Resolution::Stale, None)),
    }
    let workflow = turn.workflow(at.run).expect("a task's workflow outlives it");
    if !workflow.kind().is_final() {
        // Before anything that follows is offered: the leader first gets back what the attempt held.
        turn.effects.push(Effect::Withdraw { at, reason: Withdrawn::Resolved });
        return Standing::Current(Box::new(workflow), task);
    }
    if let Some(worker) = worker {
        late(turn, workflow, &task, at, lease, worker);
    }
    Standing::Settled(answer(Resolution::Stale, None))
}

/// Answers a result whose task is resolved (or never was).
fn settled<S: StateTx>(turn: &Turn<'_, S>, at: AttemptRef, lease: Lease) -> Answer {
    let accepted = turn
        .tx
        .get::<TaskEvents>(&TaskKey { run: at.run, task: at.task })
        .and_then(|pos| turn.tx.get::<Events>(&EventKey { index: pos.index, ordinal: pos.ordinal }))
        .and_then(|event| match event.happened.as_ref()? {
            Happened::Completed(e) => Some((e.attempt, e.lease)),
            Happened::Failed(e) => Some((e.attempt, e.lease)),
            Happened::DeadLettered(e) => Some((e.attempt, e.lease)),
            Happened::HandedBack(e) => Some((e.attempt, e.lease)),
            _ => None,
        });
    match accepted {
        Some((attempt, accepted)) if attempt == at.attempt && accepted == lease => answer(Resolution::AlreadyResolved, Some(accepted)),
        _ => answer(Resolution::Stale, None),
    }
}

/// The first late result of an open task in a workflow that has ended leaves a line in the history, and fences the task off: its record
/// goes, or, frozen in a failed workflow, it gets another attempt number. So lines are bounded by tasks.
fn late<S: StateTx>(turn: &mut Turn<'_, S>, mut workflow: Workflow, task: &Task, at: AttemptRef, lease: Lease, worker: &str) {
    let ignored = TaskHandedBack {
        task: at.task,
        node: task.node.clone(),
        attempt: at.attempt,
        lease,
        worker: content::who(worker),
        reason: String::new(),
    };
    turn.event(&mut workflow, Happened::LateResultIgnored(ignored));
    if workflow.kind() == StatusKind::Failed {
        ready::unlist(turn, &workflow, at.task, task);
        let task = Task { attempt: at.attempt.saturating_add(1), ..task.clone() };
        turn.tx.put::<Tasks>(TaskKey { run: at.run, task: at.task }, task);
    } else {
        ready::remove(turn, &mut workflow, at.task, task);
    }
    turn.save(workflow);
}
