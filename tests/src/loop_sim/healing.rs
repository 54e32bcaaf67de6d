//! After the faults: everything heals, and must come to rest.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::command::{Command, ControlWorkflow};
use graft_machine::state::StateRead;
use graft_machine::tables::{LimitKey, Prefix, Workflows};
use graft_machine::view;
use graft_machine::workflow::StatusKind;

use super::raft::raft_id;
use super::worker::Worker;
use super::world::{Verdict, World};
use super::{HEAL_MS, LEADER_LEASE_MS, LEASE_MS, NAMESPACES, operator, state};
use crate::invariants::calm::{Bounds, Look, MemberLook, ReadyLook};

/// How often everything is looked at, in milliseconds.
const LOOK_MS: u64 = 200;
/// The bounds of liveness. A test of Raft's own timers is not meant here: an election of the model takes a few hundred milliseconds.
pub const BOUNDS: Bounds = Bounds {
    leader: 20 * LEADER_LEASE_MS,
    recovery: 3 * LEASE_MS,
    request: 3_000,
    dispatch: 1_000,
    all: HEAL_MS,
    purge: 3_000,
    stuck: 20_000,
};

impl World {
    pub(super) fn heal(&mut self) {
        self.chaos = false;
        self.healed_at = self.now;
        self.cut.clear();
        self.one_way.clear();
        for m in 0..self.members.len() {
            if self.members[m].up && (self.members[m].log.cut_after(u64::MAX) | self.members[m].state.cut_after(u64::MAX)) {
                self.met("disk mended");
            }
            let member = &mut self.members[m];
            (member.frozen_until, member.slow_until) = (0, 0);
            member.restart_at = if member.gone { u64::MAX } else { 0 };
            member.clocks.mend();
        }
        for worker in &mut self.workers {
            worker.frozen_until = worker.frozen_until.min(self.now);
            worker.restart_at = worker.restart_at.min(self.now + 500);
        }
        let now = self.now;
        self.requests.retain(|_, request| matches!(request.envelope.command, Some(Command::Start(_))));
        for request in self.requests.values_mut() {
            request.asked = now;
        }
    }

