//! The handle: what the floors above hold.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use graft_machine::command::{Command, Envelope, InitCluster};
use graft_machine::ids::Run;
use graft_machine::reply::Answer;
use graft_machine::state::StateRead;
use graft_machine::tables::{Meta, MetaKey};
use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use graft_proto::peer::v1::peer_service_server::PeerServiceServer;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::{Instant, ServerState};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::apply::{Shared, StateMachine};
use super::autopilot;
use super::barrier::Barrier;
use super::error::{ChangeError, OpenError, ProposeError};
use super::feed::{Feed, Feeds};
use super::figures::{self, FIGURES_EVERY};
use super::groups::{Asked, Target};
use super::heard::Heard;
use super::leadership::{Compass, Herald, Leadership, Route};
use super::links::{Links, PEER_MESSAGE_BYTES_MAX};
use super::log_store::LogStorage;
use super::member::MemberInfo;
use super::network::Network;
use super::options::{ConsensusOptions, MembershipRules};
use super::orders::{self, Order};
use super::peer_server::Peers;
use super::proposer::Proposer;
use super::refusals::Refusal;
use super::registrar::Registrar;
use super::sending::Sending;
use super::snapshot::blocking;
use super::status::{self, ClusterStatus};
use super::subscriptions::{RunSubscription, Subscriptions};
use super::tally::Tally;
use super::time::StampClock;
use super::trim::Trim;
use super::types::Raft;
use super::versions::{Fatal, InForce};
use crate::clock::Clock;
use crate::discovery::formation::Formation;
use crate::observability::metrics::Metrics;
use crate::storage::{Latest, LogRecovered, LogStore, SnapshotReader, StateStore, View};
use crate::tls::members::LinkOptions;

/// How long a restarted member waits for the cluster to confirm what it has.
const RECOVERY_WAIT: Duration = Duration::from_secs(60);
/// A follower that hears nothing of its leader for so many of the longest election timeouts sees none. Heartbeats come many times as often.
const SILENT_ELECTIONS: u32 = 2;
/// A write, or an answer of openraft's core, that takes longer never comes. Slow disks take seconds.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How often openraft's core is asked.
const PULSE_EVERY: Duration = Duration::from_secs(5);

/// This member's part in the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Consensus {
    inner: Arc<Inner>,
}

