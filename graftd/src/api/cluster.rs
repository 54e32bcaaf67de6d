//! `ClusterService`: members, workers, counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use graft_machine::command::MACHINE_VERSION;
use graft_machine::session::Session;
use graft_machine::state::StateRead;
use graft_machine::view;
use graft_proto::v1;
use graft_proto::v1::cluster_service_server::ClusterService;
use prost::Message;
use tonic::{Request, Response, Status};

use super::requests::principal;
use super::{Shared, diagnosis, forward, snapshot};
use crate::consensus::{ClusterStatus, MemberStatus};
use crate::observability::process;
use graft_convert::names;
use graft_proto::errors::{Fault, quoted};

/// Sessions that are read at once.
const SESSIONS_STEP: usize = 256;
/// Most bytes of an answer that lists workers; a cluster with more has to be asked by namespace.
const WORKERS_BYTES_MAX: usize = 3 << 20;

/// Attempts held per node, for each session that is connected.
type Live = BTreeMap<String, BTreeMap<String, u32>>;

/// The service.
pub(super) struct Cluster {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl ClusterService for Cluster {
    async fn status(&self, _: Request<v1::ClusterStatusRequest>) -> Result<Response<v1::ClusterStatusResponse>, Status> {
        let status = self.shared.api.consensus.status();
        let info = &self.shared.api.info;
        let not_ready_reason = not_ready_reason(&self.shared);
        Ok(Response::new(v1::ClusterStatusResponse {
            members: members(&status, &not_ready_reason),
            cluster_id: status.cluster_id,
            cluster_name: status.cluster_name,
            epoch: status.epoch,
            answered_by: status.member,
            leader: status.leader,
            term: status.term,
            version: info.version.clone(),
            not_ready_reason,
            machine_version: status.machine_version,
            machine_version_max: MACHINE_VERSION,
            starts_refused_reason: self.shared.api.consensus.starts_refused().unwrap_or_default(),
        }))
    }

    async fn list_workers(&self, request: Request<v1::ListWorkersRequest>) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let caller = forward::Caller::of(&request);
        let namespace = match request.into_inner().namespace {
            all if all.is_empty() => None,
            name => Some(names::namespace(name)?),
        };
        let live = self.shared.api.scheduler.live().await;
        if live.is_none() && !caller.is_member {
            match forward::list_workers(&self.shared, &caller, namespace.clone().unwrap_or_default()).await {
                Ok(answer) => return Ok(Response::new(answer)),
                Err(reason) => tracing::debug!(%reason, "the leader was not asked for its workers"),
            }
        }
        let is_live = live.is_some();
        let live: Live = live.into_iter().flatten().collect();
        let workers = self.shared.read_view(move |view| workers(view, namespace.as_deref(), is_live.then_some(&live))).await??;
        Ok(Response::new(v1::ListWorkersResponse { workers, live: is_live }))
    }

    type SnapshotStream = snapshot::Pieces;

    async fn snapshot(&self, _: Request<v1::SnapshotRequest>) -> Result<Response<snapshot::Pieces>, Status> {
        Ok(Response::new(snapshot::snapshot(self.shared.clone()).await?))
    }

    async fn log_level(&self, request: Request<v1::LogLevelRequest>) -> Result<Response<v1::LogLevelResponse>, Status> {
        let principal = principal(request.metadata());
        Ok(Response::new(diagnosis::log_level(&self.shared, &principal, request.into_inner())?))
    }

    async fn diagnose(&self, _: Request<v1::DiagnoseRequest>) -> Result<Response<v1::DiagnoseResponse>, Status> {
        Ok(Response::new(diagnosis::diagnosis(&self.shared)?))
    }

    async fn profile(&self, request: Request<v1::ProfileRequest>) -> Result<Response<v1::ProfileResponse>, Status> {
        Ok(Response::new(diagnosis::profile(&self.shared, request.into_inner()).await?))
    }

    async fn stats(&self, _: Request<v1::StatsRequest>) -> Result<Response<v1::StatsResponse>, Status> {
        let metrics = &self.shared.api.metrics;
        let commands = &metrics.raft.commands;
        Ok(Response::new(v1::StatsResponse {
            entries: metrics.raft.entries.get(),
            step_commands: commands.step.get(),
            start_commands: commands.start.get(),
            session_commands: commands.session.get(),
            other_commands: commands.other.get(),
            log_fsyncs: metrics.storage.log.fsyncs.get(),
            state_fsyncs: metrics.storage.state.fsyncs.get(),
            peak_memory_bytes: process::peak_memory_bytes(),
            member: self.shared.api.consensus.status().member,
        }))
    }
}

/// Why this member is not ready; empty: it is.
pub(super) fn not_ready_reason(shared: &Shared) -> String {
    match &*shared.api.info.readiness.borrow() {
        readiness if readiness.ready => String::new(),
        readiness => readiness.reason.clone(),
    }
}

/// The members, of which this one is not ready for that reason; empty: it is.
pub(super) fn members(status: &ClusterStatus, not_ready_reason: &str) -> Vec<v1::Member> {
    let member = |MemberStatus { info, role, replicated, silent, follows }: &MemberStatus| {
        let here = info.raft_id == status.member;
        v1::Member {
            raft_id: info.raft_id,
            name: info.name.clone(),
            client_address: info.client_address.clone(),
            peer_address: info.peer_address.clone(),
            role: (*role).to_owned(),
            last_index: if here { status.last_index } else { *replicated },
            applied_index: if here { status.applied_index } else { *replicated },
            flushed_index: if here { status.flushed_index } else { 0 },
            silent_ms: silent.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            machine_version_max: follows.unwrap_or(0),
            not_ready_reason: here.then(|| not_ready_reason.to_owned()),
        }
    };
    status.members.iter().map(member).collect()
}

