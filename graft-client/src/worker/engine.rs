//! The worker protocol as a state machine: no clock, no socket, no task. `now` is the process's monotonic clock in milliseconds.
//!
//! What it holds to:
//!
//! - Only the member whose Welcome said `leading` in the highest term seen assigns work; what an older term sends is ignored.
//! - Credit is absolute and counts from the Welcome: what was assigned, plus the slots that are free. A node's slots are its capacity; results
//!   that are not acknowledged take at most as many again.
//! - A result stays until it is acknowledged, and is sent again to whoever comes to lead; what is waiting goes out in one message.
//! - Leases count from the send time of the last heartbeat that the leader has echoed. At nine tenths of the lease without an echo every
//!   attempt is dropped and handed back: another worker may be running it, and a leader that has just been told of it in an inventory, and
//!   hears heartbeats, would otherwise wait for it for ever.
//! - An attempt that was dropped keeps its slot until its code has really ended. If it was dropped because its workflow has ended, that is
//!   told then, since the leader counts it against its limits until it knows.
//! - Where the leader cannot be reached, a member that can be carries the stream to it ([`super::detour`]).
//! - A worker that is refused by all before it was ever welcomed ends, with the reason. Afterwards it goes on: a token that was revoked may be
//!   replaced, a member be mended. It tries at once where it was let in before, then every some seconds, and warns each time.
//! - Draining: no credit; attempts may finish until the grace is over, the rest is handed back; then acknowledgements are awaited, and
//!   Goodbye is said on every stream.

use std::collections::{HashMap, VecDeque};

use graft_proto::MESSAGE_BYTES_MAX;
use graft_proto::v1::{
    Ack, AttemptRef, CancelReason as WireReason, Credit, Failed, FailureKind, FromWorker, Goodbye, HandedBack, Heartbeat, HeldAttempt,
    Hello, Inventory, Lease, NodeCapacity, Resolution, Result as TaskResult, Results, Task, ToWorker, Welcome, from_worker,
    result::Outcome, to_worker,
};
use prost::Message as _;

use super::detour::Detour;
pub(super) use super::links::LinkId;
use super::links::Links;
use crate::context::CancelReason;
use graft_proto::errors::ErrorCode;

use crate::error::ClientError;

/// Most bytes of results in one message.
const RESULTS_BYTES_MAX: usize = 1 << 20;
/// Most bytes of held attempts in one message: an inventory or the reports of a heartbeat beyond them are sent in parts.
const HELD_BYTES_MAX: usize = 1 << 20;
/// Most results in one message.
const RESULTS_MAX: usize = 1_024;
/// Largest single result that still fits a message with its frame.
const RESULT_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (64 << 10);
/// How long a drained worker waits for acknowledgements.
const ACK_WAIT_MS: u64 = 10_000;
/// How long a worker that has said Goodbye waits for the members to close the streams.
const LEAVE_WAIT_MS: u64 = 2_000;

/// A lease as a key: the attempt that it is the right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LeaseKey {
    term: u64,
    sequence: u64,
}

impl From<Lease> for LeaseKey {
    fn from(lease: Lease) -> Self {
        Self { term: lease.term, sequence: lease.sequence }
    }
}

impl LeaseKey {
    fn to_wire(self) -> Lease {
        Lease { term: self.term, sequence: self.sequence }
    }
}

/// What the worker is, for its whole life.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) namespace: String,
    pub(super) worker: String,
    pub(super) incarnation: String,
    pub(super) build: String,
    pub(super) nodes: Vec<NodeCapacity>,
    pub(super) drain_grace_ms: u64,
}

/// What the shell is to do.
#[derive(Debug)]
pub(super) enum Output {
    /// Open a stream and send Hello as its first message.
    Connect { link: LinkId, address: String, hello: Hello },
    /// Send a message.
    Send { link: LinkId, message: FromWorker },
    /// Close the sending side.
    Close { link: LinkId },
    /// Execute the attempt.
    Start { lease: LeaseKey, at: AttemptRef, task: Box<Task> },
    /// Tell the attempt to stop; it may finish and report.
    Cancel { lease: LeaseKey, reason: CancelReason },
    /// Tell the attempt to stop and drop it; its result is of no interest.
    Drop { lease: LeaseKey, reason: CancelReason },
    /// No member wants this worker: it ends with the error.
    Refused(ClientError),
    /// The worker has drained and left.
    Left,
}

