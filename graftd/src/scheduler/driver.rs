//! The shell around the core: one task per member that waits for whatever comes next, hands everything that is there to the core in one
//! turn, and does what the core says. It waits in one place only; proposals are under way beside it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use graft_machine::command::{Command, Envelope, ExpireRequests};
use graft_machine::reply::Answer;
use graft_machine::state::StateRead;
use graft_machine::tables::{Prefix, RequestExpiry};
use prometheus::{Histogram, IntGauge};
use tokio::sync::{mpsc, watch};

use super::core::Core;
use super::figures::Tally;
use super::link::Inbound;
use super::message::{Input, Output, StreamId, Token};
use super::options::SchedulerOptions;
use super::queues::QueueId;
use super::recovery::Recovered;
use super::streams::{STUCK_POLL_MS, Streams};
use super::{FromWorker, SessionHello, ToWorker, reads};
use crate::clock::Clock;
use crate::consensus::{Consensus, Feed, FeedBatch, Leadership, MemberInfo, ProposeError};
use crate::observability::metrics::Metrics;

/// Messages, effects and answers that one turn takes in, of each kind.
const TURN_INPUTS: usize = 1_024;
/// How often the answers to requests are looked through for what can be forgotten, in milliseconds.
const EXPIRE_REQUESTS_MS: u64 = 1_000;
/// How often it is told how things stand, in milliseconds.
const ROWS_EVERY_MS: u64 = 500;
/// Longest wait of the task when nothing happens, in milliseconds.
const IDLE_MS_MAX: u64 = 60_000;
/// How often it is looked at whether members have come, gone or moved, while there are workers to tell.
const MEMBERS_EVERY_MS: u64 = 1_000;
/// The token of proposals that the core does not know of.
const NOT_OF_THE_CORE: Token = 0;

type Answered = (Token, Result<Vec<Answer>, ProposeError>);

/// What there is while this member leads.
struct Lead {
    core: Core,
    effects: mpsc::UnboundedReceiver<FeedBatch>,
    proposals: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// When the answers to requests are looked through next; `None` while some are being forgotten.
    next_expire: Option<u64>,
    board: Board,
}

/// The task's state.
pub(super) struct Driver {
    consensus: Consensus,
    options: SchedulerOptions,
    clock: Clock,
    metrics: Arc<Metrics>,
    inbox: mpsc::Receiver<Inbound>,
    broken: mpsc::UnboundedReceiver<StreamId>,
    stop: watch::Receiver<bool>,
    leadership: watch::Receiver<Leadership>,
    streams: Streams,
    /// Where members answer clients, as the workers were told, and when that is looked at next.
    members: (Vec<String>, u64),
    lead: Option<Lead>,
}

/// What ended a wait.
enum Woken {
    Inbound(Inbound),
    Broken(StreamId),
    Leadership,
    Stop,
    Effects(FeedBatch),
    TermOver,
    Answered(Answered),
    Time,
    Over,
}

/// Where members answer clients; one that has not said so yet is left out.
fn addresses_of(members: &[MemberInfo]) -> Vec<String> {
    members.iter().map(|member| member.client_address.clone()).filter(|address| !address.is_empty()).collect()
}

impl Driver {
    pub(super) fn new(
        consensus: Consensus,
        options: SchedulerOptions,
        clock: Clock,
        metrics: Arc<Metrics>,
        inbox: mpsc::Receiver<Inbound>,
        broken: mpsc::UnboundedReceiver<StreamId>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let leadership = consensus.leadership();
        Self {
            consensus,
            options,
            clock,
            metrics,
            inbox,
            broken,
            stop,
            leadership,
            streams: Streams::default(),
            members: (Vec::new(), 0),
            lead: None,
        }
    }

    /// Runs until consensus has stopped or nobody holds a handle any more.
    pub(super) async fn run(mut self) {
        self.leadership_changed().await;
        loop {
            match self.wait().await {
                Woken::Over => return self.end_term("the member is shutting down"),
                Woken::Inbound(inbound) => self.inbound(inbound),
                Woken::Broken(stream) => self.stream_broken(stream),
                Woken::Leadership => self.leadership_changed().await,
                Woken::Stop => self.input(Input::StopDispatch),
                Woken::Effects(batch) => self.effects(batch),
                Woken::TermOver => self.end_term("the term is over"),
                Woken::Answered(answered) => self.answered(answered),
                Woken::Time => {}
            }
            self.take_in_the_rest();
            self.tell_members();
            self.act();
        }
    }

