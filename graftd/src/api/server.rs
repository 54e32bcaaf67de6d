//! The accept loop: connections in, each bounded in what it may hold and how long it may take, and a stop that waits a bounded time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::calm::Calm;
use super::first_bytes::{self, Speaks};
use super::gate::Gate;
use super::unread::Unread;
use super::{Api, Shared, grpc_health, router};
use crate::crowd::{Place, Places, Seldom};
use crate::tls::clients::{CertName, ClientTls};

/// Most connections at once; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Most connections of one address; those beyond are closed, so that there is always room for somebody else.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 12_288;
/// Most connections of probes and scrapers, where they have a listener of their own.
const PROBES_MAX: usize = 256;
/// Most TLS handshakes at a time; whoever comes beyond waits.
const HANDSHAKES_MAX: usize = 256;
/// Most TLS handshakes of one address at a time.
const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;
/// Longest time for a TLS handshake with the wait for its turn.
const HANDSHAKE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest time for a connection's first byte, and for the head of an HTTP/1.1 request.
const HEADER_READ_MAX: Duration = Duration::from_secs(10);
/// An HTTP/2 connection is pinged when it has been silent for so long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// A connection that does not answer a ping within this time is closed.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most requests and streams at once on one connection.
const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// Largest head of a request, in bytes.
const HEADER_BYTES_MAX: u32 = 32 << 10;
/// What a stream may send before it has to wait, in bytes: a state or two.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// What a connection may send before it has to wait, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// How long requests that are under way may take when the server stops.
pub const STOP_MAX: Duration = Duration::from_secs(10);
/// Pause after an accept that failed (for want of file descriptors, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The API of a member, about to be served.
pub struct Server {
    clients: TcpListener,
    tls: Option<ClientTls>,
    health: Option<TcpListener>,
    shared: Arc<Shared>,
}

impl Server {
    /// For clients on this listener, over TLS if there is any, until `shutdown`.
    ///
    /// # Errors
    /// If the listener does not know where it listens.
    pub fn new(clients: TcpListener, tls: Option<ClientTls>, api: Api, shutdown: CancellationToken) -> io::Result<Self> {
        let shared = Shared::new(api, clients.local_addr()?, shutdown);
        Ok(Self { clients, tls, health: None, shared })
    }

    /// Health and metrics are served on this listener as well, to whoever asks.
    pub fn with_health(self, health: Option<TcpListener>) -> Self {
        Self { health, ..self }
    }

    /// What other members ask of this API, to be served where members are.
    pub fn for_members(&self) -> Routes {
        router::for_members(&self.shared)
    }

