//! For tests: a state that counts the records of tasks and workflows that are read from it.

use std::cell::Cell;
use std::sync::Arc;

use graft_machine::memory::Memory;
use graft_machine::state::StateRead;
use graft_machine::tables::{Table, Tasks, Workflows};

/// Counts what is read.
pub(super) struct Counted {
    /// What is read from.
    pub(super) state: Memory,
    /// How many records.
    pub(super) reads: Cell<usize>,
}

impl StateRead for Counted {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        self.reads.set(self.reads.get() + usize::from(T::ID == Tasks::ID || T::ID == Workflows::ID));
        self.state.get::<T>(key)
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        let rows = self.state.scan::<T>(prefix, after, limit);
        self.reads.set(self.reads.get() + if T::ID == Tasks::ID { rows.len() } else { 0 });
        rows
    }
}
