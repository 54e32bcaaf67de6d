//! One file per command. Each checks everything that can be refused before it writes anything.

pub(crate) mod block;
pub(crate) mod cancel;
pub(crate) mod close_session;
pub(crate) mod complete;
pub(crate) mod due;
pub(crate) mod expire_requests;
pub(crate) mod fail;
pub(crate) mod init_cluster;
pub(crate) mod lose;
pub(crate) mod open_session;
pub(crate) mod pause;
pub(crate) mod resume;
pub(crate) mod set_limit;
pub(crate) mod start;
pub(crate) mod terminate;

use crate::command::ControlWorkflow;
use crate::content;
use crate::event::Controlled;
use crate::reply::{Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{NameKey, Names};
use crate::workflow::Workflow;

/// How a workflow is called in answers.
fn called(namespace: &str, id: &str) -> String {
    format!("workflow {id:?} in namespace {namespace:?}")
}

/// The workflow that a control command names.
fn controlled<S: StateTx>(turn: &Turn<'_, S>, command: &ControlWorkflow) -> Result<Workflow, Rejection> {
    let ControlWorkflow { namespace, id, run, .. } = command;
    content::name("namespace", namespace)?;
    content::id("workflow id", id)?;
    let current = turn.tx.get::<Names>(&NameKey { namespace: namespace.clone(), id: id.clone() });
    let wanted = if *run == 0 { current.map(|name| name.run) } else { Some(*run) };
    let found = wanted.and_then(|run| turn.workflow(run)).filter(|found| found.namespace == *namespace && found.id == *id);
    found.ok_or_else(|| {
        let detail = if *run == 0 { "does not exist".to_owned() } else { format!("has no run {run}") };
        Rejection::new(RejectionCode::WorkflowNotFound, called(namespace, id), detail)
    })
}

/// Refuses a control command because of the workflow's status.
fn wrong_status(workflow: &Workflow, wanted: &str) -> Rejection {
    let status = workflow.kind();
    let verb = if status.is_final() { "has ended" } else { "is" };
    let object = called(&workflow.namespace, &workflow.id);
    Rejection::new(RejectionCode::WrongStatus, object, format!("{verb} ({}) and cannot be {wanted}", status.as_str()))
}

/// Who asked, and why, for the history.
fn said<S: StateTx>(turn: &Turn<'_, S>, command: &ControlWorkflow) -> Controlled {
    Controlled { principal: content::who(turn.principal), reason: content::message(&command.reason) }
}
