//! The cluster, its members and its workers.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Time, known, some};
use crate::v1;

/// Workers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkerList {
    /// Whether `connected` and `held` are known.
    pub live: bool,
    /// The workers, by name.
    pub workers: Vec<Worker>,
}

impl From<&v1::ListWorkersResponse> for WorkerList {
    fn from(answer: &v1::ListWorkersResponse) -> Self {
        Self { live: answer.live, workers: answer.workers.iter().map(|worker| Worker::of(worker, answer.live)).collect() }
    }
}

/// A worker session.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Worker {
    /// Its name.
    pub worker_id: String,
    /// Its incarnation.
    pub incarnation: String,
    /// Its namespace.
    pub namespace: String,
    /// What it was built from.
    pub build_id: Option<String>,
    /// Since when.
    pub opened_at: Option<Time>,
    /// Whether its stream to the leader stands; `null`: not known.
    pub connected: Option<bool>,
    /// What it serves.
    pub nodes: Vec<WorkerNode>,
}

/// A node that a worker serves.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkerNode {
    /// The node.
    pub node: String,
    /// Attempts at once, at most.
    pub capacity: u32,
    /// Attempts held now; `null`: not known.
    pub held: Option<u32>,
}

impl Worker {
    /// A worker, with its live figures if they are known.
    pub fn of(worker: &v1::Worker, live: bool) -> Self {
        let node = |node: &v1::WorkerNode| WorkerNode { node: node.node.clone(), capacity: node.capacity, held: live.then_some(node.held) };
        Self {
            worker_id: worker.worker_id.clone(),
            incarnation: worker.incarnation.clone(),
            namespace: worker.namespace.clone(),
            build_id: some(&worker.build_id),
            opened_at: Time::of(worker.opened_ms),
            connected: live.then_some(worker.connected),
            nodes: worker.nodes.iter().map(node).collect(),
        }
    }
}

/// The cluster, as the member that answers sees it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ClusterStatus {
    /// UUID of the cluster; `null` before it is formed.
    pub cluster_id: Option<String>,
    /// Its name.
    pub cluster_name: String,
    /// Its epoch.
    pub epoch: u64,
    /// The current term.
    pub term: u64,
    /// Raft id of the leader; `null`: none is known.
    pub leader: Option<String>,
    /// Raft id of the member that answers.
    pub answered_by: String,
    /// Version of the member that answers.
    pub version: String,
    /// Whether that member should get traffic.
    pub ready: bool,
    /// Why not.
    pub not_ready_reason: Option<String>,
    /// Why no workflow is started while the member that answers leads: its disk is nearly full.
    pub starts_refused_reason: Option<String>,
    /// The machine version in force: how the members change the replicated state; `null` before the cluster is formed.
    pub machine_version: Option<u32>,
    /// The highest machine version that the member that answers can follow.
    pub machine_version_max: u32,
    /// The members.
    pub members: Vec<Member>,
}

/// A member of the cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Member {
    /// Its raft id: minted with the data directory.
    pub raft_id: String,
    /// Its name.
    pub name: String,
    /// `leader`, `voter` or `learner`.
    pub role: String,
    /// Where it answers clients.
    pub client_address: String,
    /// Where it answers members.
    pub peer_address: String,
    /// Last index in its log, as far as the answering member knows.
    pub last_index: Option<u64>,
    /// Index applied, on the answering member; elsewhere the index replicated.
    pub applied_index: Option<u64>,
    /// Index flushed to the state file, on the answering member.
    pub flushed_index: Option<u64>,
    /// How long ago the answering member heard of it, in milliseconds; `null`: not known, since only the leader hears of others.
    pub silent_ms: Option<u64>,
    /// The highest machine version that it can follow; `null`: not known, since members tell only the leader.
    pub machine_version_max: Option<u32>,
    /// Why it is not ready, as it says itself; empty: it is ready. `null`: not known, since it was not asked.
    pub not_ready_reason: Option<String>,
}

