//! L6: nothing stays held by a worker that is no more.

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
        for (at, holder) in &look.held {
            must!(look.workers.contains(holder), "{at} is held by {holder}, which has been gone for {} ms", look.since);
        }
        Ok(())
    }
}
