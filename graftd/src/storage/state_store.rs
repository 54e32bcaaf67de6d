//! The state store: the overlay before `state.redb`, the lock that makes entries whole, and the bounds of both.
//!
//! One mutex guards the active generation, the list of frozen ones and the handle of the last commit (`Core`). An entry holds it from
//! `begin` to `finish`, so nobody ever sees half an entry; `latest` holds it for a few reads; `view` only takes references under it. The
//! flusher holds it twice, briefly: to freeze, and to exchange the frozen generations for the new commit. So a reader finds a record in a
//! generation or in the file, never in neither.
//!
//! Lock order: `disk` (who may write the file) before `core` before `marks`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, ReadableDatabase, StorageBackend, TableError};

use super::disk::{Disk, RealDisk};
use super::error::{Failure, StorageError};
use super::install::CheckedSnapshot;
use super::layers::{Base, Layers};
use super::overlay::Generation;
use super::snapshot::{SnapshotReader, SnapshotWriter};
use super::state_file::{self, RECORDS, STATE};
use super::view::{EntryTx, Latest, View};
use super::work::{Busy, Work};
use super::{AppliedMark, file, install, rebuild};
use crate::observability::metrics::Metrics;

/// Apply waits when the overlay holds so many times `overlay_bytes`.
const STALL_FACTOR: usize = 2;
/// Generations of fewer records than this are merged when views freeze often; larger ones are left alone, since merging holds the lock.
const MERGE_MAX_RECORDS: usize = 16_384;
/// How often `begin` steps aside for readers that wait for the lock; bounded, so that readers cannot stop apply.
const STEP_ASIDE: usize = 64;

/// Settings of the state store.
#[derive(Clone, Debug)]
pub struct StateOptions {
    /// redb's page cache, in bytes.
    pub cache_bytes: usize,
    /// The overlay is flushed when it holds so much, and apply waits at twice that, in bytes.
    pub overlay_bytes: usize,
    /// Longest time between flushes, in milliseconds.
    pub flush_interval_ms: u64,
}

/// `state.redb`, the overlay before it, and the thread that flushes. Cheap to clone.
///
/// Dropping the last clone stops the thread **without** flushing: what was applied since the last flush is in the raft log. Call
/// [`Self::flush`] first for a stop after which nothing is replayed. The file itself is released when the last clone, view and snapshot
/// reader is gone.
#[derive(Clone)]
pub struct StateStore {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    has_thread: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the flusher share.
pub(super) struct Shared {
    pub(super) options: StateOptions,
    /// The file; a store over a bare backend has a name for errors only.
    pub(super) path: PathBuf,
    /// What the file lies on; none for a bare backend.
    pub(super) files: Option<Arc<dyn Disk>>,
    /// Held by whoever writes the file or replaces it.
    pub(super) disk: Mutex<Arc<Database>>,
    pub(super) core: Mutex<Core>,
    /// The flusher waits here for work.
    pub(super) work: Condvar,
    /// Everybody else waits here for the flusher.
    pub(super) flushed: Condvar,
    pub(super) failure: Failure,
    pub(super) busy: Busy,
    pub(super) metrics: Option<Arc<Metrics>>,
    marks: Mutex<Marks>,
    readers_waiting: AtomicUsize,
}

#[derive(Default)]
struct Marks {
    applied: AppliedMark,
    flushed: AppliedMark,
}

/// What the one lock guards.
pub(super) struct Core {
    pub(super) active: Generation,
    /// Oldest first. The first `flushing` of them are being written.
    pub(super) frozen: Arc<Vec<Arc<Generation>>>,
    pub(super) flushing: usize,
    pub(super) base: Arc<Base>,
    pub(super) applied: AppliedMark,
    /// Counts entries: `applied` may be set back by an installed snapshot, this never is.
    pub(super) applied_count: u64,
    pub(super) flushed_count: u64,
    /// Flush at least up to this count, now.
    pub(super) flush_wanted: u64,
    pub(super) closing: bool,
}

impl StateStore {
    /// Opens or creates the store. `path` is the file (`<data directory>/state.redb`); snapshots are received and installed beside it, and
    /// what an interrupted one has left there is removed. The state is the one of [`Self::flushed`].
    ///
    /// # Errors
    /// The file cannot be opened, is in use by another process, is another kind of file, or has another format.
    pub fn open(path: &Path, options: StateOptions, metrics: Option<Arc<Metrics>>) -> Result<Self, StorageError> {
        Self::open_on(RealDisk::shared(), path, options, metrics)
    }

    /// As [`Self::open`], on another disk than the system's.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(files: Arc<dyn Disk>, path: &Path, options: StateOptions, metrics: Option<Arc<Metrics>>) -> Result<Self, StorageError> {
        install::remove_leftovers(&*files, path)?;
        let database = file::open_database(&*files, path, STATE, options.cache_bytes)?;
        Self::start(database, path, Some(files), options, metrics)
    }