impl From<&v1::Member> for Member {
    fn from(member: &v1::Member) -> Self {
        Self {
            raft_id: member.raft_id.to_string(),
            name: member.name.clone(),
            role: member.role.clone(),
            client_address: member.client_address.clone(),
            peer_address: member.peer_address.clone(),
            last_index: known(member.last_index),
            applied_index: known(member.applied_index),
            flushed_index: known(member.flushed_index),
            silent_ms: member.silent_ms,
            machine_version_max: (member.machine_version_max > 0).then_some(member.machine_version_max),
            not_ready_reason: member.not_ready_reason.clone(),
        }
    }
}

/// The members of the cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MemberList {
    /// The members.
    pub members: Vec<Member>,
}

impl From<&v1::ClusterStatusResponse> for MemberList {
    fn from(status: &v1::ClusterStatusResponse) -> Self {
        Self { members: status.members.iter().map(Member::from).collect() }
    }
}

impl From<&v1::ClusterStatusResponse> for ClusterStatus {
    fn from(status: &v1::ClusterStatusResponse) -> Self {
        Self {
            cluster_id: some(&status.cluster_id),
            cluster_name: status.cluster_name.clone(),
            epoch: status.epoch,
            term: status.term,
            leader: known(status.leader).map(|id| id.to_string()),
            answered_by: status.answered_by.to_string(),
            version: status.version.clone(),
            ready: status.not_ready_reason.is_empty(),
            not_ready_reason: some(&status.not_ready_reason),
            starts_refused_reason: some(&status.starts_refused_reason),
            machine_version: (status.machine_version > 0).then_some(status.machine_version),
            machine_version_max: status.machine_version_max,
            members: status.members.iter().map(Member::from).collect(),
        }
    }
}

/// A permission to join the cluster: a token, or the approval of a member.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct JoinGrant {
    /// Its id: that of the token, or the name of the member.
    pub id: String,
    /// `token` or `approval`.
    #[serde(rename = "type")]
    pub grant_type: String,
    /// The member that may use it; `null`: any.
    pub member: Option<String>,
    /// Of no use from then on.
    pub expires_at: Option<Time>,
    /// How many members may use it.
    pub uses: u32,
    /// Raft ids of those that have.
    pub used_by: Vec<String>,
    /// When it was made.
    pub created_at: Option<Time>,
    /// Who made it.
    pub created_by: String,
}

impl From<&v1::JoinGrant> for JoinGrant {
    fn from(grant: &v1::JoinGrant) -> Self {
        Self {
            id: grant.id.clone(),
            grant_type: grant.kind.clone(),
            member: some(&grant.member),
            expires_at: Time::of(grant.expires_ms),
            uses: grant.uses,
            used_by: grant.used_by.iter().map(u64::to_string).collect(),
            created_at: Time::of(grant.created_ms),
            created_by: grant.created_by.clone(),
        }
    }
}

/// Who may join the cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct JoinGrantList {
    /// Tokens and approvals, by id. What has expired may be among them until another is made.
    pub grants: Vec<JoinGrant>,
}

impl From<&v1::ListJoinGrantsResponse> for JoinGrantList {
    fn from(answer: &v1::ListJoinGrantsResponse) -> Self {
        Self { grants: answer.grants.iter().map(JoinGrant::from).collect() }
    }
}

/// A new join token.
#[derive(Clone, Serialize, JsonSchema)]
pub struct JoinToken {
    /// The token, secret included: it is told once.
    pub token: String,
    /// What stands of it.
    pub grant: Option<JoinGrant>,
}

impl fmt::Debug for JoinToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl From<&v1::CreateJoinTokenResponse> for JoinToken {
    fn from(answer: &v1::CreateJoinTokenResponse) -> Self {
        Self { token: answer.token.clone(), grant: answer.grant.as_ref().map(JoinGrant::from) }
    }
}

/// A machine version that was put into force, or would be.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MachineVersion {
    /// The version that was in force before.
    pub before: u32,
    /// The version in force now; or that would be, where nothing was to be changed.
    pub machine_version: u32,
}

