//! S2: the same log comes to the same answers, events, effects and state on every member: `apply` has no clock, no chance and no order of
//! its own.

use std::collections::BTreeMap;

use graft_machine::Applied;

use super::{Invariant, Replica, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    /// What the first member to apply each entry saw.
    seen: Vec<(u64, Vec<Applied>)>,
    hashes: BTreeMap<u64, u64>,
}

impl Invariant for Check {
    fn replica(&mut self, replica: &Replica<'_>) -> Verdict {
        let Replica { member, index, term, applied, .. } = replica;
        match self.seen.get(*index as usize - 1) {
            Some((seen_term, seen)) => {
                must!(seen_term == term, "entry {index} is of term {term} on member {member}, of {seen_term} elsewhere");
                must!(seen == applied, "entry {index} came to something else on member {member}:\n{applied:?}\nelsewhere\n{seen:?}");
            }
            None => {
                must!(*index == self.seen.len() as u64 + 1, "entry {index} was applied before its predecessors");
                self.seen.push((*term, applied.to_vec()));
            }
        }
        if let Some(hash) = replica.hash {
            let first = *self.hashes.entry(*index).or_insert(hash);
            must!(first == hash, "the state after entry {index} differs on member {member}");
        }
        Ok(())
    }
}
