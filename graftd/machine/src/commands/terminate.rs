//! `Terminate`: the workflow ends at once; results of its running attempts are ignored.

use crate::command::ControlWorkflow;
use crate::commands::{controlled, said, wrong_status};
use crate::event::{Happened, WorkflowEnded};
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::{Turn, ending};
use crate::workflow::{Ended, Status};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &ControlWorkflow) -> Answer {
    let mut workflow = controlled(turn, command)?;
    let run = workflow.run;
    if workflow.kind().is_final() {
        return Err(wrong_status(&workflow, "terminated"));
    }
    let reason = said(turn, command).reason;
    let event = Happened::WorkflowTerminated(WorkflowEnded { reason: reason.clone(), task: 0 });
    let at = turn.now;
    ending::end(turn, &mut workflow, Status::Terminated(Ended { at, reason }), event);
    turn.save(workflow);
    turn.done(run)
}
