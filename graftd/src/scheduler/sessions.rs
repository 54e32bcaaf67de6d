//! Worker sessions: one for each worker process, replicated before its first lease, with at most one stream to this member.
//!
//! A session is served once it is replicated and has said, on its present stream and in this term, what it holds. A sign of life counts
//! from its arrival here, which is later than its sending: so a lease never runs longer at the worker than here. A session that is silent
//! for its lease time is closed, and all it holds is lost; it may come back as if it were new.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::command::{Command, LostReason};
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::session::{Session, SessionNode};

use super::claims::Claim;
use super::core::{Core, Own};
use super::leases::{DeadlineKind, Held, Phase};
use super::message::{Output, StreamId};
use super::queues::{QueueId, Queues};
use super::reads::Standing;
use super::{FromWorker, Held as HeldByWorker, LiveSessions, SessionHello, StopReason, ToWorker};

/// Most sessions at once.
const SESSIONS_MAX: usize = 100_000;
/// Most nodes of all namespaces that sessions may have named in a term; tasks that wait for others are not counted.
const QUEUES_MAX: usize = 1_000_000;

/// Names a session within a term.
pub(super) type SessionId = u64;

/// What a session takes of a node.
#[derive(Debug, Default)]
struct Share {
    capacity: u32,
    declared: u32,
    /// How many may have been assigned since the inventory, in all.
    window: u64,
    /// How many have been.
    assigned: u64,
    /// Of the newest credit.
    sequence: Option<u64>,
    /// How many it holds.
    held: u32,
}

/// Who serves a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Serving {
    /// Sessions that do.
    pub(super) workers: u64,
    /// Attempts that they take at once.
    pub(super) slots: u64,
}

/// How far a session has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Its record is being replicated.
    Opening,
    /// Its record stands.
    Open,
    /// It is lost or has said goodbye; it is forgotten when its record is gone and nothing is held.
    Closing { reason: String, closed: bool },
}

#[derive(Debug)]
struct Entry {
    record: Session,
    stage: Stage,
    stream: Option<StreamId>,
    /// It has said on this stream what it holds.
    known: bool,
    /// Of an earlier term, and not yet heard of.
    silent: bool,
    /// Its record was refused, and it has not come again since.
    refused: bool,
    /// Last sign of life.
    renewed: u64,
    /// `sent_ms` of the last heartbeat that renewed.
    echo: u64,
    shares: BTreeMap<QueueId, Share>,
    held: BTreeSet<AttemptRef>,
    /// The stream of a process that connected again while its session was closing.
    next: Option<StreamId>,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    entries: BTreeMap<SessionId, Entry>,
    by_incarnation: BTreeMap<String, SessionId>,
    by_stream: BTreeMap<StreamId, SessionId>,
    expiry: BTreeSet<(u64, SessionId)>,
    silent: usize,
    last: SessionId,
    /// Heartbeats that came while the leader lease did not hold: session, arrival, `sent_ms`.
    renewals: Vec<(SessionId, u64, u64)>,
}

impl Sessions {
    pub(super) fn stream(&self, session: SessionId) -> Option<StreamId> {
        self.entries.get(&session)?.stream
    }

    /// The session that speaks on a stream.
    pub(super) fn on(&self, stream: StreamId) -> Option<SessionId> {
        self.by_stream.get(&stream).copied()
    }

    pub(super) fn incarnation(&self, session: SessionId) -> &str {
        self.entries.get(&session).map_or("", |entry| &entry.record.incarnation)
    }

    pub(super) fn closing_reason(&self, session: SessionId) -> String {
        match self.entries.get(&session).map(|entry| &entry.stage) {
            Some(Stage::Closing { reason, .. }) => reason.clone(),
            _ => String::new(),
        }
    }

    pub(super) fn some_silent(&self) -> bool {
        self.silent > 0
    }

    pub(super) fn renewals_wait(&self) -> bool {
        !self.renewals.is_empty()
    }

    /// `sent_ms` of the heartbeat from which the session's leases count.
    pub(super) fn echo(&self, session: SessionId) -> u64 {
        self.entries.get(&session).map_or(0, |entry| entry.echo)
    }

    /// Whether the session serves that namespace and node; `None`: some node of it.
    pub(super) fn serves(&self, session: SessionId, namespace: &str, node: Option<&str>) -> bool {
        self.entries.get(&session).is_some_and(|Entry { record, .. }| {
            record.namespace == namespace && node.is_none_or(|node| record.nodes.iter().any(|served| served.node == node))
        })
    }

