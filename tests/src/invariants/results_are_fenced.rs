//! S5: what is accepted of an attempt is of its task's current one, under a lease that was minted; and a leader that gave the attempt to
//! somebody again accepts nothing from whom it had given it to before.

use std::collections::BTreeMap;

use graft_machine::event::{Event, Happened};
use graft_machine::ids::{AttemptRef, Lease};

use super::{Invariant, Minted, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    minted: BTreeMap<AttemptRef, Vec<Lease>>,
}

impl Invariant for Check {
    fn minted(&mut self, minted: &Minted<'_>) -> Verdict {
        let Minted { at, lease, term, ready, .. } = minted;
        must!(lease.term == *term, "{at} was leased in term {term} under {lease:?}");
        must!(*ready == Some(at.attempt), "{at} was dispatched, but the ready attempt is {ready:?}");
        self.minted.entry(*at).or_default().push(*lease);
        Ok(())
    }

    fn event(&mut self, place: Place, event: &Event) -> Verdict {
        if let Some(Happened::Completed(e)) = &event.happened {
            let at = AttemptRef { run: event.run, task: e.task, attempt: e.attempt };
            let minted = self.minted.get(&at).ok_or_else(|| format!("{at} completed without a lease"))?;
            must!(minted.contains(&e.lease), "{at} completed under {:?}, which nobody minted", e.lease);
            // A leader knows what it minted itself. What an earlier one gave to a worker that is silent, it cannot know.
            let newest = minted.iter().filter(|lease| lease.term == place.term).max();
            must!(newest.is_none_or(|newest| *newest == e.lease), "{at} completed under {:?}, after {newest:?}", e.lease);
        }
        Ok(())
    }
}
