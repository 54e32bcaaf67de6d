//! The proposer: commands queue here, and become entries.
//!
//! A command that finds a free slot goes at once, alone; while `entries_in_flight` entries are under way, others gather, and the next free slot
//! takes all of them (within `batch_commands` and `batch_bytes`) as one entry, those of the scheduler first ([`super::lanes`]). The leader appends;
//! a follower sends the batch to the leader, which puts it into its own queue, and tells it how long each caller still waits: what has waited longer
//! than that, on either of them, is not proposed. What waits is bounded by `pending_commands_max` and [`PENDING_BYTES_MAX`].
//!
//! Each group of commands knows whether it may have happened. What openraft refused, or was never sent, goes back to the queue until
//! [`LEADER_WAIT`] is over, and then fails as "nothing happened"; everything else that goes wrong is "unknown".

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use graft_machine::command::{Command, ENTRY_FORMAT, Envelope, LogEntry};
use graft_machine::reply::{Answer, StoredAnswer};
use graft_proto::peer::v1::{ProposeRequest, ProposeResponse};
use openraft::EntryPayload;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::brake::Brake;
use super::codec::Wire;
use super::error::ProposeError;
use super::groups::{ANSWER_WAIT, Asked, Group, LEADER_WAIT, Room, Target, Ticket, bytes_of};
use super::lanes::{Lanes, Waits};
use super::leadership::{Compass, Route};
use super::links::{Links, never_sent};
use super::log_store::io_error;
use super::member::MemberInfo;
use super::options::ConsensusOptions;
use super::refusals::Refusal;
use super::types::{Entry, EntryBytes, Raft, Types, position_or_zero};
use crate::observability::metrics::Metrics;
use crate::storage::LogStore;

/// How long a leader that leads no more may take to answer what was sent to it.
const DEPOSED_WAIT: Duration = Duration::from_secs(1);
/// Bytes of commands that may be queued or under way at once.
pub const PENDING_BYTES_MAX: usize = 256 << 20;
/// How often a queue without a leader is swept of callers that gave up.
const SWEEP: Duration = Duration::from_millis(250);

/// Entries of earlier leaders whose stamps a new one looks at: only elections leave entries without one.
const STAMPS_LOOKED_AT: u64 = 64;
/// Of them, so many bytes are looked at.
const STAMPS_LOOKED_AT_BYTES: usize = 64 << 20;

/// Tag of `LogEntry::commands` on the wire: envelopes are put behind it as they were encoded by whoever proposed them.
const COMMANDS_KEY: u32 = (4 << 3) | 2;

/// The way in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Proposer {
    queue: mpsc::UnboundedSender<Group>,
    room: Arc<Semaphore>,
    room_bytes: Arc<Semaphore>,
    shared: Arc<super::apply::Shared>,
    metrics: Arc<Metrics>,
    limits: (usize, usize),
    /// Why no workflow is started while this member leads.
    no_starts: Arc<RwLock<Option<String>>>,
    brake: Arc<Brake>,
}

