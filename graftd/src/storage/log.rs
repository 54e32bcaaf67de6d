//! The log store: entries, vote, committed and purged ids in `log.redb`.
//!
//! A change is made in memory at once, under one lock, and queued; the writer thread (`log_writer`) makes it durable in the order in
//! which it was asked for. So an entry is readable when `append` returns, and `done` is called when a power cut can no longer take it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition};

use super::codec::decode_indexed;
use super::disk::{Disk, RealDisk};
use super::error::{Failure, StorageError};
use super::file::{self, Kind};
use super::log_sizes::Sizes;
use super::log_tail::Tail;
use super::log_writer::{Change, Queue, ToDo};
use super::work::{Busy, Work};
use crate::observability::metrics::Metrics;

/// What the file is.
const LOG: Kind = Kind { name: "log", format: 1 };
/// Index → entry.
pub(super) const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
/// [`VOTE`], [`COMMITTED`], [`PURGED`].
pub(super) const IDS: TableDefinition<&str, &[u8]> = TableDefinition::new("ids");
pub(super) const VOTE: &str = "vote";
pub(super) const COMMITTED: &str = "committed";
pub(super) const PURGED: &str = "purged";
/// Whether commits of the log carry quick repair: see decision 0003.
pub const LOG_QUICK_REPAIR: bool = false;
/// `append` waits while more bytes than this wait for the writer.
const QUEUE_MAX_BYTES: usize = 64 << 20;
/// Opening looks at the sizes of the newest entries until they have so many bytes.
const SIZES_READ_BYTES: u64 = 32 << 20;

/// One log entry as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEntry {
    /// Its index.
    pub index: u64,
    /// Its bytes: consensus encodes log id and payload.
    pub bytes: Bytes,
}

/// Settings of the log store.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// redb's page cache, in bytes.
    pub cache_bytes: usize,
    /// Entries of the tail are kept in memory up to so many bytes; those that are not durable yet come on top.
    pub tail_bytes: usize,
}

/// What the log file knew when it was opened.
#[derive(Clone, Debug, Default)]
pub struct LogRecovered {
    /// The vote, as consensus encoded it.
    pub vote: Option<Bytes>,
    /// The committed log id, as consensus encoded it.
    pub committed: Option<Bytes>,
    /// The last purged log id, as consensus encoded it, and its index.
    pub purged: Option<(u64, Bytes)>,
    /// The last entry.
    pub last: Option<StoredEntry>,
}

/// Called once, from the writer thread, when a write is durable (or has failed). It must not wait for the log. After
/// [`LogStore::close`] it is called with an error, from the thread that asked.
pub type Durable = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

/// `log.redb` and its writer thread (group commit). Cheap to clone. Dropping the last clone writes what is queued and stops the thread.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    has_thread: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the writer share.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) database: Database,
    pub(super) quick_repair: bool,
    pub(super) log: Mutex<Log>,
    /// The writer waits here for work.
    pub(super) work: Condvar,
    /// `append` waits here for room.
    pub(super) room: Condvar,
    pub(super) failure: Failure,
    pub(super) busy: Busy,
    pub(super) metrics: Option<Arc<Metrics>>,
}

/// What the one lock guards.
pub(super) struct Log {
    pub(super) tail: Tail,
    pub(super) sizes: Sizes,
    pub(super) queue: Queue,
}

impl LogStore {
    /// Opens or creates the log. `path` is the file (`<data directory>/log.redb`).
    ///
    /// # Errors
    /// The file cannot be opened, is in use by another process, is another kind of file, has another format, or has a hole.
    pub fn open(path: &Path, options: LogOptions, metrics: Option<Arc<Metrics>>) -> Result<(Self, LogRecovered), StorageError> {
        Self::open_on(&RealDisk, path, options, metrics)
    }

    /// As [`Self::open`], on another disk than the system's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        disk: &dyn Disk,
        path: &Path,
        options: LogOptions,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<(Self, LogRecovered), StorageError> {
        let database = file::open_database(disk, path, LOG, options.cache_bytes)?;
        Self::start(disk, database, path, options, LOG_QUICK_REPAIR, metrics)
    }

