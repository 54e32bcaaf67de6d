//! The three ways to the state: an entry being applied, the newest state under the lock, and a view at one index.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard};

use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{Table, TableId, TableKey};

use super::AppliedMark;
use super::error::StorageError;
use super::layers::{Base, Layers};
use super::overlay::Generation;
use super::state_store::{Core, Shared};

/// Keys that an entry remembers to have missed; what is forgotten costs a tombstone, no more.
const MISSES: usize = 1024;

/// One entry being applied. Nobody else sees its writes, nor anything else of the store, before it is finished.
///
/// Dropped without [`Self::finish`] after a write, it has left half an entry behind: the store fails, and what is on disk stays the
/// state before it.
pub struct EntryTx<'a> {
    shared: &'a Shared,
    core: MutexGuard<'a, Core>,
    misses: RefCell<BTreeSet<(TableId, Vec<u8>)>>,
    unfinished: bool,
}

impl<'a> EntryTx<'a> {
    pub(super) fn new(shared: &'a Shared, core: MutexGuard<'a, Core>) -> Self {
        Self { shared, core, misses: RefCell::default(), unfinished: false }
    }

    /// Publishes the entry's writes under its mark.
    ///
    /// # Panics
    /// If the mark's index is lower than the last one's: entries are applied in order.
    pub fn finish(mut self, mark: AppliedMark) {
        let last = self.core.applied.index;
        assert!(mark.index >= last, "entry {} is applied after entry {last}: entries are applied in order", mark.index);
        self.unfinished = false;
        self.core.applied = mark;
        self.core.applied_count += 1;
        self.shared.publish(&self.core);
        if self.core.overlay_bytes() >= self.shared.options.overlay_bytes {
            self.shared.work.notify_one();
        }
    }

    fn write<T: Table>(&mut self, key: &T::Key, value: Option<Arc<T::Value>>) {
        let key = key.to_bytes();
        let missed = self.misses.get_mut();
        let (fresh, key) = if missed.is_empty() {
            (false, key)
        } else {
            let missed_key = (T::ID, key);
            (missed.remove(&missed_key), missed_key.1)
        };
        self.unfinished = true;
        self.core.active.write(T::ID, key, value.map(T::wrap), fresh);
    }
}

impl Drop for EntryTx<'_> {
    fn drop(&mut self) {
        if self.unfinished {
            let doing = format!("apply the entry after {}", self.core.applied.index);
            self.shared.failure.set(StorageError::new(doing, "it was given up half-way"));
            self.shared.work.notify_all();
            self.shared.flushed.notify_all();
        }
    }
}

impl StateRead for EntryTx<'_> {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        let found = self.core.layers().get::<T>(key);
        if found.is_none() {
            let mut misses = self.misses.borrow_mut();
            if misses.len() < MISSES {
                misses.insert((T::ID, key.to_bytes()));
            }
        }
        found
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        self.core.layers().scan::<T>(prefix, after, limit)
    }
}

impl StateTx for EntryTx<'_> {
    fn put_shared<T: Table>(&mut self, key: T::Key, value: Arc<T::Value>) {
        self.write::<T>(&key, Some(value));
    }

    fn delete<T: Table>(&mut self, key: &T::Key) {
        self.write::<T>(key, None);
    }
}

/// The newest state, locked.
pub struct Latest<'a> {
    core: MutexGuard<'a, Core>,
}

impl<'a> Latest<'a> {
    pub(super) fn new(core: MutexGuard<'a, Core>) -> Self {
        Self { core }
    }

    /// The index that it shows.
    pub fn mark(&self) -> &AppliedMark {
        &self.core.applied
    }
}

impl StateRead for Latest<'_> {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        self.core.layers().get::<T>(key)
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        self.core.layers().scan::<T>(prefix, after, limit)
    }
}

/// The state at one index. Cheap to clone.
#[derive(Clone)]
pub struct View {
    mark: AppliedMark,
    frozen: Arc<Vec<Arc<Generation>>>,
    base: Arc<Base>,
}

impl View {
    pub(super) fn new(mark: AppliedMark, frozen: Arc<Vec<Arc<Generation>>>, base: Arc<Base>) -> Self {
        Self { mark, frozen, base }
    }

    /// The index that it shows.
    pub fn mark(&self) -> &AppliedMark {
        &self.mark
    }

    fn layers(&self) -> Layers<'_> {
        Layers { active: None, frozen: &self.frozen, base: &self.base }
    }
}

impl StateRead for View {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        self.layers().get::<T>(key)
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        self.layers().scan::<T>(prefix, after, limit)
    }
}
