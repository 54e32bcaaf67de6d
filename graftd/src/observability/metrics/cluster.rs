//! Who the members are, how they find each other, and what was done to the membership.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::make::{counter, counters, gauges};
use super::rows::Rows;

/// See the module.
#[derive(Debug)]
pub struct ClusterMetrics {
    /// 1, with the cluster's id and name, once this member is part of one.
    pub info: Rows,
    /// 1, with this member's name, raft id and role: `leader`, `voter`, `learner`; `none` while it is no member.
    pub member: Rows,
    /// When a certificate of this member ends, in seconds since 1970, by `kind`: `peer`, `client`.
    pub certificate_ends: IntGaugeVec,
    /// Members and candidates that were ignored, by reason: greetings of another cluster's (`cluster_name`) or of another protocol (`protocol`),
    /// candidates that are `too_many`, beyond this machine without TLS (`in_the_clear`), or cannot be connected to (`no_address`).
    pub rejected_peers: IntCounterVec,
    /// Times that a source of candidates failed, by provider: `static`, `dns`, `kubernetes`, `mdns`.
    pub discovery_errors: IntCounterVec,
    /// Addresses that are known now, by provider.
    pub discovery_candidates: IntGaugeVec,
    /// 1 while a source of candidates cannot say what there is, by provider.
    pub discovery_failing: IntGaugeVec,
    /// Changes of the membership that this leader tried, by `op` (`join`, `promote`, `replace`, `remove`, `move`, `finish`) and `result` (`ok`,
    /// `failed`).
    pub membership_changes: IntCounterVec,
    /// Fresh members that this leader has refused to take in.
    pub joins_refused: IntCounter,
    /// Times that this leader handed over, by `result` (`ok`, `failed`).
    pub leadership_transfers: IntCounterVec,
}

impl ClusterMetrics {
    pub(super) fn new(r: &Registry) -> Self {
        const PROVIDERS: &[&[&str]] = &[&["static"], &["dns"], &["kubernetes"], &["mdns"]];
        const OPS: [&str; 6] = ["join", "promote", "replace", "remove", "move", "finish"];
        let changes: Vec<[&str; 2]> = OPS.iter().flat_map(|op| [[*op, "ok"], [*op, "failed"]]).collect();
        let changes: Vec<&[&str]> = changes.iter().map(|labels| labels.as_slice()).collect();
        Self {
            info: Rows::new(r, "graft_cluster_info", "The cluster that this member is part of; always 1", &["cluster_id", "cluster_name"]),
            member: Rows::new(r, "graft_member_info", "This member; always 1", &["member", "raft_id", "role"]),
            certificate_ends: gauges(
                r,
                "graft_tls_certificate_not_after_timestamp_seconds",
                "When the certificate that this member shows expires",
                &["kind"],
                &[],
            ),
            rejected_peers: counters(
                r,
                "graft_discovery_rejected_peers_total",
                "Members and candidates that were ignored",
                &["reason"],
                &[&["cluster_name"], &["protocol"], &["too_many"], &["in_the_clear"], &["no_address"]],
            ),
            discovery_errors: counters(
                r,
                "graft_discovery_errors_total",
                "Times that a source of candidates failed",
                &["provider"],
                PROVIDERS,
            ),
            discovery_candidates: gauges(
                r,
                "graft_discovery_candidates",
                "Addresses of candidates that are known",
                &["provider"],
                PROVIDERS,
            ),
            discovery_failing: gauges(r, "graft_discovery_failing", "1 while a source of candidates fails", &["provider"], PROVIDERS),
            membership_changes: counters(
                r,
                "graft_membership_changes_total",
                "Changes of the membership, by this leader",
                &["op", "result"],
                &changes,
            ),
            joins_refused: counter(r, "graft_cluster_joins_refused_total", "Fresh members that this leader has refused to take in"),
            leadership_transfers: counters(
                r,
                "graft_leadership_transfers_total",
                "Times that this leader handed over",
                &["result"],
                &[&["ok"], &["failed"]],
            ),
        }
    }
}
