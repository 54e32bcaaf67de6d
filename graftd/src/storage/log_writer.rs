//! The log's writer: one thread, group commit.
//!
//! It takes everything that is queued (up to [`COMMIT_MAX_BYTES`]) into one durable transaction, in the order in which it was asked for,
//! and calls back in that order. While it waits for the disk the next group gathers. After an error everything is answered with it: redb
//! writes nothing more to that file, and order would be lost.

use std::collections::VecDeque;
use std::sync::PoisonError;

use bytes::Bytes;

use super::codec::encode_indexed;
use super::error::StorageError;
use super::file::durable;
use super::log::{COMMITTED, Durable, ENTRIES, IDS, Log, PURGED, Shared, StoredEntry, VOTE};
use super::log_tail::Seq;
use super::work::Work;

/// One commit takes no more than this (but at least one change), so that the first in a long queue is not kept waiting for the last.
const COMMIT_MAX_BYTES: usize = 8 << 20;

/// A change of the log.
pub(super) enum Change {
    Append(Vec<StoredEntry>),
    Vote(Bytes),
    Committed(Bytes),
    TruncateAfter(u64),
    Purge(u64, Bytes),
}

/// A change, and whom to tell.
pub(super) struct ToDo {
    pub(super) change: Change,
    pub(super) done: Option<Durable>,
}

impl ToDo {
    fn bytes(&self) -> usize {
        match &self.change {
            Change::Append(entries) => entries.iter().map(|entry| entry.bytes.len()).sum(),
            Change::Vote(bytes) | Change::Committed(bytes) | Change::Purge(_, bytes) => bytes.len(),
            Change::TruncateAfter(_) => 0,
        }
    }
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<ToDo>,
    /// The latest committed id: only the last one counts, and it starts no commit of its own.
    committed: Option<Bytes>,
    bytes: usize,
    pushed: Seq,
    closing: bool,
}

impl Queue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn closing(&self) -> bool {
        self.closing
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    fn is_over(&self) -> bool {
        self.closing && self.waiting.is_empty() && self.committed.is_none()
    }

    /// The number of the next change.
    pub(super) fn next_seq(&self) -> Seq {
        self.pushed + 1
    }

    pub(super) fn push(&mut self, todo: ToDo) {
        match todo.change {
            Change::Committed(id) => self.committed = Some(id),
            _ => {
                self.pushed += 1;
                self.bytes += todo.bytes();
                self.waiting.push_back(todo);
            }
        }
    }

    /// The next group and the number of its last change.
    fn take(&mut self) -> (Vec<ToDo>, Seq) {
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(todo) = self.waiting.pop_front() {
            bytes += todo.bytes();
            group.push(todo);
            if bytes >= COMMIT_MAX_BYTES {
                break;
            }
        }
        self.bytes -= bytes;
        if self.waiting.is_empty()
            && let Some(id) = self.committed.take()
        {
            group.push(ToDo { change: Change::Committed(id), done: None });
        }
        (group, self.pushed - self.waiting.len() as Seq)
    }
}

impl Work for Shared {
    fn wait(&self) -> bool {
        let idle = |log: &mut Log| log.queue.waiting.is_empty() && !log.queue.closing;
        !self.work.wait_while(self.log(), idle).unwrap_or_else(PoisonError::into_inner).queue.is_over()
    }

    fn step(&self) {
        let (group, seq) = self.log().queue.take();
        if group.is_empty() {
            return;
        }
        let outcome = self.failure.check().and_then(|()| self.busy.with(|| commit(self, &group)));
        if outcome.is_ok() {
            self.log().tail.durable(seq);
        }
        self.room.notify_all();
        for done in group.into_iter().filter_map(|todo| todo.done) {
            done(outcome.clone());
        }
    }

    fn is_due(&self) -> bool {
        let log = self.log();
        !log.queue.waiting.is_empty() || (log.queue.closing && !log.queue.is_over())
    }

    fn is_over(&self) -> bool {
        self.log().queue.is_over()
    }
}

fn commit(shared: &Shared, group: &[ToDo]) -> Result<(), StorageError> {
    let timer = shared.metrics.as_ref().map(|metrics| metrics.storage.log.commit_seconds.start_timer());
    let written = write(shared, group).map_err(StorageError::during("write to", &shared.path));
    drop(timer);
    match &written {
        Err(error) => shared.failure.set(error.clone()),
        Ok(()) => {
            if let Some(metrics) = &shared.metrics {
                metrics.storage.log.fsyncs.inc();
            }
        }
    }
    written
}

fn write(shared: &Shared, group: &[ToDo]) -> Result<(), redb::Error> {
    let mut txn = shared.database.begin_write()?;
    durable(&mut txn, shared.quick_repair)?;
    {
        let mut entries = txn.open_table(ENTRIES)?;
        let mut ids = txn.open_table(IDS)?;
        for todo in group {
            match &todo.change {
                Change::Append(appended) => {
                    for entry in appended {
                        entries.insert(entry.index, entry.bytes.as_ref())?;
                    }
                }
                Change::Vote(vote) => drop(ids.insert(VOTE, vote.as_ref())?),
                Change::Committed(id) => drop(ids.insert(COMMITTED, id.as_ref())?),
                Change::TruncateAfter(0) => entries.retain(|_, _| false)?,
                Change::TruncateAfter(index) => entries.retain_in(index + 1.., |_, _| false)?,
                Change::Purge(index, log_id) => {
                    entries.retain_in(..=*index, |_, _| false)?;
                    ids.insert(PURGED, encode_indexed(*index, log_id).as_slice())?;
                }
            }
        }
    }
    txn.commit()?;
    Ok(())
}