/// Why a stream is gone.
#[derive(Debug)]
pub(super) enum Gone {
    /// It broke, or the member closed it.
    Lost(String),
    /// The member refused, and will again until something is mended.
    Refused(ClientError),
    /// This side has closed it, to open it again on another way to the leader.
    Again,
}

#[derive(Debug)]
struct Slots {
    capacity: NodeCapacity,
    running: u64,
    unacknowledged: u64,
    /// Assigned on the leader's stream since its Welcome.
    assigned: u64,
    /// The window that was sent last on it.
    window: u64,
}

impl Slots {
    /// Attempts that may be assigned beside those that are held.
    fn free(&self) -> u64 {
        let capacity = u64::from(self.capacity.capacity);
        capacity.saturating_sub(self.running).min((2 * capacity).saturating_sub(self.running + self.unacknowledged))
    }
}

#[derive(Debug)]
struct Running {
    at: AttemptRef,
    slot: usize,
    progress: String,
    wanted: Wanted,
}

/// What is still wanted of an attempt whose code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Its result: it is held.
    Result,
    /// To hear when its code has ended: its workflow has, and its place in the limits is kept until then.
    End,
    /// Nothing: it only keeps its slot.
    Nothing,
}

impl Wanted {
    fn is_held(self) -> bool {
        self == Self::Result
    }
}

/// A result that no leader has acknowledged.
#[derive(Debug)]
struct Unacknowledged {
    result: TaskResult,
    /// Which slot it holds; none, if the node is none of this worker's.
    slot: Option<usize>,
    node: String,
}

#[derive(Debug)]
struct Leader {
    link: LinkId,
    welcomed_at: u64,
    credit_sequence: u64,
    heartbeat_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Working,
    Draining { until: u64 },
    AwaitingAcks { until: u64 },
    Leaving { until: u64 },
    Left,
}

#[derive(Debug)]
pub(super) struct Engine {
    settings: Settings,
    links: Links,
    detour: Detour,
    slots: Vec<Slots>,
    by_node: HashMap<String, usize>,
    running: HashMap<LeaseKey, Running>,
    unacknowledged: HashMap<LeaseKey, Unacknowledged>,
    /// Results that the leader has not been sent yet.
    outbox: VecDeque<LeaseKey>,
    /// Results of nodes' work, so far, that had no effect because they came too late.
    stale: u64,
    reports: Vec<HeldAttempt>,
    cluster_id: String,
    term: u64,
    leader: Option<Leader>,
    lease_ms: u64,
    renewed_at: u64,
    stage: Stage,
    ever_welcomed: bool,
    /// Whether the log says that no member can be reached.
    said_alone: bool,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// A worker that wants streams to these addresses. The seed decides the jitter of its waits.
    pub(super) fn new(settings: Settings, addresses: &[String], seed: u64) -> Self {
        let slot = |capacity: &NodeCapacity| Slots { capacity: capacity.clone(), running: 0, unacknowledged: 0, assigned: 0, window: 0 };
        Self {
            links: Links::new(addresses, seed),
            detour: Detour::default(),
            slots: settings.nodes.iter().map(slot).collect(),
            by_node: settings.nodes.iter().enumerate().map(|(at, node)| (node.node.clone(), at)).collect(),
            settings,
            running: HashMap::new(),
            unacknowledged: HashMap::new(),
            outbox: VecDeque::new(),
            stale: 0,
            reports: Vec::new(),
            cluster_id: String::new(),
            term: 0,
            leader: None,
            lease_ms: 10_000,
            renewed_at: 0,
            stage: Stage::Working,
            ever_welcomed: false,
            said_alone: false,
            outputs: VecDeque::new(),
        }
    }

