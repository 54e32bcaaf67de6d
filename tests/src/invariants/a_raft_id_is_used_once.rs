//! D5: a raft id belongs to one data directory for ever: who begins empty has an id that nobody ever had.

use std::collections::BTreeSet;

use super::{Invariant, Opened, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    used: BTreeSet<u64>,
}

impl Invariant for Check {
    fn opened(&mut self, opened: &Opened<'_>) -> Verdict {
        let new = self.used.insert(opened.member);
        must!(
            new == opened.fresh,
            "member {} begins {}",
            opened.member,
            if new { "with data of another" } else { "empty, under a used id" }
        );
        Ok(())
    }
}