impl Proposer {
    /// Starts the task that makes entries; it ends when `stop` is cancelled.
    pub(super) fn start(
        options: &ConsensusOptions,
        raft: Raft,
        log: LogStore,
        links: Arc<Links>,
        shared: Arc<super::apply::Shared>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        let (queue, incoming) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(options.pending_commands_max));
        let room_bytes = Arc::new(Semaphore::new(PENDING_BYTES_MAX));
        let brake = Arc::new(Brake::default());
        let proposer = Self {
            queue,
            room,
            room_bytes,
            shared: shared.clone(),
            metrics,
            limits: (options.batch_commands, options.batch_bytes),
            no_starts: Arc::default(),
            brake: brake.clone(),
        };
        let batcher = Batcher {
            carrier: Carrier {
                compass: Compass::new(&raft),
                raft,
                links,
                again: proposer.queue.clone(),
                metrics: proposer.metrics.clone(),
            },
            shared: shared.clone(),
            log,
            stamped: 0,
            incoming,
            waiting: Lanes::new(),
            brake: brake.clone(),
            slots: Arc::new(Semaphore::new(options.entries_in_flight)),
            limits: proposer.limits,
        };
        tokio::spawn(brake.run(options.batch_commands, shared, stop.clone()));
        tokio::spawn(async move { stop.run_until_cancelled(batcher.run()).await });
        proposer
    }

    /// Why no workflow is to be started while this member leads; `None`: they are.
    pub(super) fn refuse_starts(&self, why: Option<String>) {
        *self.no_starts.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// See [`Self::refuse_starts`].
    pub(super) fn starts_refused(&self) -> Option<String> {
        self.no_starts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// So many ready tasks wait for a worker.
    pub(super) fn note_backlog(&self, tasks: usize) {
        self.brake.backlog(tasks);
    }

    /// Refuses a start before anything is known of it, while this leader has no time for any.
    pub(super) fn admit_any(&self) -> Result<(), Refusal> {
        if self.brake.refuses_starts() { Err(Refusal::Overloaded) } else { Ok(()) }
    }

    /// Refuses a start that the leader has no room for, on its disk or in its time; everything else, which makes room, is let through.
    pub(super) fn admit(&self, envelope: &Envelope) -> Result<(), Refusal> {
        if !matches!(envelope.command, Some(Command::Start(_))) {
            return Ok(());
        }
        if !self.brake.takes_start() {
            return Err(Refusal::Overloaded);
        }
        self.starts_refused().map_or(Ok(()), |reason| Err(Refusal::NoRoom { reason }))
    }

    /// Puts encoded commands into the queue, as one group, or refuses them at once where there is no room.
    pub(super) fn enqueue(&self, commands: Vec<Asked>, target: Target) -> Result<Ticket, ProposeError> {
        self.enqueue_version(commands, target, 0)
    }

    /// As [`Self::enqueue`], for what brings a machine version about: the entry says so, and whoever cannot follow stops there.
    pub(super) fn enqueue_version(&self, commands: Vec<Asked>, target: Target, version: u32) -> Result<Ticket, ProposeError> {
        let bytes = bytes_of(&commands);
        let room = self.room.clone().try_acquire_many_owned(commands.len() as u32);
        let behind = self.shared.feeds.is_overfull();
        let (Ok(room), Ok(room_bytes), false) = (room, self.room_bytes.clone().try_acquire_many_owned(bytes as u32), behind) else {
            return Err(Refusal::Overloaded.into());
        };
        self.push(commands, target, version, (room, room_bytes))
    }

    /// Puts commands of the leader's own scheduler into the queue, as one group. They are never refused for want of room but wait for it, and
    /// stand before whoever asks later: each result that is applied makes room, so refusing results would keep an overload going. How many
    /// there are is bounded by the attempts that are held.
    pub(super) async fn enqueue_of_term(&self, commands: Vec<Asked>, term: u64) -> Result<Ticket, ProposeError> {
        let stopped = |_| ProposeError::Unavailable { reason: "this member is shutting down".into() };
        let bytes = bytes_of(&commands);
        let room = self.room.clone().acquire_many_owned(commands.len() as u32).await.map_err(stopped)?;
        let room_bytes = self.room_bytes.clone().acquire_many_owned(bytes as u32).await.map_err(stopped)?;
        self.push(commands, Target::Term(term), 0, (room, room_bytes))
    }

    fn push(&self, commands: Vec<Asked>, target: Target, version: u32, room: Room) -> Result<Ticket, ProposeError> {
        self.metrics.raft.proposals_pending.add(commands.len() as i64);
        let (group, ticket) = Group::new(commands, target, version, room);
        if self.queue.send(group).is_err() {
            return Err(ProposeError::Unavailable { reason: "this member is shutting down".into() });
        }
        Ok(ticket)
    }

    /// Cuts a long list into groups that fit an entry.
    pub(super) fn groups(&self, commands: Vec<Asked>) -> Vec<Vec<Asked>> {
        let (most_commands, most_bytes) = self.limits;
        let mut groups: Vec<Vec<Asked>> = Vec::new();
        let mut bytes = 0;
        for asked in commands {
            match groups.last_mut() {
                Some(group) if group.len() < most_commands && bytes + asked.command.len() <= most_bytes => {
                    bytes += asked.command.len();
                    group.push(asked);
                }
                _ => {
                    bytes = asked.command.len();
                    groups.push(vec![asked]);
                }
            }
        }
        groups
    }
}

/// Takes groups from the queue, and makes batches of them.
struct Batcher {
    carrier: Carrier,
    shared: Arc<super::apply::Shared>,
    log: LogStore,
    /// The term of which stamps follow on those of the log.
    stamped: u64,
    incoming: mpsc::UnboundedReceiver<Group>,
    /// Taken from the channel, not yet from the queue.
    waiting: Lanes<Group>,
    brake: Arc<Brake>,
    slots: Arc<Semaphore>,
    limits: (usize, usize),
}

impl Batcher {
    async fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                let Some(group) = self.incoming.recv().await else { return };
                self.waiting.push(group);
            }
            // While all slots are taken, others gather.
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
            self.dispatch(slot).await;
        }
    }

    async fn dispatch(&mut self, slot: OwnedSemaphorePermit) {
        loop {
            match self.carrier.compass.route() {
                Route::Here { term } => {
                    let batch = self.take(|target| matches!(target, Target::Anywhere | Target::Here) || target == Target::Term(term));
                    if !batch.is_empty() {
                        self.follow_on(term);
                        self.carrier.append(batch, term, &self.shared, slot).await;
                    }
                    return;
                }
                Route::There(leader) => {
                    let batch = self.take(|target| target == Target::Anywhere);
                    if !batch.is_empty() {
                        tokio::spawn(self.carrier.clone().forward(batch, leader, slot));
                    }
                    return;
                }
                Route::Nowhere => {
                    self.refuse_bound();
                    if self.waiting.is_empty() {
                        return;
                    }
                    tokio::select! {
                        () = self.carrier.compass.changed() => {}
                        group = self.incoming.recv() => group.into_iter().for_each(|group| self.waiting.push(group)),
                        () = tokio::time::sleep(SWEEP) => {}
                    }
                    self.drop_abandoned();
                }
            }
        }
    }

    /// A new leader may propose before it has applied what earlier ones did: its stamps are never lower than those that stand in its log.
    fn follow_on(&mut self, term: u64) {
        if self.stamped == term {
            return;
        }
        let last = position_or_zero(self.carrier.raft.data_metrics().borrow_watched().last_log.as_ref());
        match last_stamp(&self.log, last) {
            Ok(time) => self.shared.stamps.recalled(time),
            Err(error) => {
                return tracing::warn!(%error, "the stamps of the log cannot be read: the machine's time stands still until it is past them");
            }
        }
        self.stamped = term;
    }

    /// The next batch, of groups that may go; those that may not are refused.
    fn take(&mut self, may_go: impl Fn(Target) -> bool) -> Vec<Group> {
        while let Ok(group) = self.incoming.try_recv() {
            self.waiting.push(group);
        }
        let mut room = self.waiting.begin(self.limits);
        let mut batch = Vec::new();
        let now = Instant::now();
        while let Some(group) = self.waiting.next(&mut room) {
            self.count_taken(&group);
            if !may_go(group.target) {
                group.answer(Err(ProposeError::NotLeader));
                continue;
            }
            let Some(group) = group.claim(now) else { continue };
            if group.is_own() {
                self.brake.count_own(group.len());
            }
            batch.push(group);
        }
        self.brake.waiting(self.waiting.asked());
        batch
    }

    /// Nobody leads: what is bound to this member is refused at once.
    fn refuse_bound(&mut self) {
        for group in self.waiting.take_if(|group| group.target != Target::Anywhere) {
            self.count_taken(&group);
            group.answer(Err(ProposeError::NotLeader));
        }
    }

    fn drop_abandoned(&mut self) {
        for group in self.waiting.take_if(Group::abandoned) {
            self.count_taken(&group);
        }
    }

    fn count_taken(&self, group: &Group) {
        self.carrier.metrics.raft.proposals_pending.sub(group.len() as i64);
    }
}

