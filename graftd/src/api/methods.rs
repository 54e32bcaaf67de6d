//! What stands before the gRPC services: it knows every method, counts requests, and answers what this version does not have.
//!
//! A stream is counted when it is opened, with the code of its opening.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use graft_proto::ERROR_DETAIL_METADATA;
use http::{HeaderMap, StatusCode, Version, header};
use tonic::{Code, Status};

use super::bodies::Room;
use super::http::problem::Refusal;
use super::{Shared, bodies, reflection};
use graft_proto::errors::{ErrorCode, Fault, grpc_name, quoted};

/// Every method, as the path names it.
pub const METHODS: [&str; 51] = [
    "graft.v1.WorkflowService/Start",
    "graft.v1.WorkflowService/StartMany",
    "graft.v1.WorkflowService/Get",
    "graft.v1.WorkflowService/List",
    "graft.v1.WorkflowService/Count",
    "graft.v1.WorkflowService/Watch",
    "graft.v1.WorkflowService/Wait",
    "graft.v1.WorkflowService/History",
    "graft.v1.WorkflowService/Export",
    "graft.v1.WorkflowService/Pause",
    "graft.v1.WorkflowService/Resume",
    "graft.v1.WorkflowService/Cancel",
    "graft.v1.WorkflowService/Terminate",
    "graft.v1.TaskService/List",
    "graft.v1.TaskService/Get",
    "graft.v1.TaskService/Retry",
    "graft.v1.DeadLetterService/List",
    "graft.v1.DeadLetterService/Get",
    "graft.v1.DeadLetterService/Redrive",
    "graft.v1.DeadLetterService/Discard",
    "graft.v1.LimitService/List",
    "graft.v1.LimitService/Set",
    "graft.v1.LimitService/Unset",
    "graft.v1.EventService/Subscribe",
    "graft.v1.WorkerService/Work",
    "graft.v1.ClusterService/Status",
    "graft.v1.ClusterService/ListWorkers",
    "graft.v1.ClusterService/Stats",
    "graft.v1.ClusterService/Snapshot",
    "graft.v1.ClusterService/LogLevel",
    "graft.v1.ClusterService/Diagnose",
    "graft.v1.ClusterService/Profile",
    "graft.v1.MembershipService/Bootstrap",
    "graft.v1.MembershipService/CreateJoinToken",
    "graft.v1.MembershipService/ListJoinGrants",
    "graft.v1.MembershipService/RevokeJoinGrant",
    "graft.v1.MembershipService/Approve",
    "graft.v1.MembershipService/Promote",
    "graft.v1.MembershipService/Remove",
    "graft.v1.MembershipService/TransferLeader",
    "graft.v1.MembershipService/Drain",
    "graft.v1.MembershipService/RaiseMachineVersion",
    "graft.v1.AccessService/WhoAmI",
    "graft.v1.AccessService/CreateToken",
    "graft.v1.AccessService/ListTokens",
    "graft.v1.AccessService/RevokeToken",
    "graft.v1.AccessService/ListActs",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Which is refused before it is looked at, where that has to be.
pub(super) const START: &str = "graft.v1.WorkflowService/Start";

/// Those whose requests are streams, which bound themselves: what a worker says, and many starts.
const STREAMS: [&str; 2] = ["graft.v1.WorkerService/Work", "graft.v1.WorkflowService/StartMany"];

/// Questions that are answered however much else there is to read.
const HEALTH: &str = "grpc.health.v1.";

/// Its requests are streams, too; they end with the server, whoever holds them open.
const REFLECTION: &str = "grpc.reflection.";

/// The services of the public protocol.
pub(super) fn services() -> BTreeSet<&'static str> {
    METHODS.into_iter().filter(|method| method.starts_with("graft.v1.")).filter_map(|method| method.split('/').next()).collect()
}

