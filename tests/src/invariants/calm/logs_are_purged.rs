//! L7: states are flushed and logs are purged behind them, so that neither grows without end.

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        if look.since < bounds.leader + bounds.recovery {
            return Ok(());
        }
        for member in &look.members {
            let unflushed = member.applied - member.flushed.min(member.applied);
            let most = look.log_bound + unflushed + look.last.saturating_sub(member.applied);
            must!(member.log <= most, "the log of member {} holds {} entries; at most {most} are needed", member.member, member.log);
        }
        Ok(())
    }
}
