//! Connections to the members, and the one place where calls are repeated.
//!
//! A call goes to the *preferred* address: the one that answered last, or the leader that an answer named. When it fails in a way that
//! another try can mend, the next address is asked, after a wait that grows. Every request that changes something carries a request id and
//! every other one only reads, so all of them are safe to repeat: tries go on for as long as the caller gives, and the last error is what it
//! gets.
//!
//! What follows from the tries of a call is decided in [`tries`]; how long its caller waits goes with it ([`deadline`]).
//!
//! A member that is stopped or cut off costs one call a few seconds, and the next ones nothing: a connection that answers no ping is given
//! up, and where there is another member to ask, a try that gets no answer is, too.
//!
//! Whoever answers is asked for the members now and then, beside the calls: so a client that was told one address finds the others when that
//! one is gone, also those that joined later. What was configured is never forgotten.
//!
//! A token ([`Credentials`]) goes to no address where others could read it: one that is told (a leader hint, a member) is left out then.
//!
//! Calls that last (waits, watches) have connections of their own. A server takes so many streams on a connection, and the transport lets the
//! ones beyond wait without a word: a thousand waits on the shared connection would block every start behind them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::{ClusterStatusRequest, Member};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::backoff::Backoff;
use crate::client::Identified;
use crate::credentials::Credentials;
use crate::endpoints::{Endpoints, is_loopback, is_secure, normal};
use graft_proto::errors::ErrorCode;

use crate::error::ClientError;
use crate::tls::Tls;

pub(crate) mod deadline;
pub(crate) mod tries;

use tries::{Next, Tries};

/// Longest wait for the answer of one member while there are others to ask. Longer than a cluster needs for an election, and than a dead
/// connection needs to be found out.
pub(crate) const TRY_MAX: Duration = Duration::from_secs(7);
/// Least time for the answer to a try that is not the first.
pub(crate) const TRY_MIN: Duration = Duration::from_millis(20);
/// The first wait between tries.
pub(crate) const WAIT_FIRST: Duration = Duration::from_millis(50);
/// The longest wait between tries.
pub(crate) const WAIT_MOST: Duration = Duration::from_secs(2);
/// Longest time that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that has been silent for so long is pinged while calls are open on it.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// A connection that does not answer a ping within this time is given up.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// What a longer time counts as: a clock cannot be asked for more than it can tell.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Most addresses kept that were learned from leader hints and from the membership, beside the configured ones.
const LEARNED_MAX: usize = 64;
/// A client that is used asks for the members so often.
const FOLLOW_EVERY: Duration = Duration::from_secs(10);
/// Longest wait for that answer.
const FOLLOW_WAIT: Duration = Duration::from_secs(5);

/// Most lasting calls on one connection; far below the 1,024 streams that a server allows, since one that is over is counted a while longer.
const LASTING_MAX: usize = 512;

/// The server's code for a request id that was used for another request.
const REQUEST_CONFLICT: &str = "GR0006";

/// What a call does: only one that changes something can have an unknown outcome, and only one that lasts may be silent for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only reads.
    Read,
    /// It changes something, under a request id.
    Change,
    /// It changes something, and the server could not tell a repeat from another request: sent again only if it surely had no effect.
    Once,
    /// It only reads, and lasts: the server has been asked to keep the answer for so long.
    Lasting(Duration),
}

impl Kind {
    fn changes(self) -> bool {
        matches!(self, Self::Change | Self::Once)
    }

    /// How long the answer may take beyond what any answer may.
    fn by_wish(self) -> Duration {
        match self {
            Self::Read | Self::Change | Self::Once => Duration::ZERO,
            Self::Lasting(time) => time,
        }
    }
}

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Connections {
    configured: Arc<[String]>,
    /// How connections are secured.
    tls: Tls,
    /// What is shown to members.
    credentials: Credentials,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    preferred: String,
    learned: Vec<String>,
    /// When the members were asked for last.
    followed: Option<Instant>,
    open: BTreeMap<String, Channel>,
    lasting: BTreeMap<String, Vec<Lasting>>,
}