    /// Opens the store over a bare backend, for tests with faulty disks. Snapshots cannot be received.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_backend(backend: impl StorageBackend, options: StateOptions) -> Result<Self, StorageError> {
        let path = Path::new("state.redb (test disk)");
        let database = file::open_backend(backend, path, STATE, options.cache_bytes)?;
        Self::start(database, path, None, options, None)
    }

    fn start(
        database: Database,
        path: &Path,
        files: Option<Arc<dyn Disk>>,
        options: StateOptions,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<Self, StorageError> {
        let failed = StorageError::during::<redb::Error>("open", path);
        prepare(&database).map_err(&failed)?;
        rebuild::of_file(&database).map_err(&failed)?;
        let database = Arc::new(database);
        let base = Arc::new(Base::open(&database).map_err(&failed)?);
        let mark = base.mark.clone();
        let shared = Arc::new(Shared {
            options,
            path: path.to_owned(),
            files,
            disk: Mutex::new(database),
            core: Mutex::new(Core {
                active: Generation::default(),
                frozen: Arc::default(),
                flushing: 0,
                base,
                applied: mark.clone(),
                applied_count: 0,
                flushed_count: 0,
                flush_wanted: 0,
                closing: false,
            }),
            work: Condvar::new(),
            flushed: Condvar::new(),
            failure: Failure::default(),
            busy: Busy::default(),
            metrics,
            marks: Mutex::new(Marks { applied: mark.clone(), flushed: mark }),
            readers_waiting: AtomicUsize::new(0),
        });
        let hired = match &shared.files {
            Some(files) => files.hire("graft-flush", shared.clone()),
            None => RealDisk.hire("graft-flush", shared.clone()),
        };
        let thread = hired.map_err(StorageError::during("start the flusher of", path))?;
        Ok(Self { inner: Arc::new(Inner { shared, has_thread: thread.is_some(), thread: Mutex::new(thread) }) })
    }

    /// Says whose state this is. (One that was installed from a snapshot is claimed at the next start.)
    ///
    /// # Errors
    /// It is another member's, or cannot be written.
    pub fn claim(&self, raft_id: u64) -> Result<(), StorageError> {
        let shared = self.shared();
        let database = shared.disk.lock().unwrap_or_else(PoisonError::into_inner);
        file::claim(&database, &shared.path, raft_id, true)
    }

    /// How far the state in memory has come. Never waits for an entry.
    pub fn applied(&self) -> AppliedMark {
        self.shared().marks().applied.clone()
    }

    /// How far the state on disk has come. Never waits for an entry or a flush.
    pub fn flushed(&self) -> AppliedMark {
        self.shared().marks().flushed.clone()
    }

    /// Whether an entry can begin without waiting for a flush.
    pub fn has_room(&self) -> bool {
        self.shared().core().overlay_bytes() <= self.shared().stall_bytes()
    }

    /// Waits while the overlay is full. Returns too when the store is closed or has failed.
    pub fn wait_for_room(&self) {
        let shared = self.shared();
        let full = |core: &mut Core| core.overlay_bytes() > shared.stall_bytes() && !core.closing && shared.failure.get().is_none();
        let mut core = shared.core();
        if full(&mut core) {
            if let Some(metrics) = &shared.metrics {
                metrics.storage.overlay_stalls.inc();
            }
            shared.work.notify_one();
            if !self.inner.has_thread {
                drop(core);
                shared.step();
                core = shared.core();
            }
            drop(shared.flushed.wait_while(core, full).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Begins an entry: exclusive until it is finished. Waits while the overlay is full.
    ///
    /// # Panics
    /// If the store has failed (see [`Self::failure`]): applying on would promise what no disk will keep.
    pub fn begin(&self) -> EntryTx<'_> {
        let shared = self.shared();
        for _ in 0..STEP_ASIDE {
            if shared.readers_waiting.load(Ordering::Acquire) == 0 {
                break;
            }
            std::thread::yield_now();
        }
        self.wait_for_room();
        let core = shared.core();
        if let Some(error) = shared.failure.get() {
            drop(core);
            panic!("the state store has failed, nothing more is applied: {error}");
        }
        EntryTx::new(shared, core)
    }

    /// The newest state, locked against apply: for short reads of a few records. The thread that holds it must not ask the store for
    /// anything else.
    pub fn latest(&self) -> Latest<'_> {
        Latest::new(self.shared().core_for_reader())
    }

    /// The state at one index, for long reads; never holds up apply. It keeps the records that it shows in memory and the pages of its
    /// commit in the file: do not keep it for longer than needed.
    pub fn view(&self) -> View {
        let mut core = self.shared().core_for_reader();
        core.freeze();
        View::new(core.applied.clone(), core.frozen.clone(), core.base.clone())
    }

    /// Flushes everything that was applied when it was called, and waits for it. Returns how far the state on disk has come.
    ///
    /// # Errors
    /// The store has failed or is closed.
    pub fn flush(&self) -> Result<AppliedMark, StorageError> {
        let shared = self.shared();
        let mut core = shared.core();
        let target = core.applied_count;
        core.flush_wanted = core.flush_wanted.max(target);
        shared.work.notify_one();
        if !self.inner.has_thread {
            drop(core);
            shared.step();
            core = shared.core();
        }
        let behind = |core: &mut Core| core.flushed_count < target && !core.closing && shared.failure.get().is_none();
        let core = shared.flushed.wait_while(core, behind).unwrap_or_else(PoisonError::into_inner);
        shared.failure.check()?;
        if core.flushed_count < target {
            return Err(StorageError::new(format!("flush {}", shared.path.display()), "the store is closed"));
        }
        Ok(core.base.mark.clone())
    }

    /// Opens the state as it was flushed last, for sending. Costs no flush: a follower that is gone is offered one many times a minute.
    pub fn snapshot(&self) -> SnapshotReader {
        let base = self.shared().core().base.clone();
        SnapshotReader::new(base, &self.shared().path)
    }

    /// Begins to receive a snapshot into a file of its own, beside the store's. Dropping the writer removes the file.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn receive_snapshot(&self) -> Result<SnapshotWriter, StorageError> {
        install::receive(self.shared())
    }

    /// Makes a file of a received snapshot that can take the place of the store's.
    ///
    /// # Errors
    /// The snapshot is truncated, damaged or of another format, or cannot be written. Nothing has changed then.
    pub fn check(&self, snapshot: SnapshotWriter) -> Result<CheckedSnapshot, StorageError> {
        install::check(self.shared(), &snapshot)
    }

    /// Replaces the whole state by that of a snapshot, atomically: after a crash at any moment the old state is there or the new one.
    /// Views and snapshot readers that were taken before stay as they are. Returns the snapshot's mark.
    ///
    /// # Errors
    /// The file cannot take the place: nothing has changed then. If it is only unknown whether its new name is durable, the store has failed
    /// too.
    pub fn install(&self, snapshot: CheckedSnapshot) -> Result<AppliedMark, StorageError> {
        install::install(self.shared(), snapshot)
    }

    /// For how long the flusher has been at one flush; `None`: it is at none.
    pub fn busy_for(&self) -> Option<Duration> {
        self.shared().busy.elapsed()
    }

    /// The first IO error, if any: then the member must stop.
    pub fn failure(&self) -> Option<StorageError> {
        self.shared().failure.get().cloned()
    }

    /// Stops the flusher, after the flush that is under way but without another one, and waits for it. Reads still work. Idempotent.
    pub fn close(&self) {
        self.inner.close();
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }
}