    async fn wait(&mut self) -> Woken {
        let now = self.clock.monotonic_ms();
        let poll = self.streams.some_stuck().then_some(now + STUCK_POLL_MS);
        let core = self.lead.as_ref().and_then(|lead| lead.core.poll_timeout());
        let expire = self.lead.as_ref().and_then(|lead| lead.next_expire);
        let rows = self.lead.as_ref().map(|lead| lead.board.next_rows);
        let members = (!self.streams.is_empty()).then_some(self.members.1);
        let wake_at = [poll, core, expire, rows, members].into_iter().flatten().min().unwrap_or(now + IDLE_MS_MAX);
        // The core thinks in whole milliseconds: a wait is never shorter than one, so that time has passed when it ends.
        let sleep = pin!(tokio::time::sleep(Duration::from_millis(wake_at.saturating_sub(now).clamp(1, IDLE_MS_MAX))));
        let lead = &mut self.lead;
        let of_the_term = async {
            match lead {
                None => std::future::pending().await,
                Some(Lead { effects, proposals, .. }) => tokio::select! {
                    batch = effects.recv() => batch.map_or(Woken::TermOver, Woken::Effects),
                    Some(answered) = proposals.next() => Woken::Answered(answered),
                },
            }
        };
        tokio::select! {
            changed = self.leadership.changed() => if changed.is_ok() { Woken::Leadership } else { Woken::Over },
            Ok(()) = self.stop.changed() => Woken::Stop,
            woken = of_the_term => woken,
            inbound = self.inbox.recv() => inbound.map_or(Woken::Over, Woken::Inbound),
            Some(stream) = self.broken.recv() => Woken::Broken(stream),
            () = sleep => Woken::Time,
        }
    }

