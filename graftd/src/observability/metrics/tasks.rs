//! Tasks: how many there are, what waits for a worker and since when, and what became of attempts. What is true of the cluster is said by the leader.

use std::collections::BTreeMap;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::guard::{LabelGuard, OTHER};
use super::make::{COARSE, counter, counters, histograms};
use super::rows::Rows;
use super::workflows::NODES;

/// See the module.
#[derive(Debug)]
pub struct TaskMetrics {
    /// Tasks by `state`: `ready` (held by a worker or not), `delayed`, `blocked`, `dead_lettered` (leader only).
    pub by_state: Rows,
    /// Timers that stand (leader only).
    pub timers: Rows,
    /// When the next timer is due, in seconds since 1970 (leader only; none while there is none).
    pub timer_due: Rows,
    /// Tasks assigned to workers.
    pub dispatched: IntCounter,
    /// Results, by resolution: `applied`, `already_resolved`, `stale`.
    pub results: [IntCounter; 3],
    /// Attempts lost, by reason: `lease_expired`, `timed_out`, `session_lost`, `handed_back`.
    pub attempts_lost: [IntCounter; 4],
    /// Attempts held now (leader only).
    pub attempts_held: Rows,
    /// Ready tasks that wait in memory (leader only).
    pub queued: Rows,
    /// What there is of each node of each namespace (leader only).
    pub queues: QueueRows,
    waited: LabelGuard<Histogram>,
    waited_seconds: HistogramVec,
}

/// What waits for a node, what is held of it, and who serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueRow {
    /// Namespace.
    pub namespace: String,
    /// Node.
    pub node: String,
    /// Ready tasks that wait in memory: at least so many wait.
    pub waiting: u64,
    /// Of them, what a limit keeps from workers that would take it.
    pub held_back: u64,
    /// Since when the one waits that waits longest, in milliseconds since 1970.
    pub waiting_since: Option<u64>,
    /// Attempts that are held.
    pub held: u64,
    /// Workers that are connected and serve it.
    pub workers: u64,
    /// Attempts that these take at once.
    pub slots: u64,
}

/// The rows of all nodes.
#[derive(Debug)]
pub struct QueueRows {
    waiting: Rows,
    held_back: Rows,
    waiting_since: Rows,
    held: Rows,
    workers: Rows,
    slots: Rows,
    overflow: IntCounter,
}

impl TaskMetrics {
    pub(super) fn new(r: &Registry, overflow: &IntCounterVec) -> Self {
        let results = counters(r, "graft_results_total", "Results of attempts", &["resolution"], &[]);
        let lost = counters(r, "graft_attempts_lost_total", "Attempts lost", &["reason"], &[]);
        let waited_seconds = histograms(r, "graft_task_schedule_to_start_seconds", "Seconds from ready to a worker", "node", &[], COARSE);
        Self {
            by_state: Rows::new(r, "graft_tasks", "Open tasks and dead letters", &["state"]),
            timers: Rows::new(r, "graft_timers", "Timers that stand", &[]),
            timer_due: Rows::new(r, "graft_timer_next_due_timestamp_seconds", "When the next timer is due", &[]),
            dispatched: counter(r, "graft_tasks_dispatched_total", "Tasks assigned to workers"),
            results: ["applied", "already_resolved", "stale"].map(|resolution| results.with_label_values(&[resolution])),
            attempts_lost: ["lease_expired", "timed_out", "session_lost", "handed_back"].map(|reason| lost.with_label_values(&[reason])),
            attempts_held: Rows::new(r, "graft_attempts_held", "Attempts held", &[]),
            queued: Rows::new(r, "graft_tasks_queued", "Ready tasks that wait in memory", &[]),
            queues: QueueRows::new(r, overflow),
            waited: LabelGuard::new("node", NODES, overflow, |node| waited_seconds.with_label_values(&[node])),
            waited_seconds,
        }
    }

    /// Seconds that tasks of a node have waited for a worker.
    pub fn waited(&self, node: &str) -> Histogram {
        self.waited.of(node, |node| self.waited_seconds.with_label_values(&[node]))
    }

    /// This member leads no more.
    pub fn clear(&self) {
        for rows in [&self.timer_due, &self.attempts_held, &self.queued] {
            rows.clear();
        }
        self.queues.show(Vec::new());
    }
}

impl QueueRows {
    fn new(r: &Registry, overflow: &IntCounterVec) -> Self {
        let rows = |name: &str, help: &str| Rows::new(r, name, help, &["namespace", "node"]);
        Self {
            waiting: rows("graft_node_tasks_waiting", "Ready tasks of the node that wait in memory"),
            held_back: rows("graft_node_tasks_held_back", "Of these, what a concurrency limit keeps from workers that would take it"),
            waiting_since: rows("graft_node_waiting_since_timestamp_seconds", "Since when the task of the node waits that waits longest"),
            held: rows("graft_node_attempts_held", "Attempts of the node that are held"),
            workers: rows("graft_node_workers", "Workers that are connected and serve the node"),
            slots: rows("graft_node_slots", "Attempts of the node that these take at once"),
            overflow: overflow.with_label_values(&["queue"]),
        }
    }

    /// These are all of them, in an order that does not change: the first have their own name, the others are shown as one.
    pub fn show(&self, all: Vec<QueueRow>) {
        self.overflow.inc_by(all.len().saturating_sub(NODES) as u64);
        let mut shown: BTreeMap<Vec<String>, QueueRow> = BTreeMap::new();
        for (at, row) in all.into_iter().enumerate() {
            let labels = if at < NODES { [row.namespace.clone(), row.node.clone()] } else { [OTHER; 2].map(str::to_owned) };
            let known = shown.entry(labels.to_vec()).or_default();
            known.waiting_since = [known.waiting_since, row.waiting_since].into_iter().flatten().min();
            known.waiting += row.waiting;
            known.held_back += row.held_back;
            known.held += row.held;
            known.workers += row.workers;
            known.slots += row.slots;
        }
        let number = |of: fn(&QueueRow) -> u64| shown.iter().map(move |(labels, row)| (labels.clone(), of(row) as i64));
        self.waiting.show(number(|row| row.waiting));
        self.held_back.show(number(|row| row.held_back));
        self.held.show(number(|row| row.held));
        self.workers.show(number(|row| row.workers));
        self.slots.show(number(|row| row.slots));
        let since = shown.iter().filter_map(|(labels, row)| Some((labels.clone(), (row.waiting_since? / 1_000) as i64)));
        self.waiting_since.show(since);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_shown_as_one_with_the_time_of_the_oldest() {
        let metrics = Metrics::new();
        let row = |at: u64| QueueRow {
            namespace: "default".into(),
            node: format!("n{at}"),
            waiting: 2,
            waiting_since: Some(1_000_000 - at * 1_000),
            ..QueueRow::default()
        };
        metrics.tasks.queues.show((0..NODES as u64 + 3).map(row).collect());
        let text = prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap();
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}");
        has("graft_node_tasks_waiting{namespace=\"default\",node=\"n499\"} 2");
        has("graft_node_tasks_waiting{namespace=\"_other\",node=\"_other\"} 6");
        has("graft_node_waiting_since_timestamp_seconds{namespace=\"_other\",node=\"_other\"} 498");
        has("graft_metrics_label_overflow_total{label=\"queue\"} 3");
    }
}
