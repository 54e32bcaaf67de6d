//! The flusher: one thread that carries the overlay into the file.
//!
//! Every `flush_interval_ms`, or when the overlay is full or somebody asks, it freezes the active generation, merges all frozen ones, and
//! writes them with the mark of the freeze in one durable transaction with quick repair (the flag has to stand on every durable commit of
//! the file, or opening after a kill reads the whole file). Records are encoded here, off the apply thread. An error is remembered and
//! ends the thread; who waits is woken and finds it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use redb::Database;

use super::AppliedMark;
use super::error::StorageError;
use super::file::durable;
use super::layers::{Base, changes};
use super::overlay::Generation;
use super::state_file::{RECORDS, write_mark};
use super::state_store::{Core, Shared};
use super::work::Work;

impl Work for Shared {
    fn wait(&self) -> bool {
        let interval = Duration::from_millis(self.options.flush_interval_ms.max(1));
        let idle = |core: &mut Core| !core.closing && !self.is_wanted(core);
        let waited = self.work.wait_timeout_while(self.core(), interval, idle);
        let (core, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !core.closing && self.failure.get().is_none()
    }

    fn step(&self) {
        let dirty = {
            let core = self.core();
            core.applied_count > core.flushed_count
        };
        if dirty && let Err(error) = self.busy.with(|| flush_once(self)) {
            self.failure.set(StorageError::new(format!("flush {}", self.path.display()), error));
            // Taken, so that no waiter can have looked before the failure and sleep after the call.
            drop(self.core());
            self.flushed.notify_all();
        }
    }

    fn is_due(&self) -> bool {
        self.is_wanted(&self.core())
    }

    fn is_over(&self) -> bool {
        self.core().closing || self.failure.get().is_some()
    }
}

impl Shared {
    /// Whether somebody waits for a flush, or nobody can wait for it any longer.
    fn is_wanted(&self, core: &Core) -> bool {
        core.flush_wanted > core.flushed_count || core.overlay_bytes() >= self.options.overlay_bytes
    }
}

fn flush_once(shared: &Shared) -> Result<(), redb::Error> {
    let database = shared.disk.lock().unwrap_or_else(PoisonError::into_inner);
    let (frozen, mark, count) = {
        let mut core = shared.core();
        // An entry that was given up half-way may lie in the active generation.
        if shared.failure.get().is_some() {
            return Ok(());
        }
        core.freeze();
        core.flushing = core.frozen.len();
        (core.frozen.clone(), core.applied.clone(), core.applied_count)
    };
    let timer = shared.metrics.as_ref().map(|metrics| metrics.storage.state.commit_seconds.start_timer());
    write(&database, &frozen, &mark)?;
    drop(timer);
    if let Some(metrics) = &shared.metrics {
        metrics.storage.state.fsyncs.inc();
    }
    let base = Arc::new(Base::open(&database)?);
    let replaced = {
        let mut core = shared.core();
        core.flushing = 0;
        core.flushed_count = count;
        let rest = core.frozen[frozen.len()..].to_vec();
        let generations = std::mem::replace(&mut core.frozen, Arc::new(rest));
        let old = std::mem::replace(&mut core.base, base);
        shared.publish(&core);
        (generations, old)
    };
    shared.flushed.notify_all();
    // Freeing a full overlay takes a while: not under the lock.
    drop((replaced, frozen));
    Ok(())
}

fn write(database: &Database, generations: &[Arc<Generation>], mark: &AppliedMark) -> Result<(), redb::Error> {
    let mut txn = database.begin_write()?;
    durable(&mut txn, true)?;
    {
        let mut records = txn.open_table(RECORDS)?;
        let mut full = Vec::with_capacity(64);
        changes(generations, |table, key, record| {
            full.clear();
            full.push(table as u8);
            full.extend_from_slice(key);
            match record {
                Some(record) => records.insert(full.as_slice(), record.encode().as_slice())?,
                None => records.remove(full.as_slice())?,
            };
            Ok(())
        })?;
    }
    write_mark(&txn, mark)?;
    txn.commit()?;
    Ok(())
}