    /// Opens the log over a bare backend, with or without quick repair: for tests with faulty disks, and for the benchmark.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_backend(
        backend: impl StorageBackend,
        options: LogOptions,
        quick_repair: bool,
    ) -> Result<(Self, LogRecovered), StorageError> {
        let path = Path::new("log.redb (test disk)");
        let database = file::open_backend(backend, path, LOG, options.cache_bytes)?;
        Self::start(&RealDisk, database, path, options, quick_repair, None)
    }

    fn start(
        disk: &dyn Disk,
        database: Database,
        path: &Path,
        options: LogOptions,
        quick_repair: bool,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<(Self, LogRecovered), StorageError> {
        let (recovered, first, next, sizes) = recover(&database, quick_repair).map_err(StorageError::during("open", path))?;
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            database,
            quick_repair,
            log: Mutex::new(Log { tail: Tail::new(first, next, options.tail_bytes), sizes, queue: Queue::default() }),
            work: Condvar::new(),
            room: Condvar::new(),
            failure: Failure::default(),
            busy: Busy::default(),
            metrics,
        });
        let thread = disk.hire("graft-log", shared.clone()).map_err(StorageError::during("start the writer of", path))?;
        Ok((Self { inner: Arc::new(Inner { shared, has_thread: thread.is_some(), thread: Mutex::new(thread) }) }, recovered))
    }

    /// Says whose log this is.
    ///
    /// # Errors
    /// It is another member's, or cannot be written.
    pub fn claim(&self, raft_id: u64) -> Result<(), StorageError> {
        let shared = self.shared();
        file::claim(&shared.database, &shared.path, raft_id, shared.quick_repair)
    }

    /// Appends entries: readable on return, durable when `done` is called. Several appends share one commit. Waits while 64 MiB
    /// wait for the writer. Entries that do not follow on the last one are refused, and fail the store.
    pub fn append(&self, entries: Vec<StoredEntry>, done: Durable) {
        let shared = self.shared();
        let full = |log: &mut Log| log.queue.bytes() > QUEUE_MAX_BYTES && !log.queue.closing() && shared.failure.get().is_none();
        while !self.inner.has_thread && full(&mut shared.log()) {
            shared.step();
        }
        let log = shared.room.wait_while(shared.log(), full).unwrap_or_else(PoisonError::into_inner);
        self.ask(log, Change::Append(entries), Some(done));
    }

    /// The entries that the log holds from `start` to before `end`, without a hole, of about `max_bytes` at most (but at least one); from
    /// memory where they are there. The first is later than `start` if `start` is purged; none is there if the log ends before `start`.
    ///
    /// # Errors
    /// The file cannot be read, or lacks an entry.
    pub fn read(&self, start: u64, end: u64, max_bytes: usize) -> Result<Vec<StoredEntry>, StorageError> {
        let shared = self.shared();
        let failed = StorageError::during::<redb::Error>("read entries of", &shared.path);
        let (mut out, mut cuts) = (Vec::<StoredEntry>::new(), None);
        loop {
            let (from, memory, to) = {
                let log = shared.log();
                if cuts.replace(log.tail.cuts()).is_some_and(|cuts| cuts != log.tail.cuts()) {
                    // Entries have vanished while the file was read: what was read may not fit what is there now.
                    out.clear();
                }
                let room = max_bytes.saturating_sub(out.iter().map(|entry| entry.bytes.len()).sum());
                let (from, memory, to) = log.tail.locate(out.last().map_or(start, |entry| entry.index + 1), end);
                if from == memory {
                    if from < to {
                        out.extend(log.tail.copy(from, to, !out.is_empty(), room));
                    }
                    return Ok(out);
                }
                (from, memory, to)
            };
            let room = max_bytes.saturating_sub(out.iter().map(|entry| entry.bytes.len()).sum());
            let read = read_file(&shared.database, from, memory, !out.is_empty(), room);
            let log = shared.log();
            if cuts != Some(log.tail.cuts()) {
                continue;
            }
            let (entries, full) = read.map_err(&failed)?;
            out.extend(entries);
            if full || memory == to {
                return Ok(out);
            }
        }
    }

    /// Writes the vote, in order with appends; durable when `done` is called.
    pub fn save_vote(&self, vote: Bytes, done: Durable) {
        self.ask(self.shared().log(), Change::Vote(vote), Some(done));
    }

    /// Notes the committed log id; becomes durable with the next commit (or when the log is closed).
    pub fn save_committed(&self, committed: Bytes) {
        self.ask(self.shared().log(), Change::Committed(committed), None);
    }

    /// Deletes the entries after `index` (all, if 0).
    pub fn truncate_after(&self, index: u64, done: Durable) {
        self.ask(self.shared().log(), Change::TruncateAfter(index), Some(done));
    }

    /// Deletes the entries up to `index`, whose log id is `log_id`. The index may lie after the last entry: the log goes on behind it.
    pub fn purge(&self, index: u64, log_id: Bytes, done: Durable) {
        self.ask(self.shared().log(), Change::Purge(index, log_id), Some(done));
    }

    /// Bytes of the entries from `start` to before `end`, as far as the log holds them. Of those that were there when the log was opened only
    /// the newest are counted exactly. In the file an entry may take up to twice as much.
    pub fn bytes_between(&self, start: u64, end: u64) -> u64 {
        self.shared().log().sizes.between(start, end)
    }

    /// The first index from which on the entries before `end` have `bytes` at most, as [`Self::bytes_between`] counts them; `end`, if not
    /// even the last one before it is that small.
    pub fn first_within(&self, end: u64, bytes: u64) -> u64 {
        self.shared().log().sizes.first_within(end, bytes)
    }

    /// For how long the writer has been at one commit; `None`: it is at none.
    pub fn busy_for(&self) -> Option<Duration> {
        self.shared().busy.elapsed()
    }

    /// The first IO error, if any: then the member must stop.
    pub fn failure(&self) -> Option<StorageError> {
        self.shared().failure.get().cloned()
    }

    /// Writes what is queued, stops the writer and waits for it; later writes are answered with an error. Reads still work. Idempotent.
    /// Not from a `done` callback.
    pub fn close(&self) {
        self.inner.close();
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Makes the change in memory and queues it.
    fn ask(&self, mut log: MutexGuard<'_, Log>, change: Change, done: Option<Durable>) {
        let shared = self.shared();
        if log.queue.closing() {
            drop(log);
            if let Some(done) = done {
                done(Err(StorageError::new(format!("write to {}", shared.path.display()), "the log is closed")));
            }
            return;
        }
        let seq = log.queue.next_seq();
        let fits = match &change {
            Change::Append(entries) => log.tail.append(seq, entries).map(|()| log.sizes.append(entries)),
            Change::TruncateAfter(index) => {
                log.tail.truncate_after(*index);
                log.sizes.truncate_after(*index);
                Ok(())
            }
            Change::Purge(index, _) => {
                log.tail.purge(*index);
                log.sizes.purge(*index);
                Ok(())
            }
            Change::Vote(_) | Change::Committed(_) => Ok(()),
        };
        if let Err(cause) = fits {
            // The writer answers it, and all that come after, with this.
            shared.failure.set(StorageError::new(format!("append to {}", shared.path.display()), cause));
        }
        log.queue.push(ToDo { change, done });
        drop(log);
        shared.work.notify_one();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.log().queue.close();
        self.shared.work.notify_all();
        self.shared.room.notify_all();
        while !self.has_thread && !self.shared.is_over() {
            self.shared.step();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last clone may be dropped by a callback, on the writer's own thread: that one ends by itself.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            let cause = "the writer panicked";
            self.shared.failure.set(StorageError::new(format!("write to {}", self.shared.path.display()), cause));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entries of `start..end` from the file, and whether `room` (bytes) ended them. The first is taken whatever it costs unless something is
/// `taken` already.
fn read_file(database: &Database, start: u64, end: u64, taken: bool, mut room: usize) -> Result<(Vec<StoredEntry>, bool), redb::Error> {
    let mut entries: Vec<StoredEntry> = Vec::new();
    let table = database.begin_read()?.open_table(ENTRIES)?;
    let mut stored = table.range(start..end)?;
    for index in start..end {
        let missing = || redb::Error::Corrupted(format!("entry {index} is missing"));
        let (found, value) = stored.next().ok_or_else(missing)??;
        if found.value() != index {
            return Err(missing());
        }
        let value = value.value();
        if (taken || !entries.is_empty()) && value.len() > room {
            return Ok((entries, true));
        }
        room = room.saturating_sub(value.len());
        entries.push(StoredEntry { index, bytes: Bytes::copy_from_slice(value) });
    }
    Ok((entries, false))
}

/// What the file holds, where the log begins and goes on, and how large its entries are.
fn recover(database: &Database, quick_repair: bool) -> Result<(LogRecovered, u64, Option<u64>, Sizes), redb::Error> {
    let mut txn = database.begin_write()?;
    file::durable(&mut txn, quick_repair)?;
    txn.open_table(ENTRIES)?;
    txn.open_table(IDS)?;
    txn.commit()?;

    let txn = database.begin_read()?;
    let ids = txn.open_table(IDS)?;
    let id = |name| -> Result<Option<Bytes>, redb::Error> { Ok(ids.get(name)?.map(|value| Bytes::copy_from_slice(value.value()))) };
    let purged = match id(PURGED)? {
        None => None,
        Some(bytes) => Some(decode_indexed(&bytes).ok_or_else(|| redb::Error::Corrupted("the purged id is damaged".into()))?),
    };
    let table = txn.open_table(ENTRIES)?;
    let begin = purged.as_ref().map_or(0, |(index, _)| index + 1);
    let first = table.range(begin..)?.next().transpose()?.map(|(index, _)| index.value());
    let last = table.range(begin..)?.next_back().transpose()?;
    let last = last.map(|(index, value)| StoredEntry { index: index.value(), bytes: Bytes::copy_from_slice(value.value()) });
    if let (Some(first), Some((index, _))) = (first, &purged)
        && first != index + 1
    {
        return Err(redb::Error::Corrupted(format!("the log goes on with entry {first} after it was purged up to {index}")));
    }
    let next = last.as_ref().map(|entry| entry.index + 1).or(purged.as_ref().map(|(index, _)| index + 1));
    let recovered = LogRecovered { vote: id(VOTE)?, committed: id(COMMITTED)?, purged, last };
    let first = first.unwrap_or(begin);
    let (mut newest, mut looked_at) = (Vec::new(), 0);
    for stored in table.range(begin..)?.rev() {
        let bytes = stored?.1.value().len() as u64;
        newest.push(bytes);
        looked_at += bytes;
        if looked_at > SIZES_READ_BYTES {
            break;
        }
    }
    let sizes = Sizes::rebuilt(first, next.unwrap_or(first), &newest);
    Ok((recovered, first, next, sizes))
}
