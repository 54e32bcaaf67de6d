//! One file per command. Each checks everything that can be refused before it writes anything.

pub(crate) mod acts;
pub(crate) mod api_tokens;
pub(crate) mod block;
pub(crate) mod cancel;
pub(crate) mod close_session;
pub(crate) mod complete;
pub(crate) mod discard;
pub(crate) mod due;
pub(crate) mod expire_requests;
pub(crate) mod fail;
pub(crate) mod grant_join;
pub(crate) mod init_cluster;
pub(crate) mod lose;
pub(crate) mod open_session;
pub(crate) mod pause;
pub(crate) mod raise_machine_version;
pub(crate) mod redrive;
pub(crate) mod resume;
pub(crate) mod retry_task;
pub(crate) mod set_limit;
pub(crate) mod start;
pub(crate) mod terminate;

use std::sync::Arc;

use crate::command::{ControlTask, ControlWorkflow};
use crate::content;
use crate::event::{Controlled, TaskControlled};
use crate::ids::{Run, TaskId};
use crate::reply::{Rejection, RejectionCode};
use crate::state::{StateRead, StateTx};
use crate::step::{Turn, ending};
use crate::tables::{NameKey, Names, RunKey, TaskKey, Tasks, Workflows};
use crate::task::{Task, TaskState};
use crate::time::Millis;
use crate::workflow::Workflow;

/// How a workflow is called in answers.
fn called(namespace: &str, id: &str) -> String {
    format!("workflow {id:?} in namespace {namespace:?}")
}

/// The workflow that a control command names.
fn controlled<S: StateTx>(turn: &Turn<'_, S>, command: &ControlWorkflow) -> Result<Workflow, Rejection> {
    named(turn.tx, &command.namespace, &command.id, command.run).map(Arc::unwrap_or_clone)
}

/// The given run of a workflow, or its current one (`run` = 0).
fn named(state: &impl StateRead, namespace: &str, id: &str, run: Run) -> Result<Arc<Workflow>, Rejection> {
    content::name("namespace", namespace)?;
    content::id("workflow id", id)?;
    let wanted = if run == 0 { current_run(state, namespace, id) } else { Some(run) };
    let found =
        wanted.and_then(|run| state.get::<Workflows>(&RunKey { run })).filter(|found| found.namespace == *namespace && found.id == *id);
    found.ok_or_else(|| {
        let detail = if run == 0 { "does not exist".to_owned() } else { format!("has no run {run}") };
        Rejection::new(RejectionCode::WorkflowNotFound, called(namespace, id), detail)
    })
}

/// The run that a workflow id stands for now.
fn current_run(state: &impl StateRead, namespace: &str, id: &str) -> Option<Run> {
    state.get::<Names>(&NameKey { namespace: namespace.to_owned(), id: id.to_owned() }).map(|name| name.run)
}

/// Refuses a control command because of the workflow's status.
fn wrong_status(workflow: &Workflow, wanted: &str) -> Rejection {
    refused_by_status(workflow, &format!(" and cannot be {wanted}"))
}

/// Refuses a command because of the workflow's status; `so` follows the status.
fn refused_by_status(workflow: &Workflow, so: &str) -> Rejection {
    let status = workflow.kind();
    let verb = if status.is_final() { "has ended" } else { "is" };
    let object = called(&workflow.namespace, &workflow.id);
    Rejection::new(RejectionCode::WrongStatus, object, format!("{verb} ({}){so}", status.as_str()))
}

/// How a task is called in answers.
fn task_called(workflow: &Workflow, id: TaskId) -> String {
    format!("task {id} of {}", called(&workflow.namespace, &workflow.id))
}

/// Refuses a command for a run whose retention is over: it may be half deleted.
fn kept(now: Millis, workflow: &Workflow) -> Result<(), Rejection> {
    match ending::retention_over(workflow) {
        Some(over) if over <= now => {
            let detail = format!("is being deleted: the retention of run {} ended at {over}", workflow.run);
            Err(Rejection::new(RejectionCode::WorkflowNotFound, called(&workflow.namespace, &workflow.id), detail))
        }
        _ => Ok(()),
    }
}

/// The dead letter of that number.
fn dead_letter_of(state: &impl StateRead, workflow: &Workflow, id: TaskId) -> Result<Arc<Task>, Rejection> {
    let task = task_of(state, workflow, id)?;
    match task.state() {
        TaskState::DeadLettered(_) => Ok(task),
        TaskState::Ready(_) | TaskState::Delayed(_) | TaskState::Blocked(_) => {
            Err(Rejection::new(RejectionCode::TaskState, task_called(workflow, id), "is open, and no dead letter"))
        }
    }
}

/// The open task or dead letter of that number.
fn task_of(state: &impl StateRead, workflow: &Workflow, id: TaskId) -> Result<Arc<Task>, Rejection> {
    state.get::<Tasks>(&TaskKey { run: workflow.run, task: id }).ok_or_else(|| {
        let created = (1..workflow.next_task).contains(&id);
        let detail = if created { "is neither open nor a dead letter any more" } else { "was never created" };
        Rejection::new(RejectionCode::TaskNotFound, task_called(workflow, id), format!("{detail} (run {})", workflow.run))
    })
}

/// Who asked for something of a task, and why, for the history.
fn said_of_task<S: StateTx>(turn: &Turn<'_, S>, command: &ControlTask, task: &Task) -> TaskControlled {
    let (principal, reason) = (content::who(turn.principal), content::message(&command.reason));
    TaskControlled { task: command.task, node: task.node.clone(), principal, reason }
}

/// Who asked, and why, for the history.
fn said<S: StateTx>(turn: &Turn<'_, S>, command: &ControlWorkflow) -> Controlled {
    Controlled { principal: content::who(turn.principal), reason: content::message(&command.reason) }
}
