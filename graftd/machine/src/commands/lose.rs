//! `Lose`: the right to an attempt was lost. What was handed back untouched goes to another worker at once and costs nothing; the rest
//! counts as a failure. The first time that a task is lost with its lease or its session it is ready again at once, because that is most
//! often the worker's trouble and not the task's; from the second failure on, and after a timeout, its backoff applies.

use crate::command::{FailureKind, LoseTask, LostReason, TRACES_FROM};
use crate::content;
use crate::event::{Happened, TaskHandedBack};
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::failure::{self, Again, Failure};
use crate::step::fence::{self, Standing};
use crate::step::{Turn, ending, ready, scopes};
use crate::task::{Task, TaskState};
use crate::workflow::{StatusKind, Workflow};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &LoseTask) -> Answer {
    let reason = LostReason::try_from(command.reason).expect("a reason of loss that is not known here: a newer version wrote the log");
    let (mut workflow, task) = match fence::check(turn, command.at, command.lease, None) {
        Standing::Current(workflow, task) => (workflow, task),
        Standing::Settled(answer) => return answer,
    };
    let (kind, message, again) = match reason {
        LostReason::LeaseExpired => (FailureKind::Lost, "the lease ran out: no heartbeat came in time".to_owned(), Again::LostOnce),
        LostReason::SessionLost => (FailureKind::Lost, "the worker process went away".to_owned(), Again::LostOnce),
        LostReason::TimedOut => {
            (FailureKind::Timeout, format!("the attempt ran longer than its timeout of {} ms", task.timeout), Again::Policy)
        }
        LostReason::HandedBack => {
            let event = TaskHandedBack {
                task: command.at.task,
                node: task.node.clone(),
                attempt: command.at.attempt,
                lease: command.lease,
                worker: content::who(&command.worker),
                reason: content::message(&command.detail),
            };
            hand_back(turn, &mut workflow, &task, event, &command.progress);
            turn.save(*workflow);
            return fence::applied();
        }
    };
    let failure = Failure {
        at: command.at,
        lease: command.lease,
        kind,
        message: &message,
        again,
        progress: &command.progress,
        worker: &command.worker,
        execution_us: if turn.meta.machine_version >= TRACES_FROM { command.held_us } else { 0 },
    };
    failure::fail(turn, &mut workflow, &task, &failure);
    turn.save(*workflow);
    fence::applied()
}

/// The task goes back to its place in the ready order, under another attempt number; in a workflow that is being cancelled it is closed.
pub(crate) fn hand_back<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, task: &Task, event: TaskHandedBack, progress: &str) {
    let id = event.task;
    if workflow.kind() == StatusKind::Cancelling {
        turn.resolution(workflow, id, Happened::HandedBack(event));
        ready::remove(turn, workflow, id, task);
        scopes::shift(turn, workflow, task.scope, -1);
        ending::cancelled_if_empty(turn, workflow);
        return;
    }
    turn.event(workflow, Happened::HandedBack(event));
    let TaskState::Ready(place) = task.state() else { unreachable!("only a ready task has a current attempt") };
    ready::unlist(turn, workflow, id, task);
    let mut task = Task { attempt: task.attempt.saturating_add(1), ..task.clone() };
    if !progress.is_empty() {
        task.progress = content::message(progress);
    }
    ready::make_ready(turn, workflow, id, task, place.since);
}
