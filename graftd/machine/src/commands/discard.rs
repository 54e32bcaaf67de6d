//! `Discard`: a dead letter is given up for good. Its record goes; its history stays as long as its run does, and so does the use of its
//! idempotency key.
//!
//! One that its policy kept has held its scope open; now the scope counts it as resolved, and its join may fire, or its workflow complete.
//! What becomes of the workflow otherwise:
//!
//! | the workflow | afterwards |
//! |---|---|
//! | was paused for this dead letter | runs: what it waited for is decided |
//! | was paused otherwise | stays paused |
//! | failed, for this dead letter or another | stays failed: only a redrive reopens it. A join that fires creates its continuation frozen |
//! | is being cancelled | goes on ending; nothing starts |
//! | has ended otherwise | stays what it is |

use std::sync::Arc;

use crate::command::ControlTask;
use crate::commands::{dead_letter_of, kept, named, said_of_task};
use crate::event::{Controlled, Happened};
use crate::reply::{Answer, Rejection};
use crate::state::{StateRead, StateTx};
use crate::step::{Turn, ending, ready, scopes, sweep};
use crate::task::Task;
use crate::time::Millis;
use crate::workflow::{Status, Workflow};

/// The dead letter and its workflow, or why it is not discarded. [`apply`] goes by it, and so does whoever only asks.
pub(crate) fn check(state: &impl StateRead, now: Millis, command: &ControlTask) -> Result<(Arc<Workflow>, Arc<Task>), Rejection> {
    let workflow = named(state, &command.namespace, &command.id, command.run)?;
    kept(now, &workflow)?;
    let task = dead_letter_of(state, &workflow, command.task)?;
    Ok((workflow, task))
}

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &ControlTask) -> Answer {
    let (workflow, task) = check(turn.tx, turn.now, command)?;
    let mut workflow = Arc::unwrap_or_clone(workflow);
    let (run, id) = (workflow.run, command.task);
    let said = said_of_task(turn, command, &task);
    let (principal, reason) = (said.principal.clone(), said.reason.clone());
    turn.event(&mut workflow, Happened::DeadLetterDiscarded(said));
    ready::remove_dead_letter(turn, &mut workflow, id, &task);
    if matches!(workflow.status(), Status::Paused(paused) if paused.task == id) {
        turn.event(&mut workflow, Happened::Resumed(Controlled { principal, reason }));
        ending::resume(turn, &mut workflow);
    }
    if !task.is_passed_over() && !sweep::removes_tasks(workflow.kind()) {
        scopes::shift(turn, &mut workflow, task.scope, -1);
    }
    turn.save(workflow);
    turn.done(run)
}
