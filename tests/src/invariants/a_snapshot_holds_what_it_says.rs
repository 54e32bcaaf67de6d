//! D4: a snapshot, and a flushed state, hold the state after the entry that they name: two of the same index have the same content.

use std::collections::BTreeMap;

use super::{Invariant, Replica, SnapshotSeen, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    content: BTreeMap<u64, u64>,
    terms: Vec<u64>,
}

impl Invariant for Check {
    fn replica(&mut self, replica: &Replica<'_>) -> Verdict {
        if replica.index as usize > self.terms.len() {
            self.terms.push(replica.term);
        }
        match replica.hash {
            Some(hash) => self.snapshot(SnapshotSeen { index: replica.index, term: replica.term, hash }),
            None => Ok(()),
        }
    }

    fn snapshot(&mut self, seen: SnapshotSeen) -> Verdict {
        let SnapshotSeen { index, term, hash } = seen;
        if index == 0 {
            return Ok(());
        }
        let of = self.terms.get(index as usize - 1).copied();
        must!(of == Some(term), "a snapshot of entry {index} says that it is of term {term}; it is of {of:?}");
        let first = *self.content.entry(index).or_insert(hash);
        must!(first == hash, "two states after entry {index} differ: {first:016x} and {hash:016x}");
        Ok(())
    }
}
