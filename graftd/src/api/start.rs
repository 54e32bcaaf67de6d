//! Starting a workflow: check, propose, warn.

use std::sync::Arc;

use graft_machine::command::{Command, TRACES_FROM};
use graft_machine::reply::Reply;
use graft_machine::trace::TraceParent;
use graft_proto::v1;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::Request;

use super::requests::{Identity, Starter, made_workflow_id, payload_hash};
use super::{STARTS_IN_FLIGHT_MAX, Shared};
use graft_convert::workflows;
use graft_proto::errors::{ErrorCode, Fault, quoted};

/// Advice to a client whose start was shed, in milliseconds.
const RETRY_AFTER_MS: u64 = 200;

/// One start, as a call of its own.
pub(super) async fn start(shared: &Arc<Shared>, request: Request<v1::StartRequest>) -> Result<v1::StartResponse, Fault> {
    let _place = admit(&shared.starts)?;
    let starter = Starter::of(request.metadata());
    one(shared, starter, request.into_inner()).await
}

/// One start, for who has a place among those that are under way. A `traceparent` of its own stands above that of the call. It is not part of what a
/// repeat has to be alike in: who tries again does so from within another span.
pub(super) async fn one(shared: &Arc<Shared>, starter: Starter, mut request: v1::StartRequest) -> Result<v1::StartResponse, Fault> {
    let Starter { principal, traceparent: beside } = starter;
    let meta = request.meta.take();
    let labels = std::mem::take(&mut request.labels);
    let own = std::mem::take(&mut request.traceparent);
    let payload_hash = payload_hash("start", &request, &labels);
    request.labels = labels;
    request.traceparent = if own.is_empty() { beside } else { own };
    let not_taken = not_taken(&request.traceparent, || shared.api.consensus.status().machine_version);
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
    let mut warnings =
        shared.served.warnings(|| shared.latest(), &namespace, nodes.iter().map(String::as_str), shared.clock.monotonic_ms());
    warnings.extend(not_taken);
    Ok(v1::StartResponse { namespace, workflow_id, run: started.run, created: started.created, warnings, time_ms: started.time })
}

/// What to say of a `traceparent` that the workflow will not have. One that is malformed is treated as if it were not there, as its specification asks.
fn not_taken(traceparent: &str, machine_version: impl FnOnce() -> u32) -> Option<String> {
    if traceparent.is_empty() {
        return None;
    }
    let told = quoted(traceparent);
    if TraceParent::parse(traceparent).is_none() {
        tracing::debug!(traceparent = told, "a start has a malformed traceparent");
        return Some(format!("traceparent {told} is malformed and was not taken; it looks like 00-<32 hex digits>-<16 hex digits>-01"));
    }
    let machine_version = machine_version();
    (machine_version < TRACES_FROM).then(|| {
        format!("traceparent {told} is not kept before machine version {TRACES_FROM}, and {machine_version} is in force: `graft cluster upgrade` raises it")
    })
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
    fn a_traceparent_that_is_not_taken_is_told() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!((not_taken("", || 1), not_taken(good, || TRACES_FROM)), (None, None));
        assert!(not_taken(good, || 1).expect("members of then would not").contains("machine version 2"));
        let long = not_taken(&"x".repeat(1_000), || TRACES_FROM).expect("it is malformed");
        assert!(long.contains("is malformed") && long.len() < 600, "{long}");
    }

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
