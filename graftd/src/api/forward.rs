//! Asking another member's API: the leader for live figures of workers and limits and for a worker that cannot reach it itself, a fresh member to
//! propose a cluster. Commands do not come this way: consensus forwards them.
//!
//! What a member passes on is marked, and whoever gets it answers it with what there is: no request goes round. It carries the name that its
//! caller gave, and waits no longer than its caller does.

use std::time::Duration;

use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::limit_service_client::LimitServiceClient;
use graft_proto::v1::membership_service_client::MembershipServiceClient;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::requests::CLIENT_METADATA;
use super::{Shared, sessions};

/// Marks a request that a member has forwarded: it is answered with what there is, and never forwarded again.
const FORWARDED: &str = "graft-forwarded";
/// In which a caller says how long it waits for an answer. Source: "gRPC over HTTP2", section Requests.
const TIMEOUT: &str = "grpc-timeout";
/// Longest time to connect to another member.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Longest time for its answer, connecting included.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A connection for a stream is probed so often, and given up after as long again.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// What may be under way on it, in bytes.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Who asked first, and until when it waits.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    name: Option<MetadataValue<Ascii>>,
    until: Instant,
    /// It is a member that passes a request on.
    pub(super) is_member: bool,
}

impl Caller {
    /// As the metadata of its request tell.
    pub(super) fn of(metadata: &MetadataMap) -> Self {
        let waits = metadata.get(TIMEOUT).and_then(|timeout| read_timeout(timeout.to_str().ok()?));
        Self {
            name: metadata.get(CLIENT_METADATA).cloned(),
            until: Instant::now() + waits.unwrap_or(ANSWER_MAX).min(ANSWER_MAX),
            is_member: metadata.contains_key(FORWARDED),
        }
    }

    /// What is passed on for this caller. What has no end of its own (a stream) is only marked.
    pub(super) fn marked<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
        if let Some(name) = &self.name {
            request.metadata_mut().insert(CLIENT_METADATA, name.clone());
        }
        request
    }

    fn asked<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = self.marked(message);
        request.set_timeout(self.until.saturating_duration_since(Instant::now()));
        request
    }

    /// Waits for what another member is asked, as long as the caller waits.
    async fn wait<T>(&self, url: &str, asking: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
        let late = |_| Failed::Unreachable(format!("{url}: there was no answer in the time that the caller gave, at most {ANSWER_MAX:?}"));
        tokio::time::timeout_at(self.until, asking).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }
}

/// At most 8 digits and a unit.
fn read_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The leader's list of workers.
pub(super) async fn list_workers(shared: &Shared, caller: &Caller, namespace: String) -> Result<v1::ListWorkersResponse, Failed> {
    let url = leader(shared)?;
    let asking = async {
        let answer = ClusterServiceClient::new(connect(&url).await?).list_workers(caller.asked(v1::ListWorkersRequest { namespace })).await;
        answer.map(tonic::Response::into_inner).map_err(Failed::refused)
    };
    caller.wait(&url, asking).await
}

/// The leader's list of limits.
pub(super) async fn list_limits(
    shared: &Shared,
    caller: &Caller,
    request: v1::ListLimitsRequest,
) -> Result<v1::ListLimitsResponse, Failed> {
    let url = leader(shared)?;
    let asking = async {
        let answer = LimitServiceClient::new(connect(&url).await?).list(caller.asked(request)).await;
        answer.map(tonic::Response::into_inner).map_err(Failed::refused)
    };
    caller.wait(&url, asking).await
}

/// Passes the naming of the first members on to the one that is to propose them.
pub(super) async fn bootstrap(caller: &Caller, to: &str, request: v1::BootstrapRequest) -> Result<v1::BootstrapResponse, Failed> {
    let url = sessions::url(to);
    let asking = async {
        let answer = MembershipServiceClient::new(connect(&url).await?).bootstrap(caller.asked(request)).await;
        answer.map(tonic::Response::into_inner).map_err(Failed::refused)
    };
    caller.wait(&url, asking).await
}

/// Why a request that was passed on has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// Nobody answers there.
    #[error("{0}")]
    Unreachable(String),
    /// What the other member said.
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
}

impl Failed {
    fn refused(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

fn leader(shared: &Shared) -> Result<String, Failed> {
    shared.leader_url().ok_or_else(|| Failed::Unreachable("no other leader is known".to_owned()))
}

async fn connect(url: &str) -> Result<Channel, Failed> {
    connect_by(url, |endpoint| endpoint).await
}

/// A connection for a stream that lasts: whether the other side is still there is asked all the time.
pub(super) async fn connect_for_streams(url: &str) -> Result<Channel, Failed> {
    connect_by(url, |endpoint| {
        let endpoint = endpoint.tcp_nodelay(true).http2_keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE);
        endpoint.initial_stream_window_size(STREAM_WINDOW_BYTES).initial_connection_window_size(STREAM_WINDOW_BYTES)
    })
    .await
}

async fn connect_by(url: &str, made: impl FnOnce(Endpoint) -> Endpoint) -> Result<Channel, Failed> {
    let failed = |why: String| Failed::Unreachable(format!("{url}: {why}"));
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| failed(format!("is no address: {error}")))?;
    made(endpoint.connect_timeout(CONNECT_MAX)).connect().await.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_in_every_unit_and_nothing_else_is() {
        let good = [("2H", 7_200_000_000_000), ("3M", 180_000_000_000), ("4S", 4_000_000_000), ("5m", 5_000_000), ("6u", 6_000), ("7n", 7)];
        for (text, nanos) in good {
            assert_eq!(read_timeout(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "S", "5", "5s", "-5S", "5 S", "123456789S", "5é"] {
            assert_eq!(read_timeout(bad), None, "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_passed_on_names_the_caller_and_waits_no_longer_than_it() {
        let mut metadata = MetadataMap::new();
        metadata.insert(CLIENT_METADATA, MetadataValue::from_static("billing"));
        metadata.insert(TIMEOUT, MetadataValue::from_static("250m"));
        let caller = Caller::of(&metadata);
        assert!(!caller.is_member);
        tokio::time::advance(Duration::from_millis(50)).await;
        let passed_on = caller.asked(());
        let told = |name: &str| passed_on.metadata().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        assert_eq!(told(CLIENT_METADATA).as_deref(), Some("billing"));
        let left = told(TIMEOUT).and_then(|timeout| read_timeout(&timeout));
        assert_eq!(left, Some(Duration::from_millis(200)));
        assert!(Caller::of(passed_on.metadata()).is_member, "it is never passed on again");
        let began = Instant::now();
        let failed = caller.wait("http://m2:7420", std::future::pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_millis(200), "{failed}");
        // Whoever says nothing waits for the bound.
        let caller = Caller::of(&MetadataMap::new());
        caller.wait("http://m2:7420", std::future::pending::<Result<(), _>>()).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_millis(200) + ANSWER_MAX);
    }
}
