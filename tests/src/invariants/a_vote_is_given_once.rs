//! D2: a member votes for one candidate in a term, also after a power cut: a vote is durable before it is given.

use std::collections::BTreeMap;

use super::{Invariant, Verdict, Voted, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    votes: BTreeMap<(u64, u64), u64>,
}

impl Invariant for Check {
    fn voted(&mut self, voted: Voted) -> Verdict {
        let Voted { member, term, candidate } = voted;
        let first = *self.votes.entry((member, term)).or_insert(candidate);
        must!(first == candidate, "member {member} voted for {first} and for {candidate} in term {term}");
        Ok(())
    }
}
