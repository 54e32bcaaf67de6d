//! Workflows: how many are open, from the counts that the machine keeps (the leader says it), and what their history comes to. See the folder for
//! what a change of leader does to the counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::guard::{LabelGuard, OTHER};
use super::make::{BYTES, EXECUTION, LIFETIME, counter, counters, histogram, histograms};
use super::rows::Rows;

/// Most namespaces that are named.
pub const NAMESPACES: usize = 50;
/// Most nodes that are named.
pub const NODES: usize = 500;

/// How a workflow ends.
pub const OUTCOMES: [&str; 5] = ["completed", "failed", "cancelled", "terminated", "timed_out"];
/// Why an attempt fails: its code said so or panicked (`error`), it ran too long, or it was lost with its worker.
pub const REASONS: [&str; 3] = ["error", "timeout", "lost"];

/// See the module.
#[derive(Debug)]
pub struct WorkflowMetrics {
    /// Workflows that have not ended, by `namespace` and `status` (`running`, `paused`, `cancelling`) (leader only).
    pub open: Rows,
    /// Workflows that have ended and are kept, by `namespace` (leader only).
    pub kept: Rows,
    /// Bytes of the state of workflows that have ended.
    pub state_bytes: Histogram,
    /// Tasks that were skipped, since their idempotency key had been used.
    pub skipped: IntCounter,
    /// Attempts whose worker said that the task cannot start yet.
    pub blocked: IntCounter,
    /// Dead letters that are tasks again.
    pub redriven: IntCounter,
    /// Dead letters that were given up for good.
    pub discarded: IntCounter,
    of_namespace: LabelGuard<Arc<NamespaceMetrics>>,
    of_node: LabelGuard<Arc<NodeMetrics>>,
    vectors: Vectors,
    overflow: IntCounter,
}

/// What there is of each namespace.
#[derive(Debug)]
pub struct NamespaceMetrics {
    /// Workflows started.
    pub started: IntCounter,
    /// Workflows ended, in the order of [`OUTCOMES`].
    pub finished: [IntCounter; 5],
    /// Workflows that had ended and go on.
    pub reopened: IntCounter,
    /// Seconds from start to end.
    pub seconds: Histogram,
}

/// What the history says of each node.
#[derive(Debug)]
pub struct NodeMetrics {
    /// Tasks created.
    pub created: IntCounter,
    /// Tasks that resolved.
    pub completed: IntCounter,
    /// Tasks that became dead letters.
    pub dead_lettered: IntCounter,
    /// Attempts that failed, in the order of [`REASONS`].
    pub failed: [IntCounter; 3],
    /// Seconds that the node ran in one attempt, where its worker told.
    pub execution_seconds: Histogram,
}

#[derive(Debug)]
struct Vectors {
    started: IntCounterVec,
    finished: IntCounterVec,
    reopened: IntCounterVec,
    seconds: HistogramVec,
    created: IntCounterVec,
    tasks_finished: IntCounterVec,
    failed: IntCounterVec,
    execution_seconds: HistogramVec,
}

impl Vectors {
    fn of_namespace(&self, name: &str) -> Arc<NamespaceMetrics> {
        Arc::new(NamespaceMetrics {
            started: self.started.with_label_values(&[name]),
            finished: OUTCOMES.map(|outcome| self.finished.with_label_values(&[name, outcome])),
            reopened: self.reopened.with_label_values(&[name]),
            seconds: self.seconds.with_label_values(&[name]),
        })
    }

    fn of_node(&self, name: &str) -> Arc<NodeMetrics> {
        Arc::new(NodeMetrics {
            created: self.created.with_label_values(&[name]),
            completed: self.tasks_finished.with_label_values(&[name, "completed"]),
            dead_lettered: self.tasks_finished.with_label_values(&[name, "dead_lettered"]),
            failed: REASONS.map(|reason| self.failed.with_label_values(&[name, reason])),
            execution_seconds: self.execution_seconds.with_label_values(&[name]),
        })
    }
}

