//! The world: a virtual clock, a network, and everybody in it, one step after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use graft_machine::apply;
use graft_machine::command::{Command, ControlWorkflow, ENTRY_FORMAT, Envelope, LogEntry, MACHINE_VERSION, SetLimit};
use graft_machine::ids::AttemptRef;
use graft_machine::reply::Answer;
use graft_machine::session::Limit;
use graft_machine::state::StateRead;
use graft_machine::tables::{LimitKey, Prefix, Workflows};
use graft_machine::time::Stamp;
use graft_machine::workflow::StatusKind;
use graftd::consensus::ProposeError;
use graftd::scheduler::core::Core;
use graftd::scheduler::message::{Input, Output, StreamId};
use graftd::scheduler::recovery::Recovered;
use graftd::scheduler::{FromWorker, SchedulerOptions, SessionHello, ToWorker, reads};

use super::member::{Asker, Lead, Member, Record};
use super::operator;
use super::oracle::Oracle;
use super::rng::Rng;
use super::worker::Worker;
use super::{CHAOS_MS, HEAL_MS, LEADER_LEASE_MS, LEASE_MS, MEMBERS, STEP_MS, WORKERS, script};

/// The machine's time when the world begins.
const EPOCH: u64 = 1_700_000_000_000;
/// How often a leader sends to its followers, in milliseconds.
const APPEND_MS: u64 = 30;
/// What a request says, hashed; and what another one under the same id says.
const REQUEST_HASH: u64 = 7;
const TWIN_HASH: u64 = 8;
/// Entries in one message.
const APPEND_RECORDS: usize = 400;

/// Somebody on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Member(usize),
    Worker(usize),
}

/// What is on its way.
#[derive(Clone, Debug)]
enum Packet {
    Append { from: usize, to: usize, term: u64, prev: (u64, usize), records: Vec<Record>, commit: usize, sent_at: u64 },
    Appended { from: usize, to: usize, term: u64, matched: usize, sent_at: u64 },
    Hello(StreamId, SessionHello),
    ToMember(StreamId, FromWorker),
    ToWorker(StreamId, ToWorker),
    BreaksAtMember(StreamId),
    BreaksAtWorker(StreamId),
    Request(usize, Envelope),
    Answered(String, Answer),
}

/// A stream between a worker and a member: ordered, nothing lost while it lives.
#[derive(Clone, Debug)]
struct Link {
    worker: usize,
    incarnation: String,
    member: usize,
    alive: bool,
    last_up: u64,
    last_down: u64,
}

/// What a client waits for.
struct Request {
    envelope: Envelope,
    send_at: u64,
}

/// See the module.
pub struct World {
    now: u64,
    rng: Rng,
    chaos: bool,
    network: BTreeMap<(u64, u64), Packet>,
    packets: u64,
    members: Vec<Member>,
    workers: Vec<Worker>,
    links: BTreeMap<StreamId, Link>,
    last_stream: StreamId,
    /// Pairs that cannot reach each other, until then.
    cut: Vec<(Party, Party, u64)>,
    requests: BTreeMap<String, Request>,
    workflows: usize,
    last_request: u64,
    next_request_at: u64,
    /// What arrived at somebody who is stopped.
    stopped_mail: Vec<(Party, Packet)>,
    /// The watcher.
    pub oracle: Oracle,
    /// Terms begun.
    pub terms: u64,
}

type Verdict = Result<(), String>;

