//! Asking another member's API: the leader for live figures of workers and limits, a fresh member to propose a cluster. Commands do not come this
//! way: consensus forwards them.

use std::time::Duration;

use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::limit_service_client::LimitServiceClient;
use graft_proto::v1::membership_service_client::MembershipServiceClient;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};

use super::{Shared, sessions};

/// Marks a request that a member has forwarded: it is answered with what there is, and never forwarded again.
const FORWARDED: &str = "graft-forwarded";
/// Longest time to connect to the leader.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest time for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Whether another member has forwarded the request.
pub(super) fn is_forwarded(metadata: &MetadataMap) -> bool {
    metadata.contains_key(FORWARDED)
}

/// The leader's list of workers; an error says why there is none.
pub(super) async fn list_workers(shared: &Shared, namespace: String) -> Result<v1::ListWorkersResponse, String> {
    let (url, channel) = leader(shared).await?;
    let answer = ClusterServiceClient::new(channel).list_workers(marked(v1::ListWorkersRequest { namespace })).await;
    answer.map(tonic::Response::into_inner).map_err(|status| format!("{url}: {}", status.message()))
}

/// The leader's list of limits; an error says why there is none.
pub(super) async fn list_limits(shared: &Shared, request: v1::ListLimitsRequest) -> Result<v1::ListLimitsResponse, String> {
    let (url, channel) = leader(shared).await?;
    let answer = LimitServiceClient::new(channel).list(marked(request)).await;
    answer.map(tonic::Response::into_inner).map_err(|status| format!("{url}: {}", status.message()))
}

/// Why a request that was passed on has no answer.
pub(super) enum Failed {
    /// Nobody answers there.
    Unreachable(String),
    /// What the other member said.
    Refused(Box<tonic::Status>),
}

/// Passes the naming of the first members on to the one that is to propose them.
pub(super) async fn bootstrap(client_address: &str, request: v1::BootstrapRequest) -> Result<v1::BootstrapResponse, Failed> {
    let (_, channel) = connect(sessions::url(client_address)).await.map_err(Failed::Unreachable)?;
    let answer = MembershipServiceClient::new(channel).bootstrap(marked(request)).await;
    answer.map(tonic::Response::into_inner).map_err(|status| Failed::Refused(Box::new(status)))
}

async fn leader(shared: &Shared) -> Result<(String, Channel), String> {
    connect(shared.leader_url().ok_or("no other leader is known")?).await
}

async fn connect(url: String) -> Result<(String, Channel), String> {
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| format!("{url} is no address: {error}"))?;
    let channel = endpoint.connect_timeout(CONNECT_MAX).timeout(ANSWER_MAX).connect().await.map_err(|error| format!("{url}: {error}"))?;
    Ok((url, channel))
}

fn marked<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert(FORWARDED, tonic::metadata::MetadataValue::from_static("1"));
    request
}
