//! What the core says in metrics: numbers that it gathers while it decides, and how things stand when it is asked.

use std::collections::BTreeMap;

use super::core::Core;
use super::queues::QueueId;
use super::sessions::Serving;
use crate::observability::metrics::QueueRow;

/// Numbers since they were last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks assigned: of which queue, and how long each had waited, in milliseconds of the machine's time.
    pub dispatched: Vec<(QueueId, u64)>,
    /// Results that took effect, that had taken effect before, that came too late.
    pub results: [u64; 3],
    /// Attempts lost, by [`graft_machine::command::LostReason`].
    pub lost: [u64; 4],
    /// Sessions that ended: with a goodbye, silent, refused.
    pub sessions_ended: [u64; 3],
}

impl Core {
    /// The numbers since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// The node of a queue.
    pub fn node_of(&self, queue: QueueId) -> &str {
        &self.queues.get(queue).node
    }

    /// Every node of every namespace that was ever heard of in this term, in the order in which that was.
    pub fn queue_rows(&self) -> Vec<QueueRow> {
        let serving: BTreeMap<QueueId, Serving> = self.sessions.serving();
        let row = |(queue, namespace, node, waiting): (QueueId, &str, &str, u64)| {
            let Serving { workers, slots } = serving.get(&queue).copied().unwrap_or_default();
            let limited = !(self.limits.node_has_room(queue) && self.limits.total_has_room());
            let held_back = if limited && !self.queues.get(queue).takers.is_empty() { waiting } else { 0 };
            QueueRow {
                namespace: namespace.to_owned(),
                node: node.to_owned(),
                waiting,
                held_back,
                waiting_since: self.queues.get(queue).waiting_since(),
                held: self.limits.held(queue),
                workers,
                slots,
            }
        };
        self.queues.waiting().map(row).collect()
    }

    /// When the next timer is due, in the machine's time.
    pub fn next_timer(&self) -> Option<u64> {
        self.timers.first_due()
    }
}
