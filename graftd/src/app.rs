//! The top floor: puts the daemon together, bottom up, and takes it apart, top down. Seen by none.
//!
//! Starting has two halves. [`Prepared::new`] is quick and can fail in the ways that a person can do something about: it checks the
//! configuration, takes the data directory, binds the ports. What it knows is what [`Prepared::banner`] prints. [`Prepared::open`] then opens
//! storage (which may replay), consensus, the scheduler and the API, in this order, and starts the task that makes this member part of a
//! cluster (`forming`). From there on nothing above is needed by anything below.
//!
//! [`Daemon::shutdown`] goes the other way: readiness first, so that traffic goes elsewhere; then dispatch, leadership, the streams, the
//! peers, and the files last. Whatever cannot go on (a storage error, a broken invariant, two clusters in sight) comes out of
//! [`Daemon::failed`], and the process ends: one member down beats two members apart.
//!
//! Everything is started here, and everything that is started is waited for here.

mod background;
mod backup;
mod banner;
mod certificates;
mod configuration;
mod disk;
mod error;
mod forming;
mod health;
mod history;
mod leaving;
mod options;
mod presence;
mod recover;
mod reload;
mod run;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use graft_machine::state::StateRead;
use graft_machine::tables::{Meta, MetaKey};
use graft_proto::peer::v1::peer_service_server::PeerServiceServer;
use graft_proto::peer_identity::is_name;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::api;
use crate::auth::{Auth, AuthOptions};
use crate::built;
use crate::clock::Clock;
use crate::config::{Change, Config, ConfigError, HostPort, Loaded};
use crate::consensus::{Consensus, Peers, unreadable};
use crate::discovery::data_dir::{Contents, DataDir};
use crate::discovery::formation::Formation;
use crate::discovery::formation_rules::Me;
use crate::discovery::records::{Candidate, FIRST_EPOCH, Marker};
use crate::discovery::sources::Candidates;
use crate::discovery::stateful_set::StatefulSetPod;
use crate::observability::logging::ProcessLog;
use crate::observability::metrics::Metrics;
use crate::observability::process;
use crate::observability::readiness::{Readiness, ReadinessBoard};
use crate::observability::reloads::Reloads;
use crate::observability::traces::Traces;
use crate::observability::traces::collector::Address;
use crate::scheduler::Scheduler;
use crate::storage::{Disk, Fault, LogRecovered, LogStore, RealDisk, StateStore, StorageError};
use crate::tls::clients::ClientTls;
use crate::tls::members::{Accepted, PeerSecurity, incoming};
use background::{Background, Failures};
use forming::member_info;
use health::Replay;
use reload::{InForce, Live};

pub use backup::{BackupError, Inspected, Restored, inspect, restore};
pub use configuration::configuration;
pub use error::{Failure, StartError};
pub use recover::recover;
pub use reload::ReloadError;
pub use run::run;

/// How often an idle connection of another member is probed, and how long it may take to answer.
const PEER_KEEPALIVE: Duration = Duration::from_secs(2);
/// Name of a single member whose host has none.
const NAME_FALLBACK: &str = "graftd";
/// How much of the grace of a drain may go into leaving the cluster: what is left is for handing leadership over all the same.
const LEAVING_PART: f32 = 0.75;
/// Longest wait for something that only has to be noticed, once the grace of a drain is over.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// A daemon whose directory and ports are taken, and nothing else.
#[derive(Debug)]
pub struct Prepared {
    loaded: Loaded,
    /// That of the process, if the daemon is what it runs.
    log: Option<ProcessLog>,
    disk: Arc<dyn Disk>,
    data_dir: Arc<DataDir>,
    contents: Contents,
    client: TcpListener,
    client_tls: Option<ClientTls>,
    auth: AuthOptions,
    collector: Option<Address>,
    health: Option<TcpListener>,
    peer: Option<TcpListener>,
    security: PeerSecurity,
    me: Me,
    /// Shown to the cluster that this member asks to join.
    token: String,
}

