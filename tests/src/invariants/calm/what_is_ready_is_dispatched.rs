//! L4 and L8: a ready task that a worker with room could take is dispatched within the bound, of every node and namespace alike.

use std::collections::BTreeMap;

use graft_machine::ids::AttemptRef;

use super::{Bounds, Look, Promise};
use crate::invariants::{Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    since: BTreeMap<AttemptRef, u64>,
}

impl Promise for Check {
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict {
        if look.since < bounds.leader + bounds.recovery {
            return Ok(());
        }
        let waiting = look.ready.iter().filter(|ready| ready.takeable && !look.held.contains_key(&ready.at));
        let since: BTreeMap<AttemptRef, u64> =
            waiting.map(|ready| (ready.at, self.since.get(&ready.at).copied().unwrap_or(look.since))).collect();
        self.since = since;
        for (at, since) in &self.since {
            let waits = look.since - since;
            must!(waits <= bounds.dispatch, "{at} is ready, could be taken, and has waited for {waits} ms");
        }
        Ok(())
    }
}