/// A connection for calls that last, and the places on it.
#[derive(Debug)]
struct Lasting {
    channel: Channel,
    places: Arc<Semaphore>,
}

/// A lasting call's place on its connection, to be kept until its stream has ended.
#[derive(Debug)]
pub(crate) struct Place {
    /// Whose connection it is.
    pub(crate) server: String,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// For these URLs, at least one, which may be shown the credentials. Connects when it is used first.
    pub(crate) fn new(configured: Vec<String>, tls: Tls, credentials: Credentials) -> Self {
        let preferred = configured.first().cloned().unwrap_or_default();
        let (learned, open, lasting) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let state = State { preferred, learned, followed: None, open, lasting };
        Self { configured: configured.into(), tls, credentials, state: Arc::new(Mutex::new(state)) }
    }

    /// For other addresses, secured in the same way, which are shown the same.
    pub(crate) fn at(&self, endpoints: Endpoints) -> Result<Self, ClientError> {
        let urls: Vec<String> = endpoints.into_urls()?.iter().map(|url| self.secured(url)).collect();
        urls.iter().try_for_each(|url| self.credentials.check(url))?;
        Ok(Self::new(urls, self.tls.clone(), self.credentials.clone()))
    }

    /// What is shown to members.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
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

    /// A connection to `url` on which one more call may last. Connections that nobody uses any more are closed, but for one.
    pub(crate) fn lasting(&self, url: &str) -> Result<(Channel, Place), ClientError> {
        let mut state = self.lock();
        let known = state.lasting.entry(url.to_owned()).or_default();
        let taken = |permit| Place { server: url.to_owned(), _permit: permit };
        let mut spare = false;
        known.retain(|lasting| lasting.places.available_permits() < LASTING_MAX || !std::mem::replace(&mut spare, true));
        for Lasting { channel, places } in known.iter() {
            if let Ok(permit) = places.clone().try_acquire_owned() {
                return Ok((channel.clone(), taken(permit)));
            }
        }
        let (channel, places) = (self.fresh(url)?, Arc::new(Semaphore::new(LASTING_MAX)));
        let permit = places.clone().try_acquire_owned().expect("nobody else knows it yet");
        known.push(Lasting { channel: channel.clone(), places });
        Ok((channel, taken(permit)))
    }

