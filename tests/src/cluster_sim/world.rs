//! The world: a clock, and everybody in it, one millisecond after the other.

use std::collections::BTreeMap;

use graftd::consensus::Leadership;

use super::clients::{Heards, Request};
use super::member::{Floors, Member, info, raft_id};
use super::net::Net;
use super::oracle::{Oracle, term_at};
use super::plan::{Plan, Planted};
use super::workers::{Link, Mail, Sent};
use super::{CHAOS_MS, CLUSTER, WORKERS};
use crate::invariants::{Leads, Marks, Verdict};
use crate::loop_sim::Met;
use crate::loop_sim::rng::Rng;
use crate::loop_sim::worker::Worker;

/// How often whole states are compared, and marks looked at, in milliseconds.
const COMPARE_MS: u64 = 500;
/// How long after an attempt to make the cluster it is looked at whether anything came of it, in milliseconds.
const FORM_AGAIN_MS: u64 = 1_000;

/// See the module.
pub struct World {
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) planted: Option<Planted>,
    pub(super) chaos: bool,
    pub(super) healed_at: u64,
    /// When progress was last seen, and what it was.
    pub(super) moved: (u64, u64),
    pub(super) net: Net,
    pub(super) members: Vec<Member>,
    pub(super) workers: Vec<Worker>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) last_stream: u64,
    pub(super) mailbox: BTreeMap<(u64, u64), (u64, Mail)>,
    pub(super) mails: u64,
    /// What arrived at a worker that is stopped.
    pub(super) stopped_mail: Vec<(u64, Mail)>,
    pub(super) sent: Sent,
    pub(super) heards: Heards,
    pub(super) requests: BTreeMap<String, Request>,
    pub(super) last_request: u64,
    pub(super) next_request_at: u64,
    pub(super) workflows: usize,
    /// The highest index from which an answer has reached a client.
    pub(super) acknowledged: u64,
    /// Whether a worker was handed a task: its workflow was started, whoever has heard of it.
    pub(super) witnessed: bool,
    pub(super) oracle: Oracle,
    /// Rises whenever something moves.
    pub(super) progress: u64,
    pub(super) counts: BTreeMap<&'static str, u64>,
    formed: bool,
    form_at: u64,
}