    /// What to do next. Ask after every input until it is `None`.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`tick`](Self::tick) next.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        let stage = match self.stage {
            Stage::Working | Stage::Left => None,
            Stage::Draining { until } | Stage::AwaitingAcks { until } | Stage::Leaving { until } => Some(until),
        };
        let opening = match self.stage {
            Stage::Leaving { .. } | Stage::Left => None,
            _ => self.links.next_timeout().into_iter().chain(self.detour.next_timeout()).min(),
        };
        [stage, opening, self.leader.as_ref().map(|leader| leader.heartbeat_at), self.stops_at()].into_iter().flatten().min()
    }

    /// Whether a heartbeat is due, which takes progress reports along.
    pub(super) fn heartbeat_due(&self, now: u64) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.heartbeat_at <= now)
    }

    /// When attempts are dropped unless a heartbeat is answered. Also when a leader's stream counts as dead.
    fn stops_at(&self) -> Option<u64> {
        let held = self.running.values().any(|running| running.wanted.is_held());
        let since = match &self.leader {
            Some(leader) => self.renewed_at.max(leader.welcomed_at),
            None => self.renewed_at,
        };
        let at = |since: u64| since + self.lease_ms / 10 * 9;
        if held { Some(at(self.renewed_at)) } else { self.leader.as_ref().map(|_| at(since)) }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64) {
        for link in self.links.overdue(now) {
            self.outputs.push_back(Output::Close { link });
            self.links.closed(link, now);
        }
        if self.stops_at().is_some_and(|at| at <= now) {
            self.lose_leases(now);
        }
        if self.heartbeat_due(now) {
            self.heartbeat(now);
        }
        match self.stage {
            Stage::Draining { until } if until <= now => self.hand_back_running(),
            Stage::AwaitingAcks { until } if until <= now => {
                tracing::warn!(results = self.unacknowledged.len(), "leaving without an acknowledgement of results");
                self.leave(now);
            }
            Stage::Leaving { until } if until <= now => self.left(),
            _ => {}
        }
        if !matches!(self.stage, Stage::Leaving { .. } | Stage::Left) {
            if self.detour.due(now, self.leader.is_some(), !self.links.standing().is_empty())
                && let Some(link) = self.links.choose_detour()
            {
                tracing::info!("the leader cannot be reached: a member is asked to carry the stream to it");
                self.open_again(link, now);
            }
            for (link, address, relay) in self.links.open(now) {
                self.outputs.push_back(Output::Connect { link, address, hello: Hello { relay, ..self.hello() } });
            }
        }
    }

    fn open_again(&mut self, link: LinkId, now: u64) {
        self.outputs.push_back(Output::Close { link });
        self.closed(link, Gone::Again, now);
    }

    fn hello(&self) -> Hello {
        let Settings { namespace, worker, incarnation, build, nodes, .. } = self.settings.clone();
        Hello {
            protocol_min: graft_proto::WORKER_PROTOCOL,
            protocol_max: graft_proto::WORKER_PROTOCOL,
            cluster_id: self.cluster_id.clone(),
            namespace,
            worker_id: worker,
            incarnation,
            nodes,
            build_id: build,
            relay: false,
        }
    }

    fn heartbeat(&mut self, now: u64) {
        let Some(leader) = &mut self.leader else { return };
        leader.heartbeat_at = now + (self.lease_ms / 3).max(1);
        let link = leader.link;
        for progress in parts(std::mem::take(&mut self.reports)) {
            self.send(link, from_worker::Message::Heartbeat(Heartbeat { sent_ms: now, progress }));
        }
    }

    fn send(&mut self, link: LinkId, message: from_worker::Message) {
        self.outputs.push_back(Output::Send { link, message: FromWorker { message: Some(message) } });
    }

    /// No echo for nine tenths of the lease: the attempts may be running elsewhere.
    fn lose_leases(&mut self, now: u64) {
        self.give_up_running(CancelReason::LeaseLost, "no heartbeat was answered for nine tenths of the lease");
        // A leader that has only just come still has its time to answer.
        let silent = |leader: &mut Leader| leader.welcomed_at + self.lease_ms / 10 * 9 <= now;
        if let Some(Leader { link, .. }) = self.leader.take_if(silent) {
            tracing::warn!("no heartbeat was answered for nine tenths of the lease: attempts are dropped, and the stream is opened again");
            self.outputs.push_back(Output::Close { link });
            self.links.closed(link, now);
        }
    }

    /// A message has come.
    pub(super) fn received(&mut self, link: LinkId, message: ToWorker, now: u64) {
        if !self.links.is_open(link) {
            return; // from a stream that was given up: an answer to it would go nowhere
        }
        match message.message {
            Some(to_worker::Message::Welcome(welcome)) => self.welcome(link, welcome, now),
            Some(to_worker::Message::Tasks(tasks)) => {
                for task in tasks.tasks {
                    self.task(link, task, now);
                }
            }
            Some(to_worker::Message::Acks(acks)) => {
                for ack in acks.acks {
                    self.acknowledge(ack);
                }
            }
            Some(to_worker::Message::HeartbeatAck(ack)) => {
                if ack.leading && ack.term >= self.term && self.leads(link) {
                    self.renewed_at = self.renewed_at.max(ack.echo.min(now));
                }
            }
            // From whoever leads only: one that has been deposed without knowing it would stop what the next leader counts as held.
            Some(to_worker::Message::Cancel(notice)) if !self.leads(link) => {
                tracing::debug!(reason = ?notice.reason(), "a notice to stop from a member that does not lead was ignored");
            }
            Some(to_worker::Message::Cancel(notice)) => {
                if let Some(lease) = notice.lease {
                    self.cancel(lease.into(), notice.reason());
                }
            }
            Some(to_worker::Message::Members(members)) if members.term >= self.term => self.learn(&members.addresses),
            // A member that was left behind.
            Some(to_worker::Message::Members(_)) => {}
            Some(to_worker::Message::Closing(closing)) => tracing::info!(reason = closing.reason, "a member closes its stream"),
            None => tracing::debug!("a member sent a message of a newer version; it is ignored"),
        }
    }

    fn leads(&self, link: LinkId) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.link == link)
    }

    fn welcome(&mut self, link: LinkId, welcome: Welcome, now: u64) {
        if welcome.protocol != graft_proto::WORKER_PROTOCOL {
            let (theirs, ours) = (welcome.protocol, graft_proto::WORKER_PROTOCOL);
            let object = self.links.get(link).map_or_else(String::new, |link| format!("server {}", link.address));
            let message = format!("answered in version {theirs} of the worker protocol, this worker speaks version {ours}");
            let error = ClientError::new(ErrorCode::BadAnswer, "connect a worker", object, message)
                .remedied("Bring graftd and the worker's SDK to versions that go together.");
            self.outputs.push_back(Output::Close { link });
            self.closed(link, Gone::Refused(error), now);
            return;
        }
        if let Some(detour) = self.links.detour_beside(link, welcome.member) {
            // The member has heard the same, and takes this stream for the newer one.
            self.open_again(detour, now);
            self.links.end_detours();
        }
        let foreign = !["", &welcome.cluster_id].contains(&self.cluster_id.as_str()) && !welcome.cluster_id.is_empty();
        if foreign || !self.links.welcomed(link, welcome.member) {
            if foreign {
                tracing::warn!(cluster = welcome.cluster_id, "an address belongs to another cluster; it is left alone");
            }
            self.outputs.push_back(Output::Close { link });
            match foreign {
                true => self.links.rest(link, now),
                false => self.links.is_alias(link, welcome.member, now),
            }
            return;
        }
        if !self.ever_welcomed || self.said_alone {
            let nodes: Vec<&str> = self.slots.iter().map(|slot| slot.capacity.node.as_str()).collect();
            tracing::info!(member = welcome.member, nodes = nodes.join(", "), "connected");
        }
        (self.ever_welcomed, self.said_alone) = (true, false);
        if !welcome.cluster_id.is_empty() {
            self.cluster_id = welcome.cluster_id;
        }
        if welcome.term < self.term {
            return; // an old leader, or a member that has not heard yet
        }
        if welcome.term > self.term {
            self.term = welcome.term;
            self.leader = None;
        }
        self.learn(&welcome.member_addresses);
        if welcome.leading {
            // The leader alone mints leases: what a member with another configuration says of them means nothing.
            if welcome.lease_ms > 0 {
                self.lease_ms = welcome.lease_ms;
            }
            if self.links.get(link).is_some_and(|link| !link.detour) {
                self.links.end_detours();
            }
            self.follow(link, now);
            return;
        }
        if self.leads(link) {
            self.leader = None;
        }
        self.detour.heard(&welcome.leader_address);
        // The member knew of no leader when the stream was opened, and does now.
        if self.links.get(link).is_some_and(|link| link.detour) && !welcome.leader_address.is_empty() && self.leader.is_none() {
            self.open_again(link, now);
        }
    }

    /// Keeps a stream to each member.
    fn learn(&mut self, addresses: &[String]) {
        if self.stage != Stage::Left {
            let members: Vec<String> = addresses.iter().filter_map(|address| crate::endpoints::normal(address).ok()).collect();
            self.links.members(&members);
        }
    }

    /// Answers a leader: what is held, then a sign of life, credit, and every result that is not acknowledged.
    fn follow(&mut self, link: LinkId, now: u64) {
        self.leader = Some(Leader { link, welcomed_at: now, credit_sequence: 0, heartbeat_at: now });
        let mut held: Vec<HeldAttempt> = Vec::new();
        for (lease, running) in self.running.iter().filter(|(_, running)| running.wanted.is_held()) {
            let node = self.slots[running.slot].capacity.node.clone();
            let (at, lease) = (Some(running.at), Some(lease.to_wire()));
            held.push(HeldAttempt { at, lease, node, progress: running.progress.clone() });
        }
        for Unacknowledged { result, node, .. } in self.unacknowledged.values() {
            held.push(HeldAttempt { at: result.at, lease: result.lease, node: node.clone(), progress: String::new() });
        }
        held.sort_by_key(|held| held.lease.map(LeaseKey::from));
        let mut parts = parts(held).peekable();
        while let Some(held) = parts.next() {
            let more = parts.peek().is_some();
            self.send(link, from_worker::Message::Inventory(Inventory { term: self.term, held, more }));
        }
        self.heartbeat(now);
        for slot in &mut self.slots {
            slot.assigned = 0;
            slot.window = 0;
        }
        let mut again: Vec<LeaseKey> = self.unacknowledged.keys().copied().collect();
        again.sort_unstable();
        self.outbox = again.into();
        for slot in 0..self.slots.len() {
            self.credit(slot, true);
        }
        self.flush();
    }

    fn task(&mut self, link: LinkId, task: Task, now: u64) {
        let (Some(at), Some(lease)) = (task.at, task.lease) else {
            tracing::warn!(workflow = task.workflow_id, "a task without attempt or lease was ignored");
            return;
        };
        if !self.leads(link) || lease.term < self.term {
            tracing::debug!(workflow = task.workflow_id, term = lease.term, "a task of an older term was ignored");
            return;
        }
        let lease = LeaseKey::from(lease);
        let slot = self.by_node.get(&task.node).copied();
        if let Some(slot) = slot {
            self.slots[slot].assigned += 1;
        }
        if self.running.contains_key(&lease) || self.unacknowledged.contains_key(&lease) {
            return; // a repeat
        }
        let welcomed_at = self.leader.as_ref().map_or(0, |leader| leader.welcomed_at);
        let counts_from = if task.heartbeat_echo == 0 { welcomed_at } else { task.heartbeat_echo.min(now) };
        self.renewed_at = self.renewed_at.max(counts_from);
        let refusal = match slot {
            None => Some(format!("this worker has no node \"{}\"", task.node)),
            Some(_) if self.stage != Stage::Working => Some("the worker is shutting down".to_owned()),
            // It lay in the socket while this process was stopped.
            Some(_) if self.renewed_at + self.lease_ms / 10 * 9 <= now => Some("it came when its lease was over".to_owned()),
            Some(_) => None,
        };
        match (slot, refusal) {
            (Some(slot), None) => {
                self.slots[slot].running += 1;
                self.running.insert(lease, Running { at, slot, progress: String::new(), wanted: Wanted::Result });
                self.outputs.push_back(Output::Start { lease, at, task: Box::new(task) });
            }
            (slot, refusal) => {
                self.keep(lease, slot, &task.node, handed_back(at, lease, &refusal.unwrap_or_default(), String::new()));
            }
        }
    }

    fn cancel(&mut self, lease: LeaseKey, reason: WireReason) {
        let Some(running) = self.running.get_mut(&lease).filter(|running| running.wanted.is_held()) else { return };
        let reason = match reason {
            WireReason::WorkflowCancelled => {
                self.outputs.push_back(Output::Cancel { lease, reason: CancelReason::WorkflowCancelled });
                return;
            }
            WireReason::WorkflowEnded => CancelReason::WorkflowEnded,
            WireReason::TimedOut => CancelReason::TimedOut,
            WireReason::LeaseLost | WireReason::Unspecified => CancelReason::LeaseLost,
        };
        running.wanted = if reason == CancelReason::WorkflowEnded { Wanted::End } else { Wanted::Nothing };
        self.outputs.push_back(Output::Drop { lease, reason });
    }

    /// An attempt's code has ended; `None` if it was dropped.
    pub(super) fn finished(&mut self, lease: LeaseKey, outcome: Option<Outcome>, execution_us: u64) {
        let Some(Running { at, slot, wanted, .. }) = self.running.remove(&lease) else { return };
        self.slots[slot].running -= 1;
        match (wanted, outcome) {
            (Wanted::Result, Some(outcome)) => {
                self.keep_of(lease, slot, TaskResult { outcome: Some(outcome), execution_us, ..blank(at, lease) });
            }
            // Nobody dropped it, and yet it has nothing to say. The leader waits for it.
            (Wanted::Result, None) => {
                let kind = FailureKind::Panic.into();
                let failed = Failed { kind, message: "the attempt's code ended without an outcome".to_owned(), ..Failed::default() };
                self.keep_of(lease, slot, TaskResult { outcome: Some(Outcome::Failed(failed)), execution_us, ..blank(at, lease) });
            }
            (Wanted::End, _) => self.keep_of(lease, slot, handed_back(at, lease, "the workflow has ended", String::new())),
            (Wanted::Nothing, _) => {}
        }
    }

    /// An attempt has something new to say.
    pub(super) fn progress(&mut self, lease: LeaseKey, text: String) {
        let Some(running) = self.running.get_mut(&lease).filter(|running| running.wanted.is_held()) else { return };
        running.progress.clone_from(&text);
        let node = self.slots[running.slot].capacity.node.clone();
        self.reports.push(HeldAttempt { at: Some(running.at), lease: Some(lease.to_wire()), node, progress: text });
    }

    /// Keeps the result of an attempt of one of the worker's own nodes.
    fn keep_of(&mut self, lease: LeaseKey, slot: usize, result: TaskResult) {
        let node = self.slots[slot].capacity.node.clone();
        self.keep(lease, Some(slot), &node, result);
    }

    fn keep(&mut self, lease: LeaseKey, slot: Option<usize>, node: &str, result: TaskResult) {
        let result = fitting(result);
        if let Some(slot) = slot {
            self.slots[slot].unacknowledged += 1;
        }
        self.unacknowledged.insert(lease, Unacknowledged { result, slot, node: node.to_owned() });
        self.outbox.push_back(lease);
    }

    fn acknowledge(&mut self, ack: Ack) {
        let Some(lease) = ack.lease.map(LeaseKey::from) else { return };
        let Some(Unacknowledged { result, slot, .. }) = self.unacknowledged.remove(&lease) else { return };
        if let Some(slot) = slot {
            self.slots[slot].unacknowledged -= 1;
        }
        if ack.resolution() != Resolution::Stale {
            return;
        }
        let AttemptRef { run, task, attempt } = result.at.unwrap_or_default();
        if let Some(Outcome::HandedBack(_)) = result.outcome {
            tracing::debug!(run, task, attempt, "an attempt that was handed back had been taken away before");
            return;
        }
        self.stale += 1;
        let stale = self.stale;
        tracing::warn!(run, task, attempt, stale, "a result came too late and had no effect: the attempt was no longer the current one");
    }

    /// Sends what has piled up: results in as few messages as they fit, then credit. Call it when the inputs at hand are used up.
    pub(super) fn flush(&mut self) {
        let Some(link) = self.leader.as_ref().map(|leader| leader.link) else { return };
        while !self.outbox.is_empty() {
            let (mut results, mut bytes) = (Vec::with_capacity(self.outbox.len().min(RESULTS_MAX)), 0);
            while let Some(lease) = self.outbox.front() {
                // Acknowledged meanwhile: nothing to send.
                let Some(Unacknowledged { result, .. }) = self.unacknowledged.get(lease) else {
                    self.outbox.pop_front();
                    continue;
                };
                let size = result.encoded_len();
                if results.len() == RESULTS_MAX || (bytes + size > RESULTS_BYTES_MAX && !results.is_empty()) {
                    break;
                }
                bytes += size;
                results.push(result.clone());
                self.outbox.pop_front();
            }
            if !results.is_empty() {
                self.send(link, from_worker::Message::Results(Results { results }));
            }
        }
        for slot in 0..self.slots.len() {
            self.credit(slot, false);
        }
    }

    /// Tells the leader of a node's window, if it is new enough to be worth a message: when half of what was granted is used.
    fn credit(&mut self, at: usize, always: bool) {
        let working = self.stage == Stage::Working;
        let Some(leader) = &mut self.leader else { return };
        let slot = &mut self.slots[at];
        let window = slot.assigned + if working { slot.free() } else { 0 };
        let left = slot.window.saturating_sub(slot.assigned);
        let worth = window > slot.window && left * 2 <= u64::from(slot.capacity.capacity);
        let shrinks = !working && window < slot.window;
        if always || worth || shrinks {
            slot.window = window;
            leader.credit_sequence += 1;
            let credit = Credit { partition: 0, node: slot.capacity.node.clone(), window, sequence: leader.credit_sequence };
            let link = leader.link;
            self.send(link, from_worker::Message::Credit(credit));
        }
    }

    /// A stream is gone.
    pub(super) fn closed(&mut self, link: LinkId, gone: Gone, now: u64) {
        if !self.links.is_open(link) {
            return;
        }
        if self.leads(link) {
            self.leader = None;
        }
        let all_refuse = self.links.refused(link, matches!(gone, Gone::Refused(_)));
        let (mut lost, mut of_use) = (None, true);
        match gone {
            Gone::Lost(reason) => {
                tracing::debug!(reason, "a stream to a member is gone");
                lost = Some(reason);
            }
            Gone::Again => tracing::debug!("a stream to a member is opened again, on another way to the leader"),
            Gone::Refused(error) if all_refuse && !self.ever_welcomed => self.outputs.push_back(Output::Refused(error)),
            Gone::Refused(error) => {
                tracing::warn!(%error, "a member refuses this worker, or may not be asked; the worker goes on trying");
                of_use = error.kind() != Some(ErrorCode::BadCredentials);
            }
        }
        self.links.closed(link, now);
        if !of_use {
            self.links.rest(link, now);
        }
        if let (Some(reason), true, false, Stage::Working) = (lost, self.links.alive().is_empty(), self.said_alone, &self.stage) {
            tracing::warn!(reason, "no member can be reached; the worker goes on trying");
            self.said_alone = true;
        }
        if matches!(self.stage, Stage::Leaving { .. }) && self.links.alive().is_empty() {
            self.left();
        }
    }

    /// Begins to leave: no new work, finish what runs. Call [`advance`](Self::advance) after every input from then on.
    pub(super) fn drain(&mut self, now: u64) {
        if self.stage == Stage::Working {
            self.stage = Stage::Draining { until: now.saturating_add(self.settings.drain_grace_ms) };
            tracing::info!(running = self.running.len(), "draining: no new work is taken");
        }
    }

    /// The grace is over: what still runs goes to other workers.
    fn hand_back_running(&mut self) {
        self.give_up_running(CancelReason::Draining, "the worker is shutting down and its grace is over");
    }

    /// Drops everything that runs and hands it back, with the progress that it had reported.
    fn give_up_running(&mut self, cancelled: CancelReason, reason: &str) {
        let mut back: Vec<(LeaseKey, usize, TaskResult)> = Vec::new();
        for (lease, running) in self.running.iter_mut().filter(|(_, running)| running.wanted.is_held()) {
            running.wanted = Wanted::Nothing;
            back.push((*lease, running.slot, handed_back(running.at, *lease, reason, std::mem::take(&mut running.progress))));
        }
        back.sort_unstable_by_key(|(lease, ..)| *lease);
        for (lease, slot, result) in back {
            self.outputs.push_back(Output::Drop { lease, reason: cancelled });
            self.keep_of(lease, slot, result);
        }
    }

    /// Moves a drain on: when nothing runs, acknowledgements are awaited; when all are there, Goodbye is said.
    pub(super) fn advance(&mut self, now: u64) {
        if matches!(self.stage, Stage::Draining { .. }) && self.running.values().all(|running| !running.wanted.is_held()) {
            self.stage = Stage::AwaitingAcks { until: now + ACK_WAIT_MS };
        }
        if matches!(self.stage, Stage::AwaitingAcks { .. }) && self.unacknowledged.is_empty() {
            self.leave(now);
        }
    }

    fn leave(&mut self, now: u64) {
        self.stage = Stage::Leaving { until: now + LEAVE_WAIT_MS };
        self.leader = None;
        for link in self.links.standing() {
            self.send(link, from_worker::Message::Goodbye(Goodbye { reason: "the worker is shutting down".to_owned() }));
        }
        let alive = self.links.alive();
        if alive.is_empty() {
            self.left();
        }
        for link in alive {
            self.outputs.push_back(Output::Close { link });
        }
    }

    fn left(&mut self) {
        self.stage = Stage::Left;
        self.outputs.push_back(Output::Left);
    }
}