/// Carries batches to the log, and their answers back.
#[derive(Clone)]
struct Carrier {
    raft: Raft,
    compass: Compass,
    links: Arc<Links>,
    again: mpsc::UnboundedSender<Group>,
    metrics: Arc<Metrics>,
}

impl Carrier {
    /// Hands one entry to openraft, in order, and lets another task wait for it.
    async fn append(&self, batch: Vec<Group>, term: u64, shared: &super::apply::Shared, slot: OwnedSemaphorePermit) {
        shared.tally.proposes_in(term);
        let entry = encode_entry(shared.version.in_force(), shared.stamps.stamp(), &batch);
        self.metrics.raft.batch_commands.observe(batch.iter().map(Group::len).sum::<usize>() as f64);
        let (responder, written) = ProgressResponder::complete_only();
        if let Err(fatal) = self.raft.write(EntryBytes(entry)).with_leader(term).responder(responder).await {
            let reason = format!("the log has stopped: {fatal}");
            batch.into_iter().for_each(|group| group.answer(Err(ProposeError::Unavailable { reason: reason.clone() })));
            return;
        }
        let carrier = self.clone();
        tokio::spawn(async move {
            let written = written.await;
            drop(slot);
            carrier.written(batch, written.ok()).await;
        });
    }

    async fn written(self, batch: Vec<Group>, written: Option<ClientWriteResult<Types>>) {
        match written {
            Some(Ok(written)) => self.share_out(batch, written.data.0),
            Some(Err(ClientWriteError::ForwardToLeader(_))) => self.try_again(batch, "no leader took it").await,
            Some(Err(ClientWriteError::LogEntryDiscarded(_))) => fail_unknown(batch, "the leader changed before it was committed"),
            Some(Err(error)) => fail_unknown(batch, &error.to_string()),
            None => fail_unknown(batch, "the log has stopped"),
        }
    }

