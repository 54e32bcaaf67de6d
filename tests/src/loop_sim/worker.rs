//! A scripted worker process that keeps the rules of the worker protocol:
//! - it answers a `Welcome` of a leader with what it holds, then grants credit, then repeats every result that was not acknowledged;
//! - it takes no assignment of an older term than it has answered, and no notice to stop from anybody but the leader that it follows;
//! - its leases count from the sending of the last heartbeat that a leader has acknowledged, and at nine tenths of them it gives up what it
//!   runs, and says so with a result: a leader that still hears its heartbeats would otherwise wait for it for ever.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::result::TaskResult;
use graftd::scheduler::{Assignment, FromWorker, Held, SessionHello, StopReason, ToWorker};

use super::LEASE_MS;
use super::rng::Rng;
use super::script::{self, NODES};

/// How often it sends a heartbeat, in milliseconds.
const HEARTBEAT_MS: u64 = 300;

/// An attempt that it executes.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its lease.
    pub lease: Lease,
    /// Its node.
    pub node: String,
    base: u64,
    ends: Option<u64>,
    result: TaskResult,
}

/// A worker process. What it wants to send stands in `outbox`: stream, message.
#[derive(Debug)]
pub struct Worker {
    /// The process's name for itself.
    pub incarnation: String,
    /// It is alive.
    pub up: bool,
    /// It is stopped (SIGSTOP) until then.
    pub frozen_until: u64,
    /// When it starts (again), while it is down.
    pub restart_at: u64,
    /// It leaves: hands everything back, says goodbye.
    pub draining: bool,
    /// Its stream to each member.
    pub links: BTreeMap<usize, u64>,
    /// When it tries again to connect to each, in the world's time.
    pub retry_at: BTreeMap<usize, u64>,
    /// What it executes.
    pub running: BTreeMap<AttemptRef, Running>,
    /// To be sent.
    pub outbox: Vec<(u64, FromWorker)>,
    /// Executions that began since they were last looked at.
    pub began: Vec<(AttemptRef, Lease)>,
    name: String,
    namespace: &'static str,
    /// How fast its clock runs, in thousandths more or less.
    drift: i64,
    generation: u64,
    capacity: u32,
    leader: Option<u64>,
    term: u64,
    renewed: u64,
    inventory_at: u64,
    heartbeat_at: u64,
    unacknowledged: BTreeMap<AttemptRef, (Lease, String, TaskResult)>,
    received: BTreeMap<String, u64>,
    granted: BTreeMap<String, u64>,
    sequence: u64,
    /// A result that was acknowledged, and may be heard once more.
    told: Option<TaskResult>,
}

impl Worker {
    /// A worker that starts at `at`.
    pub fn new(name: String, namespace: &'static str, capacity: u32, drift: i64, at: u64) -> Self {
        Self {
            incarnation: String::new(),
            up: false,
            frozen_until: 0,
            restart_at: at,
            draining: false,
            links: BTreeMap::new(),
            retry_at: BTreeMap::new(),
            running: BTreeMap::new(),
            outbox: Vec::new(),
            began: Vec::new(),
            name,
            namespace,
            drift,
            generation: 0,
            capacity,
            leader: None,
            term: 0,
            renewed: 0,
            inventory_at: 0,
            heartbeat_at: 0,
            unacknowledged: BTreeMap::new(),
            received: BTreeMap::new(),
            granted: BTreeMap::new(),
            sequence: 0,
            told: None,
        }
    }

    /// Its clock, when the world has come to `now`.
    pub fn clock(&self, now: u64) -> u64 {
        now.saturating_add_signed(now as i64 * self.drift / 1_000)
    }

    /// A new process begins.
    pub fn begin(&mut self) {
        let generation = self.generation + 1;
        let fresh = Self::new(self.name.clone(), self.namespace, self.capacity, self.drift, 0);
        *self = Self { generation, incarnation: format!("{}-{generation}", self.name), up: true, ..fresh };
    }

