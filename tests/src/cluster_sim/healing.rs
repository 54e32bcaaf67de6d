//! After the faults: everything heals, and must come to rest.

use graft_machine::command::{Command, ControlWorkflow};
use graft_machine::state::StateRead;
use graft_machine::tables::{Prefix, Workflows};
use graft_machine::workflow::StatusKind;
use graftd::consensus::Leadership;

use super::HEAL_MS;
use super::clients::NAMESPACE;
use super::member::raft_id;
use super::world::World;
use crate::invariants::Verdict;
use crate::loop_sim::worker::Worker;
use crate::loop_sim::{operator, script};

/// L1: a leader is there so soon.
const LEADER_MS: u64 = 10_000;
/// L9: something moves in so long.
const STUCK_MS: u64 = 20_000;

impl World {
    /// The member that leads the highest term, as it was told itself.
    pub(super) fn leader(&self) -> Option<usize> {
        let led = |m: &usize| match *self.members[*m].floors()?.consensus.leadership().borrow() {
            Leadership::Leader { term } => Some(term),
            Leadership::Follower { .. } => None,
        };
        (0..self.members.len()).filter_map(|m| Some((led(&m)?, m))).max().map(|(_, m)| m)
    }

    pub(super) fn heal(&mut self) {
        self.chaos = false;
        self.healed_at = self.now;
        self.moved = (self.now, self.progress);
        self.mend_members();
        for worker in &mut self.workers {
            worker.frozen_until = worker.frozen_until.min(self.now + 1);
            worker.restart_at = worker.restart_at.min(self.now + 500);
        }
    }

    /// Operators resume what stands paused and do away with dead letters.
    pub(super) fn mend_workflows(&mut self) {
        if !self.now.is_multiple_of(1_000) {
            return;
        }
        let Some(leader) = self.leader() else { return };
        let state = &self.members[leader].shadow;
        let all = state.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX);
        let paused = all.iter().filter(|(_, workflow)| workflow.kind() == StatusKind::Paused);
        let resumes = paused.map(|(_, workflow)| {
            let (namespace, id) = (workflow.namespace.clone(), workflow.id.clone());
            Command::Resume(ControlWorkflow { namespace, id, run: workflow.run, ..Default::default() })
        });
        let commands: Vec<Command> = resumes.chain(operator::mends(state, NAMESPACE)).collect();
        commands.into_iter().for_each(|command| self.ask(command));
        // L3: fresh requests are served, too.
        if self.now < self.healed_at + 3_000 {
            let fresh = script::workflow(&format!("fresh-{}", self.now), 0, &mut self.rng);
            self.ask(Command::Start(fresh));
        }
    }

    fn open_workflows(&self, m: usize) -> Vec<String> {
        let state = &self.members[m].shadow;
        let all = state.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX);
        let open = all.iter().filter(|(_, workflow)| !workflow.kind().is_final());
        let tasks = |run| {
            graft_machine::view::tasks(state, run, 0, 100).into_iter().map(|(id, task)| (id, task.node.clone(), task.state().clone()))
        };
        open.map(|(key, workflow)| format!("{} is {:?} with {:?}", workflow.id, workflow.kind(), tasks(key.run).collect::<Vec<_>>()))
            .collect()
    }

    /// What stands in the way of rest; `None`: everything has ended, nobody holds anything, and all members have applied the same.
    pub(super) fn unrest(&self) -> Option<String> {
        if let Some((id, _)) = self.requests.first_key_value() {
            return Some(format!("L3: {} requests are not answered, {id} among them", self.requests.len()));
        }
        let Some(leader) = self.leader() else { return Some("L1: nobody leads".to_owned()) };
        let last = self.members[leader].shadow_at;
        if let Some(member) = self.members.iter().find(|member| member.floors().is_none() || member.shadow_at != last) {
            return Some(format!("L2: member {} stands at {}, the leader at {last}", raft_id(member.slot), member.shadow_at));
        }
        if !operator::mends(&self.members[leader].shadow, NAMESPACE).is_empty() {
            return Some("L5: there are dead letters to be mended".to_owned());
        }
        if let Some(open) = self.open_workflows(leader).first() {
            return Some(format!("L5: {open}"));
        }
        let busy = self.workers.iter().find(|worker| !Worker::is_idle(worker))?;
        Some(format!("L5: worker {} still holds something", busy.incarnation))
    }

    /// Judges how far it has come since the faults stopped.
    pub(super) fn look(&mut self) -> Verdict {
        let since = self.now - self.healed_at;
        if self.moved.1 != self.progress {
            self.moved = (self.now, self.progress);
        }
        let stands = |world: &Self| {
            let member = |m: usize| match world.members[m].floors() {
                Some(floors) => format!("{:?}", floors.consensus.status()),
                None => {
                    format!("member {} is down: {:?}", raft_id(m), world.members[m].process.as_ref().and_then(super::member::Process::over))
                }
            };
            let members: Vec<String> = (0..world.members.len()).map(member).collect();
            let workers: Vec<String> = world.workers.iter().map(|worker| format!("{worker:?}")).collect();
            format!("{}\n{}\n{}", world.unrest().unwrap_or_default(), members.join("\n"), workers.join("\n"))
        };
        if since > LEADER_MS && self.leader().is_none() {
            return Err(format!("L1 a_leader_comes: nobody leads {since} ms after the faults: {}", stands(self)));
        }
        if self.now - self.moved.0 > STUCK_MS {
            return Err(format!("L9 something_always_moves: nothing has moved for {STUCK_MS} ms: {}", stands(self)));
        }
        if since > HEAL_MS {
            return Err(format!("L5 every_workflow_ends: no rest {since} ms after the faults: {}", stands(self)));
        }
        Ok(())
    }
}
