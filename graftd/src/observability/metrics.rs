//! All metrics of the daemon, made once and passed down. Rules: base units, `_total` on counters, no ids in labels.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The metrics. One set per daemon (a test may run several in a process); share it in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    /// Where they are registered, for the scrape.
    pub registry: Registry,
    /// Log entries with commands that were applied here.
    pub entries: IntCounter,
    /// Commands applied here, by kind: `step` (complete, fail, block, lose), `start`, `session`, `other`.
    pub commands: IntCounterVec,
    /// Commands that were rejected here.
    pub rejections: IntCounter,
    /// Durable commits, by store: `log`, `state`.
    pub fsyncs: IntCounterVec,
    /// Seconds per durable commit of the log file.
    pub log_commit_seconds: Histogram,
    /// Seconds per flush of the state file.
    pub state_flush_seconds: Histogram,
    /// Bytes in the overlay.
    pub overlay_bytes: IntGauge,
    /// How often apply has waited because the overlay was full.
    pub overlay_stalls: IntCounter,
    /// Bytes of the data directory's disk that are free.
    pub disk_free: IntGauge,
    /// Bytes of it that are kept for what runs.
    pub disk_reserve: IntGauge,
    /// 1 while less is free than is kept: a leader then starts no workflow.
    pub starts_refused: IntGauge,
    /// 1 while it is late, and takes no more starts than workflows end.
    pub starts_braked: IntGauge,
    /// Log positions, by which: `last`, `committed`, `applied`, `flushed`, `snapshot`, `purged`.
    pub log_index: IntGaugeVec,
    /// 1 while this member leads.
    pub is_leader: IntGauge,
    /// 1 while a leader is known.
    pub has_leader: IntGauge,
    /// The term.
    pub term: IntGauge,
    /// Changes of leader that this member has seen.
    pub leader_changes: IntCounter,
    /// Members and candidates that were ignored, by reason: greetings of another cluster's (`cluster_name`), candidates that are `too_many`,
    /// beyond this machine without TLS (`in_the_clear`), or cannot be connected to (`no_address`).
    pub rejected_peers: IntCounterVec,
    /// Times that a source of candidates failed, by provider: `static`, `dns`, `kubernetes`, `mdns`.
    pub discovery_errors: IntCounterVec,
    /// Addresses that are known now, by provider.
    pub discovery_candidates: IntGaugeVec,
    /// Commands that wait for an entry.
    pub proposals_pending: IntGauge,
    /// Seconds from proposal to answer, at the leader.
    pub proposal_seconds: Histogram,
    /// Commands per entry.
    pub batch_commands: Histogram,
    /// Snapshots, by `op` (`send`, `install`).
    pub snapshots: IntCounterVec,
    /// Tasks assigned to workers.
    pub dispatched: IntCounter,
    /// Results, by resolution: `applied`, `already_resolved`, `stale`.
    pub results: IntCounterVec,
    /// Attempts lost, by reason: `lease_expired`, `timed_out`, `session_lost`, `handed_back`.
    pub attempts_lost: IntCounterVec,
    /// Attempts held now (leader only).
    pub attempts_held: IntGauge,
    /// Worker sessions connected to the leader (leader only).
    pub workers_connected: IntGauge,
    /// Ready tasks that wait in memory (leader only).
    pub tasks_queued: IntGauge,
    /// gRPC requests, by method and code.
    pub grpc_requests: IntCounterVec,
    /// Callers that were not let in, by reason: `nothing_shown`, `bad_token`, `too_often`.
    pub auth_failures: IntCounterVec,
    /// Live watch streams.
    pub watchers: IntGauge,
    /// Live subscriptions to all events.
    pub event_subscribers: IntGauge,
    /// Subscribers that were dropped because they did not take their events in time.
    pub event_subscribers_dropped: IntCounter,
}

