//! All metrics of the daemon, made once and passed down. Floors write into what is made here; a scrape reads it, and asks nobody.
//!
//! **Names.** Prefix `graft_`, base units, `_total` on counters and on nothing else. `member` is a machine of the cluster, `node` a kind of task.
//! No label holds an id: not of a workflow, a run, a worker or a session. What users name (namespaces, nodes) is bounded by a [`LabelGuard`]:
//! beyond its bound a value is called `_other`, and `graft_metrics_label_overflow_total{label}` says how often. With all bounds used up a member
//! has less than [`SERIES_MAX`] series. Labels whose values are known are there from the start, and those of a node as soon as a leader hears
//! of it, so that a counter begins at 0 and not with its first event.
//!
//! **Who says what.** What is true of the whole cluster (how many workflows are open, what waits, which workers are there) is said by the
//! leader alone, in [`Rows`] that vanish when its term is over: so `sum()` over the members is right, also while one of them has not noticed
//! yet that it leads no more. The machine keeps these numbers with every command; nothing is ever scanned for them, and a scrape
//! costs the same at any number of workflows.
//!
//! **What counts history** (`graft_workflows_*_total`, `graft_tasks_*_total`, `graft_attempts_failed_total` and the histograms beside them) is
//! counted from the events of an entry, where that entry is applied by the member that proposed it ([`workflows`]). One member proposes
//! an entry, so nothing is counted twice. A change of leader leaves each counter where it is, and goes on in that of the new leader: `sum(rate())`
//! does not see it. What a leader had proposed and not yet applied when it died is counted by nobody, and a process begins at 0 again: for
//! accounts read the history, and not these.
//!
//! | what others have | here |
//! |---|---|
//! | last log, committed, applied, snapshot index | one gauge, `graft_raft_log_index{position}`, with the flushed and the purged one |
//! | state of raft; name and id of a member | `graft_member_info{member,raft_id,role}`, and `graft_raft_is_leader` |
//! | proposals with result rejected | `graft_commands_rejected_total`: the machine's answer, which is none of the proposer's failures |
//! | failed heartbeats | `graft_raft_append_failures_total{member}`: appends and heartbeats share a stream |
//! | building a snapshot | nothing: it is a flush, counted among `graft_storage_commit_seconds{store="state"}` |
//! | state of the bootstrap | `graft_cluster_info`, which is there once the cluster is formed |
//! | pending members | `graft_raft_learners`, and `graft_cluster_joins_refused_total` for those that wait for an approval |
//! | time of the last discovery | `graft_discovery_failing{provider}`: what is missing, and not for how long |
//! | fsync | within `graft_storage_commit_seconds{store}`: a commit is one or two of them and nothing else that takes time |
//! | entries of the log | the difference of two `graft_raft_log_index` |
//! | errors of the storage | nothing: the first one ends the process |
//! | compactions, features, zones, allocators | nothing: Graft has none, or none that it could ask |
//! | type of workflow, queue | nothing: a workflow has no type, and a queue is a node of a namespace: `graft_node_*{namespace,node}` |
//! | dispatch from the backlog or at once | `graft_task_schedule_to_start_seconds{node}`: how long, and not which way |
//! | ages | the time since when, as `*_timestamp_seconds`: it is right between two looks as well |
//! | polls of workers | nothing: work is sent to who has said how much it takes (`graft_node_slots`) |
//! | throttling | `graft_node_tasks_held_back{namespace,node}`: how many tasks a limit keeps from workers now, and not how often |
//! | signals | nothing yet: they come with what they count |

mod api;
mod cluster;
mod guard;
mod make;
mod raft;
mod rows;
mod storage;
mod tasks;
mod traces;
mod workers;
pub mod workflows;

use prometheus::Registry;

pub use api::ApiMetrics;
pub use cluster::ClusterMetrics;
pub use guard::{LabelGuard, OTHER};
pub use raft::{PeerMetrics, RaftMetrics};
pub use rows::Rows;
pub use storage::StorageMetrics;
pub use tasks::{QueueRow, TaskMetrics};
pub use traces::TraceMetrics;
pub use workers::WorkerMetrics;
pub use workflows::WorkflowMetrics;