    /// Whether the greeting can be of the process that has the session. What that one holds, and may report results of, is of the nodes of its
    /// record: so the greeting has to name them all, and whoever asks has shown that it may serve what it names. A process may come to serve more
    /// nodes, and never fewer.
    fn is_of(&self, session: SessionId, hello: &SessionHello) -> bool {
        self.entries.get(&session).is_some_and(|Entry { record, .. }| {
            let named = |served: &SessionNode| hello.nodes.iter().any(|(node, ..)| *node == served.node);
            record.namespace == hello.namespace && record.nodes.iter().all(named)
        })
    }

    /// Whether the session can be served and takes one more of the node.
    pub(super) fn takes(&self, session: SessionId, queue: QueueId) -> bool {
        self.entries.get(&session).is_some_and(|entry| {
            entry.stage == Stage::Open
                && entry.known
                && entry.stream.is_some()
                && entry.shares.get(&queue).is_some_and(|share| share.assigned < share.window && share.held < share.capacity)
        })
    }

    /// An attempt is handed to the session (or, adopted, was by an earlier leader).
    pub(super) fn took(&mut self, session: SessionId, queue: QueueId, at: AttemptRef, assigned: bool) {
        if let Some(entry) = self.entries.get_mut(&session) {
            let share = entry.shares.entry(queue).or_default();
            share.held += 1;
            share.assigned += u64::from(assigned);
            entry.held.insert(at);
        }
    }

    /// It was not sent after all: the window is as before.
    pub(super) fn not_sent(&mut self, session: SessionId, queue: QueueId) {
        if let Some(share) = self.entries.get_mut(&session).and_then(|entry| entry.shares.get_mut(&queue)) {
            share.assigned = share.assigned.saturating_sub(1);
        }
    }

    /// An attempt is held no more.
    pub(super) fn released(&mut self, session: SessionId, queue: QueueId, at: AttemptRef) {
        if let Some(entry) = self.entries.get_mut(&session) {
            entry.held.remove(&at);
            if let Some(share) = entry.shares.get_mut(&queue) {
                share.held -= 1;
            }
        }
    }

    /// Whether the session is on its way out (or gone).
    pub(super) fn is_closing(&self, session: SessionId) -> bool {
        self.entries.get(&session).is_none_or(|entry| matches!(entry.stage, Stage::Closing { .. }))
    }

    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.expiry.first().map(|(time, _)| *time)
    }

    pub(super) fn live(&self, queues: &Queues) -> LiveSessions {
        let connected = self.entries.values().filter(|entry| entry.stream.is_some());
        let nodes = |entry: &Entry| entry.shares.iter().map(|(queue, share)| (queues.get(*queue).node.clone(), share.held)).collect();
        connected.map(|entry| (entry.record.incarnation.clone(), nodes(entry))).collect()
    }

    /// By queue, the sessions that are connected and serve it.
    pub(super) fn serving(&self) -> BTreeMap<QueueId, Serving> {
        let mut serving: BTreeMap<QueueId, Serving> = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.stream.is_some()) {
            for (queue, share) in entry.shares.iter().filter(|(_, share)| share.capacity > 0) {
                let of = serving.entry(*queue).or_default();
                of.workers += 1;
                of.slots += u64::from(share.capacity);
            }
        }
        serving
    }

    /// Streams that sessions of this member use now.
    pub(super) fn connected(&self) -> usize {
        self.by_stream.len()
    }

    fn deadline(entry: &Entry) -> u64 {
        entry.renewed.saturating_add(entry.record.lease_time)
    }

    fn renew(&mut self, session: SessionId, at: u64) {
        let Some(entry) = self.entries.get_mut(&session) else { return };
        self.expiry.remove(&(Self::deadline(entry), session));
        entry.renewed = entry.renewed.max(at);
        self.expiry.insert((Self::deadline(entry), session));
    }

    fn add(&mut self, record: Session, stage: Stage, silent: bool, now: u64) -> SessionId {
        self.last += 1;
        let id = self.last;
        self.by_incarnation.insert(record.incarnation.clone(), id);
        let entry = Entry {
            record,
            stage,
            stream: None,
            known: false,
            silent,
            refused: false,
            renewed: now,
            echo: 0,
            shares: BTreeMap::new(),
            held: BTreeSet::new(),
            next: None,
        };
        self.expiry.insert((Self::deadline(&entry), id));
        self.silent += usize::from(silent);
        self.entries.insert(id, entry);
        id
    }
}

