//! The log: who leads, how far it has come, what became of commands, and how the other members follow.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::guard::LabelGuard;
use super::make::{BYTES, COARSE, LATENCY, counter, counters, gauge, gauges, histogram, histograms};
use super::rows::Rows;

/// Most members that are named; a cluster has no more.
const MEMBERS: usize = 32;

/// See the module.
#[derive(Debug)]
pub struct RaftMetrics {
    /// Log entries with commands that were applied here.
    pub entries: IntCounter,
    /// Commands applied here, by kind.
    pub commands: Commands,
    /// Commands that were rejected here.
    pub rejections: IntCounter,
    /// Seconds that an entry with commands takes to be applied here.
    pub apply_seconds: Histogram,
    /// Log positions, by which: `last`, `committed`, `applied`, `flushed`, `snapshot`, `purged`.
    pub log_index: IntGaugeVec,
    /// 1 while this member leads.
    pub is_leader: IntGauge,
    /// 1 while a leader is heard of, or this one has a majority behind it.
    pub has_leader: IntGauge,
    /// The term.
    pub term: IntGauge,
    /// Voters, as this member knows them.
    pub voters: IntGauge,
    /// Members that follow the log and do not vote (yet), as this member knows them.
    pub learners: IntGauge,
    /// Changes of leader that this member has seen.
    pub leader_changes: IntCounter,
    /// Elections that this member has stood for.
    pub elections_started: IntCounter,
    /// Commands that wait for an entry.
    pub proposals_pending: IntGauge,
    /// Seconds from proposal to answer.
    pub proposal_seconds: Histogram,
    /// What became of commands that were proposed on this member.
    pub proposals: Proposals,
    /// Commands that this member has sent to the leader.
    pub forwarded: IntCounter,
    /// Commands per entry.
    pub batch_commands: Histogram,
    /// Snapshots, by `op` (`send`, `install`).
    pub snapshots: IntCounterVec,
    /// Snapshots that did not arrive, by `op` (`send`, `install`).
    pub snapshot_errors: IntCounterVec,
    /// Seconds that a snapshot was on its way, by `op`.
    pub snapshot_seconds: HistogramVec,
    /// Its bytes, by `op`.
    pub snapshot_bytes: HistogramVec,
    /// 1 while no more starts are taken than workflows end.
    pub starts_braked: IntGauge,
    /// Voters that the leader has heard from lately, itself among them (leader only).
    pub voters_reachable: Rows,
    /// Whether the leader has heard from a member lately, by `member` (leader only).
    pub member_reachable: Rows,
    /// Entries that a member lacks, by `member` (leader only).
    pub member_lag: Rows,
    peers: LabelGuard<PeerMetrics>,
    append_seconds: HistogramVec,
    append_failures: IntCounterVec,
}

/// Commands applied, by kind.
#[derive(Debug)]
pub struct Commands {
    /// A result of a worker, or a loss.
    pub step: IntCounter,
    /// A start.
    pub start: IntCounter,
    /// A session that was opened or closed.
    pub session: IntCounter,
    /// Everything else.
    pub other: IntCounter,
}

/// Commands proposed, by what became of them.
#[derive(Debug)]
pub struct Proposals {
    /// Answered by the machine, one way or the other.
    pub ok: IntCounter,
    /// Refused for want of room, in memory or on the disk.
    pub refused: IntCounter,
    /// Not proposed: no leader, or another one than was meant.
    pub unavailable: IntCounter,
    /// Nobody knows whether it took effect.
    pub unknown: IntCounter,
}

/// What there is of each other member.
#[derive(Clone, Debug)]
pub struct PeerMetrics {
    /// Seconds between an append (or heartbeat) and its answer.
    pub append_seconds: Histogram,
    /// Streams of appends that broke, or were not answered.
    pub append_failures: IntCounter,
}

