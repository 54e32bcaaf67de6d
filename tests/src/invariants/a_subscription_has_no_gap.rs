//! S19: a subscriber is given every event once, in log order, wherever it goes on; only what a retention has deleted may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use graft_machine::event::Event;
use graft_machine::ids::{EventPos, Run};

use super::{Invariant, Page, Place, Verdict, must, status_after};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    /// Every event: whose it is, and its number there.
    all: BTreeMap<EventPos, (Run, u64)>,
    /// Runs that have ended: they may be deleted.
    ended: BTreeSet<Run>,
    ordinals: BTreeMap<u64, u32>,
    come_to: BTreeMap<u64, EventPos>,
}

impl Invariant for Check {
    fn event(&mut self, place: Place, event: &Event) -> Verdict {
        let ordinal = self.ordinals.entry(place.index).or_default();
        self.all.insert(EventPos { index: place.index, ordinal: *ordinal }, (event.run, event.number));
        *ordinal += 1;
        if event.happened.as_ref().and_then(status_after).is_some_and(|status| status.is_final()) {
            self.ended.insert(event.run);
        }
        Ok(())
    }

    fn page(&mut self, page: &Page<'_>) -> Verdict {
        let Page { subscriber, after, events, through } = page;
        must!(self.come_to.get(subscriber).copied() == *after, "subscriber {subscriber} goes on after {after:?}, not where it was");
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let end = EventPos { index: *through, ordinal: u32::MAX };
        let mut given = events.iter();
        let mut next = given.next();
        for (at, (run, number)) in self.all.range((begin, Bound::Included(end))) {
            match next {
                Some((given_at, event)) if given_at == at => {
                    must!((event.run, event.number) == (*run, *number), "subscriber {subscriber} was given another event at {at:?}");
                    next = given.next();
                }
                _ => must!(self.ended.contains(run), "subscriber {subscriber} was not given event {number} of run {run}, at {at:?}"),
            }
        }
        must!(next.is_none(), "subscriber {subscriber} was given {next:?} out of order, or twice");
        self.come_to.insert(*subscriber, end);
        Ok(())
    }
}
