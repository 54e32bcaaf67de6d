//! Until when the answer to a change is waited for, told to the server with each try (`grpc-timeout`): what nobody waits for any more it does not
//! begin. It goes along as a value of the task that makes the call, so that the services between need not know of it.
//!
//! Source: "gRPC over HTTP2", section Requests, and the guide on deadlines.

use std::time::Duration;

use tokio::time::Instant;

use super::{Kind, is_because_of};

/// So much more is told than is waited: the transport ends a try at the time that it reads, and says less about it than the call does.
const MARGIN: Duration = Duration::from_millis(50);

tokio::task_local! {
    /// Of the try that this task makes.
    static UNTIL: Instant;
}

/// Makes a try that is given up at this time. Who only reads leaves nothing behind that could be spared.
pub(super) async fn telling<F: Future>(kind: Kind, until: Instant, call: F) -> F::Output {
    if kind.changes() { UNTIL.scope(until, call).await } else { call.await }
}

/// How long the server may take for what this task asks; `None`: as long as it likes.
pub(crate) fn left() -> Option<Duration> {
    UNTIL.try_with(|until| until.saturating_duration_since(Instant::now()) + MARGIN).ok()
}

/// Whether the transport has ended a try at the time that it was told: this process has slept through the time at which the call would have.
pub(super) fn has_ended(status: &tonic::Status) -> bool {
    is_because_of::<tonic::TimeoutExpired>(status)
}

#[cfg(test)]
mod tests {
    use tonic::service::Interceptor;

    use super::*;
    use crate::channel::after;
    use crate::client::Identified;
    use crate::credentials::Credentials;

    #[tokio::test(start_paused = true)]
    async fn the_server_is_told_how_long_a_change_is_waited_for() {
        let told = async || {
            tokio::time::advance(Duration::from_millis(300)).await;
            let request = Identified::new(None, Credentials::default()).call(tonic::Request::new(())).unwrap();
            request.metadata().get("grpc-timeout").map(|told| told.to_str().unwrap().to_owned())
        };
        let until = || after(Duration::from_secs(1));
        assert_eq!(telling(Kind::Change, until(), told()).await.as_deref(), Some("750000u"));
        assert_eq!(telling(Kind::Once, until(), told()).await.as_deref(), Some("750000u"));
        assert_eq!(telling(Kind::Read, until(), told()).await, None);
    }

    #[test]
    fn what_the_transport_says_at_that_time_is_known() {
        assert!(has_ended(&tonic::Status::from_error(Box::new(tonic::TimeoutExpired(())))));
        assert!(!has_ended(&tonic::Status::deadline_exceeded("as a server says it")));
    }
}