    /// Sends the batch to the leader. Holds its slot until it is answered, or until another member leads: a dead leader must not hold up
    /// what goes to the next one, which may be this one. What was sent to it is unknown a moment later.
    async fn forward(self, batch: Vec<Group>, leader: MemberInfo, slot: OwnedSemaphorePermit) {
        let now = Instant::now();
        let (commands, waits_ms): (Vec<Bytes>, Vec<u32>) =
            batch.iter().flat_map(Group::asked).map(|asked| (asked.command.clone(), asked.patience.left_ms(now))).unzip();
        self.metrics.raft.forwarded.inc_by(commands.len() as u64);
        let header = Some(self.links.header(leader.raft_id));
        let mut request = tonic::Request::new(ProposeRequest { header, commands, apart: true, waits_ms });
        request.set_timeout(LEADER_WAIT + ANSWER_WAIT);
        let answered = match self.links.asking(&leader) {
            Err(error) => Err(Status::invalid_argument(format!("{:?} is no peer address: {error}", leader.peer_address))),
            Ok(mut client) => {
                let mut call = pin!(tokio::time::timeout(LEADER_WAIT + ANSWER_WAIT, client.propose(request)));
                let answered = tokio::select! {
                    answered = &mut call => answered,
                    () = self.compass.fresh().until_not(&leader) => {
                        drop(slot);
                        tokio::time::timeout(DEPOSED_WAIT, call).await.and_then(|answered| answered)
                    }
                };
                match answered {
                    Ok(answered) => answered.map(tonic::Response::into_inner),
                    Err(_) => Err(Status::deadline_exceeded("the leader did not answer")),
                }
            }
        };
        match answered {
            Ok(response) => self.answered(batch, response).await,
            Err(status) if never_sent(&status) => self.try_again(batch, "the leader cannot be reached").await,
            // The leader checks these before it does anything.
            Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument) => {
                let reason = format!("member {} refused: {}", leader.name, status.message());
                batch.into_iter().for_each(|group| group.answer(Err(ProposeError::Unavailable { reason: reason.clone() })));
            }
            Err(status) => fail_unknown(batch, &format!("the connection to the leader broke: {}", status.message())),
        }
    }

    async fn answered(self, batch: Vec<Group>, response: ProposeResponse) {
        // A group that goes to another member is of one command: two callers have nothing to do with one another.
        let mut refused: BTreeMap<usize, Refusal> =
            response.refusals.iter().map(|refusal| (refusal.at as usize, Refusal::read(&refusal.refused))).collect();
        let mut rest = Vec::with_capacity(batch.len());
        for (at, group) in batch.into_iter().enumerate() {
            match refused.remove(&at) {
                Some(refusal) => group.answer(Err(refusal.into())),
                None => rest.push(group),
            }
        }
        self.answered_alike(rest, response).await;
    }

    /// What the answer says of all that were not refused by themselves.
    async fn answered_alike(self, batch: Vec<Group>, response: ProposeResponse) {
        match response.refused.as_str() {
            "" if response.unknown.is_empty() => {
                let decode = |bytes: Bytes| StoredAnswer::decode(bytes).ok().and_then(StoredAnswer::into_answer);
                match response.answers.into_iter().map(decode).collect::<Option<Vec<Answer>>>() {
                    Some(answers) => self.share_out(batch, answers),
                    None => fail_unknown(batch, "the leader's answer is of a kind that is not known here"),
                }
            }
            "" => fail_unknown(batch, &response.unknown),
            refused => match Refusal::read(refused) {
                Refusal::NotLeader => self.try_again(batch, "no leader took it").await,
                refusal => batch.into_iter().for_each(|group| group.answer(Err(refusal.clone().into()))),
            },
        }
    }

    fn share_out(&self, batch: Vec<Group>, answers: Vec<Answer>) {
        let mut answers = answers.into_iter();
        for group in batch {
            self.metrics.raft.proposal_seconds.observe(group.since.elapsed().as_secs_f64());
            let placed = group.place(&mut answers);
            group.answer(placed.ok_or_else(|| ProposeError::Unknown { reason: "answers are missing".into() }));
        }
    }

    /// Nothing happened: back into the queue, once the leader may have changed.
    async fn try_again(self, batch: Vec<Group>, reason: &str) {
        let (bound, free): (Vec<_>, Vec<_>) = batch.into_iter().partition(|group| group.target != Target::Anywhere);
        bound.into_iter().for_each(|group| group.answer(Err(ProposeError::NotLeader)));
        if free.is_empty() {
            return;
        }
        drop(tokio::time::timeout(SWEEP / 5, self.compass.fresh().changed()).await);
        for group in free {
            if group.since.elapsed() >= LEADER_WAIT {
                group.answer(Err(ProposeError::Unavailable { reason: reason.to_owned() }));
                continue;
            }
            group.queue_again();
            self.metrics.raft.proposals_pending.add(group.len() as i64);
            if let Err(mpsc::error::SendError(group)) = self.again.send(group) {
                group.answer(Err(ProposeError::Unavailable { reason: "this member is shutting down".into() }));
            }
        }
    }
}

