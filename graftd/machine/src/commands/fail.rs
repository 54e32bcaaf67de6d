//! `Fail`: a worker's attempt failed. Another try, or a dead letter.

use crate::command::{FailTask, FailureKind};
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::Turn;
use crate::step::failure::{self, Again, Failure};
use crate::step::fence::{self, Standing};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &FailTask) -> Answer {
    let kind = FailureKind::try_from(command.kind).expect("a kind of failure that is not known here: a newer version wrote the log");
    let (mut workflow, task) = match fence::check(turn, command.at, command.lease, Some(&command.worker)) {
        Standing::Current(workflow, task) => (workflow, task),
        Standing::Settled(answer) => return answer,
    };
    let failure = Failure {
        at: command.at,
        lease: command.lease,
        kind,
        message: &command.message,
        again: if command.retry_after == 0 { Again::Policy } else { Again::After(command.retry_after) },
        progress: &command.progress,
        worker: &command.worker,
        execution_us: command.execution_us,
    };
    failure::fail(turn, &mut workflow, &task, &failure);
    turn.save(*workflow);
    fence::applied()
}
