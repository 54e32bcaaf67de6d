//! A generation: the records written between two freezes, typed and shared, in key order.
//!
//! Deleting leaves a *tombstone* that hides what lies below. A record whose key is known to be nowhere below (`fresh`: a read in the same
//! entry missed it before it was put) leaves nothing at all when it is deleted, so a record that is made and deleted between two flushes
//! costs the disk nothing and, mostly, the memory nothing either.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use graft_machine::tables::{Record, TableId};

/// What a slot costs in memory beside the bytes of its key and its record, roughly: its place in a tree that is two thirds full, and the allocation of its
/// key.
const SLOT_BYTES: usize = 112;

const TABLES: usize = {
    let mut highest = 0;
    let mut at = 0;
    while at < TableId::ALL.len() {
        if TableId::ALL[at] as usize > highest {
            highest = TableId::ALL[at] as usize;
        }
        at += 1;
    }
    highest + 1
};

/// What a generation says about a key.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The record; `None` = deleted.
    pub(super) record: Option<Record>,
    /// No layer below this generation holds the key.
    pub(super) fresh: bool,
    bytes: usize,
}

/// The writes between two freezes.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    tables: Vec<BTreeMap<Vec<u8>, Slot>>,
    bytes: usize,
    len: usize,
}

impl Default for Generation {
    fn default() -> Self {
        Self { tables: vec![BTreeMap::new(); TABLES], bytes: 0, len: 0 }
    }
}

impl Generation {
    /// Roughly what it holds in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, table: TableId, key: &[u8]) -> Option<&Slot> {
        self.tables[table as usize].get(key)
    }

    pub(super) fn range(&self, table: TableId, from: Bound<&[u8]>) -> std::collections::btree_map::Range<'_, Vec<u8>, Slot> {
        self.tables[table as usize].range::<[u8], _>((from, Bound::Unbounded))
    }

    /// Sets (`Some`) or deletes (`None`) a record; `fresh` as in [`Slot`].
    pub(super) fn write(&mut self, table: TableId, key: Vec<u8>, record: Option<Record>, fresh: bool) {
        let bytes = SLOT_BYTES + key.len() + record.as_ref().map_or(0, Record::memory_len);
        self.set(table, key, Slot { record, fresh, bytes });
    }

    /// Takes over the newer generation's slots.
    pub(super) fn absorb(&mut self, newer: &Generation) {
        for table in TableId::ALL {
            for (key, slot) in &newer.tables[*table as usize] {
                self.set(*table, key.clone(), slot.clone());
            }
        }
    }

    fn set(&mut self, table: TableId, key: Vec<u8>, mut slot: Slot) {
        match self.tables[table as usize].entry(key) {
            Entry::Occupied(mut entry) => {
                self.bytes -= entry.get().bytes;
                slot.fresh = entry.get().fresh;
                if slot.record.is_none() && slot.fresh {
                    self.len -= 1;
                    entry.remove();
                } else {
                    self.bytes += slot.bytes;
                    entry.insert(slot);
                }
            }
            // A deletion of what is nowhere: nothing to hide.
            Entry::Vacant(_) if slot.record.is_none() && slot.fresh => {}
            Entry::Vacant(entry) => {
                self.bytes += slot.bytes;
                self.len += 1;
                entry.insert(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_machine::tables::{Counter, Counters, Table};
    use std::sync::Arc;

    fn record() -> Option<Record> {
        Some(Counters::wrap(Arc::new(Counter { value: 9 })))
    }

    #[test]
    fn a_fresh_record_leaves_nothing_and_any_other_leaves_a_tombstone() {
        let mut generation = Generation::default();
        generation.write(TableId::Counters, vec![1], record(), true);
        generation.write(TableId::Counters, vec![2], record(), false);
        assert_eq!(generation.len(), 2);
        generation.write(TableId::Counters, vec![1], None, false);
        generation.write(TableId::Counters, vec![2], None, false);
        assert!(generation.get(TableId::Counters, &[1]).is_none());
        assert!(generation.get(TableId::Counters, &[2]).unwrap().record.is_none());
        assert_eq!(generation.bytes(), SLOT_BYTES + 1);
    }

    #[test]
    fn absorbing_a_tombstone_over_a_fresh_record_leaves_nothing() {
        let (mut older, mut newer) = (Generation::default(), Generation::default());
        older.write(TableId::Counters, vec![1], record(), true);
        newer.write(TableId::Counters, vec![1], None, false);
        older.absorb(&newer);
        assert!(older.is_empty());
        assert_eq!(older.bytes(), 0);
    }
}