impl Prepared {
    /// Checks the configuration, takes the data directory (formatting a new one) and binds the ports.
    pub async fn new(config: Config) -> Result<Self, StartError> {
        Self::with_disk(config.into(), RealDisk::shared()).await
    }

    /// As [`Self::new`], with the log and the state on this disk.
    pub async fn with_disk(loaded: Loaded, disk: Arc<dyn Disk>) -> Result<Self, StartError> {
        let config = &loaded.config;
        config.check()?;
        let name = config.node.name.as_deref();
        let (data_dir, mut contents) = DataDir::open(&config.node.data_dir, name, &host_name(), &config.cluster.name)?;
        if let Some(left) = &contents.left {
            let (cluster_id, raft_id) = (&left.cluster_id, left.raft_id);
            tracing::warn!(
                cluster_id,
                raft_id,
                "the member of this data directory has left its cluster for good: beginning anew, with nothing"
            );
            contents = data_dir.begin_anew(name.unwrap_or(&left.member))?;
        }
        let client = bind("client.listen", &config.client.listen).await?;
        let peer = match config.peer_listen() {
            Some(address) => Some(bind("cluster.peer_listen", &address).await?),
            None => None,
        };
        let health = match &config.client.health_listen {
            Some(address) => Some(bind("client.health_listen", address).await?),
            None => None,
        };
        let peer_address = match (&peer, config.peer_listen()) {
            (Some(peer), Some(listen)) => advertised(peer, config.cluster.peer_advertise.as_ref(), &listen)?,
            _ => String::new(),
        };
        let candidate = Candidate {
            name: contents.identity.member.clone(),
            raft_id: contents.identity.raft_id,
            peer_address,
            client_address: advertised(&client, config.client.advertise.as_ref(), &config.client.listen)?,
        };
        let me = Me { candidate, cluster_name: config.cluster.name.clone(), bootstrap: options::bootstrap(config) };
        let token = match &contents.marker {
            Some(_) => String::new(),
            None => options::join_token(config)?,
        };
        let security = options::peer_security(config, &me.candidate.name)?;
        let client_tls = options::client_tls(config).map_err(StartError::ClientTls)?;
        let auth = options::auth(config)?;
        let collector = options::collector(config)?;
        let data_dir = Arc::new(data_dir);
        Ok(Self { loaded, log: None, disk, data_dir, contents, client, client_tls, auth, collector, health, peer, security, me, token })
    }

    /// The log of this process is this daemon's: it is signed with the member's name, its level is the configured one, and operators may look at it
    /// and change it.
    pub fn with_log(mut self, log: ProcessLog) -> Self {
        log.signature.member(self.member_name());
        self.log = Some(log);
        self
    }

    /// The member's name.
    pub fn member_name(&self) -> &str {
        &self.me.candidate.name
    }

    /// What a person wants to see first: at most eight aligned lines.
    pub fn banner(&self) -> String {
        banner::banner(&self.me, &self.loaded.config, self.contents.marker.as_ref())
    }