struct Inner {
    raft: Raft,
    shared: Arc<Shared>,
    log: LogStore,
    links: Arc<Links>,
    proposer: Proposer,
    barrier: Barrier,
    compass: Compass,
    leadership: watch::Receiver<Leadership>,
    receiving: Arc<Semaphore>,
    clock: Clock,
    lease: Duration,
    /// The last answer of openraft's core to a question that costs nothing.
    core_answers: Heard,
    stop: CancellationToken,
    stopping: AtomicBool,
    registrar: Arc<Registrar>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Consensus {
    /// Starts over opened stores: applies again what the log holds beyond the flushed state, and takes part from then on. Call inside a
    /// multi-threaded runtime. The peer listener must serve [`Self::peer_service`] for other members to be heard.
    pub async fn open(
        options: ConsensusOptions,
        state: StateStore,
        log: LogStore,
        recovered: LogRecovered,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let config = options.raft_config()?;
        let me = options.member.raft_id;
        let storage = |reason: String| OpenError::Storage { reason };
        let (machine_time, version) = state.latest().get::<Meta>(&MetaKey {}).map_or((0, 0), |meta| (meta.time, meta.machine_version));
        let recovered_index = recovered.last.as_ref().map_or(0, |last| last.index);
        let lease = Duration::from_millis(options.election_max_ms);
        let shared = Arc::new(Shared {
            applied: watch::Sender::new(state.applied().index),
            heard: Heard::nothing(lease * SILENT_ELECTIONS),
            state,
            feeds: Feeds::default(),
            subscriptions: Subscriptions::default(),
            stamps: StampClock::new(clock.clone(), machine_time),
            broken: watch::Sender::new(None),
            version: InForce::new(version),
            tally: Tally::new(metrics.clone()),
            traces: options.traces.clone(),
            metrics: metrics.clone(),
            gapless: true,
            ended: 0.into(),
            recovered: recovered_index,
        });
        let log_storage = LogStorage::new(log.clone(), recovered).map_err(|error| storage(error.to_string()))?;
        let links = Links::new(me, options.security.clone());
        let sending = Sending::default();
        let network = Network { links: links.clone(), sending: sending.clone(), metrics: metrics.clone() };
        let machine = StateMachine::new(shared.clone());
        let raft = Raft::new(me, Arc::new(config), network, log_storage, machine).await.map_err(|error| storage(error.to_string()))?;
        let compass = Compass::new(&raft);
        let stop = CancellationToken::new();
        let (told, leadership) = watch::channel(Leadership::Follower { term: compass.metrics().vote.leader_id.term, leader: None });
        let herald =
            Herald { raft: raft.clone(), compass: compass.clone(), shared: shared.clone(), links: links.clone(), told, stop: stop.clone() };
        tokio::spawn(herald.run());
        tokio::spawn(Trim::new(&options, raft.clone(), log.clone(), sending, shared.clone(), stop.clone()).run());
        let proposer = Proposer::start(&options, raft.clone(), log.clone(), links.clone(), shared.clone(), metrics, stop.clone());
        let rules = options.membership.clone();
        let registrar =
            Arc::new(Registrar::new(raft.clone(), me, compass.clone(), links.clone(), proposer.clone(), shared.clone(), rules, lease));
        tokio::spawn(autopilot::run(registrar.clone(), stop.clone()));
        let barrier = Barrier::start(raft.clone(), compass.clone(), links.clone(), shared.clone(), stop.clone());
        let inner = Inner {
            raft,
            shared,
            log,
            links,
            proposer,
            barrier,
            compass,
            leadership,
            receiving: Arc::new(Semaphore::new(1)),
            clock,
            lease,
            core_answers: Heard::nothing(STUCK_AFTER),
            stop,
            stopping: AtomicBool::new(false),
            registrar,
        };
        let inner = Arc::new(inner);
        inner.core_answers.note();
        tokio::spawn(pulse(Arc::downgrade(&inner), inner.stop.clone()));
        tokio::spawn(figures(Arc::downgrade(&inner), inner.stop.clone()));
        Ok(Self { inner })
    }

    /// From now on this member keeps to these rules when it leads and members come or go.
    pub fn set_membership_rules(&self, rules: MembershipRules) {
        self.inner.registrar.keep_to(rules);
    }

    /// Whether this member is part of a cluster: its log is not empty. The error says why consensus has stopped.
    pub async fn is_initialized(&self) -> Result<bool, OpenError> {
        self.inner.raft.is_initialized().await.map_err(|error| OpenError::Storage { reason: format!("consensus has stopped: {error}") })
    }

    /// Makes the first members of a new cluster, this one among them. Each of them may call it, with the same list; what is initialized
    /// already stays as it is.
    pub async fn initialize(&self, members: Vec<MemberInfo>) -> Result<(), OpenError> {
        let members: BTreeMap<u64, MemberInfo> = members.into_iter().map(|member| (member.raft_id, member)).collect();
        match self.inner.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(OpenError::Initialize { reason: error.to_string() }),
        }
    }

    /// Names the cluster, as its first command: on the member that leads. It begins with the highest machine version that all members say they
    /// can follow. A repeat changes nothing.
    pub async fn init_cluster(&self, cluster_id: String, cluster_name: String, epoch: u64) -> Result<Answer, ProposeError> {
        let machine_version = self.inner.registrar.begins_with().await;
        let command = Command::InitCluster(InitCluster { cluster_id, cluster_name, epoch, machine_version });
        let asked = Asked::by_us(&Envelope::internal("operator", command));
        self.inner.proposer.enqueue_version(vec![asked], Target::Here, machine_version)?.answer().await
    }