    /// Operators resume what stands paused, do away with dead letters, and bring learners to their place.
    pub(super) fn mend_all(&mut self) {
        if !self.now.is_multiple_of(1_000) {
            return;
        }
        let Some(leader) = self.leader() else { return };
        self.promote(leader);
        let reader = self.members[leader].state.reader();
        let all = reader.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX);
        let paused = all.iter().filter(|(_, workflow)| workflow.kind() == StatusKind::Paused);
        let resumes = paused.map(|(_, workflow)| {
            let (namespace, id) = (workflow.namespace.clone(), workflow.id.clone());
            Command::Resume(ControlWorkflow { namespace, id, run: workflow.run, ..Default::default() })
        });
        let mends = NAMESPACES.iter().flat_map(|namespace| operator::mends(&reader, namespace));
        let commands: Vec<Command> = resumes.chain(mends).collect();
        drop(reader);
        commands.into_iter().for_each(|command| self.ask(command));
        // Fresh requests are served, too.
        let fresh = super::script::workflow(&format!("fresh-{}", self.now), 0, &mut self.rng);
        if self.now < self.healed_at + 5_000 {
            self.ask(Command::Start(fresh));
        }
    }

    fn promote(&mut self, leader: usize) {
        if self.remove_gone(leader) {
            return;
        }
        let (_, config) = self.members[leader].log.config();
        let Some(learner) = config.learners.first().copied().filter(|learner| self.is_caught_up(leader, *learner)) else { return };
        let mut next = (*config).clone();
        next.learners.remove(&learner);
        next.voters.insert(learner);
        self.reconfigure(leader, next);
    }

    fn open_workflows(&self, m: usize) -> Vec<String> {
        let reader = self.members[m].state.reader();
        let all = reader.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX);
        let open = all.iter().filter(|(_, workflow)| !workflow.kind().is_final());
        let tasks = |run| view::tasks(&reader, run, 0, 100).into_iter().map(|(id, task)| (id, task.node.clone(), task.state().clone()));
        open.map(|(key, workflow)| {
            format!("{} (run {}) is {:?} with {:?}", workflow.id, key.run, workflow.kind(), tasks(key.run).collect::<Vec<_>>())
        })
        .collect()
    }

    /// Everything has ended, nobody holds anything, and all members have applied the same.
    pub(super) fn is_done(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let member = &self.members[leader];
        let (_, config) = member.log.config();
        let reader = member.state.reader();
        let done = self.requests.is_empty()
            && config.learners.is_empty()
            && member.core.as_ref().is_some_and(|core| core.held_count() == 0)
            && self.workers.iter().all(Worker::is_idle)
            && config.members().all(|m| self.members[m].up && self.members[m].applied() == member.log.end())
            && NAMESPACES.iter().all(|namespace| operator::mends(&reader, namespace).is_empty());
        drop(reader);
        done && self.open_workflows(leader).is_empty()
    }

    /// Shows how things are to whoever judges liveness.
    pub(super) fn look(&mut self) -> Verdict {
        if !self.now.is_multiple_of(LOOK_MS) {
            return Ok(());
        }
        let look = self.take_look();
        self.liveness.look(&look)
    }

    fn take_look(&self) -> Look {
        let since = self.now - self.healed_at;
        let requests = self.requests.iter().map(|(id, request)| (id.clone(), request.asked.saturating_sub(self.healed_at))).collect();
        let up = self.workers.iter().filter(|worker| worker.up);
        let workers: BTreeSet<String> = up.map(|worker| worker.incarnation.clone()).collect();
        let mut look = Look { since, requests, workers, progress: self.progress, ..Default::default() };
        let Some(leader) = self.leader() else {
            look.open = self.members.iter().zip(1..).map(|(member, id)| format!("member {id}: {}", member.describe())).collect();
            return look;
        };
        let member = &self.members[leader];
        let (_, config) = member.log.config();
        look.leader = Some((raft_id(leader), member.term));
        look.last = member.log.end() as u64;
        look.learners = config.learners.len();
        look.log_bound = 2 * self.plan.log_kept as u64 + 10;
        look.members = config
            .members()
            .map(|m| {
                let member = &self.members[m];
                let (applied, flushed) = (member.applied_or_flushed() as u64, member.state.flushed().index as u64);
                MemberLook { member: raft_id(m), applied, log: member.log.len() as u64, flushed }
            })
            .collect();
        look.open = self.open_workflows(leader);
        if let Some(core) = &member.core {
            look.held = core.held().into_iter().map(|(at, _, holder)| (at, holder.to_owned())).collect();
            look.ready = self.ready(leader, &look);
        }
        look
    }

    /// Ready tasks, and whether anything stands in their way.
    fn ready(&self, leader: usize, look: &Look) -> Vec<ReadyLook> {
        let reader = self.members[leader].state.reader();
        let limits: BTreeMap<LimitKey, u32> =
            view::limits(&reader, None, 100).into_iter().filter_map(|(key, limit)| Some((key, limit.in_force()?))).collect();
        let sessions = view::sessions(&reader, None, 100);
        let mut held: BTreeMap<(String, String), u32> = BTreeMap::new();
        let mut by_session: BTreeMap<(&str, String), u32> = BTreeMap::new();
        for (at, holder) in &look.held {
            // Also of a task that is gone: its worker may not know that yet.
            if let Some(node) = self.dispatched.get(at) {
                *held.entry(node.clone()).or_default() += 1;
                *by_session.entry((holder, node.1.clone())).or_default() += 1;
            }
        }
        let room = |max: u32, held: u32| held < max;
        let total = limits.get(&LimitKey::total()).is_none_or(|max| room(*max, look.held.len() as u32));
        let mut found = Vec::new();
        for queue in view::queues(&reader, None, 100) {
            let of_node = held.get(&(queue.namespace.clone(), queue.node.clone())).copied().unwrap_or(0);
            let key = LimitKey { namespace: queue.namespace.clone(), node: queue.node.clone() };
            let here = sessions.iter().filter(|session| session.namespace == queue.namespace);
            let nodes: Vec<_> = here
                .flat_map(|session| session.nodes.iter().map(move |node| (session, node)))
                .filter(|(session, node)| node.node == queue.node && look.workers.contains(&session.incarnation))
                .collect();
            let declared = nodes.iter().map(|(_, node)| node.limit).filter(|limit| *limit > 0).min();
            let allowed = total && limits.get(&key).copied().into_iter().chain(declared).all(|max| room(max, of_node));
            let taken = |incarnation: &str| by_session.get(&(incarnation, queue.node.clone())).copied().unwrap_or(0);
            let taker = nodes.iter().any(|(session, node)| room(node.capacity, taken(&session.incarnation)));
            for offer in view::ready(&reader, &queue, None, 100) {
                let runs = view::assignment(&reader, offer.at()).is_some();
                found.push(ReadyLook { at: offer.at(), takeable: runs && allowed && taker });
            }
        }
        found
    }

    pub(super) fn what_waits(&self) -> String {
        format!("{:#?}", self.take_look())
    }

    /// At the end all members hold the same.
    pub(super) fn compare_replicas(&mut self) -> Verdict {
        let Some(leader) = self.leader() else { return Err("L1: a healed cluster has a leader".to_owned()) };
        let (_, config) = self.members[leader].log.config();
        let hashes: BTreeMap<usize, u64> = config.members().map(|m| (m, state::hash(&self.members[m].state.copy()))).collect();
        let mut different: Vec<u64> = hashes.values().copied().collect();
        different.dedup();
        if different.len() == 1 { Ok(()) } else { Err(format!("S2 same_log_same_bytes: states differ at the same index: {hashes:?}")) }
    }
}