    /// Opens the floors, bottom up.
    pub async fn open(self) -> Result<Daemon, StartError> {
        let Self {
            loaded,
            log: process_log,
            disk,
            data_dir,
            contents,
            client,
            client_tls,
            auth,
            collector,
            health,
            peer,
            security,
            me,
            token,
        } = self;
        let (config, live) = (loaded.config.clone(), Live::of(&loaded));
        let Contents { promise, marker, .. } = contents;
        let client_address = client.local_addr().map_err(|e| StartError::Internal(format!("failed to read the client port: {e}")))?;
        let (clock, metrics, board) = (Clock::system(), Arc::new(Metrics::new()), Arc::new(ReadinessBoard::starting()));
        process::register(&metrics.registry);
        let reloads = Reloads::register(&metrics.registry);

        let (state, log, recovered) = open_stores(&config, disk, &data_dir, &me, marker.as_ref(), &metrics).await?;
        let replay = Replay::watch(&board, &state, &recovered);
        let (traces, exporter) = match collector {
            None => (Traces::none(), None),
            Some(address) => {
                let (traces, exporter) = Traces::exported(options::exporting(&config, &me.candidate.name), address, &metrics.traces);
                (traces, Some(exporter))
            }
        };
        let policy = traces.policy();
        let options = options::consensus(&config, member_info(&me.candidate), security.clone(), traces);
        let consensus = Consensus::open(options, state, log, recovered, clock.clone(), metrics.clone()).await;
        let consensus = consensus.map_err(|e| StartError::Storage(e.to_string()))?;
        if let Some(marker) = &marker {
            if !consensus.is_initialized().await.map_err(|e| StartError::Storage(e.to_string()))? {
                consensus.shutdown().await;
                return Err(data_dir.raft_store_lost("is empty".into()).into());
            }
            consensus.set_lineage(marker.cluster_id.clone(), marker.epoch);
        } else if let Some(promise) = &promise {
            consensus.set_lineage(promise.cluster_id.clone(), FIRST_EPOCH);
        }

        let background = Background::default();
        let exporter_stop = background.stop_token();
        let exporter_task = exporter
            .map(|exporter| AbortOnDropHandle::new(tokio::spawn(exporter.run(history::of(consensus.clone()), exporter_stop.clone()))));
        let (api_stop, peers_stop, discovery_stop) = (background.stop_token(), background.stop_token(), background.stop_token());
        let sources = options::sources(&config, &me.candidate, &metrics, options::told_by_kubernetes());
        let (candidates, discovering) = Candidates::start(sources, security.clone(), metrics.clone(), &discovery_stop);
        let candidates = Arc::new(candidates);
        let discovery_task = AbortOnDropHandle::new(tokio::spawn(discovering));
        let formation = Arc::new(Formation::new(me.clone(), data_dir.clone(), promise, marker, metrics.clone()));
        let (scheduler, scheduler_task) = Scheduler::start(consensus.clone(), options::scheduler(&config, policy), clock, metrics.clone());
        let info = api::ServerInfo {
            version: built::VERSION.to_owned(),
            member_name: me.candidate.name.clone(),
            client_address: me.candidate.client_address.clone(),
            is_secure: client_tls.is_some(),
            retention_default_ms: live.retention_default_ms.subscribe(),
            redacted: live.redacted.subscribe(),
            take_max: api::TAKE_MAX,
            readiness: board.subscribe(),
            configuration: live.shown.subscribe(),
            log: process_log.clone(),
        };
        let (disk_metrics, certificate_metrics) = (metrics.clone(), metrics.clone());
        let (consensus_of_api, formation_of_api) = (consensus.clone(), Arc::downgrade(&formation));
        let provider_keys = auth.provider.as_ref().map(|(_, keys)| keys.clone());
        let auth = Arc::new(Auth::new(auth));
        let auth_in_force = auth.clone();
        let api = api::Api { consensus: consensus_of_api, scheduler: scheduler.clone(), formation: formation_of_api, auth, metrics, info };
        let server = api::Server::new(client, client_tls.clone(), api, api_stop.clone());
        let server = server.map_err(|e| StartError::Internal(format!("failed to read the client port: {e}")))?.with_health(health);
        let peers_task = peer.map(|peer| {
            let (incoming, asked) = (incoming(peer, security.clone()), server.for_members());
            serve_peers(incoming, consensus.peer_service(&formation), asked, peers_stop.clone(), background.failures())
        });
        let peer_security = security.clone();
        let certificates = (security.clone(), client_tls.clone());
        background.spawn(async move {
            security.follow().await;
            Ok(())
        });
        if let Some(tls) = client_tls.clone() {
            background.spawn(async move {
                tls.follow().await;
                Ok(())
            });
        }
        if let Some(keys) = provider_keys {
            background.spawn(async move {
                keys.follow().await;
                Ok(())
            });
        }
        let failures = background.failures();
        let api_task = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(e) = server.serve().await {
                failures.report(Failure::fatal(format!("clients can no longer be served: {e}")));
            }
        }));

        let sentinel = options::sentinel(&config, options::told_by_kubernetes());
        background.spawn(forming::form(consensus.clone(), formation.clone(), candidates.clone(), token, sentinel, board.clone()));
        background.spawn(presence::follow(consensus.clone(), formation.clone(), candidates));
        background.spawn(health::follow(consensus.clone(), board.clone(), replay));
        background.spawn(health::fatal(consensus.clone()));
        let (disk, files) = (data_dir.path().to_owned(), [data_dir.log_path(), data_dir.state_path()]);
        background.spawn(disk::watch(consensus.clone(), disk, files, live.disk_reserve.subscribe(), disk_metrics));
        background.spawn(certificates::watch(certificates, certificate_metrics));
        let scheduler_task = AbortOnDropHandle::new(scheduler_task);
        let in_force = InForce {
            loaded: Mutex::new(loaded),
            live,
            consensus: consensus.clone(),
            formation: formation.clone(),
            peer_security,
            client_tls: client_tls.clone(),
            auth: auth_in_force,
            level: process_log.map(|log| log.level),
            reloads,
        };
        let floors = Floors {
            consensus,
            scheduler,
            scheduler_task,
            api_task,
            api_stop,
            peers_task,
            peers_stop,
            discovery_task,
            discovery_stop,
            exporter_task,
            exporter_stop,
            background,
        };
        let pod = options::pod(&config, options::told_by_kubernetes());
        Ok(Daemon {
            client_address,
            urls: api::Urls { is_secure: client_tls.is_some() },
            me,
            formation,
            board,
            in_force,
            floors,
            pod,
            data_dir,
        })
    }
}

