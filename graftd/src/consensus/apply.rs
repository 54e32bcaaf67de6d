//! openraft's state machine over [`StateStore`]: committed entries in; answers, effects and news out.
//!
//! An entry is decoded once, here, and applied command by command under one exclusive transaction of the overlay. Nothing is written to disk
//! in between: what was applied but not flushed is applied again from the log after a crash, from the mark that the flushed state carries.
//! The order for each entry is: publish its writes, send its effects, tell the new index, answer, wake.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use graft_machine::command::{Command, LogEntry};
use graft_machine::reply::Answer;
use graft_machine::state::StateRead;
use graft_machine::tables::{Meta, MetaKey};
use graft_machine::time::Stamp;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use prost::Message;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use super::codec::{Wire, decode_optional};
use super::feed::Feeds;
use super::heard::Heard;
use super::snapshot::{self, SnapshotBuilder, SnapshotData};
use super::subscriptions::Subscriptions;
use super::tally::Tally;
use super::time::StampClock;
use super::types::{Answers, Entry, LogId, SnapshotMeta, StoredMembership, Types, position};
use super::versions::{self, Fatal, InForce};
use crate::observability::metrics::Metrics;
use crate::observability::traces::Traces;
use crate::storage::{AppliedMark, StateStore};

/// An entry of more bytes is applied on a thread of its own, as far as the runtime's other tasks are concerned: heartbeats go on.
const HEAVY_ENTRY_BYTES: usize = 4 << 10;

/// What apply shares with the rest of this floor.
pub(crate) struct Shared {
    pub(crate) state: StateStore,
    pub(crate) feeds: Feeds,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) stamps: StampClock,
    /// Index of the last entry that was applied here.
    pub(crate) applied: watch::Sender<u64>,
    /// The last word of the leader.
    pub(crate) heard: Heard,
    /// Why this member cannot go on.
    pub(crate) broken: watch::Sender<Option<Fatal>>,
    /// The machine version in force.
    pub(crate) version: InForce,
    pub(crate) metrics: Arc<Metrics>,
    /// Counts the history.
    pub(crate) tally: Tally,
    /// Is told the history.
    pub(crate) traces: Traces,
    /// Whether entries must follow one another; only openraft's own test suite applies some with gaps.
    pub(crate) gapless: bool,
    /// Workflows that have ended, in what was applied here.
    pub(crate) ended: AtomicU64,
    /// Entries up to this index were in the log when it was opened: their stamps say nothing about now.
    pub(crate) recovered: u64,
}

/// The state machine, as openraft drives it: from one task, one entry after the other.
pub(crate) struct StateMachine {
    shared: Arc<Shared>,
}

/// Tells that apply panicked: openraft alone would only stop.
struct Watchdog<'a> {
    broken: &'a watch::Sender<Option<Fatal>>,
    at: u64,
}

impl Drop for Watchdog<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = format!("applying log entry {} panicked: see the log above; this member must not go on", self.at);
            self.broken.send_replace(Some(Fatal::Broken(why)));
        }
    }
}

impl StateMachine {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits while the overlay is full, before anything is locked, and so that the runtime's other tasks go on: the raft core may have been
    /// about to run on this thread.
    fn make_room(&self) {
        if self.shared.state.has_room() {
            return;
        }
        match may_block() {
            true => tokio::task::block_in_place(|| self.shared.state.wait_for_room()),
            false => self.shared.state.wait_for_room(),
        }
    }

    fn apply_entry(&self, entry: &Entry) -> io::Result<Answers> {
        let at = position(&entry.log_id);
        let _watchdog = Watchdog { broken: &self.shared.broken, at };
        let applied = self.shared.state.applied().index;
        assert!(
            !self.shared.gapless || at == applied + 1,
            "log entry {at} would be applied after {applied}: something in between is missing"
        );
        self.make_room();
        match &entry.payload {
            EntryPayload::Normal(commands) if commands.0.len() > HEAVY_ENTRY_BYTES && may_block() => {
                tokio::task::block_in_place(|| self.shared.apply_commands(&entry.log_id, &commands.0)).map(Answers)
            }
            EntryPayload::Normal(commands) => self.shared.apply_commands(&entry.log_id, &commands.0).map(Answers),
            EntryPayload::Blank => {
                self.shared.note(&entry.log_id, None);
                Ok(Answers::default())
            }
            EntryPayload::Membership(membership) => {
                let stored = StoredMembership::new(Some(entry.log_id), membership.clone());
                self.shared.note(&entry.log_id, Some(stored.encode()));
                Ok(Answers::default())
            }
        }
    }
}