impl World {
    /// A world of a seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let capacity = rng.between(1, 4) as u32;
        let members = (0..MEMBERS).map(|_| Member { up: true, ..Default::default() }).collect();
        let workers = (0..WORKERS).map(|i| Worker::new(format!("worker-{i}"), capacity, i as u64 * 10)).collect();
        let mut world = Self {
            now: 1_000,
            rng,
            chaos: true,
            network: BTreeMap::new(),
            packets: 0,
            members,
            workers,
            links: BTreeMap::new(),
            last_stream: 0,
            cut: Vec::new(),
            requests: BTreeMap::new(),
            workflows: 0,
            last_request: 0,
            next_request_at: 0,
            stopped_mail: Vec::new(),
            oracle: Oracle::default(),
            terms: 0,
        };
        world.set_limits();
        world
    }

    fn set_limits(&mut self) {
        let mut limit = |namespace: &str, node: &str, max: u64| {
            let (namespace, node) = (namespace.to_owned(), node.to_owned());
            self.ask(Command::SetLimit(SetLimit { namespace, node, limit: Some(Limit::of(max as u32)), only_if_absent: false }));
        };
        limit("default", "leaf", 3);
        let total = self.rng.between(4, 16);
        let LimitKey { namespace, node } = LimitKey::total();
        let limit = Some(Limit::of(total as u32));
        self.ask(Command::SetLimit(SetLimit { namespace, node, limit, only_if_absent: false }));
    }

    /// Runs to the end: faults, then healing.
    pub fn run(&mut self) -> Verdict {
        let heal_at = self.now + CHAOS_MS;
        while self.now < heal_at {
            self.faults();
            self.step()?;
        }
        self.heal();
        let give_up_at = self.now + HEAL_MS;
        while !self.is_done() {
            if self.now >= give_up_at {
                return Err(format!("liveness: {}", self.what_waits()));
            }
            self.mend_all();
            self.step()?;
        }
        self.compare_replicas()?;
        let leader = self.leader().ok_or("a healed cluster has a leader")?;
        self.oracle.finish(&self.members[leader].state)
    }

    fn step(&mut self) -> Verdict {
        self.now += STEP_MS;
        self.deliver()?;
        for m in 0..MEMBERS {
            self.member(m)?;
        }
        self.elect();
        for w in 0..WORKERS {
            self.worker(w)?;
        }
        self.clients();
        Ok(())
    }

    // Time and network.

    /// A member's monotonic clock: each counts from elsewhere.
    fn clock(&self, m: usize) -> u64 {
        self.now + 1_000_000 * m as u64
    }

    /// A member's wall clock.
    fn wall(&self, m: usize) -> u64 {
        EPOCH + self.now + 40 * m as u64
    }

    fn is_cut(&self, a: Party, b: Party) -> bool {
        self.cut.iter().any(|(x, y, until)| *until > self.now && ((*x, *y) == (a, b) || (*x, *y) == (b, a)))
    }

    fn put(&mut self, at: u64, packet: Packet) {
        self.packets += 1;
        self.network.insert((at, self.packets), packet);
    }

    fn delay(&mut self) -> u64 {
        if self.chaos && self.rng.chance(30) { self.rng.between(50, 400) } else { self.rng.between(1, 15) }
    }

    /// A datagram: may be lost, doubled, late, out of order.
    fn datagram(&mut self, packet: Packet) {
        if self.chaos && self.rng.chance(50) {
            return;
        }
        let at = self.now + self.delay();
        if self.chaos && self.rng.chance(30) {
            let again = self.now + self.delay();
            self.put(again, packet.clone());
        }
        self.put(at, packet);
    }

    fn up_stream(&mut self, stream: StreamId, packet: Packet) {
        let at = self.now + self.delay();
        if let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) {
            link.last_up = link.last_up.max(at);
            let at = link.last_up;
            self.put(at, packet);
        }
    }

    fn down_stream(&mut self, stream: StreamId, packet: Packet) {
        let at = self.now + self.delay();
        if let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) {
            link.last_down = link.last_down.max(at);
            let at = link.last_down;
            self.put(at, packet);
        }
    }

    /// A stream breaks: what is on its way is lost; each end notices in its own time.
    fn break_link(&mut self, stream: StreamId) {
        let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) else { return };
        link.alive = false;
        let (a, b) = (self.rng.between(1, 800), self.rng.between(1, 200));
        self.put(self.now + a, Packet::BreaksAtMember(stream));
        self.put(self.now + b, Packet::BreaksAtWorker(stream));
    }

    fn break_links(&mut self, matches: impl Fn(&Link) -> bool) {
        let streams: Vec<StreamId> = self.links.iter().filter(|(_, link)| link.alive && matches(link)).map(|(id, _)| *id).collect();
        for stream in streams {
            self.break_link(stream);
        }
    }

    fn receiver(&self, packet: &Packet) -> Option<Party> {
        let member = |stream| self.links.get(stream).map(|link: &Link| Party::Member(link.member));
        let worker = |stream| self.links.get(stream).map(|link: &Link| Party::Worker(link.worker));
        match packet {
            Packet::Append { to, .. } | Packet::Appended { to, .. } | Packet::Request(to, _) => Some(Party::Member(*to)),
            Packet::Hello(stream, _) | Packet::ToMember(stream, _) | Packet::BreaksAtMember(stream) => member(stream),
            Packet::ToWorker(stream, _) | Packet::BreaksAtWorker(stream) => worker(stream),
            Packet::Answered(..) => None,
        }
    }

    fn deliver(&mut self) -> Verdict {
        let thawed = std::mem::take(&mut self.stopped_mail);
        for (_, packet) in thawed {
            self.hand_over(packet)?;
        }
        while let Some(entry) = self.network.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let packet = entry.remove();
            self.hand_over(packet)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, packet: Packet) -> Verdict {
        let receiver = self.receiver(&packet);
        let (up, stopped) = match receiver {
            Some(Party::Member(m)) => (self.members[m].up, self.members[m].frozen_until > self.now),
            Some(Party::Worker(w)) => (self.workers[w].up, self.workers[w].frozen_until > self.now),
            None => (true, false),
        };
        match (receiver, up, stopped) {
            (_, false, _) => {}
            (Some(party), true, true) => self.stopped_mail.push((party, packet)),
            (_, true, _) => self.arrive(packet)?,
        }
        Ok(())
    }

    fn arrive(&mut self, packet: Packet) -> Verdict {
        let alive = |world: &Self, stream: &StreamId| {
            world.links.get(stream).is_some_and(|link| link.alive && world.workers[link.worker].incarnation == link.incarnation)
        };
        match packet {
            Packet::Append { from, to, term, prev, records, commit, sent_at } => {
                if !self.is_cut(Party::Member(from), Party::Member(to)) {
                    self.append(from, to, term, prev, &records, commit, sent_at);
                }
            }
            Packet::Appended { from, to, term, matched, sent_at } => {
                if !self.is_cut(Party::Member(from), Party::Member(to)) {
                    self.appended(from, to, term, matched, sent_at);
                }
            }
            Packet::Hello(stream, hello) => {
                if alive(self, &stream) {
                    let m = self.links[&stream].member;
                    self.members[m].streams.insert(stream, hello.clone());
                    self.welcome(m, vec![(stream, hello)]);
                }
            }
            Packet::ToMember(stream, message) => {
                if alive(self, &stream) {
                    let m = self.links[&stream].member;
                    let member = &mut self.members[m];
                    match (&member.core, message) {
                        (Some(_), message) => member.inputs.push(Input::Worker(stream, message)),
                        (None, FromWorker::Heartbeat { sent_ms, .. }) => {
                            let ack = ToWorker::HeartbeatAck { term: member.term, echo: sent_ms, leading: false };
                            self.down_stream(stream, Packet::ToWorker(stream, ack));
                        }
                        (None, _) => {}
                    }
                }
            }
            Packet::ToWorker(stream, message) => {
                if alive(self, &stream) {
                    let w = self.links[&stream].worker;
                    self.workers[w].hear(self.now, stream, message, &mut self.rng);
                    self.executions(w)?;
                }
            }
            Packet::BreaksAtMember(stream) => {
                let m = self.links[&stream].member;
                if self.members[m].streams.remove(&stream).is_some() {
                    self.members[m].inputs.push(Input::Broken(stream));
                }
            }
            Packet::BreaksAtWorker(stream) => {
                let w = self.links[&stream].worker;
                let retry_at = self.now + self.rng.between(20, 300);
                self.workers[w].link_broken(stream, retry_at);
            }
            Packet::Request(m, envelope) => {
                if self.members[m].lead.is_some() && self.members[m].core.is_some() {
                    let asker = Asker::Client(envelope.request_id.clone());
                    self.propose(m, vec![envelope], Some(asker));
                }
            }
            Packet::Answered(request, answer) => {
                self.oracle.answered(&request, &answer)?;
                self.requests.remove(&request);
            }
        }
        Ok(())
    }

    // Members.

    fn propose(&mut self, m: usize, commands: Vec<Envelope>, asker: Option<Asker>) {
        let wall = self.wall(m);
        let member = &mut self.members[m];
        let time = member.log.last().map_or(0, |record| record.entry.time).max(wall);
        let entry = LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time, commands };
        member.log.push(Record { term: member.term, entry: Rc::new(entry) });
        let index = member.log.len();
        if let Some(lead) = &mut member.lead {
            lead.matched[m] = index;
            lead.send_at = 0;
            if let Some(asker) = asker {
                lead.askers.insert(index, asker);
            }
        }
    }

    fn member(&mut self, m: usize) -> Verdict {
        let now = self.now;
        if !self.members[m].up {
            if self.members[m].restart_at <= now {
                self.members[m].restart(now);
            }
            return Ok(());
        }
        if self.members[m].frozen_until > now {
            return Ok(());
        }
        self.replicate(m);
        self.apply(m)?;
        self.begin_term(m);
        self.drive(m)?;
        if self.rng.chance(5) {
            let member = &mut self.members[m];
            member.flushed = (member.state.clone(), member.applied);
        }
        Ok(())
    }

    fn replicate(&mut self, m: usize) {
        let now = self.now;
        let member = &mut self.members[m];
        let (term, commit) = (member.term, member.commit);
        let Some(lead) = member.lead.as_mut().filter(|lead| lead.send_at <= now) else { return };
        lead.send_at = now + APPEND_MS;
        let matched = lead.matched;
        for (to, prev_index) in matched.into_iter().enumerate().filter(|(to, _)| *to != m) {
            let log = &self.members[m].log;
            let prev = (if prev_index == 0 { 0 } else { log[prev_index - 1].term }, prev_index);
            let records = log[prev_index..].iter().take(APPEND_RECORDS).cloned().collect();
            self.datagram(Packet::Append { from: m, to, term, prev, records, commit, sent_at: now });
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one message")]
    fn append(&mut self, from: usize, to: usize, term: u64, prev: (u64, usize), records: &[Record], commit: usize, sent_at: u64) {
        let now = self.now;
        let member = &mut self.members[to];
        let mut matched = 0;
        if term >= member.term {
            if term > member.term || member.lead.is_none() {
                member.step_down_to(term);
            }
            member.heard_at = now;
            if let Some(known) = member.take(prev, records) {
                matched = known;
                member.commit = member.commit.max(commit.min(known));
            }
        }
        let term = member.term;
        self.datagram(Packet::Appended { from: to, to: from, term, matched, sent_at });
    }

    fn appended(&mut self, from: usize, to: usize, term: u64, matched: usize, sent_at: u64) {
        let member = &mut self.members[to];
        if term > member.term {
            member.step_down_to(term);
            return;
        }
        let own = member.term;
        let Some(lead) = member.lead.as_mut().filter(|_| term == own) else { return };
        lead.heard[from] = lead.heard[from].max(sent_at);
        lead.matched[from] = lead.matched[from].max(matched);
        let mut by_index = lead.matched;
        by_index.sort_unstable();
        let majority = by_index[MEMBERS / 2];
        if majority > member.commit && member.log[majority - 1].term == own {
            member.commit = majority;
        }
    }

    /// Until when nobody else can lead, in the member's own clock.
    fn leader_lease(&self, m: usize) -> Option<u64> {
        let lead = self.members[m].lead.as_ref()?;
        let mut heard = lead.heard;
        heard[m] = self.now;
        heard.sort_unstable();
        let since = heard[MEMBERS - 1 - MEMBERS / 2];
        Some((since + LEADER_LEASE_MS) + (self.clock(m) - self.now)).filter(|_| since > 0)
    }

    fn apply(&mut self, m: usize) -> Verdict {
        while self.members[m].applied < self.members[m].commit {
            let member = &mut self.members[m];
            let index = member.applied + 1;
            let Record { term, entry } = member.log[index - 1].clone();
            let mut ordinal = 0;
            let mut all = Vec::new();
            for envelope in &entry.commands {
                let applied = apply(&mut member.state, Stamp { time: entry.time, index: index as u64, ordinal }, envelope);
                ordinal += applied.events.len() as u32;
                all.push(applied);
            }
            member.applied = index;
            if member.core.is_some() {
                let effects = all.iter().flat_map(|applied| applied.effects.clone()).collect();
                member.inputs.push(Input::Effects { time: entry.time, effects });
            }
            let asker = member.lead.as_mut().filter(|_| term == member.term).and_then(|lead| lead.askers.remove(&index));
            match asker {
                Some(Asker::Core(token)) => {
                    let answers = all.iter().map(|applied| applied.reply.clone()).collect();
                    member.inputs.push(Input::Answered(token, Ok(answers)));
                }
                Some(Asker::Client(request)) => {
                    let answer = all[0].reply.clone();
                    self.datagram(Packet::Answered(request, answer));
                }
                None => {}
            }
            self.oracle.applied(index, term, &entry, all, &self.members[m].state)?;
        }
        Ok(())
    }

    /// A new leader that has applied everything of earlier terms takes over.
    fn begin_term(&mut self, m: usize) {
        let now = self.clock(m);
        let member = &mut self.members[m];
        let passed = member.lead.as_ref().is_some_and(|lead| member.applied >= lead.barrier);
        if !passed || member.core.is_some() {
            return;
        }
        let options = SchedulerOptions { lease_ms: LEASE_MS, ready_window: 8, timers_window: 8, ..Default::default() };
        let recovered = Recovered::read(&member.state, &options);
        member.core = Some(Core::new(member.term, options, now));
        member.inputs = vec![Input::Recovered(recovered)];
        let streams = member.streams.clone().into_iter().collect();
        self.terms += 1;
        self.welcome(m, streams);
    }

    fn welcome(&mut self, m: usize, streams: Vec<(StreamId, SessionHello)>) {
        let (term, leading) = (self.members[m].term, self.members[m].core.is_some());
        for (stream, hello) in streams {
            let welcome = ToWorker::Welcome {
                term,
                leading,
                lease_ms: LEASE_MS,
                leader_address: String::new(),
                member_addresses: vec![],
                cluster_id: String::new(),
            };
            self.down_stream(stream, Packet::ToWorker(stream, welcome));
            if leading {
                self.members[m].inputs.push(Input::Connected(stream, hello));
            }
        }
    }

    fn drive(&mut self, m: usize) -> Verdict {
        let inputs = std::mem::take(&mut self.members[m].inputs);
        let Some(mut core) = self.members[m].core.take() else { return Ok(()) };
        let now = self.clock(m);
        core.handle(now, Input::LeaderLease(self.leader_lease(m)));
        for input in inputs {
            core.handle(now, input);
        }
        core.handle(now, Input::Tick);
        while let Some(output) = core.poll_output() {
            match output {
                Output::Send(stream, message) => {
                    if let ToWorker::Tasks(tasks) = &message {
                        let worker = self.links[&stream].incarnation.clone();
                        for task in tasks {
                            let held = self.held(&core);
                            let state = &self.members[m].state;
                            self.oracle.minted(core.term(), task.at, task.lease, &worker, state, &held)?;
                        }
                    }
                    self.down_stream(stream, Packet::ToWorker(stream, message));
                }
                Output::CloseStream(stream, _) => {
                    self.members[m].streams.remove(&stream);
                    self.break_link(stream);
                }
                Output::Propose(token, commands) => {
                    let fate = if self.chaos { self.rng.below(100) } else { 99 };
                    if fate == 0 {
                        core.handle(now, Input::Answered(token, Err(ProposeError::Overloaded { retry_after_ms: 1 })));
                        continue;
                    }
                    self.propose(m, commands, Some(Asker::Core(token)));
                    if fate == 1 {
                        core.handle(now, Input::Answered(token, Err(ProposeError::Unknown { reason: "a fault".to_owned() })));
                    }
                }
                Output::Read(read) => core.handle(now, Input::Found(reads::read(&self.members[m].state, read))),
            }
        }
        self.members[m].core = Some(core);
        Ok(())
    }

    /// Every attempt that somebody holds.
    fn held(&self, core: &Core) -> BTreeSet<AttemptRef> {
        let counted = core.held().into_iter().map(|(at, _, _)| at);
        let truly = self
            .workers
            .iter()
            .filter(|worker| worker.up)
            .flat_map(|worker| worker.running.iter().filter(|(_, running)| worker.holds_until(running) > self.now).map(|(at, _)| *at));
        counted.chain(truly).collect()
    }

    /// A member that has heard of no leader for the lease time asks for votes; who has heard of one lately gives none.
    fn elect(&mut self) {
        if !self.rng.chance(50) {
            return;
        }
        let c = self.rng.below(MEMBERS as u64) as usize;
        let now = self.now;
        let can =
            |member: &Member| member.up && member.frozen_until <= now && member.lead.is_none() && now >= member.heard_at + LEADER_LEASE_MS;
        if !can(&self.members[c]) {
            return;
        }
        let last = self.members[c].last();
        let votes: Vec<usize> = (0..MEMBERS)
            .filter(|v| *v == c || !self.is_cut(Party::Member(c), Party::Member(*v)))
            .filter(|v| can(&self.members[*v]) && self.members[*v].last() <= last)
            .collect();
        if votes.len() <= MEMBERS / 2 {
            return;
        }
        let term = votes.iter().map(|v| self.members[*v].term).max().unwrap_or(0) + 1;
        for v in votes {
            self.members[v].step_down_to(term);
        }
        self.members[c].lead = Some(Lead::default());
        self.propose(c, vec![], None);
        let barrier = self.members[c].log.len();
        if let Some(lead) = &mut self.members[c].lead {
            lead.barrier = barrier;
        }
    }

    fn leader(&self) -> Option<usize> {
        (0..MEMBERS).filter(|m| self.members[*m].core.is_some()).max_by_key(|m| self.members[*m].term)
    }

    // Workers.

    fn worker(&mut self, w: usize) -> Verdict {
        let now = self.now;
        if !self.workers[w].up {
            if self.workers[w].restart_at <= now {
                self.workers[w].begin();
            }
            return Ok(());
        }
        if self.workers[w].frozen_until > now {
            return Ok(());
        }
        for m in 0..MEMBERS {
            let worker = &self.workers[w];
            let reachable = self.members[m].up && !self.is_cut(Party::Worker(w), Party::Member(m));
            if worker.links[m].is_none() && worker.retry_at[m] <= now && reachable {
                self.last_stream += 1;
                let stream = self.last_stream;
                let hello = worker.hello();
                let incarnation = worker.incarnation.clone();
                self.links.insert(stream, Link { worker: w, incarnation, member: m, alive: true, last_up: now, last_down: now });
                self.workers[w].links[m] = Some(stream);
                self.up_stream(stream, Packet::Hello(stream, hello));
            }
        }
        let leaves = self.workers[w].tick(now);
        for (stream, message) in std::mem::take(&mut self.workers[w].outbox) {
            self.up_stream(stream, Packet::ToMember(stream, message));
        }
        if leaves {
            // It goes once its goodbye is on its way; the connections are closed behind it.
            let gone = self.now + 500;
            self.workers[w].restart_at = gone;
            self.workers[w].up = false;
        }
        self.executions(w)
    }

    fn executions(&mut self, w: usize) -> Verdict {
        for (at, lease) in std::mem::take(&mut self.workers[w].began) {
            let other = self.workers.iter().enumerate().find(|(o, other)| {
                *o != w && other.up && other.running.get(&at).is_some_and(|running| other.holds_until(running) > self.now)
            });
            let elsewhere = other.map(|(_, other)| other.incarnation.clone());
            let worker = self.workers[w].incarnation.clone();
            self.oracle.execution(at, lease, &worker, elsewhere.as_deref())?;
        }
        Ok(())
    }

    // Clients.

    fn ask(&mut self, command: Command) {
        self.last_request += 1;
        let request_id = format!("request-{}", self.last_request);
        let envelope = Envelope { request_id: request_id.clone(), payload_hash: REQUEST_HASH, ..Envelope::internal("client:sim", command) };
        self.requests.insert(request_id, Request { envelope, send_at: 0 });
    }

    fn clients(&mut self) {
        if self.chaos && self.now >= self.next_request_at {
            self.next_request_at = self.now + self.rng.between(50, 700);
            self.new_request();
        }
        let now = self.now;
        let due: Vec<String> = self.requests.iter().filter(|(_, request)| request.send_at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            let m = self.rng.below(MEMBERS as u64) as usize;
            let Some(request) = self.requests.get_mut(&id) else { continue };
            request.send_at = now + 150;
            let envelope = request.envelope.clone();
            if self.chaos && matches!(envelope.command, Some(Command::Start(_))) && self.rng.chance(20) {
                // A client that uses a request id twice, in one namespace.
                let start = script::workflow(&format!("twin-of-{id}"), &mut self.rng);
                let twin = Envelope { payload_hash: TWIN_HASH, command: Some(Command::Start(start)), ..envelope.clone() };
                self.datagram(Packet::Request(m, twin));
            }
            self.datagram(Packet::Request(m, envelope));
        }
    }

    fn new_request(&mut self) {
        if self.workflows == 0 || self.rng.chance(700) {
            self.workflows += 1;
            let start = script::workflow(&format!("workflow-{}", self.workflows), &mut self.rng);
            self.ask(Command::Start(start));
            return;
        }
        if self.rng.chance(500) {
            let m = self.rng.below(MEMBERS as u64) as usize;
            if let Some(command) = operator::does(&self.members[m].state, &mut self.rng) {
                self.ask(command);
            }
            return;
        }
        let id = format!("workflow-{}", 1 + self.rng.below(self.workflows as u64));
        let control = ControlWorkflow { namespace: "default".to_owned(), id, grace: 3_000, ..Default::default() };
        let command = match self.rng.below(10) {
            0..4 => Command::Pause(control),
            4..8 => Command::Resume(control),
            8 => Command::Cancel(control),
            _ => Command::Terminate(control),
        };
        self.ask(command);
    }

    // Faults and healing.

    fn faults(&mut self) {
        let now = self.now;
        if self.rng.chance(8) {
            // The leader twice as often as chance would have it: that is where it hurts.
            let any = self.rng.below(MEMBERS as u64) as usize;
            let m = self.leader().filter(|_| self.rng.chance(500)).unwrap_or(any);
            // Now and then longer than leases last: a leader that was deposed comes back to sessions that have expired for it.
            let until = now + if self.rng.chance(200) { self.rng.between(2_500, 3 * LEASE_MS) } else { self.rng.between(100, 2_500) };
            match self.rng.below(4) {
                0 => {
                    self.members[m].crash(until);
                    self.break_links(|link| link.member == m);
                    self.stopped_mail.retain(|(party, _)| *party != Party::Member(m));
                }
                1 => self.members[m].frozen_until = until,
                2 => {
                    let other = (m + 1) % MEMBERS;
                    self.cut.push((Party::Member(m), Party::Member(other), until));
                }
                _ => {
                    for other in (0..MEMBERS).filter(|other| *other != m) {
                        self.cut.push((Party::Member(m), Party::Member(other), until));
                    }
                }
            }
        }
        if self.rng.chance(8) {
            let w = self.rng.below(WORKERS as u64) as usize;
            let until = now + self.rng.between(100, 4_000);
            match self.rng.below(5) {
                0 if self.workers[w].up => {
                    self.workers[w].up = false;
                    self.workers[w].restart_at = until;
                    self.break_links(|link| link.worker == w);
                    self.stopped_mail.retain(|(party, _)| *party != Party::Worker(w));
                }
                1 => self.workers[w].frozen_until = until,
                2 => self.workers[w].draining = true,
                _ => {
                    let m = self.rng.below(MEMBERS as u64) as usize;
                    self.cut.push((Party::Worker(w), Party::Member(m), until));
                    self.break_links(|link| link.worker == w && link.member == m);
                }
            }
        }
        self.cut.retain(|(_, _, until)| *until > now);
    }

    fn heal(&mut self) {
        self.chaos = false;
        self.cut.clear();
        for member in &mut self.members {
            member.frozen_until = 0;
            member.restart_at = 0;
        }
        for worker in &mut self.workers {
            worker.frozen_until = 0;
            worker.restart_at = worker.restart_at.min(self.now + 500);
        }
        self.requests.retain(|_, request| matches!(request.envelope.command, Some(Command::Start(_))));
    }

    /// An operator resumes what stands paused, and does away with dead letters.
    fn mend_all(&mut self) {
        if !self.now.is_multiple_of(1_000) {
            return;
        }
        let Some(leader) = self.leader() else { return };
        let all = self.members[leader].state.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX);
        for (_, workflow) in all.iter().filter(|(_, workflow)| workflow.kind() == StatusKind::Paused) {
            let control = ControlWorkflow { namespace: "default".to_owned(), id: workflow.id.clone(), ..Default::default() };
            self.ask(Command::Resume(control));
        }
        operator::mends(&self.members[leader].state).into_iter().for_each(|command| self.ask(command));
    }

    fn open_workflows(&self, m: usize) -> Vec<String> {
        let state = &self.members[m].state;
        let all = state.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX);
        let open = all.iter().filter(|(_, workflow)| !workflow.kind().is_final());
        let tasks = |run| graft_machine::view::tasks(state, run, 0, 100);
        open.map(|(key, workflow)| format!("{} is {:?} with {:?}", workflow.id, workflow.kind(), tasks(key.run))).collect()
    }

    /// Everything has ended, nobody holds anything, and all members have applied the same.
    fn is_done(&self) -> bool {
        let Some(leader) = self.leader() else { return false };
        let core = self.members[leader].core.as_ref();
        self.requests.is_empty()
            && core.is_some_and(|core| core.held_count() == 0)
            && self.workers.iter().all(Worker::is_idle)
            && self.members.iter().all(|member| member.up && member.applied == self.members[leader].log.len())
            && self.open_workflows(leader).is_empty()
            && operator::mends(&self.members[leader].state).is_empty()
    }

    fn what_waits(&self) -> String {
        let Some(leader) = self.leader() else { return "nobody leads".to_owned() };
        let held = self.members[leader].core.as_ref().map(|core| format!("{:?}", core.held()));
        let applied: Vec<usize> = self.members.iter().map(|member| member.applied).collect();
        let running: Vec<_> = self.workers.iter().map(|worker| (&worker.incarnation, worker.up, worker.running.keys())).collect();
        let open = self.open_workflows(leader);
        format!("requests {}, held {held:?}, workers {running:?}, applied {applied:?}, open {open:#?}", self.requests.len())
    }

    fn compare_replicas(&self) -> Verdict {
        let first = &self.members[0].state;
        let same = self.members.iter().all(|member| member.state == *first);
        if same { Ok(()) } else { Err("S2: the members' states differ at the same index".to_owned()) }
    }
}