fn fail_unknown(batch: Vec<Group>, reason: &str) {
    batch.into_iter().for_each(|group| group.answer(Err(ProposeError::Unknown { reason: reason.to_owned() })));
}

/// The stamp of the last entry with commands, about this position or after it; 0: there is none among those that are looked at.
fn last_stamp(log: &LogStore, last: u64) -> std::io::Result<u64> {
    let looked_at = log.read((last + 1).saturating_sub(STAMPS_LOOKED_AT), u64::MAX, STAMPS_LOOKED_AT_BYTES).map_err(io_error)?;
    for stored in looked_at.into_iter().rev() {
        if let EntryPayload::Normal(commands) = Entry::decode(stored.bytes)?.payload {
            return Ok(LogEntry::decode(commands.0).map_err(std::io::Error::other)?.time);
        }
    }
    Ok(0)
}

/// A `LogEntry` with these commands, without decoding them; of the version in force, or of what one of them brings about.
fn encode_entry(in_force: u32, time: u64, batch: &[Group]) -> Bytes {
    let machine_version = batch.iter().map(|group| group.version).fold(in_force, u32::max);
    let head = LogEntry { format: ENTRY_FORMAT, machine_version, time, commands: Vec::new() };
    const PER_COMMAND: usize = 8;
    let commands = || batch.iter().flat_map(Group::asked).map(|asked| &asked.command);
    let size = head.encoded_len() + commands().map(|command| command.len() + PER_COMMAND).sum::<usize>();
    let mut entry = BytesMut::with_capacity(size);
    head.encode_raw(&mut entry);
    for command in commands() {
        prost::encoding::encode_varint(u64::from(COMMANDS_KEY), &mut entry);
        prost::encoding::encode_varint(command.len() as u64, &mut entry);
        entry.put_slice(command);
    }
    entry.freeze()
}