    /// Everything else that is there already: effects before answers, so that the core sees what a step brought before its lease is freed.
    fn take_in_the_rest(&mut self) {
        for _ in 0..TURN_INPUTS {
            let Some(Ok(batch)) = self.lead.as_mut().map(|lead| lead.effects.try_recv()) else { break };
            self.effects(batch);
        }
        for _ in 0..TURN_INPUTS {
            let answered = self.lead.as_mut().and_then(|lead| lead.proposals.next().now_or_never().flatten());
            let Some(answered) = answered else { break };
            self.answered(answered);
        }
        for _ in 0..TURN_INPUTS {
            let Ok(inbound) = self.inbox.try_recv() else { break };
            self.inbound(inbound);
        }
        while let Ok(stream) = self.broken.try_recv() {
            self.stream_broken(stream);
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.clock.monotonic_ms();
        if let Some(lead) = &mut self.lead {
            lead.core.handle(now, input);
        }
    }

    fn answered(&mut self, (token, answers): Answered) {
        if token != NOT_OF_THE_CORE {
            return self.input(Input::Answered(token, answers));
        }
        // As long as there are more they follow one another at once: a pause after each would bound how many requests the cluster can take.
        let pause = if answers.is_ok() { 0 } else { EXPIRE_REQUESTS_MS };
        if let Some(lead) = &mut self.lead {
            lead.next_expire = Some(self.clock.monotonic_ms() + pause);
        }
    }

    fn effects(&mut self, FeedBatch { time, effects, .. }: FeedBatch) {
        self.input(Input::Effects { time, effects });
    }

    fn inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Connect(stream, hello, outbound) => {
                self.streams.add(stream, hello.clone(), outbound);
                self.welcome(vec![(stream, hello)]);
            }
            Inbound::Worker(stream, message) => match (&self.lead, message) {
                (Some(_), message) => self.input(Input::Worker(stream, message)),
                (None, FromWorker::Heartbeat { sent_ms, .. }) => {
                    let term = self.term().0;
                    self.send(stream, ToWorker::HeartbeatAck { term, echo: sent_ms, leading: false });
                }
                // For the leader only; the worker repeats what matters when it is welcomed by one.
                (None, _) => {}
            },
            Inbound::Broken(stream) => self.stream_broken(stream),
            Inbound::Live(answer) => {
                let _ = answer.send(self.lead.as_ref().map(|lead| lead.core.live()));
            }
            Inbound::LiveLimits(answer) => {
                let _ = answer.send(self.lead.as_ref().map(|lead| lead.core.live_limits()));
            }
        }
    }

    fn stream_broken(&mut self, stream: StreamId) {
        self.streams.remove(stream);
        self.input(Input::Broken(stream));
    }

    fn send(&mut self, stream: StreamId, message: ToWorker) {
        let now = self.clock.monotonic_ms();
        if !self.streams.send(stream, message, now) {
            self.input(Input::Broken(stream));
        }
    }

    fn term(&self) -> (u64, Option<String>) {
        match &*self.leadership.borrow() {
            Leadership::Leader { term } => (*term, None),
            Leadership::Follower { term, leader } => (*term, leader.as_ref().map(|leader| leader.client_address.clone())),
        }
    }

    /// Tells these workers where they are; to the core, if there is one, their streams are there from now on.
    fn welcome(&mut self, streams: Vec<(StreamId, SessionHello)>) {
        if streams.is_empty() {
            return;
        }
        let (term, leader) = match &self.lead {
            Some(lead) => (lead.core.term(), None),
            None => self.term(),
        };
        let leading = self.lead.is_some();
        let status = self.consensus.status();
        let members = self.consensus.members();
        let own = || members.iter().find(|member| member.raft_id == status.member).map(|member| member.client_address.clone());
        let leader_address = if leading { own() } else { leader }.unwrap_or_default();
        let member_addresses = addresses_of(&members);
        for (stream, hello) in streams {
            let welcome = ToWorker::Welcome {
                term,
                leading,
                lease_ms: self.options.lease_ms,
                leader_address: leader_address.clone(),
                member_addresses: member_addresses.clone(),
                cluster_id: status.cluster_id.clone(),
            };
            self.send(stream, welcome);
            self.input(Input::Connected(stream, hello));
        }
    }

    /// Tells all workers where members answer, if that has changed: a worker may know one member alone, and lose it.
    fn tell_members(&mut self) {
        let now = self.clock.monotonic_ms();
        if now < self.members.1 || self.streams.is_empty() {
            return;
        }
        let addresses = addresses_of(&self.consensus.members());
        let changed = addresses != self.members.0;
        self.members = (addresses, now + MEMBERS_EVERY_MS);
        if changed {
            let term = self.term().0;
            for (stream, _) in self.streams.hellos() {
                self.send(stream, ToWorker::Members { term, addresses: self.members.0.clone() });
            }
        }
    }

    async fn leadership_changed(&mut self) {
        let leadership = self.leadership.borrow_and_update().clone();
        match leadership {
            Leadership::Leader { term } if self.lead.as_ref().is_some_and(|lead| lead.core.term() == term) => return,
            Leadership::Leader { term } => {
                self.end_term("another term has begun");
                if let Some(feed) = self.consensus.take_feed(term) {
                    self.begin_term(term, feed).await;
                }
            }
            Leadership::Follower { .. } => self.end_term("this member leads no more"),
        }
        self.welcome(self.streams.hellos());
    }

    async fn begin_term(&mut self, term: u64, feed: Feed) {
        let Feed { view, effects } = feed;
        let options = self.options.clone();
        let recovered = match tokio::task::spawn_blocking(move || Recovered::read(&view, &options)).await {
            Ok(recovered) => recovered,
            // A panic below is an IO error or a broken invariant: it is not ours to hide.
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => return,
        };
        let now = self.clock.monotonic_ms();
        tracing::info!(
            term,
            sessions = recovered.sessions.len(),
            queues = recovered.queues.len(),
            timers = recovered.timers.len(),
            "the scheduler takes over"
        );
        let core = Core::new(term, self.options.clone(), now);
        let board = Board::new(self.metrics.clone(), now);
        self.lead = Some(Lead { core, effects, proposals: FuturesUnordered::new(), next_expire: Some(now), board });
        self.input(Input::Recovered(recovered));
        if *self.stop.borrow() {
            self.input(Input::StopDispatch);
        }
    }

    fn end_term(&mut self, reason: &str) {
        if let Some(lead) = self.lead.take() {
            tracing::info!(term = lead.core.term(), reason, "the scheduler stops");
        }
    }

    /// Does what the core says, until it has nothing more to say.
    fn act(&mut self) {
        let now = self.clock.monotonic_ms();
        for stream in self.streams.push_on(now) {
            self.input(Input::Broken(stream));
        }
        self.input(Input::LeaderLease(self.consensus.leader_lease_until()));
        while let Some(lead) = &mut self.lead {
            let Some(output) = lead.core.poll_output() else { break };
            match output {
                Output::Send(stream, message) => self.send(stream, message),
                Output::CloseStream(stream, reason) => {
                    tracing::info!(stream, reason, "a worker's stream is closed");
                    self.streams.close(stream, &reason);
                }
                Output::Propose(token, commands) => propose(&self.consensus, lead, token, commands),
                Output::Read(read) => {
                    let found = reads::read(&self.consensus.latest(), read);
                    self.input(Input::Found(found));
                }
            }
        }
        for (counter, number) in self.metrics.workers.streams_ended.iter().zip(self.streams.take_ended()) {
            counter.inc_by(number);
        }
        if let Some(lead) = &mut self.lead {
            self.consensus.note_backlog(lead.core.backlog());
            if lead.next_expire.is_some_and(|at| at <= now) {
                let head = self.consensus.latest().scan::<RequestExpiry>(Prefix::new().as_bytes(), None, 1);
                if head.first().is_some_and(|(key, _)| key.expires < lead.core.machine_time(now)) {
                    lead.next_expire = None;
                    let command = Envelope::internal("scheduler", Command::ExpireRequests(ExpireRequests {}));
                    propose(&self.consensus, lead, NOT_OF_THE_CORE, vec![command]);
                } else {
                    lead.next_expire = Some(now + EXPIRE_REQUESTS_MS);
                }
            }
            lead.board.show(&mut lead.core, now);
        }
    }
}