/// Lets gRPC requests of known methods through, and counts them.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let method = METHODS.into_iter().find(|method| request.uri().path().strip_prefix('/') == Some(*method));
    if method.is_none() && !is_grpc(request.headers()) {
        return next.run(request).await;
    }
    let counted = method.unwrap_or("unknown");
    let response = match method {
        None => unknown(&shared, request.uri().path()).into_http(),
        Some(method) if request.version() < Version::HTTP_2 => return needs_http2(method, request.uri().path()),
        // A page can make a browser send anything but this type without being asked first.
        Some(method) if !is_grpc(request.headers()) => return needs_type(method, request.uri().path()),
        Some(method) if method.starts_with(REFLECTION) => {
            with_detail(next.run(request.map(|body| reflection::until_stop(body, shared.shutdown.clone()))).await)
        }
        Some(method) if STREAMS.contains(&method) => with_detail(next.run(request).await),
        Some(method) => {
            let room = if method.starts_with(HEALTH) { Room::for_a_question() } else { shared.bodies.clone() };
            with_detail(next.run(request.map(|body| bodies::bounded(body, room))).await)
        }
    };
    shared.api.metrics.api.grpc_requests.with_label_values(&[counted, grpc_name(code_of(response.headers()))]).inc();
    response
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn unknown(shared: &Shared, path: &str) -> Status {
    let mut services: Vec<_> = METHODS.iter().filter_map(|method| method.split('/').next()).collect();
    services.dedup();
    let detail = format!("is not spoken here: graftd {} speaks {}", shared.api.info.version, services.join(", "));
    Fault::new(ErrorCode::UnknownMethod, format!("method {}", quoted(path)), detail).into()
}

fn needs_type(method: &str, path: &str) -> Response {
    let fault = Fault::invalid(format!("method {method}"), "is of gRPC, which needs the content type application/grpc");
    let refusal = Refusal::from(fault.remedy("say it, or use the same verb of REST below /api/v1"));
    refusal.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE).response(path)
}

fn needs_http2(method: &str, path: &str) -> Response {
    let fault = Fault::invalid(format!("method {method}"), "is of gRPC, which needs HTTP/2 with the content type application/grpc");
    let refusal = Refusal::from(fault.remedy("use HTTP/2, or the same verb of REST below /api/v1"));
    refusal.with_status(StatusCode::UPGRADE_REQUIRED).response(path)
}

/// The code of a response; one whose code comes in its trailers has begun well.
fn code_of(headers: &HeaderMap) -> Code {
    Status::from_header_map(headers).map_or(Code::Ok, |status| status.code())
}

/// What tonic itself refuses (a message that is too large, or no message) gets an answer like every other refusal.
fn with_detail(response: Response) -> Response {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => explained(status).into_http::<Body>(),
        _ => response,
    }
}

/// A status of tonic's own, said in our words; any other stays as it is.
pub(super) fn explained(status: Status) -> Status {
    if status.metadata().contains_key(ERROR_DETAIL_METADATA) {
        return status;
    }
    match status.code() {
        // tonic's code for a message beyond the receive limit.
        Code::OutOfRange => {
            let detail = format!("is larger than {} bytes: {}", graft_proto::MESSAGE_BYTES_MAX, status.message());
            Fault::too_large("the message", detail).into()
        }
        Code::Internal if status.message().contains("decode") => {
            Fault::new(ErrorCode::Undecodable, "the message", format!("cannot be read: {}", status.message())).into()
        }
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_protos_is_known_and_no_other() {
        let protos = [
            include_str!("../../../proto/graft/v1/workflow.proto"),
            include_str!("../../../proto/graft/v1/task.proto"),
            include_str!("../../../proto/graft/v1/event.proto"),
            include_str!("../../../proto/graft/v1/worker.proto"),
            include_str!("../../../proto/graft/v1/cluster.proto"),
            include_str!("../../../proto/graft/v1/membership.proto"),
            include_str!("../../../proto/graft/v1/access.proto"),
        ];
        let mut found = Vec::new();
        for text in protos {
            let mut service = "";
            for line in text.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("service ") {
                    service = rest.trim_end_matches([' ', '{']);
                } else if let Some(rest) = line.strip_prefix("rpc ") {
                    let name = rest.split('(').next().expect("a name").trim();
                    found.push(format!("graft.v1.{service}/{name}"));
                }
            }
        }
        let ours: Vec<_> = METHODS.into_iter().filter(|method| method.starts_with("graft.v1.")).collect();
        assert_eq!(found, ours);
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_in_our_words() {
        let status = explained(Status::out_of_range("decoded message length too large: found 5 bytes"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with("the message is larger than 4194304 bytes"), "{}", status.message());
        let status = explained(Status::internal("failed to decode Protobuf message: invalid tag"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("same version of graft.v1"));
    }

    #[test]
    fn a_status_of_our_own_stays_as_it_is() {
        let status = explained(Fault::shutting_down().into());
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().starts_with("this member is shutting down"));
    }
}
