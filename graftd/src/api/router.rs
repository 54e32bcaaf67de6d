//! Every path of the port, and the bounds of its messages.

use std::sync::Arc;

use axum::{Router, middleware};
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

use super::cluster::Cluster;
use super::dead_letters::DeadLetters;
use super::events::Events;
use super::limits::Limits;
use super::membership::Membership;
use super::tasks::Tasks;
use super::worker::Workers;
use super::workflows::Workflows;
use super::{Shared, http, methods, reflection};

/// What other members ask of this one: figures that only the leader has, the stream of a worker that cannot reach it, and the first members.
pub(super) fn for_members(shared: &Arc<Shared>) -> Routes {
    Routes::new(cluster(shared)).add_service(membership(shared)).add_service(limits(shared)).add_service(workers(shared))
}

/// What probes and scrapers ask: health over HTTP and gRPC, and metrics. Nothing else is there.
pub(super) fn for_probes(shared: &Arc<Shared>, health: HealthServer<HealthService>) -> Router {
    let grpc = Routes::new(health).into_axum_router();
    grpc.reset_fallback().merge(http::probes().with_state(shared.clone()))
}

fn workers(shared: &Arc<Shared>) -> WorkerServiceServer<Workers> {
    WorkerServiceServer::new(Workers { shared: shared.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

fn cluster(shared: &Arc<Shared>) -> ClusterServiceServer<Cluster> {
    ClusterServiceServer::new(Cluster { shared: shared.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

fn membership(shared: &Arc<Shared>) -> MembershipServiceServer<Membership> {
    MembershipServiceServer::new(Membership { shared: shared.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

fn limits(shared: &Arc<Shared>) -> LimitServiceServer<Limits> {
    LimitServiceServer::new(Limits { shared: shared.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX)
}

pub(super) fn router(shared: Arc<Shared>, health: HealthServer<HealthService>) -> Router {
    let workflows = WorkflowServiceServer::new(Workflows { shared: shared.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let tasks = TaskServiceServer::new(Tasks { shared: shared.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let dead_letters = DeadLetterServiceServer::new(DeadLetters { shared: shared.clone() })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let events = EventServiceServer::new(Events::new(shared.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let (reflection, reflection_alpha) = reflection::services();
    let grpc = Routes::new(workflows)
        .add_service(tasks)
        .add_service(dead_letters)
        .add_service(limits(&shared))
        .add_service(events)
        .add_service(workers(&shared))
        .add_service(cluster(&shared))
        .add_service(membership(&shared))
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .into_axum_router();
    let http = http::routes(&shared).with_state(shared.clone());
    grpc.reset_fallback().merge(http).layer(middleware::from_fn_with_state(shared, methods::guard))
}
