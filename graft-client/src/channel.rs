//! Connections to the members, and the one place where calls are repeated.
//!
//! A call goes to the *preferred* address: the one that answered last, or the leader that an answer named. When it fails in a way that
//! another try can mend, the next address is asked, after a wait that grows. Every request that changes something carries a request id and
//! every other one only reads, so all of them are safe to repeat. Tries and time are bounded; the last error is what the caller gets. Once a
//! try of a change was in doubt, the call is: a later refusal tells nothing of the try before, unless it proves that there was none.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::backoff::Backoff;
use crate::endpoints::normal;
use crate::error::{ClientError, codes};

/// Most tries of one call.
const TRIES_MAX: u32 = 12;
/// The first wait between tries.
const WAIT_FIRST: Duration = Duration::from_millis(50);
/// The longest wait between tries.
const WAIT_MOST: Duration = Duration::from_secs(2);
/// Longest time that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often an idle connection is probed while calls are open, and how long the answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Most addresses kept that were learned from leader hints, beside the configured ones.
const LEARNED_MAX: usize = 64;

/// The server's code for a request id that was used for another request.
const REQUEST_CONFLICT: &str = "GR0006";

/// Whether a call changes something: only then can its outcome be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only reads.
    Read,
    /// It changes something, under a request id.
    Change,
}

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Connections {
    configured: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    preferred: String,
    learned: Vec<String>,
    open: BTreeMap<String, Channel>,
}

impl Connections {
    /// For these URLs, at least one. Connects when it is used first.
    pub(crate) fn new(configured: Vec<String>) -> Self {
        let preferred = configured.first().cloned().unwrap_or_default();
        Self { configured, state: Mutex::new(State { preferred, learned: Vec::new(), open: BTreeMap::new() }) }
    }

    /// The configured addresses.
    pub(crate) fn configured(&self) -> &[String] {
        &self.configured
    }

    /// A connection to `url`; made on first use, shared afterwards. It connects by itself, again and again.
    pub(crate) fn to(&self, url: &str) -> Result<Channel, ClientError> {
        let mut state = self.lock();
        if let Some(channel) = state.open.get(url) {
            return Ok(channel.clone());
        }
        let channel = self.fresh(url)?;
        state.open.insert(url.to_owned(), channel.clone());
        Ok(channel)
    }

    /// A connection to `url` of its own, for a stream that lasts.
    pub(crate) fn fresh(&self, url: &str) -> Result<Channel, ClientError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| ClientError::new(codes::BAD_ENDPOINT, "connect", format!("address {url}"), error.to_string()))?;
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .initial_connection_window_size(8 << 20)
            .initial_stream_window_size(4 << 20)
            .connect_lazy())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn preferred(&self) -> String {
        self.lock().preferred.clone()
    }

    /// After `failed` did not help: the hinted leader, or else the address after it in the round.
    fn move_on(&self, failed: &str, hint: Option<&str>) {
        let mut state = self.lock();
        if state.preferred != failed {
            return; // another call has moved on already
        }
        if let Some(hinted) = hint.and_then(|hint| normal(hint).ok()).filter(|hinted| hinted != failed) {
            if !self.configured.contains(&hinted) && !state.learned.contains(&hinted) {
                if state.learned.len() == LEARNED_MAX {
                    let forgotten = state.learned.remove(0);
                    state.open.remove(&forgotten);
                }
                state.learned.push(hinted.clone());
            }
            state.preferred = hinted;
            return;
        }
        let round: Vec<&String> = self.configured.iter().chain(&state.learned).collect();
        let next = round.iter().position(|url| *url == failed).map_or(0, |at| (at + 1) % round.len());
        state.preferred = round[next].clone();
    }

    /// Calls until an answer comes that another try cannot better, or tries or time are used up.
    ///
    /// `operation` reads after "failed to". `call` makes one try on a connection.
    pub(crate) async fn call<T, F, Fut>(&self, operation: &str, kind: Kind, timeout: Duration, call: F) -> Result<T, ClientError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let until = Instant::now() + timeout;
        let mut backoff = Backoff::seeded(WAIT_FIRST, WAIT_MOST);
        let mut doubt = false;
        for tried in 1.. {
            let url = self.preferred();
            let channel = self.to(&url)?;
            let error = match tokio::time::timeout_at(until, call(channel)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => {
                    let error = ClientError::from_status(operation, &url, &status);
                    doubt |= kind == Kind::Change && error.outcome_unknown() && !never_sent(&status);
                    error
                }
                Err(_elapsed) => {
                    doubt |= kind == Kind::Change;
                    let message = format!("no answer within {} ms", timeout.as_millis());
                    ClientError::new(codes::TIMED_OUT, operation, format!("server {url}"), message)
                        .remedied("Ask again with the same request id, or give the client a longer request_timeout.")
                        .retryable()
                }
            };
            if !error.is_retryable() && error.leader_address().is_none() {
                let doubt = doubt && !proves_no_effect(&error);
                return Err(error.unknown_outcome(doubt));
            }
            self.move_on(&url, error.leader_address());
            let wait = backoff.wait().max(error.retry_after().unwrap_or_default());
            if tried == TRIES_MAX || Instant::now() + wait >= until {
                return Err(error.unknown_outcome(doubt));
            }
            tracing::debug!(%error, tried, wait_ms = wait.as_millis(), "trying again");
            // A named leader is asked at once, the first time.
            if tried > 1 || error.leader_address().is_none() {
                tokio::time::sleep(wait).await;
            }
        }
        unreachable!("the loop above returns at TRIES_MAX")
    }
}

/// Whether the refusal says that no try of the request has had an effect, or ever will: its id belongs to another one. Other refusals say
/// nothing about the tries before, which may still be on their way.
fn proves_no_effect(error: &ClientError) -> bool {
    error.code() == REQUEST_CONFLICT
}

/// Whether the connection could not even be made, so that the request never left.
fn never_sent(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections() -> Connections {
        Connections::new(vec!["http://a:1".into(), "http://b:1".into()])
    }

    #[test]
    fn after_a_failure_the_next_address_is_preferred_and_after_the_last_the_first() {
        let connections = connections();
        connections.move_on("http://a:1", None);
        assert_eq!(connections.preferred(), "http://b:1");
        connections.move_on("http://b:1", None);
        assert_eq!(connections.preferred(), "http://a:1");
    }

    #[test]
    fn a_leader_hint_is_followed_and_remembered() {
        let connections = connections();
        connections.move_on("http://a:1", Some("http://c:1"));
        assert_eq!(connections.preferred(), "http://c:1");
        connections.move_on("http://c:1", None);
        assert_eq!(connections.preferred(), "http://a:1");
        connections.move_on("http://a:1", None);
        connections.move_on("http://b:1", None);
        assert_eq!(connections.preferred(), "http://c:1");
    }

    #[test]
    fn a_call_that_failed_before_another_moved_on_changes_nothing() {
        let connections = connections();
        connections.move_on("http://a:1", None);
        connections.move_on("http://a:1", None);
        assert_eq!(connections.preferred(), "http://b:1");
    }
}
