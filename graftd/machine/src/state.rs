//! The state, as the machine sees it: typed tables behind one small trait.

use std::sync::Arc;

use crate::tables::Table;

/// Reads typed tables.
pub trait StateRead {
    /// The record under `key`.
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>>;

    /// At most `limit` records whose encoded key starts with `prefix` (made by the key types of [`crate::tables`]) and is greater than
    /// `after` (if given), in key order.
    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)>;
}

/// Reads and writes typed tables. One command's writes are taken over as a whole or, if the member crashes, not at all.
///
/// Two implementations: ordered maps in memory ([`crate::memory::Memory`]; tests, simulation, oracle) and the daemon's redb overlay.
/// An implementation that hits an IO error must panic: a replica that guesses is worse than one that is down.
pub trait StateTx: StateRead {
    /// Sets the record under `key`.
    fn put<T: Table>(&mut self, key: T::Key, value: T::Value) {
        self.put_shared::<T>(key, Arc::new(value));
    }

    /// As [`Self::put`], for a record that the caller keeps, too.
    fn put_shared<T: Table>(&mut self, key: T::Key, value: Arc<T::Value>);

    /// Deletes the record under `key`, if there is one.
    fn delete<T: Table>(&mut self, key: &T::Key);
}