    /// A connection to `url` of its own, for a stream that lasts.
    pub(crate) fn fresh(&self, url: &str) -> Result<Channel, ClientError> {
        let url = self.secured(url);
        self.credentials.check(&url)?;
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| ClientError::new(ErrorCode::BadEndpoint, "connect", format!("address {url}"), error.to_string()))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_connection_window_size(8 << 20)
            .initial_stream_window_size(4 << 20);
        if !is_secure(&url) {
            return Ok(endpoint.connect_lazy());
        }
        let tls = self.tls.clone();
        Ok(endpoint.connect_with_connector_lazy(service_fn(move |uri| tls.clone().connect(uri))))
    }

    /// The address, over TLS where that alone was asked for: an address that somebody tells must not make a client speak in the clear.
    fn secured(&self, url: &str) -> String {
        let all = !self.configured.is_empty() && self.configured.iter().all(|url| is_secure(url));
        match url.strip_prefix("http://") {
            Some(address) if all => format!("https://{address}"),
            _ => url.to_owned(),
        }
    }

    /// Whether an address that was told is one to speak with.
    fn may_hear(&self, url: &str) -> bool {
        let refused = self.credentials.check(&self.secured(url)).err();
        if let Some(error) = &refused {
            tracing::warn!(%error, "a member names the leader's address, where this client may not ask");
        }
        refused.is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to ask next, and whether there is anybody else.
    pub(crate) fn preferred(&self) -> (String, bool) {
        let state = self.lock();
        (state.preferred.clone(), self.configured.len() + state.learned.len() > 1)
    }

    /// How many there are to ask.
    pub(crate) fn addresses(&self) -> usize {
        self.configured.len() + self.lock().learned.len()
    }

    /// After `failed` did not help: the hinted leader, or else the address after it in the round.
    pub(crate) fn move_on(&self, failed: &str, hint: Option<&str>) {
        let mut state = self.lock();
        if state.preferred != failed {
            return; // another call has moved on already
        }
        if let Some(hinted) = hint.and_then(|hint| normal(hint).ok()).filter(|hinted| hinted != failed && self.may_hear(hinted)) {
            if !self.configured.contains(&hinted) && !state.learned.contains(&hinted) {
                if state.learned.len() == LEARNED_MAX {
                    let forgotten = state.learned.remove(0);
                    state.open.remove(&forgotten);
                    state.lasting.remove(&forgotten);
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

    /// Asks the member that has just answered for all of them, if that was not done lately. Nobody waits for it.
    fn follow(&self, url: &str) {
        {
            let mut state = self.lock();
            if state.followed.is_some_and(|at| at.elapsed() < FOLLOW_EVERY) {
                return;
            }
            state.followed = Some(Instant::now());
        }
        let Ok(channel) = self.to(url) else { return };
        let (configured, state, url) = (self.configured.clone(), self.state.clone(), url.to_owned());
        let credentials = self.credentials.clone();
        tokio::spawn(async move {
            let mut service = ClusterServiceClient::with_interceptor(channel, Identified::new(None, credentials.clone()));
            match tokio::time::timeout(FOLLOW_WAIT, service.status(ClusterStatusRequest {})).await {
                Ok(Ok(status)) => learn(&configured, &state, &credentials, &url, &status.into_inner().members),
                Ok(Err(_)) | Err(_) => tracing::debug!(url, "a member was asked for the others, and has not said"),
            }
        });
    }

    /// Calls until an answer comes that another try cannot better, or the time is used up.
    ///
    /// `operation` reads after "failed to". `call` makes one try on a connection. What the server was asked to wait comes on top of `timeout`.
    pub(crate) async fn call<T, F, Fut>(&self, operation: &str, kind: Kind, timeout: Duration, call: F) -> Result<T, ClientError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        self.call_in_place(operation, kind, timeout, call).await.map(|(answer, _place)| answer)
    }

    /// As [`call`](Self::call); a stream as the answer to a lasting call needs its place until it ends.
    pub(crate) async fn call_in_place<T, F, Fut>(
        &self,
        operation: &str,
        kind: Kind,
        timeout: Duration,
        call: F,
    ) -> Result<(T, Option<Place>), ClientError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        if self.configured.is_empty() {
            return Err(nobody(operation));
        }
        let until = after(timeout.saturating_add(kind.by_wish()));
        let mut backoff = Backoff::seeded(WAIT_FIRST, WAIT_MOST);
        let began = Instant::now();
        let mut tries = Tries::new(operation, kind);
        for tried in 1_u64.. {
            let (url, others) = self.preferred();
            let (channel, place) = match kind {
                Kind::Lasting(_) => self.lasting(&url).map(|(channel, place)| (channel, Some(place))),
                Kind::Read | Kind::Change | Kind::Once => self.to(&url).map(|channel| (channel, None)),
            }
            .map_err(|error| tries.end(error))?;
            let over = if others && kind != Kind::Once { until.min(after(TRY_MAX + kind.by_wish())) } else { until };
            let error = match tokio::time::timeout_at(over, deadline::telling(kind, over, call(channel))).await {
                Ok(Ok(answer)) => {
                    self.follow(&url);
                    return Ok((answer.into_inner(), place));
                }
                Ok(Err(status)) if deadline::has_ended(&status) => tries.unanswered(&url, began.elapsed()),
                Ok(Err(status)) => tries.failed(ClientError::from_status(operation, &url, &status), never_sent(&status)),
                Err(_elapsed) => tries.unanswered(&url, began.elapsed()),
            };
            // Another token may have been put in the place of the one that was refused.
            if error.kind() == Some(ErrorCode::Unauthenticated) && self.credentials.look() {
                continue;
            }
            match tries.next(&url, &error, self.addresses()) {
                Next::End => return Err(tries.end(error)),
                Next::AnotherAtOnce => {
                    tracing::debug!(%error, "asking another member");
                    self.move_on(&url, None);
                    continue;
                }
                Next::Another => self.move_on(&url, error.leader_address()),
            }
            let wait = backoff.wait().max(error.retry_after().unwrap_or_default());
            // A try without time for an answer would say less than the one before it.
            let in_vain = |wait: Duration| until.saturating_duration_since(Instant::now()) <= wait.saturating_add(TRY_MIN);
            if in_vain(wait) {
                return Err(tries.end(error));
            }
            tracing::debug!(%error, tried, wait_ms = wait.as_millis(), "trying again");
            // A named leader is asked at once, the first time.
            if tried > 1 || error.leader_address().is_none() {
                tokio::time::sleep(wait).await;
            }
            if in_vain(Duration::ZERO) {
                return Err(tries.end(error)); // this process has slept longer than it meant to
            }
        }
        unreachable!("the loop above returns when the time is used up")
    }
}

/// The members as one of them tells: whom to ask besides those that were configured. Who answers at an address of this machine alone is of no
/// use to a client that has come from elsewhere, and so is who may not be shown what this client shows.
fn learn(configured: &[String], state: &Mutex<State>, credentials: &Credentials, told_by: &str, members: &[Member]) {
    let (scheme, _) = told_by.split_once("://").unwrap_or(("http", told_by));
    let from_here = is_loopback(told_by);
    let urls = members.iter().map(|member| &member.client_address).filter(|address| !address.is_empty());
    let urls = urls.filter_map(|address| normal(&format!("{scheme}://{address}")).ok());
    let of_use = |url: &String| (from_here || !is_loopback(url)) && credentials.check(url).is_ok();
    let learned: Vec<String> = urls.filter(|url| !configured.contains(url) && of_use(url)).take(LEARNED_MAX).collect();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let gone: Vec<String> = state.learned.iter().filter(|url| !learned.contains(url) && **url != state.preferred).cloned().collect();
    for url in &gone {
        state.open.remove(url);
        state.lasting.remove(url);
    }
    state.learned = learned;
}

/// What a client of no server answers: that of an engine in a test.
fn nobody(operation: &str) -> ClientError {
    let message = "this client belongs to an engine in a test, which has no server";
    ClientError::new(ErrorCode::Unreachable, operation, "", message)
        .remedied("Stub the node, put what it calls behind a trait of your own, or start a graftd in the test.")
        .unknown_outcome(false)
}

/// The time so long from now.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(FOREVER)
}

/// Whether the refusal says that no try of the request has had an effect, or ever will: its id belongs to another one. Other refusals say
/// nothing about the tries before, which may still be on their way.
pub(crate) fn proves_no_effect(error: &ClientError) -> bool {
    error.code() == REQUEST_CONFLICT
}

/// Whether the connection could not even be made, so that the request never left.
pub(crate) fn never_sent(status: &tonic::Status) -> bool {
    is_because_of::<tonic::ConnectError>(status)
}

/// Whether such an error is among the causes.
fn is_because_of<E: std::error::Error + 'static>(status: &tonic::Status) -> bool {
    std::iter::successors(std::error::Error::source(status), |error| error.source()).any(|error| error.is::<E>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Source;

    fn connections() -> Connections {
        of(&["http://a:1", "http://b:1"])
    }

    fn of(urls: &[&str]) -> Connections {
        with(urls, Credentials::default())
    }

    fn with(urls: &[&str], credentials: Credentials) -> Connections {
        Connections::new(urls.iter().map(|&url| url.to_owned()).collect(), Tls::new(), credentials)
    }

    fn token() -> Credentials {
        Credentials::new(Some(Source::Text("token".to_owned()))).unwrap()
    }

    fn learn(connections: &Connections, told_by: &str, members: &[Member]) {
        super::learn(&connections.configured, &connections.state, &connections.credentials, told_by, members);
    }

    #[test]
    fn a_client_of_secure_addresses_speaks_with_no_other() {
        let secure = of(&["https://a:1"]);
        assert_eq!(secure.secured("http://b:1"), "https://b:1");
        assert_eq!(connections().secured("http://b:1"), "http://b:1");
        let mixed = of(&["https://a:1", "http://b:1"]);
        assert_eq!(mixed.secured("http://b:1"), "http://b:1");
    }

    #[test]
    fn after_a_failure_the_next_address_is_preferred_and_after_the_last_the_first() {
        let connections = connections();
        connections.move_on("http://a:1", None);
        assert_eq!(connections.preferred().0, "http://b:1");
        connections.move_on("http://b:1", None);
        assert_eq!(connections.preferred().0, "http://a:1");
    }

    #[test]
    fn members_that_are_told_are_asked_when_those_that_were_configured_do_not_answer() {
        let member = |address: &str| Member { client_address: address.into(), ..Member::default() };
        let connections = of(&["http://10.0.0.1:7420"]);
        let told = [member("10.0.0.1:7420"), member("10.0.0.2:7420"), member("127.0.0.1:7420"), member("")];
        learn(&connections, "http://10.0.0.1:7420", &told);
        connections.move_on("http://10.0.0.1:7420", None);
        assert_eq!(connections.preferred(), ("http://10.0.0.2:7420".to_owned(), true));
        // The round has these two, and the one that has left is not asked any more.
        learn(&connections, "http://10.0.0.1:7420", &[member("10.0.0.3:7420")]);
        connections.move_on("http://10.0.0.2:7420", None);
        assert_eq!(connections.preferred().0, "http://10.0.0.1:7420");
        connections.move_on("http://10.0.0.1:7420", None);
        assert_eq!(connections.preferred().0, "http://10.0.0.3:7420");
    }

    #[test]
    fn a_token_goes_to_no_address_in_the_clear_whoever_tells_it() {
        let connections = with(&["http://127.0.0.1:1"], token());
        let member = |address: &str| Member { client_address: address.into(), ..Member::default() };
        learn(&connections, "http://127.0.0.1:1", &[member("10.0.0.2:7420"), member("127.0.0.1:2")]);
        connections.move_on("http://127.0.0.1:1", Some("http://10.0.0.2:7420"));
        assert_eq!(connections.preferred().0, "http://127.0.0.1:2", "the next one that may be asked");
        assert_eq!(connections.fresh("http://10.0.0.2:7420").unwrap_err().code(), "GR9014");
        assert_eq!(connections.at("10.0.0.2:7420".into()).unwrap_err().code(), "GR9014");
        let secure = with(&["https://a:1"], token());
        secure.move_on("https://a:1", Some("http://10.0.0.2:7420"));
        assert_eq!(secure.preferred().0, "http://10.0.0.2:7420", "it is spoken with over TLS");
    }

    #[test]
    fn a_leader_hint_is_followed_and_remembered() {
        let connections = connections();
        connections.move_on("http://a:1", Some("http://c:1"));
        assert_eq!(connections.preferred().0, "http://c:1");
        connections.move_on("http://c:1", None);
        assert_eq!(connections.preferred().0, "http://a:1");
        connections.move_on("http://a:1", None);
        connections.move_on("http://b:1", None);
        assert_eq!(connections.preferred().0, "http://c:1");
    }

    #[test]
    fn a_call_that_failed_before_another_moved_on_changes_nothing() {
        let connections = connections();
        connections.move_on("http://a:1", None);
        connections.move_on("http://a:1", None);
        assert_eq!(connections.preferred().0, "http://b:1");
    }

    #[tokio::test(start_paused = true)]
    async fn no_try_is_begun_when_there_is_no_time_for_an_answer() {
        // This process is stopped while the call waits for its next try, until after its time.
        let stopped = tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            tokio::time::advance(Duration::from_secs(10)).await;
        });
        let (time, tries) = (Duration::from_secs(5), Mutex::new(Vec::new()));
        let until = Instant::now() + time;
        let call = |_| {
            tries.lock().unwrap().push(Instant::now());
            std::future::ready(Err::<tonic::Response<()>, _>(tonic::Status::unavailable("broken")))
        };
        connections().call("try", Kind::Read, time, call).await.unwrap_err();
        let tries = tries.into_inner().unwrap();
        assert!(tries.len() > 1 && tries.iter().all(|at| *at < until), "{tries:?}, until {until:?}");
        stopped.await.unwrap();
    }
}
