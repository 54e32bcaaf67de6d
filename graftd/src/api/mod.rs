//! The API floor: the only folder that spells the public protocol and HTTP.
//!
//! One port speaks everything that clients, workers and probes need: gRPC over HTTP/2 (`graft.v1`), and HTTP/1.1 or HTTP/2 for REST, health
//! and metrics. A request comes in through five small layers:
//!
//! 1. `server` accepts connections, bounds them, and looks at the first bytes (`first_bytes`): what is neither TLS nor HTTP, or not what is
//!    spoken here, gets an answer that says so, and a closed connection. One whose other side reads nothing is closed (`unread`), and one that is
//!    flooded with frames that ask for nothing (`calm`); streams end for who takes none of their answers (`taken`): nobody holds for long what others need.
//! 2. `gate` finds out who asks (`crate::auth`), and refuses who shows nothing good. What a caller needs for which method stands in one table
//!    (`access`), in front of the services, for gRPC and REST alike; administrative acts are noted before they are done (`acts`), and fields that
//!    few may see are hidden from the others (`redacted`).
//! 3. `router` knows every path; `timed` stands before all of them. `methods` stands before the gRPC services: it counts, bounds what is read (`bodies`), and answers methods
//!    that this version lacks.
//! 4. The services (`workflows`, `watch`, `limits`, `events`, `worker`, `cluster` and so on; `grpc_health` and `reflection` for generic tools)
//!    say what happens, in terms of the floors below: *propose* a command, *read* behind a barrier, *connect* a session.
//! 5. The crate `graft-convert` turns messages into the machine's own types and back, and is where everything that users write is checked for shape and
//!    size. What passes there is only refused further down for reasons that depend on the state.
//!
//! Every refusal is a [`graft_proto::errors::Fault`]: the catalogue gives each its stable code, its gRPC code and its remedy. Nothing else in
//! this floor makes a status.
//!
//! Any member answers. What changes something goes to the leader by itself (consensus does that); reads are linearizable unless the client
//! asks for less; single records are read from the newest state, pages from a view, so that no page
//! holds up apply, and by threads that leave others their time (`readers`).

mod access;
mod acts;
mod bodies;
mod calm;
mod cluster;
#[cfg(test)]
mod counted;
mod dead_letters;
mod diagnosis;
mod errors;
mod events;
mod export;
mod first_bytes;
mod forward;
mod gate;
mod grpc_health;
mod history;
mod http;
mod limits;
mod list;
mod membership;
mod methods;
mod readers;
mod redacted;
mod reflection;
mod requests;
mod router;
mod served;
mod server;
mod sessions;
mod snapshot;
mod standing;
mod start;
mod start_many;
mod taken;
mod tasks;
mod timed;
mod tokens;
mod unread;
mod waits;
mod watch;
mod worker;
mod workflows;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, watch as tokio_watch};
use tokio_util::sync::CancellationToken;

use graft_machine::access::ApiToken;
use graft_machine::view;

use crate::auth::redacted::Fields;
use crate::auth::{Auth, Tokens};
use crate::clock::Clock;
use crate::consensus::Consensus;
use crate::crowd::Seldom;
use crate::discovery::formation::Formation;
use crate::observability::logging::ProcessLog;
use crate::observability::metrics::Metrics;
use crate::observability::readiness::Readiness;
use crate::scheduler::Scheduler;

pub use methods::METHODS;
pub use server::Server;
pub use taken::TAKE_MAX;

/// Most starts that are under way at once on a member; more are refused with advice to come back. Results of workers are never refused
/// for this, so an overloaded cluster works off what it has before it takes on more.
pub const STARTS_IN_FLIGHT_MAX: usize = 8_192;

/// What the API stands on.
#[derive(Clone)]
pub struct Api {
    /// Proposes, and reads.
    pub consensus: Consensus,
    /// Takes worker sessions.
    pub scheduler: Scheduler,
    /// This member's part in the formation of its cluster. Not owned: it holds the data directory, which must be free when the daemon has ended,
    /// whatever connections are still there.
    pub formation: Weak<Formation>,
    /// Knows callers.
    pub auth: Arc<Auth>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Who answers.
    pub info: ServerInfo,
}

