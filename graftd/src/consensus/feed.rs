//! The feed: a new leader's view of the state, and the effects of every entry after it, without a gap.
//!
//! [`Feeds::begin`] is held by apply from before an entry until its effects are sent, and by [`Feeds::take`] while it opens the view: so an
//! entry is either in the view or in the feed. The channel has no bound of its own, since apply must not wait for the scheduler. Instead the
//! proposer refuses what clients ask while more than [`UNREAD_EFFECTS_MAX`] effects are unread; what the scheduler itself proposes, and
//! with it the results of workers, has room all the same, or it could never catch up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use graft_machine::effect::Effect;
use tokio::sync::mpsc;

use crate::storage::{StateStore, View};

/// Effects that the scheduler has still to read, beyond which clients' commands are refused.
pub(crate) const UNREAD_EFFECTS_MAX: usize = 1_000_000;

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
    _unread: Unread,
}

/// Counts the effects of a batch as unread, as long as the batch lives.
#[derive(Debug)]
struct Unread {
    count: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.all.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// The feed of the current term, if it was taken.
#[derive(Default)]
pub(crate) struct Feeds {
    open: Mutex<Option<Open>>,
    unread: Arc<AtomicUsize>,
}

struct Open {
    term: u64,
    sender: mpsc::UnboundedSender<FeedBatch>,
}

/// Held while one entry is applied.
pub(crate) struct EntryFeed<'a> {
    open: MutexGuard<'a, Option<Open>>,
    unread: &'a Arc<AtomicUsize>,
}

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
        EntryFeed { open: self.lock(), unread: &self.unread }
    }

    /// Whether the scheduler is so far behind that no more should be taken on.
    pub(crate) fn is_overfull(&self) -> bool {
        self.unread.load(Ordering::Relaxed) > UNREAD_EFFECTS_MAX
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl EntryFeed<'_> {
    /// Whether anybody wants the effects of an entry of `term`.
    pub(crate) fn wanted(&self, term: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.term == term)
    }

    /// After the entry's writes are published: its index, the machine's time after it, its effects.
    pub(crate) fn send(mut self, term: u64, index: u64, time: u64, effects: Vec<Effect>) {
        let stale = match self.open.as_ref() {
            None => false,
            Some(open) if open.term == term => {
                self.unread.fetch_add(effects.len(), Ordering::Relaxed);
                let _unread = Unread { count: effects.len(), all: self.unread.clone() };
                open.sender.send(FeedBatch { index, time, effects, _unread }).is_err()
            }
            Some(open) => open.term < term,
        };
        if stale {
            *self.open = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use graft_machine::effect::Withdrawn;

    use super::*;

    #[test]
    fn what_the_scheduler_has_read_or_will_never_read_does_not_count() {
        let feeds = Feeds::default();
        let (sender, mut effects) = mpsc::unbounded_channel();
        *feeds.lock() = Some(Open { term: 1, sender });
        let effect = Effect::StopRun { run: 1, reason: Withdrawn::Ended };
        feeds.begin().send(1, 1, 0, vec![effect.clone(); UNREAD_EFFECTS_MAX]);
        assert!(!feeds.is_overfull());
        feeds.begin().send(1, 2, 0, vec![effect.clone()]);
        assert!(feeds.is_overfull());
        drop(effects.try_recv().expect("a batch"));
        assert!(!feeds.is_overfull());
        feeds.begin().send(1, 3, 0, vec![effect; UNREAD_EFFECTS_MAX]);
        assert!(feeds.is_overfull());
        drop(effects);
        assert!(!feeds.is_overfull(), "the term is over");
    }
}