    /// Answers until the shutdown; then finishes what is under way, for at most `STOP_MAX`.
    pub async fn serve(self) -> io::Result<()> {
        let Self { clients, tls, health, shared } = self;
        let service = grpc_health::service(&shared).await;
        let take_max = shared.api.info.take_max;
        let shutdown = shared.shutdown.clone();
        let door = |gate, tls, connections_max| Door {
            gate,
            tls,
            take_max,
            places: Arc::new(Semaphore::new(connections_max)),
            each: Places::new(CONNECTIONS_PER_ADDRESS_MAX.min(connections_max), HANDSHAKES_PER_ADDRESS_MAX),
            refusals: Seldom::default(),
            strangers: Arc::default(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            shutdown: shutdown.clone(),
        };
        let for_probes = health.map(|health| {
            let router = router::for_probes(&shared, service.clone());
            door(Gate::for_probes(router, shared.clone()), None, PROBES_MAX).serve(health)
        });
        let gate = Gate::new(router::router(shared.clone(), service), shared.clone());
        let for_clients = door(gate, tls, CONNECTIONS_MAX).serve(clients);
        tokio::join!(for_clients, async {
            if let Some(probes) = for_probes {
                probes.await;
            }
        });
        Ok(())
    }
}

/// What is behind a listener, and its bounds.
struct Door {
    gate: Gate,
    tls: Option<ClientTls>,
    take_max: Duration,
    places: Arc<Semaphore>,
    /// Of those, the part of each address.
    each: Arc<Places>,
    refusals: Seldom,
    /// Connections that speak another protocol.
    strangers: Arc<Seldom>,
    handshakes: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Door {
    async fn serve(self, listener: TcpListener) {
        let Self { shutdown, .. } = &self;
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            let place = tokio::select! {
                place = self.places.clone().acquire_owned() => place.expect("nobody closes this semaphore"),
                () = shutdown.cancelled() => break,
            };
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
                () = shutdown.cancelled() => break,
            };
            while connections.try_join_next().is_some() {}
            let Some(of_address) = self.each.enter(peer.ip()) else {
                if let Some(left_out) = self.refusals.now() {
                    tracing::warn!(%peer, left_out, "closed a connection: its address has {CONNECTIONS_PER_ADDRESS_MAX} already");
                }
                continue;
            };
            let connection = Connection {
                peer,
                place: of_address,
                take_max: self.take_max,
                http: builder(),
                gate: self.gate.clone(),
                strangers: self.strangers.clone(),
                watcher: graceful.watcher(),
                tls: self.tls.clone(),
                handshakes: self.handshakes.clone(),
                shutdown: shutdown.clone(),
            };
            connections.spawn(async move {
                if let Err(error) = connection.serve(stream).await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                drop(place);
            });
        }
        drop(listener);
        if tokio::time::timeout(STOP_MAX, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests took longer than {} s to finish and were cut off", STOP_MAX.as_secs());
        }
        connections.shutdown().await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_MAX).max_buf_size(HEADER_BYTES_MAX as usize);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    http
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A connection that has been accepted.
struct Connection {
    peer: SocketAddr,
    /// Kept as long as the connection lasts.
    place: Place,
    take_max: Duration,
    http: auto::Builder<TokioExecutor>,
    gate: Gate,
    strangers: Arc<Seldom>,
    watcher: Watcher,
    tls: Option<ClientTls>,
    handshakes: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) -> Result<(), Failed> {
        stream.set_nodelay(true)?;
        let first = tokio::select! {
            first = tokio::time::timeout(HEADER_READ_MAX, first_bytes::look(&stream)) => first,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        let Ok(first) = first else { return Err("it said nothing in time".into()) };
        match (first?, self.tls.clone()) {
            (Speaks::Http1, None) => self.talk(stream, false, None).await,
            (Speaks::Http2, None) => self.talk(stream, true, None).await,
            (Speaks::Tls, Some(tls)) => {
                let shaken = tokio::time::timeout(HANDSHAKE_WAIT_MAX, async {
                    // First among those of its own address.
                    let _own = self.place.handshake().await;
                    let _place = self.handshakes.acquire().await;
                    tls.accept(stream).await
                });
                let shaken = shaken.await.map_err(|_| format!("no handshake within {HANDSHAKE_WAIT_MAX:?}"))??;
                self.talk(shaken.stream, shaken.http2, shaken.caller).await
            }
            (Speaks::Nothing, _) => Ok(()),
            (speaks, tls) => {
                if let Some(left_out) = self.strangers.now() {
                    tracing::info!(peer = %self.peer, ?speaks, left_out, "refused a connection that speaks another protocol");
                }
                Ok(first_bytes::refuse(stream, speaks, tls.is_some()).await?)
            }
        }
    }

    async fn talk<S>(self, stream: S, http2: bool, cert: Option<CertName>) -> Result<(), Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, place: _place, take_max, http, gate, watcher, .. } = self;
        let http = if http2 { http.http2_only() } else { http.http1_only() };
        let service = TowerToHyperService::new(gate.of(cert, peer.ip())?);
        let stream = Unread::new(Calm::new(stream, http2), take_max);
        watcher.watch(http.serve_connection(TokioIo::new(stream), service).into_owned()).await
    }
}
