//! The world: a virtual clock and everybody in it, one step after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use graft_machine::ids::{AttemptRef, EventPos};
use graft_machine::view;
use graftd::scheduler::message::StreamId;

use super::clients::Request;
use super::member::{Config, Member};
use super::network::{Link, Packet, Party};
use super::plan::Plan;
use super::raft::raft_id;
use super::rng::Rng;
use super::worker::Worker;
use super::{CHAOS_MS, Met, NAMESPACES, STEP_MS, WORKERS, healing};
use crate::invariants::calm::Liveness;
use crate::invariants::{Invariants, Opened};

pub use crate::invariants::Verdict;

/// See the module.
pub struct World {
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) chaos: bool,
    pub(super) healed_at: u64,
    pub(super) network: BTreeMap<(u64, u64), Packet>,
    pub(super) packets: u64,
    /// Everybody who ever was a member.
    pub(super) members: Vec<Member>,
    /// Members that an operator has taken away.
    pub(super) removed: BTreeSet<usize>,
    pub(super) workers: Vec<Worker>,
    pub(super) links: BTreeMap<StreamId, Link>,
    pub(super) last_stream: StreamId,
    /// Pairs that cannot reach each other, until then.
    pub(super) cut: Vec<(Party, Party, u64)>,
    /// Who cannot reach whom, until then.
    pub(super) one_way: Vec<(Party, Party, u64)>,
    pub(super) requests: BTreeMap<String, Request>,
    pub(super) workflows: usize,
    pub(super) last_request: u64,
    pub(super) next_request_at: u64,
    /// The highest index from which an answer has reached a client.
    pub(super) acknowledged: u64,
    /// How far the subscriber has come.
    pub(super) subscribed: Option<EventPos>,
    /// What arrived at somebody who is stopped.
    pub(super) stopped_mail: Vec<(Party, Packet)>,
    pub(super) invariants: Invariants,
    pub(super) liveness: Liveness,
    /// Namespace and node of every attempt that was ever dispatched.
    pub(super) dispatched: BTreeMap<AttemptRef, (String, String)>,
    /// Rises whenever something moves.
    pub(super) progress: u64,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl World {
    /// A world of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let now = 1_000;
        let members: Vec<Member> = (0..plan.members).map(|slot| Member::new(slot, now, plan.disks, &mut rng)).collect();
        let workers = (0..WORKERS)
            .map(|i| {
                let namespace = NAMESPACES[usize::from(i == WORKERS - 1)];
                let drift = rng.below(21) as i64 - 10;
                Worker::new(format!("worker-{i}"), namespace, plan.capacity, drift, i as u64 * 10)
            })
            .collect();
        let mut world = Self {
            now,
            rng,
            plan,
            chaos: true,
            healed_at: 0,
            network: BTreeMap::new(),
            packets: 0,
            members,
            removed: BTreeSet::new(),
            workers,
            links: BTreeMap::new(),
            last_stream: 0,
            cut: Vec::new(),
            one_way: Vec::new(),
            requests: BTreeMap::new(),
            workflows: 0,
            last_request: 0,
            next_request_at: 0,
            acknowledged: 0,
            subscribed: None,
            stopped_mail: Vec::new(),
            invariants: Invariants::default(),
            liveness: Liveness::new(healing::BOUNDS),
            dispatched: BTreeMap::new(),
            progress: 0,
            counts: BTreeMap::new(),
        };
        world.set_limits();
        world
    }

    /// Everybody who is there at the beginning belongs to the cluster: how it was formed is another matter.
    fn form(&mut self) -> Verdict {
        let config = Rc::new(Config { voters: (0..self.members.len()).collect(), ..Default::default() });
        for m in 0..self.members.len() {
            self.members[m].formed = config.clone();
            self.members[m].log.goes_on_from(0, config.clone());
            self.invariants.opened(&Opened { member: raft_id(m), fresh: true, outcome: Ok(()) })?;
        }
        Ok(())
    }

    /// Runs to the end: faults, then healing.
    pub fn run(&mut self) -> Verdict {
        self.form()?;
        let heal_at = self.now + CHAOS_MS;
        while self.now < heal_at {
            self.faults()?;
            self.step()?;
        }
        self.heal();
        while !self.is_done() {
            self.mend_all();
            self.step()?;
            self.look()?;
        }
        self.compare_replicas()?;
        let leader = self.leader().ok_or_else(|| format!("L1: nobody leads: {}", self.what_waits()))?;
        let last = self.members[leader].state.copy();
        let kept = view::runs_started(&last)
            - NAMESPACES.iter().map(|namespace| view::status_counts(&last, namespace).values().sum::<u64>()).sum::<u64>();
        *self.counts.entry("deleted by retention").or_default() += kept;
        self.invariants.end(&last)
    }

    /// What the run has met.
    pub fn into_met(self) -> Met {
        let counts = self.counts.into_iter().filter(|(_, count)| *count > 0).collect();
        Met { counts, virtual_ms: self.now }
    }

    fn step(&mut self) -> Verdict {
        self.now += STEP_MS;
        self.deliver()?;
        for m in 0..self.members.len() {
            self.member(m)?;
        }
        self.elect()?;
        self.retire();
        for w in 0..WORKERS {
            self.worker(w)?;
        }
        self.clients();
        self.readers()
    }

    fn member(&mut self, m: usize) -> Verdict {
        let now = self.now;
        if !self.members[m].up {
            if self.members[m].restart_at <= now && !self.members[m].gone {
                self.restart(m)?;
            }
            return Ok(());
        }
        if self.members[m].frozen_until > now {
            return Ok(());
        }
        self.raft_turn(m)?;
        if !self.members[m].up {
            return Ok(());
        }
        self.apply(m)?;
        self.begin_term(m);
        self.drive(m)?;
        // In peace at regular times, as the daemon does.
        let due = !self.chaos && now.is_multiple_of(1_000);
        if self.members[m].up && (due || self.rng.chance(self.plan.flush)) {
            self.flush(m)?;
        }
        if self.members[m].up && (due || self.rng.chance(self.plan.flush)) {
            self.purge(m);
        }
        Ok(())
    }

    /// The leader that has begun the highest term.
    pub(super) fn leader(&self) -> Option<usize> {
        (0..self.members.len()).filter(|m| self.members[*m].core.is_some()).max_by_key(|m| self.members[*m].term)
    }
}
