//! `Resume`: the tasks of a paused workflow are offered again. Resuming a running workflow changes nothing.

use crate::command::ControlWorkflow;
use crate::commands::{controlled, said, wrong_status};
use crate::event::Happened;
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::{Turn, ending};
use crate::workflow::StatusKind;

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &ControlWorkflow) -> Answer {
    let mut workflow = controlled(turn, command)?;
    let run = workflow.run;
    match workflow.kind() {
        StatusKind::Paused => {
            let said = said(turn, command);
            turn.event(&mut workflow, Happened::Resumed(said));
            ending::resume(turn, &mut workflow);
            turn.save(workflow);
            turn.done(run)
        }
        StatusKind::Running => turn.done(run),
        _ => Err(wrong_status(&workflow, "resumed")),
    }
}
