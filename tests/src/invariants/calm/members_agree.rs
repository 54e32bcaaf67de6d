//! L2: every member follows closely, and none stays a learner. (That their states are equal is S2.)

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// Entries that a follower may be behind.
const BEHIND_MAX: u64 = 200;

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        if look.since < bounds.leader + bounds.recovery {
            return Ok(());
        }
        must!(look.learners == 0, "{} members are learners {} ms after the faults", look.learners, look.since);
        for member in &look.members {
            let behind = look.last.saturating_sub(member.applied);
            must!(
                behind <= BEHIND_MAX,
                "member {} is {behind} entries behind {} ms after the faults: {look:#?}",
                member.member,
                look.since
            );
        }
        Ok(())
    }
}
