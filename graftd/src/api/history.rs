//! The events of a run, read in pages that are bounded by number and by bytes.

use std::sync::Arc;

use graft_machine::event::Event;
use graft_machine::ids::Run;
use graft_machine::state::StateRead;
use graft_machine::tables::{EventKey, Events, Prefix, RunEventKey, RunEvents};
use graft_machine::view;
use prost::Message;

/// A page of events ends early when they have so many bytes together.
pub const EVENT_BYTES_MAX: usize = 2 << 20;
/// Keys that are skipped at once on the way to an event's number.
const SKIP_STEP: usize = 1_000;

/// Some events of a run, in order.
#[derive(Debug, Default)]
pub struct EventPage {
    /// The events, with their keys.
    pub events: Vec<(RunEventKey, Arc<Event>)>,
    /// Whether there are more behind them.
    pub more: bool,
}

/// The next events of the run after a key (from the first, if there is none): at most `limit`, and about [`EVENT_BYTES_MAX`].
pub fn page(state: &impl StateRead, run: Run, after: Option<&RunEventKey>, limit: usize) -> EventPage {
    let keys = state.scan::<RunEvents>(Prefix::new().number(run).as_bytes(), after, limit + 1);
    let mut page = EventPage::default();
    let mut bytes = 0;
    for (key, _) in keys {
        if page.events.len() == limit || bytes > EVENT_BYTES_MAX {
            page.more = true;
            break;
        }
        if let Some(event) = state.get::<Events>(&EventKey { index: key.index, ordinal: key.ordinal }) {
            bytes += event.encoded_len();
            page.events.push((key, event));
        }
    }
    page
}

/// The key after which the event with `number` comes; `None`: it is the first, or there are none before it.
/// Numbers have no gaps, so that keys can be counted and only one event in [`SKIP_STEP`] has to be read.
pub fn key_before(state: &impl StateRead, run: Run, number: u64) -> Option<RunEventKey> {
    let mut after: Option<RunEventKey> = None;
    loop {
        let keys = state.scan::<RunEvents>(Prefix::new().number(run).as_bytes(), after.as_ref(), SKIP_STEP);
        let (first, _) = keys.first()?;
        let first = state.get::<Events>(&EventKey { index: first.index, ordinal: first.ordinal })?.number;
        let before = number.saturating_sub(first) as usize;
        if before == 0 {
            return after;
        }
        let reached = keys.len().min(before);
        after = Some(keys[reached - 1].0.clone());
        if before <= keys.len() || keys.len() < SKIP_STEP {
            return after;
        }
    }
}

/// Epoch of the cluster: the first part of a position.
pub fn epoch(state: &impl StateRead) -> u64 {
    view::meta(state).lineage.last().map_or(0, |lineage| lineage.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use graft_machine::event::{Happened, WorkflowStarted};
    use graft_machine::memory::Memory;
    use graft_machine::state::StateTx;

    /// `count` events of run 7 from `first` on, three to an entry; every other entry belongs to run 8.
    fn state(first: u64, count: u64, state_bytes: usize) -> Memory {
        let mut state = Memory::new();
        for n in 0..count {
            let (index, ordinal) = (n / 3 * 2, (n % 3) as u32);
            let happened = Happened::Started(WorkflowStarted { state: Bytes::from(vec![b' '; state_bytes]), ..Default::default() });
            let event = Event { run: 7, number: first + n, at: n, happened: Some(happened) };
            state.put::<Events>(EventKey { index, ordinal }, event);
            state.put::<RunEvents>(RunEventKey { run: 7, index, ordinal }, ());
            state.put::<RunEvents>(RunEventKey { run: 8, index: index + 1, ordinal }, ());
        }
        state
    }

    #[test]
    fn pages_of_any_size_leave_no_gap() {
        let state = state(1, 50, 0);
        for limit in [1, 3, 49, 50, 51] {
            let (mut after, mut numbers) = (None, Vec::new());
            loop {
                let page = page(&state, 7, after.as_ref(), limit);
                numbers.extend(page.events.iter().map(|(_, event)| event.number));
                after = page.events.last().map(|(key, _)| key.clone());
                if !page.more {
                    break;
                }
            }
            assert_eq!(numbers, (1..=50).collect::<Vec<_>>(), "limit {limit}");
        }
    }

    #[test]
    fn a_page_of_large_events_ends_early() {
        let page = page(&state(1, 10, EVENT_BYTES_MAX / 2), 7, None, 100);
        assert!(page.more);
        assert_eq!(page.events.len(), 2);
    }

    #[test]
    fn a_number_is_found_without_reading_every_event() {
        let state = state(1, 2_500, 0);
        for number in [0, 1, 2, 999, 1_000, 1_001, 1_002, 2_000, 2_001, 2_500] {
            let after = key_before(&state, 7, number);
            let first = page(&state, 7, after.as_ref(), 1).events.first().expect("an event").1.number;
            assert_eq!(first, number.max(1));
        }
        let after = key_before(&state, 7, 9_999);
        assert!(page(&state, 7, after.as_ref(), 1).events.is_empty(), "a number that is still to come: after the last");
    }

    #[test]
    fn a_history_that_was_trimmed_begins_where_it_begins() {
        let state = state(101, 50, 0);
        for (number, first) in [(1, 101), (101, 101), (120, 120)] {
            let after = key_before(&state, 7, number);
            assert_eq!(page(&state, 7, after.as_ref(), 1).events[0].1.number, first);
        }
        assert_eq!(key_before(&state, 9, 5), None, "a run without events");
    }
}
