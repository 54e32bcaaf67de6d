//! L1: a leader comes within the bound, and stays.

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    leader: Option<(u64, u64)>,
}

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        if look.since < bounds.leader {
            return Ok(());
        }
        let leader = look.leader.ok_or_else(|| format!("nobody leads {} ms after the faults: {:#?}", look.since, look.open))?;
        let first = *self.leader.get_or_insert(leader);
        must!(first == leader, "{} ms after the faults the leader changes from {first:?} to {leader:?}", look.since);
        Ok(())
    }
}