impl World {
    /// A world of a seed.
    pub fn new(seed: u64, planted: Option<Planted>) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let plan = if planted.is_some() { plan.stormy() } else { plan };
        let now = 1_000;
        let members = (0..plan.members).map(|slot| Member::new(slot, now, &mut rng)).collect();
        let worker = |i: usize| Worker::new(format!("worker-{i}"), "default", plan.capacity, i as i64 * 4 - 4, now + i as u64 * 10);
        let workers = (0..WORKERS).map(worker).collect();
        let net = Net::new(plan.delay, plan.loss, Rng::new(rng.next()));
        let mut world = Self {
            now,
            rng,
            plan,
            planted,
            chaos: true,
            healed_at: 0,
            moved: (0, 0),
            net,
            members,
            workers,
            links: BTreeMap::new(),
            last_stream: 0,
            mailbox: BTreeMap::new(),
            mails: 0,
            stopped_mail: Vec::new(),
            sent: Sent::default(),
            heards: Heards::default(),
            requests: BTreeMap::new(),
            last_request: 0,
            next_request_at: 0,
            workflows: 0,
            acknowledged: 0,
            witnessed: false,
            oracle: Oracle::default(),
            progress: 0,
            counts: BTreeMap::new(),
            formed: false,
            form_at: 0,
        };
        world.set_limits();
        world
    }

    /// The virtual time, in milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What the seed has in it, and what has been met: where a search for the cause begins.
    pub fn setting(&self) -> String {
        format!("{:?}\nmet {:?}", self.plan, self.counts)
    }

    /// Counts something that was met.
    pub(super) fn met(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Runs to the end: faults, then healing.
    pub fn run(&mut self) -> Verdict {
        let heal_at = self.now + CHAOS_MS;
        while self.now < heal_at {
            if self.formed {
                self.faults()?;
            }
            self.step()?;
        }
        self.heal();
        while self.unrest().is_some() {
            self.mend_workflows();
            self.step()?;
            self.look()?;
        }
        let last = self.members[0].shadow.clone();
        for m in 0..self.members.len() {
            let floors = self.members[m].floors().ok_or("L2: a member is down")?;
            self.oracle.compare(&self.members[m], &floors)?;
        }
        self.oracle.invariants.end(&last)
    }

    /// What the run has met.
    pub fn into_met(self) -> Met {
        Met { counts: self.counts, virtual_ms: self.now }
    }

    fn step(&mut self) -> Verdict {
        self.now += 1;
        let now = self.now;
        self.net.deliver(now);
        self.deliver()?;
        self.processes()?;
        let first = self.rng.below(self.members.len() as u64) as usize;
        for i in 0..self.members.len() {
            let member = &mut self.members[(first + i) % self.plan.members];
            member.clocks.tick(now);
            let Some(process) = &member.process else { continue };
            if member.frozen_until > now {
                continue;
            }
            if std::mem::take(&mut member.frozen_until) > 0 {
                process.thaw(now);
            }
            process.step(now);
        }
        self.form();
        self.follow()?;
        self.heard()?;
        for w in 0..WORKERS {
            self.worker(w)?;
        }
        self.clients();
        Ok(())
    }

    /// The first members make the cluster: how they find each other is another matter. As the daemon does, they begin again where a power cut has
    /// left nothing of it anywhere; once a client or a worker knows of anything that would hide a loss.
    fn form(&mut self) {
        if self.now < self.form_at || self.acknowledged > 0 || self.witnessed {
            return;
        }
        let Some(all) = self.members.iter().map(Member::floors).collect::<Option<Vec<Floors>>>() else { return };
        self.form_at = self.now + FORM_AGAIN_MS;
        if all.iter().any(|floors| !floors.consensus.status().members.is_empty()) {
            return;
        }
        let members: Vec<_> = (0..self.plan.members).map(info).collect();
        let first = all[0].consensus.clone();
        let work = async move {
            drop(first.initialize(members).await);
            drop(first.init_cluster(CLUSTER.to_owned(), "sim".to_owned(), 1).await);
        };
        if let Some(process) = &self.members[0].process {
            process.spawn(work);
        }
        self.formed = true;
    }

    /// Looks at everybody.
    fn follow(&mut self) -> Verdict {
        let dispatched = self.collect();
        for (m, sent) in dispatched.into_iter().enumerate() {
            self.opened(m)?;
            let Some(floors) = self.members[m].floors() else { continue };
            self.oracle.follow(&mut self.members[m], &floors, sent)?;
            self.leads(m, &floors)?;
            if (self.now + m as u64).is_multiple_of(COMPARE_MS) {
                self.oracle.compare(&self.members[m], &floors)?;
                self.marks(m, &floors)?;
            }
        }
        for (entry, _) in std::mem::take(&mut self.oracle.news) {
            self.progress += 1;
            *self.counts.entry("commands").or_default() += entry.commands.len() as u64;
            *self.counts.entry("entries").or_default() += 1;
        }
        Ok(())
    }

    fn leads(&mut self, m: usize, floors: &Floors) -> Verdict {
        let Leadership::Leader { term } = *floors.consensus.leadership().borrow() else { return Ok(()) };
        if std::mem::replace(&mut self.members[m].led, term) == term {
            return Ok(());
        }
        self.met("term begun");
        let status = floors.consensus.status();
        let leads = Leads {
            member: raft_id(m),
            term,
            last: status.last_index,
            purged: status.purged_index,
            term_at: &|index| term_at(&floors.log, index),
        };
        self.oracle.invariants.leads(&leads)
    }

    fn marks(&mut self, m: usize, floors: &Floors) -> Verdict {
        let status = floors.consensus.status();
        let applied = floors.state.applied().index;
        let marks = Marks {
            member: raft_id(m),
            start: self.members[m].starts,
            // What it stands at in memory may be lost with it, and is its own affair.
            term: 0,
            purged: status.purged_index,
            flushed: floors.state.flushed().index,
            applied,
            committed: applied,
            last: status.last_index.max(applied),
        };
        self.oracle.invariants.marks(marks)
    }
}
