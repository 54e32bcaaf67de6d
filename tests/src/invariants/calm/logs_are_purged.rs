//! L7: states are flushed and logs are purged behind them, so that neither grows without end: what a log holds beyond its bound is gone soon.

use std::collections::BTreeMap;

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    /// Since when the log of each member holds more than its bound.
    over: BTreeMap<u64, u64>,
}

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        if look.since < bounds.leader + bounds.recovery {
            return Ok(());
        }
        for member in &look.members {
            if member.log <= look.log_bound + look.last.saturating_sub(member.applied) {
                self.over.remove(&member.member);
                continue;
            }
            let over = look.since - *self.over.entry(member.member).or_insert(look.since);
            must!(over <= bounds.purge, "the log of member {} holds {} entries, and has for {over} ms", member.member, member.log);
        }
        Ok(())
    }
}
