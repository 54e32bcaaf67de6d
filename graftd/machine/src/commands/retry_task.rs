//! `RetryTask`: a task that waits for its delay, its backoff or a change of the state is ready now, as if its timer had fired: it keeps its
//! attempt number, and nothing of its retry policy is used up. Of a paused workflow it waits for that to be resumed. One that is ready
//! already stays so.

use std::sync::Arc;

use crate::command::ControlTask;
use crate::commands::{named, refused_by_status, said_of_task, task_called, task_of};
use crate::event::Happened;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::{Turn, ready};
use crate::task::{Task, TaskState};
use crate::workflow::StatusKind;

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &ControlTask) -> Answer {
    let mut workflow = named(turn.tx, &command.namespace, &command.id, command.run).map(Arc::unwrap_or_clone)?;
    let (run, id) = (workflow.run, command.task);
    if !matches!(workflow.kind(), StatusKind::Running | StatusKind::Paused) {
        return Err(refused_by_status(&workflow, ": its tasks start no more"));
    }
    let task = task_of(turn.tx, &workflow, id)?;
    match task.state() {
        TaskState::Ready(_) => return turn.done(run),
        TaskState::DeadLettered(_) => {
            let detail = "is a dead letter: it starts again only when it is redriven";
            return Err(Rejection::new(RejectionCode::TaskState, task_called(&workflow, id), detail));
        }
        TaskState::Delayed(_) | TaskState::Blocked(_) => {}
    }
    let said = said_of_task(turn, command, &task);
    turn.event(&mut workflow, Happened::TaskRetried(said));
    ready::leave(turn, &mut workflow, id, &task);
    ready::make_ready(turn, &workflow, id, Task::clone(&task), turn.now);
    turn.save(workflow);
    turn.done(run)
}
