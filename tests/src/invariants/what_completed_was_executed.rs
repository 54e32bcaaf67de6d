//! S22: of every completion that was accepted, the execution is in the ledger; and no row is there twice. Other rows are executions whose
//! results did not count: at-least-once, and allowed.

use std::collections::BTreeSet;

use graft_machine::event::{Event, Happened};
use graft_machine::ids::{AttemptRef, Lease};

use super::{Began, Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    ledger: BTreeSet<(AttemptRef, Lease)>,
}

impl Invariant for Check {
    fn began(&mut self, began: &Began<'_>) -> Verdict {
        must!(self.ledger.insert((began.at, began.lease)), "{} was begun twice under {:?}", began.at, began.lease);
        Ok(())
    }

    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        if let Some(Happened::Completed(e)) = &event.happened {
            let at = AttemptRef { run: event.run, task: e.task, attempt: e.attempt };
            must!(self.ledger.contains(&(at, e.lease)), "{at} completed under {:?}, and nobody had begun it", e.lease);
        }
        Ok(())
    }
}
