//! What this floor says in metrics without being asked: twice a second, at the same cost whatever the state has come to. What is true of the
//! whole cluster is said while the leader lease holds, and by nobody else.

use std::time::Duration;

use graft_machine::tables::CounterName;
use graft_machine::view;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::apply::Shared;
use super::roster::Roster;
use super::status;
use super::types::{Raft, position_or_zero};
use crate::observability::metrics::Metrics;

/// How often.
pub(super) const FIGURES_EVERY: Duration = Duration::from_millis(500);

/// Most counts of workflows by namespace and status that are read.
const STATUS_COUNTS: usize = 1_000;

/// The tasks that the machine counts, as the metric names them.
const TASK_STATES: [(&str, CounterName); 4] = [
    ("ready", CounterName::ReadyTasks),
    ("delayed", CounterName::DelayedTasks),
    ("blocked", CounterName::BlockedTasks),
    ("dead_lettered", CounterName::DeadLetters),
];

/// Shows them. `roster` is there while this member leads and its lease holds.
pub(super) fn show(raft: &Raft, shared: &Shared, me: u64, roster: Option<&Roster>) {
    positions(raft, shared);
    identity(raft, shared, me);
    match roster {
        Some(roster) => {
            members(&shared.metrics, roster);
            work(shared);
        }
        None => silence(&shared.metrics),
    }
}

/// This member says nothing about the cluster.
pub(super) fn silence(metrics: &Metrics) {
    let (raft, workflows, tasks) = (&metrics.raft, &metrics.workflows, &metrics.tasks);
    for rows in
        [&raft.voters_reachable, &raft.member_reachable, &raft.member_lag, &workflows.open, &workflows.kept, &tasks.by_state, &tasks.timers]
    {
        rows.clear();
    }
}

fn positions(raft: &Raft, shared: &Shared) {
    let now = raft.data_metrics().borrow_watched().clone();
    let positions = [
        ("last", position_or_zero(now.last_log.as_ref())),
        ("committed", position_or_zero(now.local_committed.as_ref())),
        ("applied", *shared.applied.borrow()),
        ("flushed", shared.state.flushed().index),
        ("snapshot", position_or_zero(now.snapshot.as_ref())),
        ("purged", position_or_zero(now.purged.as_ref())),
    ];
    for (position, index) in positions {
        shared.metrics.raft.log_index.with_label_values(&[position]).set(index as i64);
    }
}

fn identity(raft: &Raft, shared: &Shared, me: u64) {
    let metrics = &shared.metrics;
    let now = raft.server_metrics().borrow_watched().clone();
    let membership = now.membership_config.membership();
    let voters: Vec<u64> = membership.voter_ids().collect();
    metrics.raft.voters.set(voters.len() as i64);
    metrics.raft.learners.set(membership.learner_ids().count() as i64);
    let role = match membership.get_node(&me) {
        Some(_) if now.state == ServerState::Leader => "leader",
        Some(_) if voters.contains(&me) => "voter",
        Some(_) => "learner",
        None => "none",
    };
    let name = membership.get_node(&me).map(|member| member.name.clone()).unwrap_or_default();
    metrics.cluster.member.show([(vec![name, me.to_string(), role.to_owned()], 1)]);
    let (cluster_name, cluster_id) = status::cluster(shared);
    metrics.cluster.info.show((!cluster_id.is_empty()).then(|| (vec![cluster_id, cluster_name], 1)));
}

fn members(metrics: &Metrics, roster: &Roster) {
    let raft = &metrics.raft;
    raft.voters_reachable.set(roster.voters().filter(|seat| roster.is_live(seat)).count() as i64);
    let name = |seat: &super::roster::Seat| vec![seat.info.name.clone()];
    raft.member_reachable.show(roster.seats.iter().map(|seat| (name(seat), i64::from(roster.is_live(seat)))));
    raft.member_lag.show(roster.seats.iter().map(|seat| (name(seat), seat.lag as i64)));
}

fn work(shared: &Shared) {
    let state = shared.state.latest();
    let counts = view::all_status_counts(&state, STATUS_COUNTS);
    let counted = |name| view::counted(&state, name) as i64;
    let tasks = TASK_STATES.map(|(label, name)| (vec![label.to_owned()], counted(name)));
    let timers = counted(CounterName::Timers);
    drop(state);
    shared.metrics.tasks.by_state.show(tasks);
    shared.metrics.tasks.timers.set(timers);
    let counts = counts.into_iter().map(|(namespace, status, count)| (namespace, (!status.is_final()).then(|| status.as_str()), count));
    shared.metrics.workflows.show(counts);
}
