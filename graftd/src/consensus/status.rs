//! A member's place in the cluster.

use std::time::Duration;

use graft_machine::state::StateRead;
use graft_machine::tables::{Meta, MetaKey, MetaRecord};
use openraft::Instant as _;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::apply::Shared;
use super::member::MemberInfo;
use super::types::{Raft, position_or_zero};

/// A member, as the answering one sees it. Only the leader knows of others.
#[derive(Clone, Debug, Default)]
pub struct MemberStatus {
    /// Who it is.
    pub info: MemberInfo,
    /// `leader`, `voter` or `learner`.
    pub role: &'static str,
    /// Replicated index; 0 = unknown.
    pub replicated: u64,
    /// How long ago it was heard; `None`: not known.
    pub silent: Option<Duration>,
    /// The highest machine version that it can follow; `None`: not known.
    pub follows: Option<u32>,
}

/// A member's place in the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClusterStatus {
    /// UUID of the cluster; empty while it has none.
    pub cluster_id: String,
    /// Its name.
    pub cluster_name: String,
    /// Its epoch.
    pub epoch: u64,
    /// The machine version in force; 0 while the cluster has no name.
    pub machine_version: u32,
    /// This member.
    pub member: u64,
    /// The leader; 0 = unknown, or nothing was heard of it lately.
    pub leader: u64,
    /// The term.
    pub term: u64,
    /// All members by name.
    pub members: Vec<MemberStatus>,
    /// Last index in the log.
    pub last_index: u64,
    /// Applied index.
    pub applied_index: u64,
    /// Flushed index.
    pub flushed_index: u64,
    /// Snapshot index (0 = none).
    pub snapshot_index: u64,
    /// Purged index (0 = none).
    pub purged_index: u64,
}

/// Reads the status; costs the same at any size of the state.
pub(crate) fn status(raft: &Raft, shared: &Shared, me: u64) -> ClusterStatus {
    let now = raft.metrics().borrow_watched().clone();
    let meta = shared.state.latest().get::<Meta>(&MetaKey {});
    let (cluster_name, lineage, machine_version) =
        meta.map(|meta| (meta.cluster_name.clone(), meta.lineage.last().cloned(), meta.machine_version)).unwrap_or_default();
    let (cluster_id, epoch) = lineage.map(|last| (last.cluster_id, last.epoch)).unwrap_or_default();
    let applied_index = *shared.applied.borrow();
    let leader = now.current_leader.filter(|leader| *leader == me || shared.heard.lately()).unwrap_or(0);
    let replicated = |id: u64| match &now.replication {
        _ if id == me => now.last_log_index.map_or(0, |last| last + 1),
        Some(others) if now.state == ServerState::Leader => position_or_zero(others.get(&id).and_then(Option::as_ref)),
        _ => 0,
    };
    let membership = now.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().collect();
    let role = |id: u64| match id {
        id if id == leader => "leader",
        id if voters.contains(&id) => "voter",
        _ => "learner",
    };
    let silent = |id: u64| match &now.heartbeat {
        _ if id == me => Some(Duration::ZERO),
        // Since when it leads is not known: of whom it has not heard yet, nothing is said.
        Some(heard) if now.state == ServerState::Leader => heard.get(&id).cloned().flatten().map(|at| at.into_inner().elapsed()),
        _ => None,
    };
    let member = |(id, info): (&u64, &MemberInfo)| {
        let silent = silent(*id);
        MemberStatus { info: info.clone(), role: role(*id), replicated: replicated(*id), silent, follows: None }
    };
    let mut members: Vec<_> = membership.nodes().map(member).collect();
    members.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    ClusterStatus {
        cluster_id,
        cluster_name,
        epoch,
        machine_version,
        member: me,
        leader,
        term: now.current_term,
        members,
        last_index: now.last_log_index.map_or(0, |last| last + 1),
        applied_index,
        flushed_index: shared.state.flushed().index,
        snapshot_index: position_or_zero(now.snapshot.as_ref()),
        purged_index: position_or_zero(now.purged.as_ref()),
    }
}

/// Name and id of the cluster, as the state has them; empty while it has none.
pub(super) fn cluster(shared: &Shared) -> (String, String) {
    let meta = shared.state.latest().get::<Meta>(&MetaKey {});
    let id = |meta: &MetaRecord| meta.lineage.last().map(|last| last.cluster_id.clone()).unwrap_or_default();
    meta.map(|meta| (meta.cluster_name.clone(), id(&meta))).unwrap_or_default()
}
