//! `grpc.health.v1`: the member's readiness, for probes and balancers that speak gRPC.
//!
//! The whole server (the empty name) and each service of `graft.v1` share one status: a member that should get no traffic should get none of
//! any kind. A watch ends when the server stops, after it has been told so.

use std::sync::Arc;

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::{Shared, methods};

/// Largest question, in bytes: the name of a service.
const QUESTION_BYTES_MAX: usize = 4 << 10;
/// The name of the whole server.
const ALL: &str = "";

/// The service; what it tells follows the readiness from here on.
pub(super) async fn service(shared: &Arc<Shared>) -> HealthServer<HealthService> {
    let mut reporter = HealthReporter::new();
    let mut readiness = shared.api.info.readiness.clone();
    let ready = readiness.borrow_and_update().ready;
    tell(&reporter, ready).await;
    let service = HealthService::from_health_reporter(reporter.clone());
    let shutdown = shared.shutdown.clone();
    tokio::spawn(async move {
        while let Some(Ok(())) = shutdown.run_until_cancelled(readiness.changed()).await {
            let ready = readiness.borrow_and_update().ready;
            tell(&reporter, ready).await;
        }
        tell(&reporter, false).await;
        // Whoever watches would hold the server open: without a status to follow, a watch ends.
        for service in names() {
            reporter.clear_service_status(service).await;
        }
    });
    HealthServer::new(service).max_decoding_message_size(QUESTION_BYTES_MAX)
}

async fn tell(reporter: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in names() {
        reporter.set_service_status(service, status).await;
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    [ALL].into_iter().chain(methods::services())
}
