//! Reading through the layers: active generation, frozen generations from the newest to the oldest, then the file.

use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use graft_machine::tables::{Record, Table, TableId, TableKey};
use prost::Message;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::AppliedMark;
use super::codec::record_key;
use super::overlay::{Generation, Slot};
use super::state_file::{self, RECORDS};

/// The file as one commit left it. It is opened once per flush, not per read, and keeps its database open: a view stays good after an
/// installed snapshot has replaced the file.
pub(super) struct Base {
    pub(super) table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(super) mark: AppliedMark,
    // Dropped in this order: the transaction before its database.
    _txn: ReadTransaction,
    _database: Arc<Database>,
}

impl Base {
    pub(super) fn open(database: &Arc<Database>) -> Result<Self, redb::Error> {
        let txn = database.begin_read()?;
        Ok(Self { table: txn.open_table(RECORDS)?, mark: state_file::read_mark(&txn)?, _txn: txn, _database: database.clone() })
    }
}

/// Everything that a read sees.
pub(super) struct Layers<'a> {
    pub(super) active: Option<&'a Generation>,
    /// Oldest first.
    pub(super) frozen: &'a [Arc<Generation>],
    pub(super) base: &'a Base,
}

impl Layers<'_> {
    fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.active.into_iter().chain(self.frozen.iter().rev().map(Arc::as_ref))
    }

    /// The record under the key.
    ///
    /// # Panics
    /// If the file cannot be read or holds what is no record of the table.
    pub(super) fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        let full = record_key(T::ID, key);
        for generation in self.generations() {
            if let Some(slot) = generation.get(T::ID, &full[1..]) {
                return slot.record.clone().map(T::unwrap);
            }
        }
        let stored = self.base.table.get(full.as_slice()).unwrap_or_else(|error| broken(T::ID, &error));
        stored.map(|value| Arc::new(decode::<T>(value.value())))
    }

    /// See [`graft_machine::state::StateRead::scan`].
    ///
    /// # Panics
    /// As [`Self::get`].
    pub(super) fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        let after = after.map(|key| record_key(T::ID, key)).filter(|key| &key[1..] >= prefix);
        let from = match &after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Included([&[T::ID as u8], prefix].concat()),
        };
        let from = from.as_ref().map(Vec::as_slice);
        let mut memory = Merge::new(self.generations().map(|generation| generation.range(T::ID, from.map(|key| &key[1..]))));
        let mut stored = self.base.table.range::<&[u8]>((from, Bound::Unbounded)).unwrap_or_else(|error| broken(T::ID, &error));
        let mut next_stored = || {
            let (key, value) = stored.next()?.unwrap_or_else(|error| broken(T::ID, &error));
            let inside = key.value().first() == Some(&(T::ID as u8)) && key.value()[1..].starts_with(prefix);
            inside.then_some((key, value))
        };
        let mut next_memory = || memory.next().filter(|(key, _, _)| key.starts_with(prefix));

        let mut out = Vec::new();
        let (mut above, mut below) = (next_memory(), next_stored());
        while out.len() < limit {
            let order = match (&above, &below) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((key, _, _)), Some((stored, _))) => key.as_slice().cmp(&stored.value()[1..]),
            };
            if order.is_le() {
                if let Some((key, slot, _)) = &above
                    && let Some(record) = &slot.record
                {
                    out.push((decode_key::<T>(key), T::unwrap(record.clone())));
                }
                above = next_memory();
                if order.is_eq() {
                    below = next_stored();
                }
            } else {
                if let Some((key, value)) = &below {
                    out.push((decode_key::<T>(&key.value()[1..]), Arc::new(decode::<T>(value.value()))));
                }
                below = next_stored();
            }
        }
        out
    }
}

/// All changes of these generations (oldest first), newest slot per key, table by table in key order. What was made and deleted within
/// them, and is nowhere below, is left out.
pub(super) fn changes(
    generations: &[Arc<Generation>],
    mut each: impl FnMut(TableId, &[u8], Option<&Record>) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut tables = TableId::ALL.to_vec();
    tables.sort();
    for table in tables {
        for (key, slot, fresh) in Merge::new(generations.iter().rev().map(|generation| generation.range(table, Bound::Unbounded))) {
            if slot.record.is_some() || !fresh {
                each(table, key, slot.record.as_ref())?;
            }
        }
    }
    Ok(())
}

/// Merges ranges, newest first: per key the newest slot, and whether the oldest was fresh.
struct Merge<'a> {
    ranges: Vec<Peekable<btree_map::Range<'a, Vec<u8>, Slot>>>,
}

impl<'a> Merge<'a> {
    fn new(ranges: impl Iterator<Item = btree_map::Range<'a, Vec<u8>, Slot>>) -> Self {
        Self { ranges: ranges.map(Iterator::peekable).collect() }
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = (&'a Vec<u8>, &'a Slot, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let smallest = self.ranges.iter_mut().filter_map(|range| range.peek().map(|(key, _)| *key)).min()?;
        let mut newest = None;
        let mut fresh = false;
        for range in &mut self.ranges {
            if let Some((_, slot)) = range.next_if(|(key, _)| *key == smallest) {
                newest.get_or_insert(slot);
                fresh = slot.fresh;
            }
        }
        newest.map(|slot| (smallest, slot, fresh))
    }
}

fn decode_key<T: Table>(bytes: &[u8]) -> T::Key {
    T::Key::from_bytes(bytes).unwrap_or_else(|| broken(T::ID, &"a key is damaged, or of a newer version"))
}

fn decode<T: Table>(bytes: &[u8]) -> T::Value {
    T::Value::decode(bytes).unwrap_or_else(|error| broken(T::ID, &error))
}

/// A replica that guesses is worse than one that is down.
fn broken(table: TableId, cause: &dyn std::fmt::Display) -> ! {
    panic!("read table {table:?} of the state: stop this member and check its disk: {cause}")
}
