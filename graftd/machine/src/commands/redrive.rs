//! `Redrive`: a dead letter is a task again, ready at once. Its budget of attempts is fresh; the numbers of its attempts go on, since they
//! fence; its idempotency keys stay. With it may come another config, and a patch of the workflow's state.
//!
//! | the workflow | goes on as |
//! |---|---|
//! | is running | it is: the task joins it |
//! | was paused for this dead letter | running |
//! | was paused otherwise | paused: the task waits with the others |
//! | failed (for this dead letter or another), or completed without it | running, with what was frozen; a passed deadline is dropped |
//! | is being cancelled, was cancelled or terminated, timed out | refused: somebody, or its deadline, has ended it |
//!
//! Everything that can be refused is, before anything is written: a patch that cannot be applied leaves the dead letter as it was.

use std::sync::Arc;

use bytes::Bytes;

use crate::command::RedriveTask;
use crate::commands::{called, current_run, dead_letter_of, kept, named, refused_by_status};
use crate::content;
use crate::derived;
use crate::event::{Controlled, DeadLetterRedriven, Happened};
use crate::limits::{CONFIG_BYTES_MAX, REDRIVE_NUMBERS_MAX};
use crate::patch;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::{StateRead, StateTx};
use crate::step::{Turn, ending, ready, scopes, wake};
use crate::tables::{DeadLetters, TaskEvents, TaskKey};
use crate::task::Task;
use crate::time::Millis;
use crate::workflow::{Status, StatusKind, Workflow};

/// What a redrive finds and would write, once nothing refuses it.
pub(crate) struct Allowed {
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) task: Arc<Task>,
    config: Option<Bytes>,
    state: Option<Bytes>,
}

/// Everything that can refuse a redrive. [`apply`] goes by it, and so does whoever only asks.
pub(crate) fn check(state: &impl StateRead, now: Millis, command: &RedriveTask) -> Result<Allowed, Rejection> {
    let workflow = named(state, &command.namespace, &command.id, command.run)?;
    check_run(state, now, &workflow)?;
    let task = dead_letter_of(state, &workflow, command.task)?;
    let config = match &command.config {
        Some(config) if config.is_empty() => Some(Bytes::from_static(b"null")),
        Some(config) => {
            content::json(&format!("config of node {:?}", task.node), config, CONFIG_BYTES_MAX).map(|_| Some(config.clone()))?
        }
        None => None,
    };
    let state = patch::next_state(&workflow.state, &command.state_patch, &[])?;
    Ok(Allowed { workflow, task, config, state })
}

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &RedriveTask) -> Answer {
    let Allowed { workflow, task, config, state } = check(turn.tx, turn.now, command)?;
    let run = workflow.run;
    redrive(turn, Arc::unwrap_or_clone(workflow), &task, command, config, state);
    turn.done(run)
}

/// Refuses a run that nothing can be tried again in.
fn check_run(state: &impl StateRead, now: Millis, workflow: &Workflow) -> Result<(), Rejection> {
    let refuse = |code, detail: String| Err(Rejection::new(code, called(&workflow.namespace, &workflow.id), detail));
    kept(now, workflow)?;
    match current_run(state, &workflow.namespace, &workflow.id) {
        Some(current) if current == workflow.run => {}
        Some(current) => {
            let detail = format!("has been started anew as run {current}: only its current run can go on, and not run {}", workflow.run);
            return refuse(RejectionCode::WrongStatus, detail);
        }
        None => {
            let detail = format!("was started anew since run {}, and that later run is deleted: only the latest can go on", workflow.run);
            return refuse(RejectionCode::WrongStatus, detail);
        }
    }
    if !matches!(workflow.kind(), StatusKind::Running | StatusKind::Paused | StatusKind::Completed | StatusKind::Failed) {
        return Err(refused_by_status(workflow, ": its dead letters are not tried again"));
    }
    if workflow.next_task.max(workflow.next_scope) > REDRIVE_NUMBERS_MAX {
        return refuse(RejectionCode::TooLarge, format!("has used up its {REDRIVE_NUMBERS_MAX} numbers of tasks or scopes"));
    }
    Ok(())
}

fn redrive<S: StateTx>(
    turn: &mut Turn<'_, S>,
    mut workflow: Workflow,
    task: &Task,
    command: &RedriveTask,
    config: Option<Bytes>,
    state: Option<Bytes>,
) {
    let (run, id) = (workflow.run, command.task);
    let reopened = workflow.kind().is_final();
    let resumed = matches!(workflow.status(), Status::Paused(paused) if paused.task == id);
    let touched = state.as_ref().and_then(|_| wake::touched(&workflow, &command.state_patch, &[]));
    if let Some(state) = state {
        workflow.state = state;
        workflow.revision += 1;
    }
    let scope = scopes::take_back(turn, &mut workflow, id, task);
    let attempt = task.attempt.saturating_add(1);
    let (principal, reason) = (content::who(turn.principal), content::message(&command.reason));
    let event = DeadLetterRedriven {
        task: id,
        node: task.node.clone(),
        principal: principal.clone(),
        reason: reason.clone(),
        attempt,
        config: config.clone(),
        state_patch: command.state_patch.clone(),
        revision: workflow.revision,
        reopened,
        scope,
    };
    turn.event(&mut workflow, Happened::DeadLetterRedriven(event));
    if reopened {
        ending::reopen(turn, &mut workflow);
    } else if resumed {
        turn.event(&mut workflow, Happened::Resumed(Controlled { principal, reason }));
        ending::resume(turn, &mut workflow);
    }
    if let Some(key) = derived::dead_letter(&workflow, id, task) {
        turn.tx.delete::<DeadLetters>(&key);
    }
    turn.tx.delete::<TaskEvents>(&TaskKey { run, task: id });
    workflow.dead_letters -= 1;
    workflow.open_tasks += 1;
    let config = config.unwrap_or_else(|| task.config.clone());
    let task = Task { config, scope, attempt, failures: 0, ..task.clone() };
    ready::make_ready(turn, &workflow, id, task, turn.now);
    if let Some(touched) = touched {
        wake::after(turn, &mut workflow, touched);
    }
    turn.save(workflow);
}