/// A running daemon. Dropping it without [`Daemon::shutdown`] stops it as a crash would: nothing that was acknowledged is lost.
pub struct Daemon {
    client_address: SocketAddr,
    urls: api::Urls,
    me: Me,
    formation: Arc<Formation>,
    board: Arc<ReadinessBoard>,
    in_force: InForce,
    floors: Floors,
    /// Whose pod this member is, if it leaves with it.
    pod: Option<StatefulSetPod>,
    /// Owns the lock until everything else is gone.
    data_dir: Arc<DataDir>,
}

/// The floors that run, and how to end each. Whatever is dropped here ends.
struct Floors {
    consensus: Consensus,
    scheduler: Scheduler,
    scheduler_task: AbortOnDropHandle<()>,
    api_task: AbortOnDropHandle<()>,
    api_stop: CancellationToken,
    peers_task: Option<AbortOnDropHandle<()>>,
    peers_stop: CancellationToken,
    discovery_task: AbortOnDropHandle<()>,
    discovery_stop: CancellationToken,
    /// Brings spans to the collector, if there is one.
    exporter_task: Option<AbortOnDropHandle<()>>,
    exporter_stop: CancellationToken,
    background: Background,
}

impl Daemon {
    /// Starts a daemon in this process; the runtime must have several threads. [`Config::in_process`] is the usual configuration for tests.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Prepared::new(config).await?.open().await
    }

    /// Where clients are answered: the address that was bound.
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// The same, as a URL.
    pub fn client_url(&self) -> String {
        self.urls.of(&self.client_address.to_string())
    }

    /// The member's name.
    pub fn member_name(&self) -> &str {
        &self.me.candidate.name
    }

    /// Id of the cluster; waits until this member is part of one.
    pub async fn cluster_id(&self) -> String {
        self.formation.settled().await.cluster_id
    }

    /// Whether traffic is welcome, now and from now on.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.board.subscribe()
    }

    /// Waits until traffic is welcome. Fails if the daemon cannot go on.
    pub async fn ready(&self) -> Result<(), Failure> {
        let mut readiness = self.readiness();
        tokio::select! {
            failure = self.failed() => Err(failure),
            _ = readiness.wait_for(|now| now.ready) => Ok(()),
        }
    }

    /// Waits until the daemon cannot go on, and says why. It is then to be dropped.
    pub async fn failed(&self) -> Failure {
        self.floors.background.failed().await
    }

    /// Takes over what can change while it runs of a configuration that was read again, reads the files for TLS again, and says what is different. All
    /// of it is looked at first. It is also logged and counted.
    ///
    /// # Errors
    /// Why it is refused: then nothing has changed.
    pub fn reload(&self, read: Result<Loaded, ConfigError>) -> Result<Vec<Change>, ReloadError> {
        self.in_force.reload(read)
    }

    /// Drains and stops, top down, within the configured grace: dispatch ends, leadership is handed over, streams are closed with a reason,
    /// the state is flushed. A member whose pod is not to come back leaves the cluster first. What does not end in time is cut; nothing that was
    /// acknowledged is lost by it.
    pub async fn shutdown(self) {
        let begun = Instant::now();
        let grace = self.in_force.grace();
        let deadline = begun + grace;
        // It holds consensus, too, which has to end below.
        drop(self.in_force);
        let Floors {
            consensus,
            scheduler,
            scheduler_task,
            api_task,
            api_stop,
            peers_task,
            peers_stop,
            discovery_task,
            discovery_stop,
            exporter_task,
            exporter_stop,
            background,
        } = self.floors;
        self.board.update(|conditions| conditions.draining = true);
        scheduler.stop_dispatch();
        discovery_stop.cancel();
        if let Some(pod) = &self.pod {
            leaving::leave(pod, &consensus, &self.formation, &self.data_dir, begun + grace.mul_f32(LEAVING_PART)).await;
        }
        late(deadline, "handing over leadership", consensus.resign()).await;
        api_stop.cancel();
        late(deadline, "closing the clients' streams", api_task).await;
        late(deadline, "taking back what was announced", discovery_task).await;
        exporter_stop.cancel();
        if let Some(exporter) = exporter_task {
            late(Instant::now() + LAST_WAIT, "sending the last spans", exporter).await;
        }
        // Failures from here on are only those of taking things apart.
        background.end().await;
        peers_stop.cancel();
        let at_last = deadline.max(Instant::now() + LAST_WAIT);
        late(at_last, "flushing the state", consensus.shutdown()).await;
        drop((consensus, scheduler));
        late(Instant::now() + LAST_WAIT, "ending the scheduler", scheduler_task).await;
        if let Some(peers) = peers_task {
            late(Instant::now() + LAST_WAIT, "closing the members' streams", peers).await;
        }
    }
}