/// Most series of a member, whatever its users call their namespaces and nodes.
pub const SERIES_MAX: usize = 20_000;

/// The metrics. One set per daemon (a test may run several in a process); share it in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    /// Where they are registered, for the scrape.
    pub registry: Registry,
    /// The log, and what became of commands.
    pub raft: RaftMetrics,
    /// Who the members are, and how they find each other.
    pub cluster: ClusterMetrics,
    /// The two files and the disk.
    pub storage: StorageMetrics,
    /// Workflows, and what their history says of tasks.
    pub workflows: WorkflowMetrics,
    /// What waits and what is held.
    pub tasks: TaskMetrics,
    /// Workers.
    pub workers: WorkerMetrics,
    /// Requests.
    pub api: ApiMetrics,
    /// Spans.
    pub traces: TraceMetrics,
}

impl Metrics {
    /// A fresh set, registered.
    pub fn new() -> Self {
        let registry = Registry::new();
        let overflow = make::counters(
            &registry,
            "graft_metrics_label_overflow_total",
            "Observations whose label is shown as _other, since too many values came before",
            &["label"],
            &[&["namespace"], &["node"], &["queue"], &["member"]],
        );
        let r = &registry;
        Self {
            raft: RaftMetrics::new(r, &overflow),
            cluster: ClusterMetrics::new(r),
            storage: StorageMetrics::new(r),
            workflows: WorkflowMetrics::new(r, &overflow),
            tasks: TaskMetrics::new(r, &overflow),
            workers: WorkerMetrics::new(r),
            api: ApiMetrics::new(r),
            traces: TraceMetrics::new(r),
            registry,
        }
    }

    /// There is such a node, and nothing was counted of it yet: its counters begin at 0 now, and not with the first event.
    pub fn introduce(&self, namespace: &str, node: &str) {
        self.workflows.of_namespace(namespace, |_| ());
        self.workflows.of_node(node, |_| ());
        self.tasks.waited(node);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, TextEncoder};

    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&metrics.registry.gather(), &mut text).expect("text");
        let text = String::from_utf8(text).expect("UTF-8");
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn a_member_has_a_bounded_number_of_series_whatever_its_users_call_things() {
        let metrics = Metrics::new();
        let before = lines(&metrics).len();
        for at in 0..2_000 {
            let (namespace, node) = (format!("namespace-{}", at % 100), format!("node-{at}"));
            metrics.workflows.of_namespace(&namespace, |counted| counted.started.inc());
            metrics.workflows.of_node(&node, |counted| counted.created.inc());
            metrics.tasks.waited(&node).observe(1.0);
        }
        let queues = (0..2_000).map(|at| QueueRow { namespace: "default".into(), node: format!("node-{at}"), ..Default::default() });
        metrics.tasks.queues.show(queues.collect());
        for at in 0..100 {
            metrics.raft.peer(&format!("member-{at}")).append_failures.inc();
        }
        let after = lines(&metrics);
        assert!(before < 1_000 && after.len() > 10_000, "{before} and {} series: the loop has made some", after.len());
        // Room for the methods and codes of the API, and for the process.
        assert!(after.len() < SERIES_MAX - 1_500, "{} series", after.len());
        assert!(after.iter().any(|line| line == "graft_tasks_created_total{node=\"_other\"} 1500"), "what goes beyond is counted as well");
        assert!(after.iter().any(|line| line == "graft_metrics_label_overflow_total{label=\"node\"} 3000"));
    }

    #[test]
    fn names_say_unit_and_kind() {
        let metrics = Metrics::new();
        for family in metrics.registry.gather() {
            let (name, kind) = (family.name(), family.get_field_type());
            assert!(name.starts_with("graft_") && !family.help().is_empty(), "{name}");
            let counts = kind == prometheus::proto::MetricType::COUNTER;
            assert_eq!(name.ends_with("_total"), counts, "{name}: {kind:?}");
            let wrong = ["_ms", "_milliseconds", "_us", "_kb", "_count", "_sum", "_bucket"];
            assert!(!wrong.iter().any(|unit| name.ends_with(unit)), "{name}");
        }
    }
}
