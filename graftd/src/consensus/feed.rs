//! The feed: a new leader's view of the state, and the effects of every entry after it, without a gap.
//!
//! [`Feeds::begin`] is held by apply from before an entry until its effects are sent, and by [`Feeds::take`] while it opens the view: so an
//! entry is either in the view or in the feed. The channel has no bound of its own: what can be in it is bounded by the entries in flight
//! (`entries_in_flight` × `batch_commands` commands), since the scheduler's own proposals and the workers' results pass the proposer's
//! bounded queue.

use std::sync::{Mutex, MutexGuard};

use graft_machine::effect::Effect;
use tokio::sync::mpsc;

use crate::storage::{StateStore, View};

/// What a new leader starts from, and what it then hears: no effect in between is lost.
pub struct Feed {
    /// The state at the index from which the feed starts.
    pub view: View,
    /// The effects of every entry after it, in order. Closed when the term ends.
    pub effects: mpsc::UnboundedReceiver<FeedBatch>,
}

/// The effects of one entry.
#[derive(Debug)]
pub struct FeedBatch {
    /// Its index.
    pub index: u64,
    /// Its time stamp (machine's time after it).
    pub time: u64,
    /// Its effects.
    pub effects: Vec<Effect>,
}

/// The feed of the current term, if it was taken.
#[derive(Default)]
pub(crate) struct Feeds {
    open: Mutex<Option<Open>>,
}

struct Open {
    term: u64,
    sender: mpsc::UnboundedSender<FeedBatch>,
}

/// Held while one entry is applied.
pub(crate) struct EntryFeed<'a>(MutexGuard<'a, Option<Open>>);

impl Feeds {
    /// Opens the feed of `term`, closing an earlier one.
    pub(crate) fn take(&self, term: u64, state: &StateStore) -> Feed {
        let mut open = self.lock();
        let (sender, effects) = mpsc::unbounded_channel();
        *open = Some(Open { term, sender });
        Feed { view: state.view(), effects }
    }

    /// Closes the feed of every term before `term`, so that its reader sees the end.
    pub(crate) fn close_before(&self, term: u64) {
        let mut open = self.lock();
        if open.as_ref().is_some_and(|open| open.term < term) {
            *open = None;
        }
    }

    /// Before an entry is applied.
    pub(crate) fn begin(&self) -> EntryFeed<'_> {
        EntryFeed(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl EntryFeed<'_> {
    /// Whether anybody wants the effects of an entry of `term`.
    pub(crate) fn wanted(&self, term: u64) -> bool {
        self.0.as_ref().is_some_and(|open| open.term == term)
    }

    /// After the entry's writes are published.
    pub(crate) fn send(mut self, term: u64, batch: FeedBatch) {
        let stale = match self.0.as_ref() {
            None => false,
            Some(open) if open.term == term => open.sender.send(batch).is_err(),
            Some(open) => open.term < term,
        };
        if stale {
            *self.0 = None;
        }
    }
}
