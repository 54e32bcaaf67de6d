//! Snapshots are the flushed state itself: building one flushes and names the index, and writes nothing else. A reader is opened only when a
//! follower asks; a received one replaces the whole state at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::alias::SmSnapshotOf;
use openraft::{RaftSnapshotBuilder, Snapshot};
use tokio::time::Instant;

use super::apply::StateMachine;
use super::codec::{Wire, decode_optional};
use super::log_store::io_error;
use super::types::{SnapshotMeta, StoredMembership, Types};
use crate::observability::metrics::Metrics;
use crate::storage::{AppliedMark, CheckedSnapshot, SnapshotReader, SnapshotWriter, StateStore};

/// The data of a snapshot, in one of its three lives.
pub(crate) enum SnapshotData {
    /// Built: the state file holds it.
    Built,
    /// Opened, to be sent.
    Outgoing(Box<SnapshotReader>),
    /// Received and checked, to be installed.
    Incoming(Box<CheckedSnapshot>),
}

/// The way of a snapshot from one member to another, for the log: when it begins, and how it ends. A side whose other side goes away is dropped
/// where it stands.
pub(crate) struct Passage {
    metrics: Arc<Metrics>,
    op: &'static str,
    verb: &'static str,
    member: u64,
    upto: u64,
    began: Instant,
    /// How many have passed.
    bytes: Arc<AtomicU64>,
    ended: bool,
}

impl Passage {
    /// A snapshot up to this position is sent to a member (`op` is `send`), or received from it (`install`).
    pub(crate) fn begin(metrics: &Arc<Metrics>, op: &'static str, member: u64, upto: u64) -> Self {
        let verb = if op == "send" { "sent" } else { "received" };
        tracing::debug!(member, upto, "a snapshot is to be {verb}");
        Self { metrics: metrics.clone(), op, verb, member, upto, began: Instant::now(), bytes: Arc::default(), ended: false }
    }

    /// So many bytes more have passed.
    pub(crate) fn more(&self, bytes: usize) {
        if self.bytes.fetch_add(bytes as u64, Ordering::Relaxed) == 0 && bytes > 0 {
            tracing::info!(member = self.member, upto = self.upto, "a snapshot is being {}", self.verb);
        }
    }

    /// It has arrived.
    pub(crate) fn over(&mut self, what: &str) {
        self.ended = true;
        let (member, upto, bytes, ms) = self.figures();
        self.metrics.raft.snapshot_seconds.with_label_values(&[self.op]).observe(self.began.elapsed().as_secs_f64());
        self.metrics.raft.snapshot_bytes.with_label_values(&[self.op]).observe(bytes as f64);
        tracing::info!(member, upto, bytes, ms, "a snapshot is {what}");
    }

    /// It has not, and this is why.
    pub(crate) fn failed(&mut self, reason: &str) {
        self.ended = true;
        self.metrics.raft.snapshot_errors.with_label_values(&[self.op]).inc();
        let (member, upto, bytes, ms) = self.figures();
        tracing::warn!(member, upto, bytes, ms, reason, "a snapshot was not {}: it begins anew", self.verb);
    }

    /// Nobody is there, or wants it.
    pub(crate) fn refused(&mut self, reason: &str) {
        self.ended = true;
        tracing::debug!(member = self.member, upto = self.upto, reason, "a snapshot was not {}", self.verb);
    }

    /// Counts what passes.
    pub(crate) fn bytes(&self) -> Arc<AtomicU64> {
        self.bytes.clone()
    }

    fn figures(&self) -> (u64, u64, u64, u64) {
        (self.member, self.upto, self.bytes.load(Ordering::Relaxed), self.began.elapsed().as_millis() as u64)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if !self.ended {
            self.failed("it was cut off, by either side");
        }
    }
}

pub(crate) fn meta_of(mark: &AppliedMark) -> io::Result<SnapshotMeta> {
    let last_membership: StoredMembership = decode_optional(&mark.membership)?.unwrap_or_default();
    Ok(SnapshotMeta { last_log_id: decode_optional(&mark.log_id)?, last_membership })
}

/// Opens the flushed state for sending; none if nothing was ever flushed. It is never older than the last snapshot that was built, which
/// flushed, and so never older than what was purged.
pub(crate) fn open(state: &StateStore) -> io::Result<Option<SmSnapshotOf<Types, StateMachine>>> {
    let reader = state.snapshot();
    if reader.mark().index == 0 {
        return Ok(None);
    }
    let meta = meta_of(reader.mark())?;
    Ok(Some(Snapshot { meta, snapshot: SnapshotData::Outgoing(Box::new(reader)) }))
}

/// Replaces the state.
pub(crate) async fn install(state: StateStore, meta: &SnapshotMeta, data: SnapshotData) -> io::Result<AppliedMark> {
    let work = move || {
        let received = match data {
            SnapshotData::Incoming(checked) => *checked,
            SnapshotData::Outgoing(mut reader) => {
                let mut writer = state.receive_snapshot()?;
                while let Some(chunk) = reader.next_chunk()? {
                    writer.write_chunk(&chunk)?;
                }
                state.check(writer)?
            }
            // The state file holds it already.
            SnapshotData::Built => return Ok(state.applied()),
        };
        state.install(received)
    };
    let mark = blocking(work).await?.map_err(io_error)?;
    is_announced(&mark, meta)?;
    Ok(mark)
}

fn is_announced(mark: &AppliedMark, meta: &SnapshotMeta) -> io::Result<()> {
    if meta_of(mark)?.last_log_id == meta.last_log_id {
        return Ok(());
    }
    let expected = meta.last_log_id.map(|id| id.encode());
    Err(io::Error::other(format!("the snapshot holds log id {:?}, but it was announced as {expected:?}", mark.log_id)))
}

/// Makes a state of what was received, before anything depends on it: openraft would end the member if that failed later.
pub(crate) async fn check(state: StateStore, meta: &SnapshotMeta, received: SnapshotWriter) -> io::Result<SnapshotData> {
    let checked = blocking(move || state.check(received)).await?.map_err(io_error)?;
    is_announced(checked.mark(), meta)?;
    Ok(SnapshotData::Incoming(Box::new(checked)))
}

/// Runs blocking work beside the runtime's tasks.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Builds snapshots.
pub(crate) struct SnapshotBuilder {
    pub(crate) state: StateStore,
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SmSnapshotOf<Types, StateMachine>> {
        let state = self.state.clone();
        let mark = blocking(move || state.flush()).await?.map_err(io_error)?;
        Ok(Snapshot { meta: meta_of(&mark)?, snapshot: SnapshotData::Built })
    }
}
