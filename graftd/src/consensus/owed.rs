//! Which answers on a stream of appends are passed on.
//!
//! openraft takes an answer for one to every request under way that it covers, and counts from the sending of the last of these how long the
//! other member has confirmed this leader (`InflightAppendQueue::drain_acked`, as of 0.10.0-alpha.37). A request without entries is covered by
//! the answer to the request before it: a leader that was stopped, and sends such a request when it goes on, would take an answer from before
//! for one to it, and believe that it still leads. So an answer that covers a request behind its own is kept back: the answer to that request
//! says the same, and proves what is made of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use openraft::raft;
use prometheus::Histogram;
use tokio::time::Instant;

use super::types::{LogId, Types};

type AppendEntriesRequest = raft::AppendEntriesRequest<Types>;

/// The requests of a stream that have no answer yet, in their order. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed {
    under: Arc<Mutex<VecDeque<Under>>>,
    /// Where it is told how long an answer took, in seconds.
    took: Option<Histogram>,
}

/// A request under way: what lies before it, and its last entry (what lies before it, if it has none).
#[derive(Debug)]
struct Under {
    before: Option<LogId>,
    last: Option<LogId>,
    since: Instant,
}

impl Owed {
    /// None yet; how long each answer takes is told there.
    pub(crate) fn measured(took: Histogram) -> Self {
        Self { under: Arc::default(), took: Some(took) }
    }

    /// A request goes out.
    pub(crate) fn sent(&self, request: &AppendEntriesRequest) {
        let before = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(before);
        self.lock().push_back(Under { before, last, since: Instant::now() });
    }

    /// Whether an answer is missing.
    pub(crate) fn some(&self) -> bool {
        !self.lock().is_empty()
    }

    /// The answer to the oldest request is there, and confirms the log up to `matching` (`None`: it says something else). Whether it is passed on.
    pub(crate) fn answered(&self, matching: Option<&Option<LogId>>) -> bool {
        let mut under = self.lock();
        if let (Some(answered), Some(took)) = (under.pop_front(), &self.took) {
            took.observe(answered.since.elapsed().as_secs_f64());
        }
        match (matching, under.front()) {
            (Some(matching), Some(next)) => *matching < next.last && *matching <= next.before,
            _ => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Under>> {
        self.under.lock().expect("nobody panics while the requests are held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::{Entry, Vote};
    use openraft::EntryPayload;

    fn id(index: u64) -> LogId {
        LogId::new_term_index(1, index)
    }

    fn request(before: u64, entries: std::ops::RangeInclusive<u64>) -> AppendEntriesRequest {
        AppendEntriesRequest {
            vote: Vote::new(1, 1),
            prev_log_id: Some(id(before)),
            entries: entries.map(|index| Entry { log_id: id(index), payload: EntryPayload::Blank }).collect(),
            leader_commit: None,
        }
    }

    #[test]
    fn an_answer_that_covers_the_request_behind_its_own_is_kept_back() {
        let owed = Owed::default();
        owed.sent(&request(4, 5..=6));
        #[expect(clippy::reversed_empty_ranges, reason = "a request without entries")]
        let without = request(6, 7..=6);
        owed.sent(&without);
        assert!(!owed.answered(Some(&Some(id(6)))), "it was sent before the second, and says nothing about that time");
        assert!(owed.answered(Some(&Some(id(6)))), "the answer to the second");
        assert!(!owed.some());
    }

    #[test]
    fn answers_to_requests_that_follow_each_other_are_passed_on_as_they_come() {
        let owed = Owed::default();
        owed.sent(&request(4, 5..=6));
        owed.sent(&request(6, 7..=9));
        owed.sent(&request(9, 10..=10));
        assert!(owed.answered(Some(&Some(id(6)))));
        assert!(owed.answered(Some(&Some(id(9)))));
        assert!(owed.some() && owed.answered(Some(&Some(id(10)))));
    }

    #[test]
    fn a_refusal_is_passed_on_at_once() {
        let owed = Owed::default();
        owed.sent(&request(4, 5..=6));
        owed.sent(&request(6, 7..=9));
        assert!(owed.answered(None));
    }
}