    /// From now on, calls between members carry this cluster id and epoch, and those of another cluster are refused.
    pub fn set_lineage(&self, cluster_id: String, epoch: u64) {
        self.inner.links.set_lineage(cluster_id, epoch);
    }

    /// A connection of its own to another member, at its port for members: only the member of this name will do.
    ///
    /// # Errors
    /// If the address is none.
    pub fn dial(&self, name: &str, peer_address: &str, options: LinkOptions) -> Result<Channel, tonic::transport::Error> {
        self.inner.links.dial(name, peer_address, options)
    }

    /// What the other members call; serve it on the peer listener.
    pub fn peer_service(&self, formation: &Arc<Formation>) -> PeerServiceServer<Peers> {
        self.inner.registrar.greets_as(formation);
        self.serve(Some(Arc::downgrade(formation)))
    }

    /// As [`Self::peer_service`], for a member whose cluster is formed by other means: the calls of the formation are refused.
    pub fn peer_service_without_formation(&self) -> PeerServiceServer<Peers> {
        self.serve(None)
    }

    fn serve(&self, formation: Option<Weak<Formation>>) -> PeerServiceServer<Peers> {
        let peers = Peers {
            raft: self.inner.raft.clone(),
            links: self.inner.links.clone(),
            shared: self.inner.shared.clone(),
            proposer: self.inner.proposer.clone(),
            compass: self.inner.compass.clone(),
            registrar: self.inner.registrar.clone(),
            formation,
            receiving: self.inner.receiving.clone(),
            stop: self.inner.stop.clone(),
        };
        PeerServiceServer::new(peers).max_decoding_message_size(PEER_MESSAGE_BYTES_MAX).max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    /// Resolves, with the reason, when this member cannot go on: a store failed, apply panicked, or the raft core stopped by itself. The
    /// process must exit then. Never resolves after [`Self::shutdown`].
    pub async fn fatal(&self) -> Fatal {
        let inner = &self.inner;
        let (mut raft, mut broken) = (inner.raft.metrics(), inner.shared.broken.subscribe());
        loop {
            let failed = inner.shared.state.failure().or_else(|| inner.log.failure()).map(|error| error.to_string());
            let panicked = broken.borrow_and_update().clone();
            let stopped = raft.borrow_and_update().running_state.clone().err().map(|error| format!("consensus has stopped: {error}"));
            if inner.stopping.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            if let Some(why) = panicked.or(failed.or(stopped).map(Fatal::Broken)) {
                return why;
            }
            tokio::select! {
                changed = raft.changed() => if changed.is_err() && !inner.stopping.load(Ordering::SeqCst) {
                    return Fatal::Broken("consensus has stopped".into());
                },
                _ = broken.changed() => {}
                // The flusher's thread tells nobody.
                () = tokio::time::sleep(FIGURES_EVERY) => {}
            }
        }
    }

    /// After a restart: waits (at most a minute) until the cluster has confirmed, and this member has applied, what its log held. Before it,
    /// [`Self::latest`] may be older than what this member has shown before. False: not in time.
    pub async fn recovered(&self) -> bool {
        self.inner.raft.wait_for_recovery(Some(RECOVERY_WAIT)).await.is_ok()
    }

    /// While this member leads, no workflow is started for this reason (`None`: they are); results and everything else are taken.
    pub fn refuse_starts(&self, why: Option<String>) {
        self.inner.proposer.refuse_starts(why);
    }

    /// See [`Self::refuse_starts`].
    pub fn starts_refused(&self) -> Option<String> {
        self.inner.proposer.starts_refused()
    }

    /// Refuses a start before anything is known of it, if this member leads and has no time for any. Costs next to nothing; [`Self::propose`]
    /// may still refuse what was let through.
    pub fn admit_start(&self) -> Result<(), ProposeError> {
        if self.leads() { Ok(self.inner.proposer.admit_any()?) } else { Ok(()) }
    }

    /// What [`Self::admit_start`] refuses with.
    pub fn no_time_for_starts(&self) -> ProposeError {
        Refusal::Overloaded.into()
    }

    /// So many ready tasks wait for a worker: what decides how many starts a leader that is late takes beyond what it works off.
    pub fn note_backlog(&self, tasks: usize) {
        self.inner.proposer.note_backlog(tasks);
    }

    fn leads(&self) -> bool {
        matches!(&*self.inner.leadership.borrow(), Leadership::Leader { .. })
    }

    /// Proposes a command, here or (by the peer link) at the leader, and waits for its answer. What still waits to be proposed when the
    /// [`Patience`](super::Patience) of the request is over is not proposed any more.
    pub async fn propose(&self, envelope: Envelope) -> Result<Answer, ProposeError> {
        let outcome = self.propose_one(envelope).await;
        self.count_proposals(1, outcome.as_ref().err());
        outcome
    }

    async fn propose_one(&self, envelope: Envelope) -> Result<Answer, ProposeError> {
        if self.leads() {
            self.inner.proposer.admit(&envelope)?;
        }
        self.inner.proposer.enqueue(vec![Asked::by_caller(&envelope)], Target::Anywhere)?.answer().await
    }

    /// Proposes commands as the leader of `term`; refused when that term is over, and never for want of room: they wait for it. They go into one or more entries, in order. If only the
    /// first entries were proposed, the outcome is `Unknown`.
    pub async fn propose_local(&self, term: u64, commands: Vec<Envelope>) -> Result<Vec<Answer>, ProposeError> {
        let expected = commands.len();
        let outcome = self.propose_in_order(term, commands).await;
        self.count_proposals(expected as u64, outcome.as_ref().err());
        outcome
    }

    fn count_proposals(&self, commands: u64, error: Option<&ProposeError>) {
        let proposals = &self.inner.shared.metrics.raft.proposals;
        let counted = match error {
            None => &proposals.ok,
            Some(ProposeError::Overloaded { .. } | ProposeError::NoRoom { .. } | ProposeError::Overdue) => &proposals.refused,
            Some(ProposeError::Unknown { .. }) => &proposals.unknown,
            Some(ProposeError::NotLeader | ProposeError::Unavailable { .. }) => &proposals.unavailable,
        };
        counted.inc_by(commands);
    }

    async fn propose_in_order(&self, term: u64, commands: Vec<Envelope>) -> Result<Vec<Answer>, ProposeError> {
        let proposer = &self.inner.proposer;
        let expected = commands.len();
        let commands = commands.iter().map(Asked::by_us).collect();
        let mut tickets = Vec::new();
        let mut refused = None;
        for group in proposer.groups(commands) {
            match proposer.enqueue_of_term(group, term).await {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let mut answers = Vec::with_capacity(expected);
        for ticket in tickets {
            match ticket.outcome().await {
                Ok(more) => answers.extend(more.into_iter().flatten()),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        match refused {
            None => Ok(answers),
            Some(error) if answers.is_empty() => Err(error),
            Some(error) => Err(ProposeError::Unknown { reason: format!("{} of {expected} were answered; then: {error}", answers.len()) }),
        }
    }

    /// What the machine's time should be now, in milliseconds since the epoch: an estimate, good on any member that hears of entries.
    pub fn machine_time(&self) -> u64 {
        self.inner.shared.stamps.estimate()
    }

    /// After it, [`Self::latest`] and [`Self::view`] show everything that was acknowledged before the call. Any member. The index that is
    /// covered. Takes at most [`super::BARRIER_WAIT`].
    pub async fn read_barrier(&self) -> Result<u64, ProposeError> {
        self.inner.barrier.pass().await
    }

    /// The newest state here, locked: a few records only.
    pub fn latest(&self) -> Latest<'_> {
        self.inner.shared.state.latest()
    }

    /// The state here at one index.
    pub fn view(&self) -> View {
        self.inner.shared.state.view()
    }

    /// Who leads. `Leader` is told only after the read barrier of the new term.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// For the scheduler of `term`: a view and the effects after it. `None` if the term is over. A second call closes the first feed.
    pub fn take_feed(&self, term: u64) -> Option<Feed> {
        let leads = || *self.inner.leadership.borrow() == (Leadership::Leader { term });
        if !leads() {
            return None;
        }
        let feed = self.inner.shared.feeds.take(term, &self.inner.shared.state);
        if leads() {
            return Some(feed);
        }
        self.inner.shared.feeds.close_before(term + 1);
        None
    }

    /// Until when (monotonic milliseconds of the clock it was given) the leader lease holds: leases may be minted before. `None`: it does not.
    pub fn leader_lease_until(&self) -> Option<u64> {
        let inner = &self.inner;
        let server = inner.compass.metrics();
        if server.state != ServerState::Leader || inner.registrar.is_handing_over(server.vote.leader_id.term) {
            return None;
        }
        let now = inner.clock.monotonic_ms();
        let lease = inner.lease.as_millis() as u64;
        if server.membership_config.voter_ids().eq([server.id]) {
            return Some(now + lease);
        }
        let acknowledged = inner.raft.data_metrics().borrow_watched().last_quorum_acked;
        let age = acknowledged?.into_inner().elapsed().as_millis() as u64;
        // Rounded against us: a part of a millisecond of age counts as a whole one.
        (age + 1 < lease).then(|| now + lease - age - 1)
    }

    /// Whether somebody leads who can be heard: this member while its lease holds, or one that has sent something lately.
    pub fn sees_leader(&self) -> bool {
        let inner = &self.inner;
        match inner.compass.route() {
            Route::Here { .. } => self.leader_lease_until().is_some(),
            Route::There(_) => inner.shared.heard.lately(),
            Route::Nowhere => false,
        }
    }

    /// What has been at one thing for so long that nothing but a restart helps, in words; `None`: all goes on. A disk that is slow is not stuck.
    pub fn stuck(&self) -> Option<String> {
        let inner = &self.inner;
        let at = [("the writer of the log", inner.log.busy_for()), ("the flusher of the state", inner.shared.state.busy_for())];
        let hangs = at.into_iter().find_map(|(who, busy)| busy.filter(|busy| *busy >= STUCK_AFTER).map(|busy| (who, busy.as_secs())));
        match hangs {
            Some((who, seconds)) => Some(format!("{who} has been at one write for {seconds} s: the disk hangs")),
            None => (!inner.core_answers.lately()).then(|| format!("consensus has answered nobody for {} s", STUCK_AFTER.as_secs())),
        }
    }

    /// The whole state at one index, with everything that was acknowledged before the call: flushed, and read from one commit of the file.
    ///
    /// # Errors
    /// If no leader confirms in time how far the state has to be, or it cannot be flushed.
    pub async fn snapshot(&self) -> Result<SnapshotReader, ProposeError> {
        self.read_barrier().await?;
        let state = self.inner.shared.state.clone();
        let unavailable = |reason: String| ProposeError::Unavailable { reason };
        let flushed = blocking(move || state.flush().map(|_| state.snapshot())).await;
        flushed.map_err(|error| unavailable(error.to_string()))?.map_err(|error| unavailable(error.to_string()))
    }

    /// Wakes when the run has new events here.
    pub fn subscribe(&self, run: Run) -> RunSubscription {
        self.inner.shared.subscriptions.subscribe(run)
    }

    /// Index of the last entry that was applied here, and news of every one that follows.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.inner.shared.applied.subscribe()
    }

    /// This member's place in the cluster.
    pub fn status(&self) -> ClusterStatus {
        let mut status = status::status(&self.inner.raft, &self.inner.shared, self.inner.links.me());
        for member in &mut status.members {
            member.follows = self.inner.registrar.follows(member.info.raft_id);
        }
        status
    }

    /// All members.
    pub fn members(&self) -> Vec<MemberInfo> {
        self.inner.compass.metrics().membership_config.nodes().map(|(_, member)| member.clone()).collect()
    }

    /// For a member that stops: hands leadership to the voter that is furthest, if it leads and there is another one, and waits (bounded) until
    /// that one leads.
    pub async fn resign(&self) {
        if let Err(error) = self.inner.registrar.hand_over(None).await {
            tracing::debug!(%error, "leadership was not handed over");
        }
    }

    /// Carries out what an operator (`by`) orders, here or (by the peer link) at the leader. The raft id of the member that it was done to: of the new
    /// leader, for a transfer; of a raise, the machine version.
    ///
    /// # Errors
    /// If it is not allowed, no leader can be reached, or what became of it is not known.
    pub async fn order(&self, order: Order, by: &str) -> Result<u64, ChangeError> {
        orders::carry_out(&self.inner.registrar, &self.inner.compass, &self.inner.links, order, by).await
    }

    /// Lets a member (this one or another) neither lead nor stand for election any more, until it is undone or the member starts again. `by`:
    /// who ordered it.
    ///
    /// # Errors
    /// If there is no such member, or it cannot be reached.
    pub async fn drain(&self, member: u64, undo: bool, by: &str) -> Result<(), ChangeError> {
        orders::drain(&self.inner.registrar, &self.inner.compass, &self.inner.links, member, undo, by).await
    }

    /// Whether an operator has drained this member, now and from now on.
    pub fn drained(&self) -> watch::Receiver<bool> {
        self.inner.registrar.drained()
    }

    /// Tells the leader where this member is, and hears whether it is still part of the cluster. `Ok(None)`: nobody could tell.
    ///
    /// # Errors
    /// If this member has been taken out of the cluster, or left behind by a recovery: the reason.
    pub async fn report(&self, formation: &Formation, candidates: Vec<PeerServiceClient<Channel>>) -> Result<(), String> {
        orders::report(&self.inner.registrar, &self.inner.compass, &self.inner.links, formation, candidates).await
    }

    /// Stops: proposals and reads fail from now on, the state is flushed, the files are written no more (they are released with the last
    /// handle).
    pub async fn shutdown(&self) {
        self.stop_raft().await;
        let (state, log) = (self.inner.shared.state.clone(), self.inner.log.clone());
        let flushed = blocking(move || {
            let flushed = state.flush();
            state.close();
            log.close();
            flushed
        });
        match flushed.await {
            Ok(Ok(mark)) => tracing::info!(index = mark.index, "the state is flushed"),
            Ok(Err(error)) => tracing::error!(%error, "the state could not be flushed; the log holds what is missing"),
            Err(error) => tracing::error!(%error, "the state could not be flushed; the log holds what is missing"),
        }
    }

    /// Stops as if the process had died: nothing is flushed, and the log holds what is missing. For tests of recovery.
    pub async fn halt(&self) {
        self.stop_raft().await;
        let (state, log) = (self.inner.shared.state.clone(), self.inner.log.clone());
        drop(blocking(move || (state.close(), log.close())).await);
    }

    async fn stop_raft(&self) {
        self.inner.stopping.store(true, Ordering::SeqCst);
        self.inner.stop.cancel();
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not stop cleanly");
        }
    }
}

/// Asks openraft's core now and then whether it goes on.
async fn pulse(inner: Weak<Inner>, stop: CancellationToken) {
    let work = async {
        while let Some(inner) = inner.upgrade() {
            if inner.raft.with_raft_state(|_| ()).await.is_ok() {
                inner.core_answers.note();
            }
            drop(inner);
            tokio::time::sleep(PULSE_EVERY).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Keeps the metrics of this floor, for as long as there is one.
async fn figures(inner: Weak<Inner>, stop: CancellationToken) {
    let work = async {
        while let Some(inner) = inner.upgrade() {
            let consensus = Consensus { inner };
            let leads = consensus.leader_lease_until().is_some();
            let Inner { raft, shared, links, registrar, .. } = &*consensus.inner;
            shared.metrics.raft.has_leader.set(i64::from(consensus.sees_leader()));
            figures::show(raft, shared, links.me(), registrar.roster().filter(|_| leads).as_ref());
            drop(consensus);
            tokio::time::sleep(FIGURES_EVERY).await;
        }
    };
    stop.run_until_cancelled(work).await;
}