impl Core {
    /// A session of an earlier term: until it has said what it holds, it may hold all that it can.
    pub(super) fn inherit_session(&mut self, now: u64, record: Session) {
        let id = self.sessions.add(record, Stage::Open, true, now);
        self.set_shares(id);
        for (queue, capacity) in self.capacities(id) {
            self.limits.silence(queue, capacity);
        }
    }

    /// A worker's stream is there.
    pub(super) fn connected(&mut self, stream: StreamId, hello: SessionHello) {
        if let Some(id) = self.sessions.by_incarnation.get(&hello.incarnation).copied() {
            if !self.sessions.is_of(id, &hello) {
                self.close_stream(stream, "another worker has this incarnation: use one of your own");
                return;
            }
            if let Some(Entry { stage: Stage::Closing { .. }, next, .. }) = self.sessions.entries.get_mut(&id) {
                if let Some(older) = next.replace(stream) {
                    self.close_stream(older, "another stream of the same process has come");
                }
                return;
            }
            self.attach(id, stream);
            let record = self.record_of(&hello);
            let entry = self.sessions.entries.get_mut(&id).expect("found above");
            let Session { nodes, worker, namespace, build, .. } = &entry.record;
            if (nodes, worker, namespace, build) != (&record.nodes, &record.worker, &record.namespace, &record.build) && !entry.silent {
                // The same process has other nodes than before: its record is written again.
                entry.record = record;
                entry.stage = Stage::Opening;
                self.set_shares(id);
                self.propose_open(id);
            }
            return;
        }
        if self.sessions.entries.len() >= SESSIONS_MAX || self.queues.count() >= QUEUES_MAX {
            let full = format!("there are {SESSIONS_MAX} sessions or {QUEUES_MAX} nodes of namespaces already: connect again later");
            self.close_stream(stream, full);
            return;
        }
        let record = self.record_of(&hello);
        let id = self.sessions.add(record, Stage::Opening, false, self.now);
        self.set_shares(id);
        self.attach(id, stream);
        self.propose_open(id);
    }

    fn record_of(&self, hello: &SessionHello) -> Session {
        let SessionHello { incarnation, worker, namespace, nodes, build } = hello.clone();
        let nodes = nodes.into_iter().map(|(node, capacity, limit)| SessionNode { node, capacity, limit }).collect();
        Session { incarnation, worker, namespace, nodes, build, lease_time: self.options.lease_ms, opened: 0 }
    }

    pub(super) fn propose_open(&mut self, session: SessionId) {
        if let Some(Entry { record, stage: Stage::Opening, .. }) = self.sessions.entries.get(&session) {
            self.propose_own(Command::OpenSession(record.clone()), Own::Open(session));
        }
    }

    /// The session's record stands.
    pub(super) fn opened(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.entries.get_mut(&session)
            && entry.stage == Stage::Opening
        {
            entry.stage = Stage::Open;
            self.refresh_takers(session);
        }
    }

    /// The machine refused the session's record: the worker is told, and its session ends. If by an earlier record it holds attempts, that is with
    /// its lease time: its process believes in them so long.
    pub(super) fn refused(&mut self, session: SessionId, reason: String) {
        if let Some(stream) = self.detach(session) {
            self.close_stream(stream, reason);
        }
        let Some(entry) = self.sessions.entries.get_mut(&session) else { return };
        entry.refused = true;
        if entry.held.is_empty() {
            self.end(session);
        }
    }

    fn attach(&mut self, session: SessionId, stream: StreamId) {
        if let Some(older) = self.detach(session) {
            self.close_stream(older, "another stream of the same process has come");
        }
        if let Some(entry) = self.sessions.entries.get_mut(&session) {
            entry.stream = Some(stream);
            entry.refused = false;
            entry.echo = 0;
            self.sessions.by_stream.insert(stream, session);
        }
    }

    /// Takes the stream off a session: it is served no more until it is back.
    fn detach(&mut self, session: SessionId) -> Option<StreamId> {
        let entry = self.sessions.entries.get_mut(&session)?;
        entry.known = false;
        let stream = entry.stream.take();
        if let Some(stream) = stream {
            self.sessions.by_stream.remove(&stream);
        }
        self.sessions.renewals.retain(|(id, _, _)| *id != session);
        self.refresh_takers(session);
        stream
    }