/// Waits for a step of the drain, but not for ever. A task that is not done by then is cut: dropping its handle ends it.
async fn late<T>(deadline: Instant, step: &'static str, future: impl Future<Output = T>) {
    if timeout_at(deadline, future).await.is_err() {
        tracing::warn!("{step} took too long and was cut short");
    }
}

async fn bind(key: &'static str, address: &HostPort) -> Result<TcpListener, StartError> {
    TcpListener::bind(address.to_string()).await.map_err(|cause| {
        let remedy = match cause.kind() {
            std::io::ErrorKind::AddrInUse => "another process listens there, perhaps another graftd: stop it, or choose another port",
            _ => "name an address of this machine and a port that this user may use",
        };
        StartError::Port { key, address: address.to_string(), cause, remedy }
    })
}

/// What others are told to connect to: as configured, with the port that was bound.
fn advertised(listener: &TcpListener, advertise: Option<&HostPort>, listen: &HostPort) -> Result<String, StartError> {
    let bound = listener.local_addr().map_err(|e| StartError::Internal(format!("failed to read the port that was bound: {e}")))?;
    Ok(advertise.cloned().unwrap_or_else(|| listen.with_port(bound.port())).to_string())
}

/// The host's name, as far as it can be a member's.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if is_name(name.trim()) { name.trim().to_owned() } else { NAME_FALLBACK.to_owned() }
}

