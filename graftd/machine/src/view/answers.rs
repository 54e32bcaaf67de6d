//! What would be answered, without asking: whether a dead letter would be redriven or discarded now, and what a request has done already.
//!
//! The first two go through the checks that the commands themselves go through, so that what they say is what would happen: if the state is
//! still the same when the command is applied.

use std::sync::Arc;

use crate::command::{ControlTask, RedriveTask};
use crate::commands::{discard, redrive};
use crate::ids::Run;
use crate::limits::PAGE_MAX;
use crate::names::{check_id, check_name};
use crate::reply::Rejection;
use crate::state::StateRead;
use crate::step::ending;
use crate::tables::{Prefix, RequestKey, RequestRecord, Requests};
use crate::task::Task;
use crate::time::Millis;
use crate::workflow::Workflow;

/// The run and the dead letter that the command would redrive at `now`, or why it would be refused.
pub fn would_redrive(state: &impl StateRead, now: Millis, command: &RedriveTask) -> Result<(Run, Arc<Task>), Rejection> {
    redrive::check(state, now, command).map(|allowed| (allowed.workflow.run, allowed.task))
}

/// The run and the dead letter that the command would discard at `now`, or why it would be refused.
pub fn would_discard(state: &impl StateRead, now: Millis, command: &ControlTask) -> Result<(Run, Arc<Task>), Rejection> {
    discard::check(state, now, command).map(|(workflow, task)| (workflow.run, task))
}

/// When a run is deleted; none: it has not ended. From then on it may be half there.
pub fn retention_over(workflow: &Workflow) -> Option<Millis> {
    ending::retention_over(workflow)
}

/// The requests of a namespace whose id starts so and whose answer is remembered: their ids, in order, after `after`.
pub fn answered(
    state: &impl StateRead,
    namespace: &str,
    id_start: &str,
    after: Option<&RequestKey>,
    limit: usize,
) -> Vec<(RequestKey, Arc<RequestRecord>)> {
    if check_name(namespace).is_err() || check_id(id_start).is_err() {
        return Vec::new();
    }
    state.scan::<Requests>(Prefix::new().text(namespace).text_start(id_start).as_bytes(), after, limit.min(PAGE_MAX))
}
