//! `Cancel`: running attempts are told to end, nothing more starts, and the workflow ends as cancelled when the first of these is true: no
//! task is open any more; the leader vouches that no attempt is held (`idle`); the grace is over. Cancelling a workflow that is being
//! cancelled changes nothing, unless the leader vouches.
//!
//! The machine does not know leases, so it cannot see that the tasks still open are held by nobody. The leader can: it has been told to
//! stop the run, grants no new lease under it, and says so once the last one is gone.

use crate::command::ControlWorkflow;
use crate::commands::{controlled, said, wrong_status};
use crate::event::Happened;
use crate::limits::CANCEL_GRACE_DEFAULT;
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::{Turn, ending};
use crate::workflow::{Cancelling, StatusKind};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &ControlWorkflow) -> Answer {
    let mut workflow = controlled(turn, command)?;
    let run = workflow.run;
    match workflow.kind() {
        StatusKind::Running | StatusKind::Paused => {
            let said = said(turn, command);
            let grace = if command.grace == 0 { CANCEL_GRACE_DEFAULT } else { command.grace };
            let cancelling = Cancelling { at: turn.now, until: turn.now.saturating_add(grace), reason: said.reason.clone() };
            turn.event(&mut workflow, Happened::Cancelling(said));
            ending::cancel(turn, &mut workflow, cancelling);
            turn.save(workflow);
        }
        StatusKind::Cancelling if command.idle => {
            ending::cancelled(turn, &mut workflow);
            turn.save(workflow);
        }
        StatusKind::Cancelling => {}
        _ => return Err(wrong_status(&workflow, "cancelled")),
    }
    turn.done(run)
}
