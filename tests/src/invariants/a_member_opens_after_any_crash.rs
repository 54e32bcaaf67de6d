//! D6: after any crash, also one while it was being repaired, a member opens by itself.

use super::{Invariant, Opened, Verdict};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Invariant for Check {
    fn opened(&mut self, opened: &Opened<'_>) -> Verdict {
        opened.outcome.map_err(|wrong| format!("member {} does not open: {wrong}", opened.member))
    }
}