impl Metrics {
    /// A fresh set, registered.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        Self {
            entries: counter(r, "graft_raft_entries_total", "Log entries with commands that were applied"),
            commands: counters(
                r,
                "graft_commands_total",
                "Commands applied",
                &["kind"],
                &[&["step"], &["start"], &["session"], &["other"]],
            ),
            rejections: counter(r, "graft_commands_rejected_total", "Commands that were rejected"),
            fsyncs: counters(r, "graft_storage_fsyncs_total", "Durable commits", &["store"], &[&["log"], &["state"]]),
            log_commit_seconds: histogram(r, "graft_storage_log_commit_seconds", "Seconds per durable commit of the log", LATENCY),
            state_flush_seconds: histogram(r, "graft_storage_state_flush_seconds", "Seconds per flush of the state", LATENCY),
            overlay_bytes: gauge(r, "graft_storage_overlay_bytes", "Bytes in the write-behind overlay"),
            overlay_stalls: counter(r, "graft_storage_overlay_stalls_total", "Times that apply waited for a flush"),
            disk_free: gauge(r, "graft_storage_disk_free_bytes", "Free bytes of the disk with the data"),
            disk_reserve: gauge(r, "graft_storage_disk_reserve_bytes", "Bytes of it that are kept for what runs"),
            starts_refused: gauge(r, "graft_storage_starts_refused", "1 while less is free than is kept for what runs"),
            starts_braked: gauge(r, "graft_starts_braked", "1 while no more starts are taken than workflows end: this leader is late"),
            log_index: gauges(r, "graft_raft_log_index", "Positions in the log", &["position"]),
            is_leader: gauge(r, "graft_raft_is_leader", "1 while this member leads"),
            has_leader: gauge(r, "graft_raft_has_leader", "1 while a leader is known"),
            term: gauge(r, "graft_raft_term", "Current term"),
            leader_changes: counter(r, "graft_raft_leader_changes_total", "Changes of leader seen"),
            rejected_peers: counters(
                r,
                "graft_discovery_rejected_peers_total",
                "Members and candidates that were ignored",
                &["reason"],
                &[&["cluster_name"], &["too_many"], &["in_the_clear"], &["no_address"]],
            ),
            discovery_errors: counters(
                r,
                "graft_discovery_errors_total",
                "Times that a source of candidates failed",
                &["provider"],
                &[&["static"], &["dns"], &["kubernetes"], &["mdns"]],
            ),
            discovery_candidates: gauges(r, "graft_discovery_candidates", "Addresses of candidates that are known", &["provider"]),
            proposals_pending: gauge(r, "graft_raft_proposals_pending", "Commands that wait for an entry"),
            proposal_seconds: histogram(r, "graft_raft_proposal_seconds", "Seconds from proposal to answer", LATENCY),
            batch_commands: histogram(r, "graft_raft_batch_commands", "Commands per entry", &[1., 4., 16., 64., 256., 1024.]),
            snapshots: counters(r, "graft_raft_snapshots_total", "Snapshots", &["op"], &[&["send"], &["install"]]),
            dispatched: counter(r, "graft_tasks_dispatched_total", "Tasks assigned to workers"),
            results: counters(
                r,
                "graft_results_total",
                "Results of attempts",
                &["resolution"],
                &[&["applied"], &["already_resolved"], &["stale"]],
            ),
            attempts_lost: counters(
                r,
                "graft_attempts_lost_total",
                "Attempts lost",
                &["reason"],
                &[&["lease_expired"], &["timed_out"], &["session_lost"], &["handed_back"]],
            ),
            attempts_held: gauge(r, "graft_attempts_held", "Attempts held"),
            workers_connected: gauge(r, "graft_workers_connected", "Worker sessions connected to the leader"),
            tasks_queued: gauge(r, "graft_tasks_queued", "Ready tasks that wait in memory"),
            auth_failures: counters(
                r,
                "graft_auth_failures_total",
                "Callers that were not let in",
                &["reason"],
                &[&["nothing_shown"], &["bad_token"], &["too_often"]],
            ),
            grpc_requests: counters(r, "graft_grpc_requests_total", "gRPC requests", &["method", "code"], &[]),
            watchers: gauge(r, "graft_watchers", "Live watch streams"),
            event_subscribers: gauge(r, "graft_event_subscribers", "Live subscriptions to all events"),
            event_subscribers_dropped: counter(
                r,
                "graft_event_subscribers_dropped_total",
                "Subscribers that did not take their events in time",
            ),
            registry,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

const LATENCY: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 10.];
const BUILT_IN: &str = "a metric of this file has a valid name and is registered once";

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    let metric = IntCounter::new(name, help).expect(BUILT_IN);
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

/// Label values that are known are made at once, so that their counters start at 0.
fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str], known: &[&[&str]]) -> IntCounterVec {
    let metric = IntCounterVec::new(Opts::new(name, help), labels).expect(BUILT_IN);
    for values in known {
        metric.with_label_values(values);
    }
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let metric = IntGauge::new(name, help).expect(BUILT_IN);
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels).expect(BUILT_IN);
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())).expect(BUILT_IN);
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}
