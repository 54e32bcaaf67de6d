//! Asking another member: the leader for live figures of workers and limits and for a worker that cannot reach it itself, a fresh member to
//! propose a cluster. Commands do not come this way: consensus forwards them.
//!
//! It is asked at its port for members, where both sides have shown who they are, and what comes in there is answered with what there is: no
//! request goes round. It carries the name of its caller, as the member that was asked first has found it, and waits no longer than its caller
//! does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::middleware::Next;
use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::limit_service_client::LimitServiceClient;
use graft_proto::v1::membership_service_client::MembershipServiceClient;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::requests::CLIENT_METADATA;
use super::{Shared, waits};
use crate::consensus::{Leadership, MemberInfo, never_sent};
use crate::tls::members::{LinkOptions, PeerCaller};

/// Longest time to connect to another member.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest time for its answer, connecting included.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A connection for a stream is probed so often, and given up after as long again.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// What may be under way on it, in bytes.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// A connection for a question.
const QUESTION: LinkOptions = LinkOptions { connect: CONNECT_MAX, request: None, keepalive: None, windows: None };
/// A connection for a stream that lasts: whether the other side is still there is asked all the time.
const STREAM: LinkOptions =
    LinkOptions { keepalive: Some(KEEPALIVE), windows: Some((STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES)), ..QUESTION };

/// Who asked first, and until when it waits.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    name: Option<MetadataValue<Ascii>>,
    until: Instant,
    /// It is a member that passes a request on.
    pub(super) is_member: bool,
}

impl Caller {
    /// As its request tells, and the port at which it came in.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        Self { is_member: request.extensions().get::<PeerCaller>().is_some(), ..Self::told(request.metadata()) }
    }

    fn told(metadata: &MetadataMap) -> Self {
        Self {
            name: metadata.get(CLIENT_METADATA).cloned(),
            until: Instant::now() + waits::of(metadata.as_ref()).unwrap_or(ANSWER_MAX).min(ANSWER_MAX),
            is_member: false,
        }
    }

    /// What is passed on for this caller. What has no end of its own (a stream) carries no time.
    pub(super) fn named<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(name) = &self.name {
            request.metadata_mut().insert(CLIENT_METADATA, name.clone());
        }
        request
    }

    fn asked<T>(&self, message: T) -> Request<T> {
        let mut request = self.named(message);
        request.set_timeout(self.until.saturating_duration_since(Instant::now()));
        request
    }

    /// Waits for what another member is asked, as long as the caller waits.
    async fn wait<T>(&self, asked: &str, asking: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Failed> {
        match tokio::time::timeout_at(self.until, asking).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if never_sent(&status) => Err(Failed::Unreachable(format!("{asked}: {}", status.message()))),
            Ok(Err(status)) => Err(Failed::Refused(Box::new(status))),
            Err(_) => {
                let why = format!("{asked}: there was no answer in the time that the caller gave, at most {ANSWER_MAX:?}");
                Err(Failed::Unreachable(why))
            }
        }
    }
}

/// Lets through what a member asks at the port for members. A certificate of this cluster alone is not enough, once there is a membership: who was
/// taken out has one, and who was never taken in.
pub(super) async fn of_a_member(
    State(shared): State<Arc<Shared>>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    if let Some(PeerCaller::Member(shown)) = request.extensions().get::<PeerCaller>() {
        let members = shared.api.consensus.members();
        if !members.is_empty() && !members.iter().any(|member| member.name == shown.member) {
            return Status::permission_denied(format!("{shown} is not part of this cluster, or not yet")).into_http();
        }
    }
    next.run(request).await
}

/// The leader's list of workers.
pub(super) async fn list_workers(shared: &Shared, caller: &Caller, namespace: String) -> Result<v1::ListWorkersResponse, Failed> {
    let (leader, channel) = leader(shared)?;
    let asking = async { ClusterServiceClient::new(channel).list_workers(caller.asked(v1::ListWorkersRequest { namespace })).await };
    caller.wait(&leader, asking).await
}

/// The leader's list of limits.
pub(super) async fn list_limits(
    shared: &Shared,
    caller: &Caller,
    request: v1::ListLimitsRequest,
) -> Result<v1::ListLimitsResponse, Failed> {
    let (leader, channel) = leader(shared)?;
    let asking = async { LimitServiceClient::new(channel).list(caller.asked(request)).await };
    caller.wait(&leader, asking).await
}

/// Passes the naming of the first members on to the one that is to propose them, by its name and where it listens for members.
pub(super) async fn bootstrap(
    shared: &Shared,
    caller: &Caller,
    (name, peer_address): (&str, &str),
    request: v1::BootstrapRequest,
) -> Result<v1::BootstrapResponse, Failed> {
    let channel = dial(shared, name, peer_address, QUESTION)?;
    let asking = async { MembershipServiceClient::new(channel).bootstrap(caller.asked(request)).await };
    caller.wait(peer_address, asking).await
}

/// A connection to a member for a stream that lasts.
pub(super) fn dial_for_streams(shared: &Shared, member: &MemberInfo) -> Result<Channel, Failed> {
    dial(shared, &member.name, &member.peer_address, STREAM)
}

/// Why a request that was passed on has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Nobody answers there.
    #[error("{0}")]
    Unreachable(String),
    /// What the other member said.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
}

fn leader(shared: &Shared) -> Result<(String, Channel), Failed> {
    match &*shared.api.consensus.leadership().borrow() {
        Leadership::Follower { leader: Some(leader), .. } => {
            Ok((leader.peer_address.clone(), dial(shared, &leader.name, &leader.peer_address, QUESTION)?))
        }
        _ => Err(Failed::Unreachable("no other leader is known".to_owned())),
    }
}

fn dial(shared: &Shared, name: &str, peer_address: &str, options: LinkOptions) -> Result<Channel, Failed> {
    let dialed = shared.api.consensus.dial(name, peer_address, options);
    dialed.map_err(|error| Failed::Unreachable(format!("{peer_address} is no address: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_passed_on_names_the_caller_and_waits_no_longer_than_it() {
        let mut metadata = MetadataMap::new();
        metadata.insert(CLIENT_METADATA, MetadataValue::from_static("billing"));
        metadata.insert(waits::TIMEOUT, MetadataValue::from_static("250m"));
        let caller = Caller::told(&metadata);
        tokio::time::advance(Duration::from_millis(50)).await;
        let passed_on = caller.asked(());
        assert_eq!(passed_on.metadata().get(CLIENT_METADATA).and_then(|name| name.to_str().ok()), Some("billing"));
        assert_eq!(waits::of(passed_on.metadata().as_ref()), Some(Duration::from_millis(200)));
        assert!(!Caller::of(&passed_on).is_member, "that says the port, not the request");
        let mut of_a_member = passed_on;
        of_a_member.extensions_mut().insert(PeerCaller::Anybody);
        assert!(Caller::of(&of_a_member).is_member, "it is never passed on again");
        let began = Instant::now();
        let failed = caller.wait("m2:7421", std::future::pending::<Result<Response<()>, _>>()).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_millis(200), "{failed}");
        // Whoever says nothing waits for the bound.
        let caller = Caller::told(&MetadataMap::new());
        caller.wait("m2:7421", std::future::pending::<Result<Response<()>, _>>()).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_millis(200) + ANSWER_MAX);
    }
}