/// Whether this thread belongs to a runtime whose other threads can take over its tasks.
fn may_block() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl Shared {
    /// The mark after an entry: the membership stays unless the entry brought one.
    fn mark(&self, log_id: &LogId, membership: Option<Bytes>) -> AppliedMark {
        let membership = membership.unwrap_or_else(|| self.state.applied().membership);
        AppliedMark { index: position(log_id), log_id: log_id.encode(), membership }
    }

    /// Applies an entry of openraft's own.
    fn note(&self, log_id: &LogId, membership: Option<Bytes>) {
        let mark = self.mark(log_id, membership);
        let feed = self.feeds.begin();
        self.state.begin().finish(mark);
        drop(feed);
        self.applied.send_replace(position(log_id));
    }

    /// A newer leader went on without this member: nothing of what it wrote is applied here.
    fn left_behind(&self, why: String) -> io::Error {
        let told = io::Error::other(why.clone());
        self.broken.send_replace(Some(Fatal::TooNew(why)));
        told
    }

    fn apply_commands(&self, log_id: &LogId, bytes: &Bytes) -> io::Result<Vec<Answer>> {
        let _timer = self.metrics.raft.apply_seconds.start_timer();
        let index = position(log_id);
        let entry = LogEntry::decode(bytes.clone()).expect("a log entry decodes: it was encoded by a member");
        if let Some(why) = versions::of_a_newer(&entry) {
            return Err(self.left_behind(format!("log entry {index} {why}")));
        }
        let mark = self.mark(log_id, None);
        let term = log_id.leader_id.term;
        let feed = self.feeds.begin();
        let (wanted, ours) = (feed.wanted(term), self.tally.is_ours(term));
        let (mut answers, mut effects, mut runs) = (Vec::with_capacity(entry.commands.len()), Vec::new(), Vec::new());
        let (mut ordinal, mut ended) = (0, 0);
        let mut tx = self.state.begin();
        for envelope in &entry.commands {
            let applied = graft_machine::apply(&mut tx, Stamp { time: entry.time, index, ordinal }, envelope);
            ordinal += applied.events.len() as u32;
            runs.extend(applied.events.iter().map(|event| event.run));
            ended += applied.events.iter().filter(|event| event.ends_its_workflow()).count();
            if ours {
                self.tally.count(&tx, &applied.events);
                self.traces.saw(&tx, &applied.events);
            }
            if wanted {
                effects.extend(applied.effects);
            }
            self.count(envelope.command.as_ref(), &applied.reply);
            answers.push(applied.reply);
        }
        let meta = tx.get::<Meta>(&MetaKey {});
        let time = meta.as_ref().map_or(entry.time, |meta| meta.time);
        self.version.is(meta.map_or(0, |meta| meta.machine_version));
        tx.finish(mark);
        feed.send(term, index, time, effects);
        if index > self.recovered {
            self.stamps.heard(time);
        } else {
            self.stamps.recalled(time);
        }
        self.applied.send_replace(index);
        self.subscriptions.wake(runs.into_iter());
        self.ended.fetch_add(ended as u64, Ordering::Relaxed);
        self.metrics.raft.entries.inc();
        Ok(answers)
    }

    fn count(&self, command: Option<&Command>, answer: &Answer) {
        let commands = &self.metrics.raft.commands;
        match command {
            Some(Command::Complete(_) | Command::Fail(_) | Command::Block(_) | Command::Lose(_)) => commands.step.inc(),
            Some(Command::Start(_)) => commands.start.inc(),
            Some(Command::OpenSession(_) | Command::CloseSession(_)) => commands.session.inc(),
            _ => commands.other.inc(),
        }
        if answer.is_err() {
            self.metrics.raft.rejections.inc();
        }
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let mark = self.shared.state.applied();
        Ok((decode_optional(&mark.log_id)?, decode_optional(&mark.membership)?.unwrap_or_default()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let answers = self.apply_entry(&entry)?;
            if let Some(responder) = responder {
                responder.send(answers);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { state: self.shared.state.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, data: SnapshotData) -> io::Result<()> {
        let installed = snapshot::install(self.shared.state.clone(), meta, data).await?;
        let (time, version) = self.shared.state.latest().get::<Meta>(&MetaKey {}).map_or((0, 0), |meta| (meta.time, meta.machine_version));
        if let Some(why) = versions::too_high(version) {
            return Err(self.shared.left_behind(format!("the snapshot up to entry {} {why}", installed.index)));
        }
        self.shared.version.is(version);
        self.shared.stamps.heard(time);
        self.shared.metrics.raft.snapshots.with_label_values(&["install"]).inc();
        self.shared.applied.send_replace(installed.index);
        self.shared.subscriptions.wake_all();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<openraft::alias::SmSnapshotOf<Types, Self>>> {
        snapshot::open(&self.shared.state)
    }
}
