//! L9: while anything is open, something moves within the bound; otherwise it is stuck, and everything is shown.

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    last: Option<(u64, u64)>,
}

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        let (progress, moved) = self.last.unwrap_or((look.progress, look.since));
        if progress != look.progress || look.open.is_empty() || self.last.is_none() {
            self.last = Some((look.progress, look.since));
            return Ok(());
        }
        let still = look.since - moved;
        must!(still <= bounds.stuck, "nothing has moved for {still} ms: {look:#?}");
        Ok(())
    }
}