impl RaftMetrics {
    pub(super) fn new(r: &Registry, overflow: &IntCounterVec) -> Self {
        const OPS: &[&[&str]] = &[&["send"], &["install"]];
        let commands = counters(r, "graft_commands_total", "Commands applied", &["kind"], &[]);
        let proposals = counters(r, "graft_raft_proposals_total", "Commands proposed here, by what became of them", &["result"], &[]);
        let append_seconds = histograms(r, "graft_raft_append_rtt_seconds", "Seconds from an append to its answer", "member", &[], LATENCY);
        let append_failures =
            counters(r, "graft_raft_append_failures_total", "Streams of appends that broke or were not answered", &["member"], &[]);
        let peers = LabelGuard::new("member", MEMBERS, overflow, |name| peer(&append_seconds, &append_failures, name));
        Self {
            entries: counter(r, "graft_raft_entries_total", "Log entries with commands that were applied"),
            commands: Commands {
                step: commands.with_label_values(&["step"]),
                start: commands.with_label_values(&["start"]),
                session: commands.with_label_values(&["session"]),
                other: commands.with_label_values(&["other"]),
            },
            rejections: counter(r, "graft_commands_rejected_total", "Commands that were rejected"),
            apply_seconds: histogram(r, "graft_raft_apply_seconds", "Seconds that an entry takes to be applied", LATENCY),
            log_index: gauges(r, "graft_raft_log_index", "Positions in the log", &["position"], &[]),
            is_leader: gauge(r, "graft_raft_is_leader", "1 while this member leads"),
            has_leader: gauge(r, "graft_raft_has_leader", "1 while a leader is heard of, or this one has a majority behind it"),
            term: gauge(r, "graft_raft_term", "Current term"),
            voters: gauge(r, "graft_raft_voters", "Members that vote"),
            learners: gauge(r, "graft_raft_learners", "Members that follow the log and do not vote"),
            leader_changes: counter(r, "graft_raft_leader_changes_total", "Changes of leader seen"),
            elections_started: counter(r, "graft_raft_elections_started_total", "Elections that this member has stood for"),
            proposals_pending: gauge(r, "graft_raft_proposals_pending", "Commands that wait for an entry"),
            proposal_seconds: histogram(r, "graft_raft_proposal_seconds", "Seconds from proposal to answer", LATENCY),
            proposals: Proposals {
                ok: proposals.with_label_values(&["ok"]),
                refused: proposals.with_label_values(&["refused"]),
                unavailable: proposals.with_label_values(&["unavailable"]),
                unknown: proposals.with_label_values(&["unknown"]),
            },
            forwarded: counter(r, "graft_raft_proposals_forwarded_total", "Commands that were sent to the leader"),
            batch_commands: histogram(r, "graft_raft_batch_commands", "Commands per entry", &[1., 4., 16., 64., 256., 1024.]),
            snapshots: counters(r, "graft_raft_snapshots_total", "Snapshots", &["op"], OPS),
            snapshot_errors: counters(r, "graft_raft_snapshot_errors_total", "Snapshots that did not arrive", &["op"], OPS),
            snapshot_seconds: histograms(
                r,
                "graft_raft_snapshot_seconds",
                "Seconds that a snapshot was on its way",
                "op",
                &["send", "install"],
                COARSE,
            ),
            snapshot_bytes: histograms(r, "graft_raft_snapshot_bytes", "Bytes of a snapshot", "op", &["send", "install"], BYTES),
            starts_braked: gauge(r, "graft_starts_braked", "1 while no more starts are taken than workflows end: this leader is late"),
            voters_reachable: Rows::new(r, "graft_raft_voters_reachable", "Voters that the leader has heard from lately", &[]),
            member_reachable: Rows::new(r, "graft_raft_member_reachable", "1 while the leader hears from the member", &["member"]),
            member_lag: Rows::new(r, "graft_raft_member_lag_entries", "Log entries that the member lacks", &["member"]),
            peers,
            append_seconds,
            append_failures,
        }
    }

    /// What there is of another member.
    pub fn peer(&self, member: &str) -> PeerMetrics {
        self.peers.of(member, |name| peer(&self.append_seconds, &self.append_failures, name))
    }
}

fn peer(seconds: &HistogramVec, failures: &IntCounterVec, member: &str) -> PeerMetrics {
    PeerMetrics { append_seconds: seconds.with_label_values(&[member]), append_failures: failures.with_label_values(&[member]) }
}
