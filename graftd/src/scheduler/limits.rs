//! Concurrency limits: of the whole cluster and of a node. The smallest of the record and all declarations of replicated sessions counts.
//!
//! Until a session that the term inherited has said what it holds, its whole capacity counts as held, in every limit that it could touch.

use std::collections::BTreeMap;

use graft_machine::tables::LimitKey;

use super::queues::QueueId;

/// What counts against the limits of one node.
#[derive(Debug, Default)]
struct NodeCount {
    held: u32,
    silent_sessions: u32,
    silent_capacity: u64,
    record: Option<u32>,
    /// Declared limits, and by how many sessions.
    declared: BTreeMap<u32, u32>,
}

/// What is held, and what may be.
#[derive(Debug, Default)]
pub(super) struct Limits {
    total: Option<u32>,
    total_held: u64,
    total_silent: u64,
    nodes: Vec<NodeCount>,
}

impl Limits {
    fn node(&mut self, queue: QueueId) -> &mut NodeCount {
        if self.nodes.len() <= queue {
            self.nodes.resize_with(queue + 1, NodeCount::default);
        }
        &mut self.nodes[queue]
    }

    /// The limit of the whole cluster.
    pub(super) fn set_total(&mut self, limit: Option<u32>) {
        self.total = limit;
    }

    /// The record of a node.
    pub(super) fn set_node(&mut self, queue: QueueId, limit: Option<u32>) {
        self.node(queue).record = limit;
    }

    /// A session declares a limit for a node; 0 = none.
    pub(super) fn declare(&mut self, queue: QueueId, limit: u32) {
        if limit > 0 {
            *self.node(queue).declared.entry(limit).or_default() += 1;
        }
    }

    /// The session that declared it is gone.
    pub(super) fn undeclare(&mut self, queue: QueueId, limit: u32) {
        let declared = &mut self.node(queue).declared;
        if let Some(sessions) = declared.get_mut(&limit) {
            *sessions -= 1;
            if *sessions == 0 {
                declared.remove(&limit);
            }
        }
    }

    /// An attempt is held.
    pub(super) fn take(&mut self, queue: QueueId) {
        self.total_held += 1;
        self.node(queue).held += 1;
    }

    /// It is held no more.
    pub(super) fn give_back(&mut self, queue: QueueId) {
        self.total_held -= 1;
        self.node(queue).held -= 1;
    }

    /// A session of an earlier term has not said yet what it holds of a node.
    pub(super) fn silence(&mut self, queue: QueueId, capacity: u32) {
        self.total_silent += u64::from(capacity);
        let node = self.node(queue);
        node.silent_sessions += 1;
        node.silent_capacity += u64::from(capacity);
    }

    /// It has. Whether no other session of the node is silent.
    pub(super) fn unsilence(&mut self, queue: QueueId, capacity: u32) -> bool {
        self.total_silent -= u64::from(capacity);
        let node = self.node(queue);
        node.silent_sessions -= 1;
        node.silent_capacity -= u64::from(capacity);
        node.silent_sessions == 0
    }

    /// Whether a session that serves the node is silent.
    pub(super) fn is_silent(&self, queue: QueueId) -> bool {
        self.nodes.get(queue).is_some_and(|node| node.silent_sessions > 0)
    }

    /// Whether the cluster's limit allows one more.
    pub(super) fn total_has_room(&self) -> bool {
        self.total.is_none_or(|max| self.total_held + self.total_silent < u64::from(max))
    }

    /// Whether the node's limit allows one more.
    pub(super) fn node_has_room(&self, queue: QueueId) -> bool {
        let Some(node) = self.nodes.get(queue) else { return true };
        let declared = node.declared.first_key_value().map(|(limit, _)| *limit);
        let max = node.record.into_iter().chain(declared).min();
        max.is_none_or(|max| u64::from(node.held) + node.silent_capacity < u64::from(max))
    }

    /// Attempts held in the whole cluster.
    pub(super) fn total_held(&self) -> u64 {
        self.total_held
    }

    /// Attempts held of a node.
    pub(super) fn held(&self, queue: QueueId) -> u64 {
        self.nodes.get(queue).map_or(0, |node| u64::from(node.held))
    }

    /// Splits the key of a limit: `None` = the whole cluster.
    pub(super) fn node_of(key: &LimitKey) -> Option<(&str, &str)> {
        (!key.node.is_empty()).then_some((&key.namespace, &key.node))
    }
}