/// Who answers, and with which settings.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Version of the daemon.
    pub version: String,
    /// Name of the member.
    pub member_name: String,
    /// Where it answers clients (`HOST:PORT`).
    pub client_address: String,
    /// Whether it does so over TLS.
    pub is_secure: bool,
    /// How long an ended workflow is kept if its start does not say, in milliseconds.
    pub retention_default_ms: tokio_watch::Receiver<u64>,
    /// Fields of states and configs that few may see.
    pub redacted: tokio_watch::Receiver<Arc<Fields>>,
    /// How long a client may take none of what it is told: [`TAKE_MAX`], unless a test has less patience.
    pub take_max: Duration,
    /// Whether the member should get traffic, and why not.
    pub readiness: tokio_watch::Receiver<Readiness>,
    /// The configuration in force, as a file that says the same, with where each value was said.
    pub configuration: tokio_watch::Receiver<Arc<str>>,
    /// The log, if it is the member's own.
    pub log: Option<ProcessLog>,
}

/// What all services of one server share.
pub(crate) struct Shared {
    pub(crate) api: Api,
    pub(crate) clock: Clock,
    pub(crate) served: served::ServedNodes,
    /// Those who read pages.
    pub(crate) readers: readers::Readers,
    /// Places for single starts.
    pub(crate) starts: Semaphore,
    /// Places for subscribers of events, over gRPC and REST together.
    pub(crate) subscribers: Arc<Semaphore>,
    /// Bound of their streams, with those of subscribers that were let go.
    pub(crate) subscriber_streams: Arc<Semaphore>,
    /// Places for backups.
    pub(crate) snapshots: Arc<Semaphore>,
    /// Places for the starts of calls of many.
    pub(crate) bulk: start_many::Bulk,
    /// Room for messages that are being read.
    pub(crate) bodies: bodies::Room,
    /// Room for bodies of many lines.
    pub(crate) lines: bodies::Room,
    /// Refusals of callers that are not known, for the log.
    pub(crate) refusals: Seldom,
    /// Callers who may not do what they asked for.
    pub(crate) denials: Seldom,
    /// Under which names REST answers.
    pub(crate) hosts: http::Hosts,
    /// Cancelled when the server stops: streams end with a reason.
    pub(crate) shutdown: CancellationToken,
}

/// How clients are told where members are. All members of a cluster serve them in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Urls {
    pub(crate) is_secure: bool,
}

impl Urls {
    /// `HOST:PORT` of a member as a URL; nothing stays nothing.
    pub(crate) fn of(self, address: &str) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        if address.is_empty() { String::new() } else { format!("{scheme}://{address}") }
    }
}

impl ServerInfo {
    pub(crate) fn urls(&self) -> Urls {
        Urls { is_secure: self.is_secure }
    }
}

impl Tokens for Shared {
    fn token(&self, id: &str) -> Option<Arc<ApiToken>> {
        view::api_token(&self.api.consensus.latest(), id)
    }

    fn now(&self) -> u64 {
        self.api.consensus.machine_time()
    }
}

impl Shared {
    pub(crate) fn new(api: Api, listener: SocketAddr, shutdown: CancellationToken) -> Arc<Self> {
        let hosts = http::Hosts::of(listener, &api.info.client_address);
        Arc::new(Self {
            api,
            hosts,
            clock: Clock::system(),
            served: served::ServedNodes::default(),
            readers: readers::Readers::start(),
            starts: Semaphore::new(STARTS_IN_FLIGHT_MAX),
            subscribers: Arc::new(Semaphore::new(events::SUBSCRIBERS_MAX)),
            snapshots: Arc::new(Semaphore::new(snapshot::SNAPSHOTS_MAX)),
            subscriber_streams: Arc::new(Semaphore::new(events::STREAMS_MAX)),
            bulk: start_many::Bulk::new(),
            bodies: bodies::Room::for_messages(),
            lines: bodies::Room::for_lines(),
            refusals: Seldom::default(),
            denials: Seldom::default(),
            shutdown,
        })
    }
}