/// Opens the two files, beside the runtime's threads: after a crash redb may have to look through them.
async fn open_stores(
    config: &Config,
    disk: Arc<dyn Disk>,
    data_dir: &Arc<DataDir>,
    me: &Me,
    marker: Option<&Marker>,
    metrics: &Arc<Metrics>,
) -> Result<(StateStore, LogStore, LogRecovered), StartError> {
    let (state_options, log_options) = (options::state(config), options::log(config));
    let (data_dir, metrics) = (data_dir.clone(), metrics.clone());
    let (raft_id, marker) = (me.candidate.raft_id, marker.cloned());
    let opened = tokio::task::spawn_blocking(move || {
        let state = StateStore::open_on(disk.clone(), &data_dir.state_path(), state_options, Some(metrics.clone()))?;
        let (log, recovered) = LogStore::open_on(&*disk, &data_dir.log_path(), log_options, Some(metrics))?;
        state.claim(raft_id)?;
        log.claim(raft_id)?;
        fit(&state, &recovered, marker.as_ref())?;
        if let Some(why) = unreadable(&log, &recovered, &state)? {
            return Err(StoresError::Apart(why));
        }
        Ok((state, log, recovered))
    });
    opened.await.map_err(|e| StartError::Internal(format!("opening the data panicked: {e}")))?.map_err(|e: StoresError| match e {
        StoresError::Storage(e) => match e.fault {
            Fault::Disk => StartError::Disk(e.to_string()),
            Fault::Busy => StartError::Busy(e.to_string()),
            Fault::File => StartError::Data(e.to_string()),
        },
        StoresError::Apart(why) => StartError::Data(why),
    })
}

/// Why the two files cannot be used.
enum StoresError {
    /// One of them.
    Storage(StorageError),
    /// Each is whole, and they do not belong together, or not to this version.
    Apart(String),
}

impl From<StorageError> for StoresError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// The log must go on where the state ends, or before; and the state must be of the cluster that the marker names.
fn fit(state: &StateStore, log: &LogRecovered, marker: Option<&Marker>) -> Result<(), StoresError> {
    let (applied, purged) = (state.applied().index, log.purged.as_ref().map_or(0, |(index, _)| *index));
    if applied < purged {
        let why = format!("state.redb has come to entry {applied}, and log.redb has none up to {purged} any more");
        return Err(StoresError::Apart(format!("{why}: one of the two is not of this moment")));
    }
    let of =
        state.latest().get::<Meta>(&MetaKey {}).and_then(|meta| meta.lineage.last().map(|now| now.cluster_id.clone())).unwrap_or_default();
    match marker {
        Some(marker) if !of.is_empty() && of != marker.cluster_id => {
            Err(StoresError::Apart(format!("cluster.json names cluster {}, and state.redb is of cluster {of}", marker.cluster_id)))
        }
        _ => Ok(()),
    }
}

fn serve_peers(
    incoming: impl Stream<Item = io::Result<Accepted>> + Send + 'static,
    peers: PeerServiceServer<Peers>,
    asked: Routes,
    stop: CancellationToken,
    failures: Failures,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let served = Server::builder()
            .http2_keepalive_interval(Some(PEER_KEEPALIVE))
            .http2_keepalive_timeout(Some(PEER_KEEPALIVE))
            .add_routes(asked.add_service(peers))
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
        if let Err(e) = served.await {
            failures.report(Failure::fatal(format!("members can no longer be served: {e}")));
        }
    }))
}