impl From<&v1::RaiseMachineVersionResponse> for MachineVersion {
    fn from(answer: &v1::RaiseMachineVersionResponse) -> Self {
        Self { before: answer.before, machine_version: answer.machine_version }
    }
}

/// The first members of a cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Bootstrap {
    /// The members that form it.
    pub members: Vec<Member>,
    /// Name of the one that proposes the cluster to the others.
    pub proposed_by: String,
}

impl From<&v1::BootstrapResponse> for Bootstrap {
    fn from(answer: &v1::BootstrapResponse) -> Self {
        Self { members: answer.members.iter().map(Member::from).collect(), proposed_by: answer.proposed_by.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn live_figures_of_workers_are_null_where_nobody_knows_them() {
        let node = v1::WorkerNode { node: "pick".into(), capacity: 8, held: 3 };
        let worker = v1::Worker { worker_id: "w".into(), connected: true, nodes: vec![node], ..v1::Worker::default() };
        let of = |live| serde_json::to_value(WorkerList::from(&v1::ListWorkersResponse { workers: vec![worker.clone()], live })).unwrap();
        assert_eq!((&of(true)["workers"][0]["connected"], &of(true)["workers"][0]["nodes"][0]["held"]), (&json!(true), &json!(3)));
        assert_eq!((&of(false)["workers"][0]["connected"], &of(false)["workers"][0]["nodes"][0]["held"]), (&json!(null), &json!(null)));
    }

    #[test]
    fn a_cluster_tells_its_leader_and_whether_it_is_ready() {
        const ID: u64 = u64::MAX - 1;
        let member = v1::Member { raft_id: ID, name: "a".into(), role: "leader".into(), last_index: 9, ..v1::Member::default() };
        let status = v1::ClusterStatusResponse { leader: ID, term: 2, members: vec![member], ..v1::ClusterStatusResponse::default() };
        let value = serde_json::to_value(ClusterStatus::from(&status)).unwrap();
        assert_eq!((&value["leader"], &value["ready"], &value["cluster_id"]), (&json!("18446744073709551614"), &json!(true), &json!(null)));
        assert_eq!(value["members"][0]["raft_id"], value["leader"]);
        assert_eq!((&value["members"][0]["last_index"], &value["members"][0]["flushed_index"]), (&json!(9), &json!(null)));
    }
}

/// How much a member logs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LogLevel {
    /// Name of the member.
    pub member: String,
    /// The level in force now; `null`: the log is that of the program in which the member runs.
    pub level: Option<String>,
    /// That of the configuration.
    pub configured: Option<String>,
    /// The level in force before it was asked.
    pub before: Option<String>,
}

impl From<&v1::LogLevelResponse> for LogLevel {
    fn from(answer: &v1::LogLevelResponse) -> Self {
        Self {
            member: answer.member.clone(),
            level: some(&answer.level),
            configured: some(&answer.configured),
            before: some(&answer.before),
        }
    }
}

/// What a member says of itself when something is wrong with it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// Name of the member.
    pub member: String,
    /// Its version.
    pub version: String,
    /// Its configuration in force, as a file that says the same (TOML), with where each value was said.
    pub configuration: String,
    /// How it is: a line for each thing that is looked at.
    pub readiness: String,
    /// Its metrics, in the text format of Prometheus.
    pub metrics: String,
    /// The level of its log in force; `null`: the log is that of the program in which the member runs.
    pub log_level: Option<String>,
    /// The newest lines of its log at `info` and above, the oldest first, each a JSON object.
    pub log_lines: Vec<String>,
}

impl From<&v1::DiagnoseResponse> for Diagnosis {
    fn from(answer: &v1::DiagnoseResponse) -> Self {
        Self {
            member: answer.member.clone(),
            version: answer.version.clone(),
            configuration: answer.configuration.clone(),
            readiness: answer.readiness.clone(),
            metrics: answer.metrics.clone(),
            log_level: some(&answer.log_level),
            log_lines: answer.log_lines.clone(),
        }
    }
}