    /// What it says first. `slow` is limited by its declaration.
    pub fn hello(&self) -> SessionHello {
        let limit = |node: &str| if node == "slow" { 2 } else { 0 };
        SessionHello {
            incarnation: self.incarnation.clone(),
            worker: self.name.clone(),
            namespace: self.namespace.to_owned(),
            nodes: NODES.iter().map(|node| ((*node).to_owned(), self.capacity, limit(node))).collect(),
            build: String::new(),
        }
    }

    /// Whether it holds nothing and has nothing to report.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.unacknowledged.is_empty()
    }

    /// Until when the lease of a running attempt holds for the worker, in its own clock.
    pub fn holds_until(&self, running: &Running) -> u64 {
        self.renewed.max(running.base) + LEASE_MS * 9 / 10
    }

    /// A stream is gone.
    pub fn link_broken(&mut self, stream: u64, retry_at: u64) {
        if let Some(member) = self.links.iter().find(|(_, link)| **link == stream).map(|(member, _)| *member) {
            self.links.remove(&member);
            self.retry_at.insert(member, retry_at);
        }
        if self.leader == Some(stream) {
            self.leader = None;
        }
    }

    /// A member says something.
    pub fn hear(&mut self, now: u64, stream: u64, message: ToWorker, rng: &mut Rng) {
        if !self.links.values().any(|link| *link == stream) {
            return;
        }
        let now = self.clock(now);
        match message {
            ToWorker::Welcome { term, leading: true, .. } if term >= self.term => self.welcomed(now, stream, term),
            ToWorker::Welcome { .. } if self.leader == Some(stream) => self.leader = None,
            ToWorker::Tasks(tasks) => tasks.into_iter().for_each(|task| self.assigned(now, stream, task, rng)),
            ToWorker::Acks(acks) => {
                for (at, lease, _) in acks {
                    if self.unacknowledged.get(&at).is_some_and(|(held, _, _)| *held == lease) {
                        self.told = self.unacknowledged.remove(&at).map(|(_, _, result)| result);
                    }
                }
            }
            ToWorker::HeartbeatAck { term, echo, leading: true } if term >= self.term => self.renewed = self.renewed.max(echo),
            // One that was deposed without knowing it would stop what the next leader counts as held.
            ToWorker::Cancel { .. } if self.leader != Some(stream) => {}
            // Code that does not look at its cancellation goes on.
            ToWorker::Cancel { at, reason: StopReason::WorkflowEnded, .. } if self.comes_to_an_end(at) && rng.chance(500) => {}
            ToWorker::Cancel { at, lease, reason } => self.cancelled(at, lease, reason),
            ToWorker::Welcome { .. } | ToWorker::Members { .. } | ToWorker::HeartbeatAck { .. } | ToWorker::Closing { .. } => {}
        }
    }

    fn welcomed(&mut self, now: u64, stream: u64, term: u64) {
        (self.term, self.leader, self.inventory_at) = (term, Some(stream), now);
        self.received.clear();
        self.granted.clear();
        let held = |at: &AttemptRef, lease: Lease, node: &str| Held { at: *at, lease, node: node.to_owned(), progress: String::new() };
        let running = self.running.iter().map(|(at, running)| held(at, running.lease, &running.node));
        let finished = self.unacknowledged.iter().map(|(at, (lease, node, _))| held(at, *lease, node));
        let held = running.chain(finished).collect();
        self.outbox.push((stream, FromWorker::Inventory { term, held }));
        self.send_heartbeat(now, stream);
        let results: Vec<TaskResult> = self.unacknowledged.values().map(|(_, _, result)| result.clone()).collect();
        if !results.is_empty() {
            self.outbox.push((stream, FromWorker::Results(results)));
        }
    }

    fn assigned(&mut self, now: u64, stream: u64, task: Assignment, rng: &mut Rng) {
        if task.lease.term < self.term || self.leader != Some(stream) {
            return;
        }
        *self.received.entry(task.node.clone()).or_default() += 1;
        let base = if task.echo == 0 { self.inventory_at } else { task.echo };
        let plan = script::plan(&task, rng);
        let running = Running { lease: task.lease, node: task.node, base, ends: plan.takes.map(|takes| now + takes), result: plan.result };
        if self.draining || now >= self.holds_until(&running) || rng.chance(20) {
            self.finish(task.at, task.lease, running.node, script::handed_back(task.at, task.lease));
            return;
        }
        self.began.push((task.at, task.lease));
        self.running.insert(task.at, running);
    }

    fn comes_to_an_end(&self, at: AttemptRef) -> bool {
        self.running.get(&at).is_some_and(|running| running.ends.is_some())
    }

    fn cancelled(&mut self, at: AttemptRef, lease: Lease, reason: StopReason) {
        let Some(running) = self.running.get(&at).filter(|running| running.lease == lease) else { return };
        let node = running.node.clone();
        self.running.remove(&at);
        if reason == StopReason::WorkflowCancelled {
            self.finish(at, lease, node, script::failed(at, lease, "cancelled"));
        }
    }

    fn finish(&mut self, at: AttemptRef, lease: Lease, node: String, result: TaskResult) {
        if let Some(leader) = self.leader {
            self.outbox.push((leader, FromWorker::Results(vec![result.clone()])));
        }
        self.unacknowledged.insert(at, (lease, node, result));
    }

    fn send_heartbeat(&mut self, now: u64, stream: u64) {
        self.outbox.push((stream, FromWorker::Heartbeat { sent_ms: now, progress: vec![] }));
    }

    /// Time has passed. True: the process has said goodbye and ends. `rude`: it was stopped right before it reported, and does so now, whatever
    /// became of its leases.
    pub fn tick(&mut self, now: u64, rude: bool, rng: &mut Rng) -> bool {
        let now = self.clock(now);
        if rude {
            self.report_done(now);
        }
        if let Some(leader) = self.leader
            && rng.chance(3)
            && let Some(result) = self.told.take()
        {
            self.outbox.push((leader, FromWorker::Results(vec![result])));
        }
        let over: Vec<AttemptRef> =
            self.running.iter().filter(|(_, running)| now >= self.holds_until(running)).map(|(at, _)| *at).collect();
        for at in over {
            let running = self.running.remove(&at).expect("found above");
            self.finish(at, running.lease, running.node, script::failed(at, running.lease, "the lease was lost"));
        }
        self.report_done(now);
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + HEARTBEAT_MS;
            for stream in self.links.clone().into_values() {
                self.send_heartbeat(now, stream);
            }
        }
        let Some(leader) = self.leader else { return false };
        if self.draining {
            for (at, running) in std::mem::take(&mut self.running) {
                self.finish(at, running.lease, running.node, script::handed_back(at, running.lease));
            }
            if self.unacknowledged.is_empty() {
                self.outbox.push((leader, FromWorker::Goodbye { reason: "drained".to_owned() }));
                return true;
            }
            return false;
        }
        self.grant(leader);
        false
    }

    /// Reports what has come to its end.
    fn report_done(&mut self, now: u64) {
        let done: BTreeSet<AttemptRef> =
            self.running.iter().filter(|(_, running)| running.ends.is_some_and(|ends| ends <= now)).map(|(at, _)| *at).collect();
        for at in done {
            let running = self.running.remove(&at).expect("found above");
            self.finish(at, running.lease, running.node, running.result);
        }
    }

    fn grant(&mut self, leader: u64) {
        for node in NODES {
            let held = self.running.values().filter(|running| running.node == node).count()
                + self.unacknowledged.values().filter(|(_, held, _)| held == node).count();
            let window = self.received.get(node).copied().unwrap_or(0) + u64::from(self.capacity).saturating_sub(held as u64);
            if self.granted.get(node).is_none_or(|granted| *granted < window) {
                self.granted.insert(node.to_owned(), window);
                self.sequence += 1;
                self.outbox.push((leader, FromWorker::Credit { node: node.to_owned(), window, sequence: self.sequence }));
            }
        }
    }
}
