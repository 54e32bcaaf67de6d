//! `Pause`: no task of the workflow is offered until it is resumed; running attempts may finish. Pausing a workflow that somebody has paused
//! changes nothing. A pause that came with a dead letter becomes that of whoever asks now, and outlasts the dead letter.

use crate::command::ControlWorkflow;
use crate::commands::{controlled, said, wrong_status};
use crate::event::Happened;
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::{Turn, ending};
use crate::workflow::{Paused, Status};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &ControlWorkflow) -> Answer {
    let mut workflow = controlled(turn, command)?;
    let run = workflow.run;
    match workflow.status() {
        Status::Running(_) => {
            let said = said(turn, command);
            let paused = Paused { at: turn.now, reason: said.reason.clone(), task: 0 };
            turn.event(&mut workflow, Happened::Paused(said));
            ending::pause(turn, &mut workflow, paused);
            turn.save(workflow);
            turn.done(run)
        }
        Status::Paused(Paused { at, task, .. }) if *task != 0 => {
            let said = said(turn, command);
            workflow.status = Some(Status::Paused(Paused { at: *at, reason: said.reason.clone(), task: 0 }));
            turn.event(&mut workflow, Happened::Paused(said));
            turn.save(workflow);
            turn.done(run)
        }
        Status::Paused(_) => turn.done(run),
        _ => Err(wrong_status(&workflow, "paused")),
    }
}
