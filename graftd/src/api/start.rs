//! Starting a workflow: check, propose, warn.

use std::sync::Arc;

use graft_machine::command::Command;
use graft_machine::reply::Reply;
use graft_proto::v1;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Request;

use super::requests::{Identity, made_workflow_id, payload_hash, principal};
use super::{STARTS_IN_FLIGHT_MAX, Shared};
use graft_convert::workflows;
use graft_proto::errors::{ErrorCode, Fault};

/// Advice to a client whose start was shed, in milliseconds.
const RETRY_AFTER_MS: u64 = 200;

/// One start, as a call of its own.
pub(super) async fn start(shared: &Arc<Shared>, request: Request<v1::StartRequest>) -> Result<v1::StartResponse, Fault> {
    let _place = admit(&shared.starts)?;
    let principal = principal(request.metadata());
    one(shared, principal, request.into_inner()).await
}

/// One start, for who has a place among those that are under way.
pub(super) async fn one(shared: &Arc<Shared>, principal: String, mut request: v1::StartRequest) -> Result<v1::StartResponse, Fault> {
    let meta = request.meta.take();
    let labels = std::mem::take(&mut request.labels);
    let payload_hash = payload_hash("start", &request, &labels);
    request.labels = labels;
    let request_id = meta.as_ref().map(|meta| meta.request_id.clone()).unwrap_or_default();
    let retention_default_ms = *shared.api.info.retention_default_ms.borrow();
    let command = workflows::start(request, retention_default_ms, |namespace| made_workflow_id(namespace, &request_id))?;
    let identity = Identity::of(principal, meta, payload_hash, shared.api.consensus.machine_time())?;

    let (namespace, workflow_id) = (command.namespace.clone(), command.id.clone());
    let nodes: Vec<String> = command.nodes.iter().map(|task| task.node.clone()).collect();
    let started = match shared.ask(identity, Command::Start(command)).await? {
        Reply::Started(started) => started,
        other => return Err(Fault::new(ErrorCode::Internal, "a start", format!("was answered with {other:?}"))),
    };
    let warnings = shared.served.warnings(|| shared.latest(), &namespace, nodes.iter().map(String::as_str), shared.clock.monotonic_ms());
    Ok(v1::StartResponse { namespace, workflow_id, run: started.run, created: started.created, warnings, time_ms: started.time })
}

/// A place among the starts that are under way.
fn admit(starts: &Semaphore) -> Result<SemaphorePermit<'_>, Fault> {
    starts.try_acquire().map_err(|_| {
        let error = Fault::new(ErrorCode::Overloaded, "this member", format!("has {STARTS_IN_FLIGHT_MAX} starts under way already"));
        Fault { retry_after_ms: RETRY_AFTER_MS, ..error }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_starts_at_once_are_shed_with_a_time_to_come_back() {
        let starts = Semaphore::new(1);
        let place = admit(&starts).expect("the first");
        let error = admit(&starts).expect_err("the second");
        assert_eq!((error.code, error.retry_after_ms), (ErrorCode::Overloaded, RETRY_AFTER_MS));
        drop(place);
        drop(admit(&starts).expect("there is room again"));
    }
}