    /// A stream is gone. The session lives on until its lease time is over.
    pub(super) fn broken(&mut self, stream: StreamId) {
        if let Some(session) = self.sessions.on(stream) {
            self.detach(session);
        }
        for entry in self.sessions.entries.values_mut().filter(|entry| entry.next.is_some()) {
            entry.next.take_if(|next| *next == stream);
        }
    }

    /// A worker says something. What comes on a stream that is not attached any more is not heard.
    pub(super) fn worker_says(&mut self, stream: StreamId, message: FromWorker) {
        let Some(session) = self.sessions.on(stream) else { return };
        match message {
            FromWorker::Inventory { term, held } => self.inventory(session, term, held),
            FromWorker::Credit { node, window, sequence } => self.credit(session, &node, window, sequence),
            FromWorker::Heartbeat { sent_ms, progress } => self.heartbeat(session, sent_ms, progress),
            FromWorker::Results(results) => self.results(session, results),
            FromWorker::Goodbye { reason } => self.goodbye(session, &reason),
        }
    }

    fn inventory(&mut self, session: SessionId, term: u64, held: Vec<HeldByWorker>) {
        let now = self.now;
        let Some(entry) = self.sessions.entries.get_mut(&session) else { return };
        if term != self.term || entry.known {
            return;
        }
        entry.known = true;
        for share in entry.shares.values_mut() {
            (share.window, share.assigned, share.sequence) = (0, 0, None);
        }
        self.sessions.renew(session, now);
        self.take_lease_time(session);
        let listed: BTreeSet<AttemptRef> = held.iter().map(|held| held.at).collect();
        self.question(held.into_iter().map(|held| Claim::Holding(session, held)).collect());
        self.hear(session);
        // What was assigned but is not there never arrived.
        let entry = &self.sessions.entries[&session];
        let missing: Vec<AttemptRef> = entry.held.difference(&listed).copied().collect();
        for at in missing {
            if self.leases.get(at).is_some_and(|held| held.phase == Phase::Running) {
                self.lose(at, LostReason::HandedBack);
            }
        }
        self.refresh_takers(session);
    }

    /// From its inventory on the worker counts with the lease time of this term; its record may still have that of an earlier one.
    fn take_lease_time(&mut self, session: SessionId) {
        let lease_ms = self.options.lease_ms;
        let Some(entry) = self.sessions.entries.get_mut(&session).filter(|entry| entry.record.lease_time != lease_ms) else { return };
        self.sessions.expiry.remove(&(Sessions::deadline(entry), session));
        entry.record.lease_time = lease_ms;
        self.sessions.expiry.insert((Sessions::deadline(entry), session));
        if entry.stage == Stage::Open {
            entry.stage = Stage::Opening;
            self.propose_open(session);
        }
    }

    /// Whether a claim of an attempt is a new one to be taken over. The higher lease wins; what loses is told so.
    pub(super) fn claim(&mut self, session: SessionId, at: AttemptRef, lease: Lease) -> bool {
        if let Some(held) = self.leases.get(at) {
            let (holder, live, told, loading) = (held.session, held.lease, held.told, matches!(held.phase, Phase::Loading { .. }));
            if holder == session && live == lease {
                if let Some(reason) = told {
                    self.tell_to_stop(session, at, lease, reason);
                }
                return false;
            }
            if live >= lease || lease.term >= self.term || loading {
                self.tell_to_stop(session, at, lease, StopReason::LeaseLost);
                return false;
            }
            self.tell_to_stop(holder, at, live, StopReason::LeaseLost);
            self.release(at);
            return true;
        }
        if lease.term >= self.term {
            // All leases of this term are known here: this one is over.
            self.tell_to_stop(session, at, lease, StopReason::LeaseLost);
            return false;
        }
        true
    }

    pub(super) fn adopt(&mut self, session: SessionId, at: AttemptRef, lease: Lease, queue: QueueId, progress: String) {
        if let Some((queue, place, waiting)) = self.queues.forget_attempt(at) {
            if waiting.attempt == at.attempt {
                self.refresh(queue);
            } else {
                // An attempt beyond the one that waits here: what the state says of it will decide, and the one that waits must not be lost.
                self.queues.insert(queue, place, waiting, false);
            }
        }
        // Its own result, sent again on an earlier stream, may be under way already.
        let resolving = self.foreign.get(&at).is_some_and(|foreign| foreign.lease == lease);
        let phase = if resolving { Phase::Resolving } else { Phase::Running };
        let mut held = Held::new(session, lease, queue, phase, 0);
        held.progress = progress;
        self.leases.insert(at, held);
        self.limits.take(queue);
        self.sessions.took(session, queue, at, false);
        self.refresh(queue);
    }

