//! L5: every workflow ends within the bound, or what it waits for is named.

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        let late = look.since >= bounds.all;
        must!(!late || look.open.is_empty(), "{} ms after the faults these go on: {:#?}", look.since, look.open);
        must!(!late, "{} ms after the faults nothing is open, and yet not all is at rest: {look:#?}", look.since);
        Ok(())
    }
}
