//! `Complete`: the step. One command resolves the attempt, merges its changes, creates what follows, closes the joins that it empties, and
//! ends the workflow where nothing is left.
//!
//! An outcome that cannot be applied fails the attempt for good; it is checked as a whole before anything is written. A workflow that is
//! paused takes the result and creates the successors, which wait for it to be resumed. A workflow that is being cancelled takes the
//! result and its changes of the state, but nothing follows from it.

use bytes::Bytes;

use crate::command::{CompleteTask, FailureKind};
use crate::content;
use crate::event::{Happened, TaskCompleted};
use crate::limits::{SCOPE_DEPTH_MAX, TASKS_PER_RUN_MAX};
use crate::patch;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::create::{self, Created};
use crate::step::failure::{self, Again, Failure};
use crate::step::fence::{self, Standing};
use crate::step::{Turn, ending, ready, scopes, wake};
use crate::task::Task;
use crate::workflow::{StatusKind, Workflow};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &CompleteTask) -> Answer {
    let (mut workflow, task) = match fence::check(turn, command.at, command.lease, Some(&command.worker)) {
        Standing::Current(workflow, task) => (workflow, task),
        Standing::Settled(answer) => return answer,
    };
    match check(turn, &workflow, &task, command) {
        Ok(state) => resolve(turn, &mut workflow, &task, command, state),
        Err(reason) => {
            let failure = Failure {
                at: command.at,
                lease: command.lease,
                kind: FailureKind::BadOutcome,
                message: &format!("the outcome cannot be applied: {reason}"),
                again: Again::Policy,
                progress: "",
                worker: &command.worker,
                execution_us: command.execution_us,
            };
            failure::fail(turn, &mut workflow, &task, &failure);
        }
    }
    turn.save(*workflow);
    fence::applied()
}

/// Checks the whole outcome; the state that it makes, if that differs.
fn check<S: StateTx>(turn: &Turn<'_, S>, workflow: &Workflow, task: &Task, command: &CompleteTask) -> Result<Option<Bytes>, Rejection> {
    let CompleteTask { next, fan_outs, .. } = command;
    if !next.is_empty() || !fan_outs.is_empty() {
        let new: usize = fan_outs.iter().map(|f| f.tasks.len() + usize::from(f.continuation.is_some())).sum::<usize>() + next.len();
        content::task_count(new + fan_outs.len())?;
        let room = |used: u32, more: usize| TASKS_PER_RUN_MAX.checked_sub(used).is_some_and(|room| more <= room as usize);
        if !room(workflow.next_task, new) || !room(workflow.next_scope, fan_outs.len()) {
            let detail = format!("has used up its {TASKS_PER_RUN_MAX} numbers of tasks or fan-outs");
            return Err(Rejection::new(RejectionCode::TooLarge, "the workflow", detail));
        }
        if !fan_outs.is_empty() && create::depth(turn, workflow.run, task.scope) >= SCOPE_DEPTH_MAX {
            let detail = format!("is nested deeper than {SCOPE_DEPTH_MAX} fan-outs");
            return Err(Rejection::new(RejectionCode::TooLarge, "the fan-out", detail));
        }
        next.iter().try_for_each(content::new_task)?;
        for fan_out in fan_outs {
            fan_out.tasks.iter().chain(&fan_out.continuation).try_for_each(content::new_task)?;
        }
    }
    patch::next_state(&workflow.state, &command.patch, &command.operations)
}

fn resolve<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, task: &Task, command: &CompleteTask, state: Option<Bytes>) {
    let cancelling = workflow.kind() == StatusKind::Cancelling;
    let id = command.at.task;
    ready::remove(turn, workflow, id, task);
    let touched = state.as_ref().and_then(|_| wake::touched(workflow, &command.patch, &command.operations));
    if let Some(state) = state {
        workflow.state = state;
        workflow.revision += 1;
    }
    let created =
        if cancelling { Created::default() } else { create::all(turn, workflow, &command.next, &command.fan_outs, task.scope, id) };
    let event = TaskCompleted {
        task: id,
        node: task.node.clone(),
        attempt: command.at.attempt,
        lease: command.lease,
        base_revision: command.base_revision,
        revision: workflow.revision,
        patch: command.patch.clone(),
        operations: command.operations.clone(),
        created: created.tasks,
        opened: created.opened,
        worker: content::who(&command.worker),
        execution_us: command.execution_us,
    };
    turn.resolution(workflow, id, Happened::Completed(event));
    let gained = created.open + create::close_empty(turn, workflow, created.empty, task.scope, id);
    scopes::shift(turn, workflow, task.scope, gained - 1);
    if cancelling {
        ending::cancelled_if_empty(turn, workflow);
    } else if let Some(touched) = touched.filter(|_| !workflow.kind().is_final()) {
        wake::after(turn, workflow, touched);
    }
}