    /// What the state says of attempts that were taken over.
    pub(super) fn judged(&mut self, standings: Vec<(AttemptRef, Standing)>) {
        for (at, standing) in standings {
            match standing {
                Standing::Wanted { timeout } => {
                    if let Some(held) = self.leases.get_mut(at).filter(|_| timeout > 0) {
                        held.timeout = timeout;
                        self.leases.set_deadline(at, self.now.saturating_add(timeout), DeadlineKind::Timeout);
                    }
                }
                Standing::Cancelling => self.stop_attempt(at, StopReason::WorkflowCancelled),
                Standing::Ended => self.stop_attempt(at, StopReason::WorkflowEnded),
                Standing::Gone => {
                    if let Some(held) = self.leases.get(at)
                        && held.phase == Phase::Running
                    {
                        let (session, lease) = (held.session, held.lease);
                        self.tell_to_stop(session, at, lease, StopReason::LeaseLost);
                        self.release(at);
                    }
                }
            }
        }
    }

    /// A session of an earlier term has spoken, or is given up: it hides nothing any more.
    fn hear(&mut self, session: SessionId) {
        let Some(entry) = self.sessions.entries.get_mut(&session).filter(|entry| entry.silent) else { return };
        entry.silent = false;
        self.sessions.silent -= 1;
        for (queue, capacity) in self.capacities(session) {
            if self.limits.unsilence(queue, capacity) {
                self.queues.release_withheld(queue);
            }
            self.refresh(queue);
        }
    }

    fn credit(&mut self, session: SessionId, node: &str, window: u64, sequence: u64) {
        let Some(entry) = self.sessions.entries.get_mut(&session).filter(|entry| entry.known) else { return };
        let queue = self.queues.id(&entry.record.namespace, node);
        let Some(share) = entry.shares.get_mut(&queue) else { return };
        if share.sequence.is_none_or(|newest| newest < sequence) {
            (share.window, share.sequence) = (window, Some(sequence));
            self.refresh_taker(session, queue);
            self.refresh(queue);
        }
    }

    fn heartbeat(&mut self, session: SessionId, sent_ms: u64, progress: Vec<(AttemptRef, Lease, String)>) {
        // Before it has said what it holds, nothing can be renewed.
        if !self.sessions.entries.get(&session).is_some_and(|entry| entry.known) {
            return;
        }
        for (at, lease, text) in progress {
            if let Some(held) = self.leases.get_mut(at).filter(|held| held.lease == lease && held.session == session) {
                held.progress = text;
            }
        }
        self.sessions.renewals.retain(|(id, _, _)| *id != session);
        self.sessions.renewals.push((session, self.now, sent_ms));
        self.renew_pending();
    }

    /// Renews for the heartbeats that have come, if the leader lease holds.
    pub(super) fn renew_pending(&mut self) {
        if !self.leads() {
            return;
        }
        for (session, arrived, sent_ms) in std::mem::take(&mut self.sessions.renewals) {
            self.sessions.renew(session, arrived);
            if let Some(entry) = self.sessions.entries.get_mut(&session) {
                entry.echo = sent_ms;
                let term = self.term;
                self.send(session, ToWorker::HeartbeatAck { term, echo: sent_ms, leading: true });
            }
        }
    }

    fn goodbye(&mut self, session: SessionId, reason: &str) {
        self.detach(session);
        self.tally.sessions_ended[0] += 1;
        self.begin_closing(session, &format!("goodbye: {reason}"));
        self.lose_all(session, LostReason::HandedBack);
        self.propose_close(session);
    }

    /// Gives up the sessions that have been silent for their lease time.
    pub(super) fn expire_sessions(&mut self) {
        while let Some((_, session)) = self.sessions.expiry.first().copied().filter(|(time, _)| *time <= self.now) {
            let reason = match self.detach(session) {
                Some(stream) => {
                    for (at, lease) in self.running(session) {
                        self.output(Output::Send(stream, ToWorker::Cancel { at, lease, reason: StopReason::LeaseLost }));
                    }
                    self.close_stream(stream, "nothing was heard for the lease time: connect again");
                    LostReason::LeaseExpired
                }
                None => LostReason::SessionLost,
            };
            self.lose_all(session, reason);
            self.end(session);
        }
    }