/// The sessions as workers, by name.
fn workers(state: &impl StateRead, namespace: Option<&str>, live: Option<&Live>) -> Result<Vec<v1::Worker>, Fault> {
    let mut workers = Vec::new();
    let mut bytes = 0;
    let mut after: Option<String> = None;
    loop {
        let page = view::sessions(state, after.as_deref(), SESSIONS_STEP);
        for session in &page {
            if namespace.is_none_or(|namespace| namespace == session.namespace) {
                let worker = worker(session, live);
                bytes += worker.encoded_len();
                workers.push(worker);
            }
        }
        if bytes > WORKERS_BYTES_MAX {
            let whose = namespace.map_or("all namespaces".to_owned(), |namespace| format!("namespace {}", quoted(namespace)));
            let detail = format!("of {whose} are more than one answer holds ({WORKERS_BYTES_MAX} bytes)");
            return Err(Fault::too_large("the workers", detail).remedy("ask for one namespace"));
        }
        match page.last() {
            Some(last) if page.len() == SESSIONS_STEP => after = Some(last.incarnation.clone()),
            _ => break,
        }
    }
    workers.sort_by(|a, b| (&a.worker_id, &a.incarnation).cmp(&(&b.worker_id, &b.incarnation)));
    Ok(workers)
}

fn worker(session: &Session, live: Option<&Live>) -> v1::Worker {
    let held = live.and_then(|live| live.get(&session.incarnation));
    let node = |node: &graft_machine::session::SessionNode| v1::WorkerNode {
        node: node.node.clone(),
        capacity: node.capacity,
        held: held.and_then(|held| held.get(&node.node)).copied().unwrap_or(0),
    };
    v1::Worker {
        worker_id: session.worker.clone(),
        incarnation: session.incarnation.clone(),
        namespace: session.namespace.clone(),
        nodes: session.nodes.iter().map(node).collect(),
        build_id: session.build.clone(),
        opened_ms: session.opened,
        connected: held.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use graft_machine::memory::Memory;
    use graft_machine::session::SessionNode;
    use graft_machine::state::StateTx;
    use graft_machine::tables::{SessionKey, Sessions};

    fn state(count: usize, build_bytes: usize) -> Memory {
        let mut state = Memory::new();
        for n in 0..count {
            let session = Session {
                incarnation: format!("{n:04}"),
                worker: format!("w-{:04}", count - n),
                namespace: if n % 2 == 0 { "even" } else { "odd" }.into(),
                nodes: vec![SessionNode { node: "a".into(), capacity: 4, limit: 0 }],
                build: "b".repeat(build_bytes),
                ..Session::default()
            };
            state.put::<Sessions>(SessionKey { incarnation: session.incarnation.clone() }, session);
        }
        state
    }

    #[test]
    fn workers_come_by_name_with_what_they_hold() {
        let live = Live::from([("0001".to_owned(), BTreeMap::from([("a".to_owned(), 3)]))]);
        let all = workers(&state(600, 0), None, Some(&live)).expect("fits");
        assert_eq!(all.len(), 600);
        assert!(all.is_sorted_by_key(|worker| worker.worker_id.clone()));
        let connected: Vec<_> = all.iter().filter(|worker| worker.connected).collect();
        assert_eq!((connected.len(), connected[0].nodes[0].held, connected[0].nodes[0].capacity), (1, 3, 4));
        assert_eq!(workers(&state(600, 0), Some("odd"), None).expect("fits").len(), 300);
    }

    #[test]
    fn an_answer_has_a_bound_and_names_the_way_out() {
        let error = workers(&state(10, 1 << 20), None, None).expect_err("too many");
        assert!(error.to_string().contains("ask for one namespace"), "{error}");
    }

    #[test]
    fn positions_of_other_members_are_what_was_replicated() {
        let info = |raft_id| crate::consensus::MemberInfo { raft_id, ..Default::default() };
        let status = ClusterStatus {
            member: 1,
            last_index: 9,
            applied_index: 8,
            flushed_index: 7,
            members: vec![
                MemberStatus { info: info(1), role: "leader", replicated: 9, silent: Some(Duration::ZERO), follows: Some(2) },
                MemberStatus { info: info(2), role: "voter", replicated: 5, silent: Some(Duration::from_secs(70)), follows: None },
            ],
            ..ClusterStatus::default()
        };
        let told = members(&status, "drained");
        assert_eq!((told[0].last_index, told[0].applied_index, told[0].flushed_index), (9, 8, 7));
        assert_eq!((told[1].last_index, told[1].applied_index, told[1].flushed_index), (5, 5, 0));
        assert_eq!((told[0].silent_ms, told[1].silent_ms), (Some(0), Some(70_000)));
        assert_eq!((told[0].not_ready_reason.as_deref(), told[1].not_ready_reason.as_deref()), (Some("drained"), None));
        assert_eq!((told[0].machine_version_max, told[1].machine_version_max), (2, 0), "0: nobody has said so");
    }
}
