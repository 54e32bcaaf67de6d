//! openraft's log over [`storage::LogStore`](crate::storage::LogStore): entries, vote and committed mark in one file, written in order.
//!
//! Appends are readable at once and acknowledged when they are durable; vote, truncation and purge are waited for. What openraft asks often
//! (vote, last and purged position) is kept in memory, shared with the readers. Positions count from 1 in the file (see `types`).

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::stream::{self, Stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::codec::Wire;
use super::types::{Entry, LogId, Types, Vote, position};
use crate::storage::{Durable, LogRecovered, LogStore, StorageError, StoredEntry};

/// Entries that are read at a time for replication or apply, in bytes (at least one entry is read).
const READ_BYTES: usize = 2 << 20;

/// The log of this member.
pub(crate) struct LogStorage {
    store: LogStore,
    known: Arc<Mutex<Known>>,
}

/// Reads the log, for replication and apply.
#[derive(Clone)]
pub(crate) struct LogReader {
    store: LogStore,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
}

impl LogStorage {
    /// Takes over an opened log.
    pub(crate) fn new(store: LogStore, recovered: LogRecovered) -> io::Result<Self> {
        let purged = recovered.purged.map(|(_, log_id)| LogId::decode(log_id)).transpose()?;
        let last = recovered.last.map(|stored| Entry::decode(stored.bytes)).transpose()?.map(|entry| entry.log_id);
        let known = Known {
            vote: recovered.vote.map(Vote::decode).transpose()?,
            committed: recovered.committed.map(LogId::decode).transpose()?,
            purged,
            last: last.max(purged),
        };
        Ok(Self { store, known: Arc::new(Mutex::new(known)) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().expect("no panic while the log's marks are held")
}

/// Turns a callback of the writer thread into something to wait for.
fn durable() -> (Durable, impl Future<Output = io::Result<()>>) {
    let (sender, receiver) = oneshot::channel();
    let done: Durable = Box::new(move |result| drop(sender.send(result)));
    let wait = async {
        match receiver.await {
            Ok(result) => result.map_err(io_error),
            Err(_) => Err(io::Error::other("the log's writer thread has stopped")),
        }
    };
    (done, wait)
}

pub(super) fn io_error(error: StorageError) -> io::Error {
    io::Error::other(error)
}

impl RaftLogStorage<Types> for LogStorage {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let known = self.known();
        Ok(LogState { last_purged_log_id: known.purged, last_log_id: known.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { store: self.store.clone(), known: self.known.clone() }
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, wait) = durable();
        self.store.save_vote(vote.encode(), done);
        wait.await?;
        self.known().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.store.save_committed(committed.encode());
            self.known().committed = Some(committed);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.known().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut last = None;
        let store = |entry: Entry| {
            last = Some(entry.log_id);
            StoredEntry { index: position(&entry.log_id), bytes: entry.encode() }
        };
        let entries: Vec<StoredEntry> = entries.into_iter().map(store).collect();
        let Some(last) = last else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        self.store.append(entries, Box::new(move |result| callback.io_completed(result.map_err(io_error))));
        self.known().last = Some(last);
        Ok(())
    }

    async fn truncate_after(&mut self, keep: Option<LogId>) -> io::Result<()> {
        // Readers stop at the new end before the entries after it go.
        {
            let mut known = self.known();
            known.last = known.last.min(keep).max(known.purged);
        }
        let (done, wait) = durable();
        self.store.truncate_after(keep.as_ref().map_or(0, position), done);
        wait.await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        {
            let mut known = self.known();
            known.purged = known.purged.max(Some(upto));
            known.last = known.last.max(Some(upto));
        }
        let (done, wait) = durable();
        self.store.purge(position(&upto), upto.encode(), done);
        wait.await
    }
}

impl LogReader {
    /// Entries at positions `start..end` that are there, at most about `max_bytes` (but at least one).
    fn read(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let (start, end) = {
            let known = lock(&self.known);
            let first = known.purged.as_ref().map_or(1, |purged| position(purged) + 1);
            let next = known.last.as_ref().map_or(1, |last| position(last) + 1);
            (start.max(first), end.min(next))
        };
        if start >= end {
            return Ok(Vec::new());
        }
        let stored = self.store.read(start, end, max_bytes).map_err(io_error)?;
        stored.into_iter().map(|entry| Entry::decode(entry.bytes).map_err(io::Error::from)).collect()
    }
}

fn positions(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => index.saturating_add(2),
        Bound::Unbounded => 1,
    };
    let end = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(2),
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (mut start, end) = positions(&range);
        let mut entries = Vec::new();
        while start < end {
            let more = self.read(start, end, READ_BYTES)?;
            let Some(last) = more.last() else { break };
            start = position(&last.log_id) + 1;
            entries.extend(more);
        }
        Ok(entries)
    }

    /// Page by page: what is to be applied may be more than memory should hold.
    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = positions(&range);
        let reader = self.clone();
        let page = (Vec::new().into_iter(), start);
        stream::try_unfold(page, move |(mut page, start)| {
            let next = match page.next() {
                Some(entry) => Ok(Some(entry)),
                None if start < end => reader.read(start, end, READ_BYTES).map(|entries| {
                    page = entries.into_iter();
                    page.next()
                }),
                None => Ok(None),
            };
            async move {
                let next: Option<Entry> = next?;
                Ok(next.map(|entry| {
                    let after = position(&entry.log_id) + 1;
                    (entry, (page, after))
                }))
            }
        })
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start + 1, end + 1, READ_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(lock(&self.known).vote)
    }
}
