//! The near timers, in memory; the far ones stay in the timer table until their turn comes.
//!
//! `horizon` is the last timer up to which memory knows all that stand; `None`: it knows all there are. A timer beyond it is not kept, for
//! the next page will bring it. What was proposed as due is looked up again once the machine has answered: what still stands (the machine's
//! time was not there yet, or the command had done enough) goes back.

use std::collections::BTreeSet;

use graft_machine::command::TimerRef;
use graft_machine::limits::DUE_PER_COMMAND_MAX;

use super::options::DUE_IN_FLIGHT;

/// The near timers.
#[derive(Debug)]
pub(super) struct Timers {
    near: BTreeSet<TimerRef>,
    horizon: Option<TimerRef>,
    window: usize,
    reading: bool,
    under_way: usize,
}

impl Timers {
    pub(super) fn new(window: usize) -> Self {
        Self { near: BTreeSet::new(), horizon: None, window: window.max(4), reading: false, under_way: 0 }
    }

    /// A timer was set, or still stands.
    pub(super) fn set(&mut self, timer: TimerRef) {
        if self.horizon.is_some_and(|horizon| timer > horizon) {
            return;
        }
        self.near.insert(timer);
        while self.near.len() > self.window {
            self.near.pop_last();
            self.horizon = self.near.last().copied();
        }
    }

    /// The next page of the table.
    pub(super) fn page(&mut self, rows: Vec<TimerRef>, complete: bool) {
        self.reading = false;
        self.horizon = if complete { None } else { rows.last().copied().or(self.horizon) };
        for timer in rows {
            self.set(timer);
        }
    }

    /// Where the next page is to begin, if one is needed.
    pub(super) fn wants_page(&mut self) -> Option<TimerRef> {
        let after = self.horizon.filter(|_| !self.reading && self.near.len() <= self.window / 4)?;
        self.reading = true;
        Some(after)
    }

    /// The next batch of timers that are due at `time` (the machine's), if there is one and not too many batches are under way.
    pub(super) fn take_due(&mut self, time: u64) -> Option<Vec<TimerRef>> {
        let ready = self.under_way < DUE_IN_FLIGHT && self.near.first().is_some_and(|timer| timer.due <= time);
        ready.then(|| {
            self.under_way += 1;
            let mut due = Vec::new();
            while due.len() < DUE_PER_COMMAND_MAX && self.near.first().is_some_and(|timer| timer.due <= time) {
                due.extend(self.near.pop_first());
            }
            due
        })
    }

    /// A batch has been answered.
    pub(super) fn answered(&mut self) {
        self.under_way -= 1;
    }

    /// When the first of those that are not under way is due, in the machine's time.
    pub(super) fn first_due(&self) -> Option<u64> {
        self.near.first().map(|timer| timer.due)
    }

    /// When the next one is due, in the machine's time; `None` while as many batches are under way as may be.
    pub(super) fn next(&self) -> Option<u64> {
        if self.under_way < DUE_IN_FLIGHT { self.first_due() } else { None }
    }
}