impl WorkflowMetrics {
    pub(super) fn new(r: &Registry, overflow: &IntCounterVec) -> Self {
        let vectors = Vectors {
            started: counters(r, "graft_workflows_started_total", "Workflows started", &["namespace"], &[]),
            finished: counters(r, "graft_workflows_finished_total", "Workflows ended", &["namespace", "outcome"], &[]),
            reopened: counters(r, "graft_workflows_reopened_total", "Workflows that had ended and go on", &["namespace"], &[]),
            seconds: histograms(r, "graft_workflow_seconds", "Seconds from the start of a workflow to its end", "namespace", &[], LIFETIME),
            created: counters(r, "graft_tasks_created_total", "Tasks created", &["node"], &[]),
            tasks_finished: counters(r, "graft_tasks_finished_total", "Tasks resolved or given up", &["node", "outcome"], &[]),
            failed: counters(r, "graft_attempts_failed_total", "Attempts that failed", &["node", "reason"], &[]),
            execution_seconds: histograms(
                r,
                "graft_task_execution_seconds",
                "Seconds that a node ran, per attempt",
                "node",
                &[],
                EXECUTION,
            ),
        };
        Self {
            open: Rows::new(r, "graft_workflows_open", "Workflows that have not ended", &["namespace", "status"]),
            kept: Rows::new(r, "graft_workflows_kept", "Workflows that have ended and are kept", &["namespace"]),
            state_bytes: histogram(r, "graft_workflow_state_bytes", "Bytes of the state of a workflow when it ended", BYTES),
            skipped: counter(r, "graft_tasks_skipped_total", "Tasks that were not created, since their idempotency key had been used"),
            blocked: counter(r, "graft_attempts_blocked_total", "Attempts whose worker said that the task cannot start yet"),
            redriven: counter(r, "graft_dead_letters_redriven_total", "Dead letters that are tasks again"),
            discarded: counter(r, "graft_dead_letters_discarded_total", "Dead letters that were given up for good"),
            of_namespace: LabelGuard::new("namespace", NAMESPACES, overflow, |name| vectors.of_namespace(name)),
            of_node: LabelGuard::new("node", NODES, overflow, |name| vectors.of_node(name)),
            vectors,
            overflow: overflow.with_label_values(&["namespace"]),
        }
    }

    /// These are all that there are, by namespace, in the order of their names: how many are in this status, or have ended (`None`).
    pub fn show<'s>(&self, counts: impl IntoIterator<Item = (String, Option<&'s str>, u64)>) {
        let (mut open, mut kept) = (BTreeMap::<Vec<String>, u64>::new(), BTreeMap::<Vec<String>, u64>::new());
        let (mut last, mut named) = (None, 0);
        for (namespace, status, count) in counts {
            if last.as_ref() != Some(&namespace) {
                named += 1;
                self.overflow.inc_by(u64::from(named > NAMESPACES));
                last = Some(namespace.clone());
            }
            let shown = if named <= NAMESPACES { namespace } else { OTHER.to_owned() };
            let of = match status {
                Some(status) => open.entry(vec![shown, status.to_owned()]),
                None => kept.entry(vec![shown]),
            };
            *of.or_default() += count;
        }
        let number = |(labels, count): (Vec<String>, u64)| (labels, count as i64);
        self.open.show(open.into_iter().map(number));
        self.kept.show(kept.into_iter().map(number));
    }

    /// Counts something of a namespace.
    pub fn of_namespace(&self, namespace: &str, count: impl FnOnce(&NamespaceMetrics)) {
        count(&self.of_namespace.of(namespace, |name| self.vectors.of_namespace(name)));
    }

    /// Counts something of a node.
    pub fn of_node(&self, node: &str, count: impl FnOnce(&NodeMetrics)) {
        count(&self.of_node.of(node, |name| self.vectors.of_node(name)));
    }
}
