//! S10: a leader that has applied a pause dispatches nothing of that workflow until it is resumed.

use graft_machine::workflow::StatusKind;

use super::{Invariant, Minted, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check;

impl Invariant for Check {
    fn minted(&mut self, minted: &Minted<'_>) -> Verdict {
        must!(minted.status != Some(StatusKind::Paused), "{} was dispatched in a workflow that is paused", minted.at);
        Ok(())
    }
}
