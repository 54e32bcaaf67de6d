//! Every path of the port, and the bounds of its messages.

use std::sync::Arc;

use axum::{Router, middleware};
use graft_proto::v1::access_service_server::AccessServiceServer;
use graft_proto::v1::cluster_service_server::ClusterServiceServer;
use graft_proto::v1::dead_letter_service_server::DeadLetterServiceServer;
use graft_proto::v1::event_service_server::EventServiceServer;
use graft_proto::v1::limit_service_server::LimitServiceServer;
use graft_proto::v1::membership_service_server::MembershipServiceServer;
use graft_proto::v1::task_service_server::TaskServiceServer;
use graft_proto::v1::worker_service_server::WorkerServiceServer;
use graft_proto::v1::workflow_service_server::WorkflowServiceServer;
use graft_proto::{ANSWER_BYTES_MAX, MESSAGE_BYTES_MAX};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;

use super::access::Guarded;
use super::cluster::Cluster;
use super::dead_letters::DeadLetters;
use super::events::Events;
use super::limits::Limits;
use super::membership::Membership;
use super::tasks::Tasks;
use super::tokens::Access;
use super::worker::Workers;
use super::workflows::Workflows;
use super::{Shared, forward, http, methods, reflection, timed};

/// A service whose methods are asked for their right first.
fn guarded<S>(shared: &Arc<Shared>, service: S) -> Guarded<S> {
    Guarded::new(shared.clone(), service)
}

/// With the bounds of its messages.
macro_rules! bounded {
    ($server:ident, $service:expr) => {
        $server::new($service).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(ANSWER_BYTES_MAX)
    };
}

/// What other members ask of this one: figures that only the leader has, the stream of a worker that cannot reach it, and the first members. The member
/// that was asked first has asked what the caller may do.
pub(super) fn for_members(shared: &Arc<Shared>) -> Routes {
    let routes = Routes::new(bounded!(ClusterServiceServer, Cluster { shared: shared.clone() }))
        .add_service(bounded!(MembershipServiceServer, Membership { shared: shared.clone() }))
        .add_service(bounded!(LimitServiceServer, Limits { shared: shared.clone() }))
        .add_service(bounded!(WorkerServiceServer, Workers { shared: shared.clone() }));
    routes.into_axum_router().layer(middleware::from_fn_with_state(shared.clone(), forward::of_a_member)).into()
}

/// What probes and scrapers ask: health over HTTP and gRPC, and metrics. Nothing else is there.
pub(super) fn for_probes(shared: &Arc<Shared>, health: HealthServer<HealthService>) -> Router {
    let grpc = Routes::new(health).into_axum_router();
    grpc.reset_fallback().merge(http::probes().with_state(shared.clone()))
}

pub(super) fn router(shared: Arc<Shared>, health: HealthServer<HealthService>) -> Router {
    let (reflection, reflection_alpha) = reflection::services();
    let grpc = Routes::new(bounded!(WorkflowServiceServer, guarded(&shared, Workflows { shared: shared.clone() })))
        .add_service(bounded!(TaskServiceServer, guarded(&shared, Tasks { shared: shared.clone() })))
        .add_service(bounded!(DeadLetterServiceServer, guarded(&shared, DeadLetters { shared: shared.clone() })))
        .add_service(bounded!(LimitServiceServer, guarded(&shared, Limits { shared: shared.clone() })))
        .add_service(bounded!(EventServiceServer, guarded(&shared, Events::new(shared.clone()))))
        .add_service(bounded!(WorkerServiceServer, guarded(&shared, Workers { shared: shared.clone() })))
        .add_service(bounded!(ClusterServiceServer, guarded(&shared, Cluster { shared: shared.clone() })))
        .add_service(bounded!(MembershipServiceServer, guarded(&shared, Membership { shared: shared.clone() })))
        .add_service(bounded!(AccessServiceServer, guarded(&shared, Access { shared: shared.clone() })))
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .into_axum_router();
    let http = http::routes(&shared).with_state(shared.clone());
    grpc.reset_fallback()
        .merge(http)
        .layer(middleware::from_fn_with_state(shared.clone(), methods::guard))
        .layer(middleware::from_fn_with_state(shared, timed::watch))
}