    /// Begins the end of a session that has not said goodbye.
    fn end(&mut self, session: SessionId) {
        let refused = self.sessions.entries.get(&session).is_some_and(|entry| entry.refused);
        self.tally.sessions_ended[if refused { 2 } else { 1 }] += 1;
        self.begin_closing(session, if refused { "refused" } else { "silent for its lease time" });
        self.propose_close(session);
    }

    fn begin_closing(&mut self, session: SessionId, reason: &str) {
        let Some(entry) = self.sessions.entries.get_mut(&session) else { return };
        entry.stage = Stage::Closing { reason: reason.to_owned(), closed: false };
        self.sessions.expiry.remove(&(Sessions::deadline(entry), session));
        self.hear(session);
        self.refresh_takers(session);
    }

    fn running(&self, session: SessionId) -> Vec<(AttemptRef, Lease)> {
        let held = self.sessions.entries.get(&session).map(|entry| entry.held.iter()).into_iter().flatten();
        held.filter_map(|at| Some((*at, self.leases.get(*at).filter(|held| held.phase == Phase::Running)?.lease))).collect()
    }

    fn lose_all(&mut self, session: SessionId, reason: LostReason) {
        for (at, _) in self.running(session) {
            self.lose(at, reason);
        }
    }

    /// The session's record is gone.
    pub(super) fn closed(&mut self, session: SessionId) {
        if let Some(Entry { stage: Stage::Closing { closed, .. }, .. }) = self.sessions.entries.get_mut(&session) {
            *closed = true;
            self.bury(session);
        }
    }

    /// Forgets a session whose record is gone and that holds nothing; its process may be waiting to begin anew.
    pub(super) fn bury(&mut self, session: SessionId) {
        let done = |entry: &Entry| matches!(entry.stage, Stage::Closing { closed: true, .. }) && entry.held.is_empty();
        if !self.sessions.entries.get(&session).is_some_and(done) {
            return;
        }
        let Some(entry) = self.sessions.entries.remove(&session) else { return };
        for (queue, share) in &entry.shares {
            self.limits.undeclare(*queue, share.declared);
            self.refresh(*queue);
        }
        self.sessions.by_incarnation.remove(&entry.record.incarnation);
        if let Some(stream) = entry.next {
            // What it has said on this stream was not heard: it says it again on the next.
            self.close_stream(stream, "its earlier session is closed now: connect again");
        }
    }

    /// Sets what the session serves, from its record.
    fn set_shares(&mut self, session: SessionId) {
        let Some(entry) = self.sessions.entries.get_mut(&session) else { return };
        for share in entry.shares.values_mut() {
            share.capacity = 0;
        }
        for (queue, share) in &mut entry.shares {
            self.limits.undeclare(*queue, std::mem::take(&mut share.declared));
        }
        for SessionNode { node, capacity, limit } in &entry.record.nodes {
            let queue = self.queues.id(&entry.record.namespace, node);
            let share = entry.shares.entry(queue).or_default();
            (share.capacity, share.declared) = (*capacity, *limit);
            self.limits.declare(queue, *limit);
        }
    }

    fn capacities(&self, session: SessionId) -> Vec<(QueueId, u32)> {
        let shares = self.sessions.entries.get(&session).map(|entry| entry.shares.iter()).into_iter().flatten();
        shares.filter(|(_, share)| share.capacity > 0).map(|(queue, share)| (*queue, share.capacity)).collect()
    }

    fn refresh_takers(&mut self, session: SessionId) {
        let queues: Vec<QueueId> =
            self.sessions.entries.get(&session).map(|entry| entry.shares.keys().copied().collect()).unwrap_or_default();
        for queue in queues {
            self.refresh_taker(session, queue);
            self.refresh(queue);
        }
    }

    /// Whether the session stands among those that take a task of the queue.
    pub(super) fn refresh_taker(&mut self, session: SessionId, queue: QueueId) {
        let takes = self.sessions.takes(session, queue);
        let takers = &mut self.queues.get_mut(queue).takers;
        if takes {
            takers.insert(session);
        } else {
            takers.remove(&session);
        }
    }
}