#[cfg(test)]
mod tests {
    use graft_machine::command::{Command, Envelope, ExpireRequests};

    use super::super::groups::tests::group;
    use super::super::types::LogId;
    use super::*;
    use crate::storage::{LogOptions, StoredEntry};

    #[test]
    fn the_last_stamp_of_a_log_is_found_behind_entries_of_openraft_s_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = LogOptions { cache_bytes: 1 << 20, tail_bytes: 1 << 20 };
        let (log, _) = LogStore::open(&dir.path().join("log.redb"), options, None).expect("a log");
        assert_eq!(last_stamp(&log, 0).expect("readable"), 0);
        let entry = |index, payload| {
            let log_id = LogId::new(openraft::alias::CommittedLeaderIdOf::<Types>::new(1), index - 1);
            StoredEntry { index, bytes: Entry { log_id, payload }.encode() }
        };
        let stamped = |time| EntryPayload::Normal(EntryBytes(LogEntry { time, ..LogEntry::default() }.encode_to_vec().into()));
        let entries = vec![entry(1, stamped(70)), entry(2, stamped(77)), entry(3, EntryPayload::Blank)];
        log.append(entries, Box::new(|_| ()));
        assert_eq!(last_stamp(&log, 3).expect("readable"), 77);
        assert_eq!(last_stamp(&log, 2).expect("readable"), 77, "what is known of the end may be old");
    }

    #[test]
    fn an_entry_of_encoded_commands_is_what_the_machine_would_encode() {
        let envelope = |who: &str| Envelope::internal(who, Command::ExpireRequests(ExpireRequests {}));
        let all = vec![envelope("a"), envelope("b"), envelope(&"c".repeat(300))];
        let group = |envelopes: &[Envelope], version| group(envelopes.iter().map(Asked::by_us).collect(), version).0;
        let batch = [group(&all[..2], 0), group(&all[2..], 0)];
        let entry = LogEntry { format: ENTRY_FORMAT, machine_version: 1, time: 77, commands: all };
        assert_eq!(encode_entry(1, 77, &batch), entry.encode_to_vec());
        // What brings a version about says so to whoever cannot follow.
        let raises = [group(&[], 0), group(&[], 2)];
        let version = |in_force| LogEntry::decode(encode_entry(in_force, 77, &raises)).expect("an entry").machine_version;
        assert_eq!((version(1), version(2), version(3)), (2, 2, 3));
    }
}