impl Inner {
    fn close(&self) {
        self.shared.core().closing = true;
        self.shared.work.notify_all();
        self.shared.flushed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            let cause = "the flusher panicked";
            self.shared.failure.set(StorageError::new(format!("flush {}", self.shared.path.display()), cause));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// A panic while the lock was held has failed the store already (see [`EntryTx`]); readers may still read.
    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn core_for_reader(&self) -> MutexGuard<'_, Core> {
        self.readers_waiting.fetch_add(1, Ordering::AcqRel);
        let core = self.core();
        self.readers_waiting.fetch_sub(1, Ordering::AcqRel);
        core
    }

    /// Apply waits when the overlay holds more than this, in bytes.
    fn stall_bytes(&self) -> usize {
        self.options.overlay_bytes.saturating_mul(STALL_FACTOR)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the marks and the gauge what `core` has come to.
    pub(super) fn publish(&self, core: &Core) {
        let mut marks = self.marks();
        marks.applied = core.applied.clone();
        marks.flushed = core.base.mark.clone();
        drop(marks);
        if let Some(metrics) = &self.metrics {
            metrics.storage.overlay_bytes.set(core.overlay_bytes() as i64);
        }
    }
}

impl Core {
    /// Roughly what all generations hold, in bytes.
    pub(super) fn overlay_bytes(&self) -> usize {
        self.active.bytes() + self.frozen.iter().map(|generation| generation.bytes()).sum::<usize>()
    }

    pub(super) fn layers(&self) -> Layers<'_> {
        Layers { active: Some(&self.active), frozen: &self.frozen, base: &self.base }
    }

    /// Closes the active generation and begins another. Small neighbours that are not being flushed are merged, so that sizes fall
    /// geometrically and frequent views leave only a logarithm of generations (plus one for each [`MERGE_MAX_RECORDS`] records).
    pub(super) fn freeze(&mut self) {
        if self.active.is_empty() {
            return;
        }
        let frozen = Arc::make_mut(&mut self.frozen);
        frozen.push(Arc::new(std::mem::take(&mut self.active)));
        while let Some([.., older, newer]) = frozen.get(self.flushing..) {
            if older.len() >= 2 * newer.len() || older.len() + newer.len() > MERGE_MAX_RECORDS {
                break;
            }
            let newer = frozen.pop().unwrap_or_default();
            if let Some(older) = frozen.last_mut() {
                Arc::make_mut(older).absorb(&newer);
            }
        }
    }
}

/// Makes the tables of a new file.
pub(super) fn prepare(database: &Database) -> Result<(), redb::Error> {
    match database.begin_read()?.open_table(RECORDS) {
        Ok(_) => return Ok(()),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let mut txn = database.begin_write()?;
    file::durable(&mut txn, true)?;
    state_file::make_tables(&txn)?;
    txn.commit()?;
    Ok(())
}