fn propose(consensus: &Consensus, lead: &mut Lead, token: Token, commands: Vec<Envelope>) {
    let (consensus, term) = (consensus.clone(), lead.core.term());
    lead.proposals.push(async move { (token, consensus.propose_local(term, commands).await) }.boxed());
}

/// What is to be shown of a term, and where.
struct Board {
    metrics: Arc<Metrics>,
    /// Of each queue that has handed something out.
    waited: BTreeMap<QueueId, Histogram>,
    next_rows: u64,
    /// How many queues the metrics know of.
    introduced: usize,
    /// Attempts held, tasks that wait, workers: while this member leads.
    totals: Option<[IntGauge; 3]>,
}

impl Board {
    fn new(metrics: Arc<Metrics>, now: u64) -> Self {
        Self { metrics, waited: BTreeMap::new(), next_rows: now, introduced: 0, totals: None }
    }

    /// After each turn: what has happened in it; and from time to time, how things stand.
    fn show(&mut self, core: &mut Core, now: u64) {
        let Tally { dispatched, results, lost, sessions_ended } = core.take_tally();
        let Metrics { tasks, workers, .. } = &*self.metrics;
        tasks.dispatched.inc_by(dispatched.len() as u64);
        for (queue, ms) in dispatched {
            let waited = self.waited.entry(queue).or_insert_with(|| tasks.waited(core.node_of(queue)));
            waited.observe(ms as f64 / 1e3);
        }
        let counters = tasks.results.iter().chain(&tasks.attempts_lost).chain(&workers.sessions_ended);
        for (counter, number) in counters.zip(results.into_iter().chain(lost).chain(sessions_ended)) {
            counter.inc_by(number);
        }
        let is_time = now >= self.next_rows;
        if is_time {
            self.next_rows = now + ROWS_EVERY_MS;
        }
        // Who may have been deposed says nothing about the cluster.
        if !core.leads() {
            return self.clear();
        }
        let totals = || [tasks.attempts_held.alone(), tasks.queued.alone(), workers.connected.alone()];
        let now_are = [core.held_count(), core.queued(), core.connected_count()];
        for (gauge, total) in self.totals.get_or_insert_with(totals).iter().zip(now_are) {
            gauge.set(total as i64);
        }
        if is_time {
            let rows = core.queue_rows();
            for row in rows.iter().skip(self.introduced) {
                self.metrics.introduce(&row.namespace, &row.node);
            }
            self.introduced = rows.len();
            tasks.queues.show(rows);
            tasks.timer_due.show(core.next_timer().map(|due| (Vec::new(), (due / 1_000) as i64)));
        }
    }

    fn clear(&mut self) {
        if self.totals.take().is_none() {
            return;
        }
        self.metrics.tasks.clear();
        self.metrics.workers.connected.clear();
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.clear();
    }
}
