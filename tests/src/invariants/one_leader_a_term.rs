//! Raft: a term has one leader.

use std::collections::BTreeMap;

use super::{Invariant, Leads, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    leaders: BTreeMap<u64, u64>,
}

impl Invariant for Check {
    fn leads(&mut self, leads: &Leads<'_>) -> Verdict {
        let first = *self.leaders.entry(leads.term).or_insert(leads.member);
        must!(first == leads.member, "term {} is led by member {first} and by member {}", leads.term, leads.member);
        Ok(())
    }
}
