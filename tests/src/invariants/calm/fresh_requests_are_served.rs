//! L3: a request, old or fresh, is answered within the bound.

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        for (request, asked) in &look.requests {
            let waits = look.since.saturating_sub(*asked.max(&bounds.leader));
            must!(waits <= bounds.request, "{request} has waited for {waits} ms, {} ms after the faults: {look:#?}", look.since);
        }
        Ok(())
    }
}