/// Attempts in parts that each fit a message; one part at least, if it be empty.
fn parts(all: Vec<HeldAttempt>) -> impl Iterator<Item = Vec<HeldAttempt>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    for held in all {
        let size = held.encoded_len();
        if bytes + size > HELD_BYTES_MAX && bytes > 0 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        parts.last_mut().expect("one part at least").push(held);
    }
    parts.into_iter()
}

fn handed_back(at: AttemptRef, lease: LeaseKey, reason: &str, progress: String) -> TaskResult {
    TaskResult { outcome: Some(Outcome::HandedBack(HandedBack { reason: reason.to_owned(), progress })), ..blank(at, lease) }
}

fn blank(at: AttemptRef, lease: LeaseKey) -> TaskResult {
    TaskResult { at: Some(at), lease: Some(lease.to_wire()), execution_us: 0, outcome: None }
}

/// The result, or one that says that it does not fit a message.
pub(crate) fn fitting(mut result: TaskResult) -> TaskResult {
    let size = result.encoded_len();
    if size > RESULT_BYTES_MAX {
        let message = format!("the outcome has {size} bytes in all, at most {RESULT_BYTES_MAX} fit a message. {}", crate::limits::REMEDY);
        let kind = FailureKind::Permanent.into();
        result.outcome = Some(Outcome::Failed(Failed { kind, message, ..Failed::default() }));
    }
    result
}

#[cfg(test)]
mod tests;
