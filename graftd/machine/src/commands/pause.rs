//! `Pause`: no task of the workflow is offered until it is resumed; running attempts may finish. Pausing a paused workflow changes nothing.

use crate::command::ControlWorkflow;
use crate::commands::{controlled, said, wrong_status};
use crate::event::Happened;
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::{Turn, ending};
use crate::workflow::{Paused, StatusKind};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &ControlWorkflow) -> Answer {
    let mut workflow = controlled(turn, command)?;
    let run = workflow.run;
    match workflow.kind() {
        StatusKind::Running => {
            let said = said(turn, command);
            let paused = Paused { at: turn.now, reason: said.reason.clone() };
            turn.event(&mut workflow, Happened::Paused(said));
            ending::pause(turn, &mut workflow, paused);
            turn.save(workflow);
            turn.done(run)
        }
        StatusKind::Paused => turn.done(run),
        _ => Err(wrong_status(&workflow, "paused")),
    }
}
