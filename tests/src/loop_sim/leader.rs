//! What a member does with what is committed, and, while it leads, with its scheduler core: what the daemon's driver does, in one turn.

use std::collections::BTreeMap;

use graft_machine::command::{Command, Envelope, ExpireRequests, InitCluster, MACHINE_VERSION, RaiseMachineVersion};
use graft_machine::ids::AttemptRef;
use graft_machine::state::StateRead;
use graft_machine::tables::{Prefix, RequestExpiry};
use graft_machine::task::TaskState;
use graft_machine::view;
use graftd::consensus::ProposeError;
use graftd::scheduler::core::Core;
use graftd::scheduler::message::{Input, Output, StreamId};
use graftd::scheduler::recovery::Recovered;
use graftd::scheduler::{Assignment, SchedulerOptions, SessionHello, ToWorker, reads};

use super::LEASE_MS;
use super::log::Record;
use super::member::Asker;
use super::network::{Packet, Reply};
use super::raft::raft_id;
use super::state;
use super::world::{Verdict, World};
use crate::invariants::{HeldNow, Minted, Replica};

/// How often a leader looks for requests that can be forgotten, in milliseconds.
const EXPIRE_MS: u64 = 1_000;
/// Applied entries between two looks at the whole state.
const CHECK_EVERY: u64 = 150;
/// How the cluster is called.
pub const CLUSTER: &str = "5f1c2a34-0000-4000-8000-000000000001";

impl World {
    /// Applies what is committed.
    pub(super) fn apply(&mut self, m: usize) -> Verdict {
        while self.members[m].applied() < self.members[m].commit {
            let member = &mut self.members[m];
            let index = member.applied() + 1;
            let Record { term, entry, .. } = member.log.get(index).ok_or_else(|| format!("D3: member {m} has lost entry {index}"))?.clone();
            let mark = member.mark(index, term);
            let all = member.state.apply(mark, &entry);
            member.clocks.tick(self.now);
            let meta = view::meta(&member.state.reader());
            if !entry.commands.is_empty() {
                if index > member.recovered { member.stamps.heard(meta.time) } else { member.stamps.recalled(meta.time) }
            }
            if member.core.is_some() {
                let effects = all.iter().flat_map(|applied| applied.effects.clone()).collect();
                member.inputs.push(Input::Effects { time: meta.time, effects });
            }
            let asker = member.lead.as_mut().filter(|_| term == member.term).and_then(|lead| lead.askers.remove(&index));
            match asker {
                Some(Asker::Core(token)) => {
                    let answers = all.iter().map(|applied| applied.reply.clone()).collect();
                    member.inputs.push(Input::Answered(token, Ok(answers)));
                }
                Some(Asker::Client(request, namespace)) => {
                    let answer = all[0].reply.clone();
                    self.datagram(Packet::Answered(Reply { request, namespace, answer, index, term }));
                }
                None => {}
            }
            let whole = (index as u64).is_multiple_of(CHECK_EVERY).then(|| self.members[m].state.copy());
            let hash = whole.as_ref().map(state::hash);
            let replica = Replica { member: raft_id(m), index: index as u64, term, entry: &entry, applied: &all, hash };
            if self.invariants.applied(&replica)? {
                self.progress += 1;
                self.meet(&entry, &all);
                if let Some(whole) = whole {
                    self.invariants.state(&whole)?;
                }
            }
        }
        Ok(())
    }

    /// A new leader that has applied everything of earlier terms takes over.
    pub(super) fn begin_term(&mut self, m: usize) {
        let member = &mut self.members[m];
        let now = member.clocks.monotonic(self.now);
        let passed = member.lead.as_ref().is_some_and(|lead| member.applied() >= lead.barrier);
        if !passed || member.core.is_some() {
            return;
        }
        let window = self.plan.window;
        let options = SchedulerOptions { lease_ms: LEASE_MS, ready_window: window, timers_window: window, ..Default::default() };
        let recovered = Recovered::read(&member.state.reader(), &options);
        member.core = Some(Core::new(member.term, options, now));
        member.inputs = vec![Input::Recovered(recovered)];
        let streams = member.streams.clone().into_iter().collect();
        let meta = view::meta(&member.state.reader());
        let (unnamed, version) = (meta.lineage.is_empty(), meta.machine_version);
        self.met("term begun");
        self.welcome(m, streams);
        if unnamed {
            let init = InitCluster { cluster_id: CLUSTER.to_owned(), cluster_name: "sim".to_owned(), epoch: 1, machine_version: 0 };
            self.propose(m, vec![Envelope::internal("operator", Command::InitCluster(init))], None);
        } else if version < MACHINE_VERSION {
            // A later leader finds that all can follow.
            let raise = RaiseMachineVersion { to: MACHINE_VERSION };
            self.propose(m, vec![Envelope::internal("operator", Command::RaiseMachineVersion(raise))], None);
        }
    }

    /// Welcomes workers, as leader or not.
    pub(super) fn welcome(&mut self, m: usize, streams: Vec<(StreamId, SessionHello)>) {
        let (term, leading) = (self.members[m].term, self.members[m].core.is_some());
        for (stream, hello) in streams {
            let welcome = ToWorker::Welcome {
                term,
                leading,
                lease_ms: LEASE_MS,
                leader_address: String::new(),
                member_addresses: vec![],
                cluster_id: CLUSTER.to_owned(),
            };
            self.down_stream(stream, Packet::ToWorker(stream, welcome));
            if leading {
                self.members[m].inputs.push(Input::Connected(stream, hello));
            }
        }
    }

    /// A turn of the core.
    pub(super) fn drive(&mut self, m: usize) -> Verdict {
        let inputs = std::mem::take(&mut self.members[m].inputs);
        let Some(mut core) = self.members[m].core.take() else { return Ok(()) };
        let now = self.members[m].clocks.monotonic(self.now);
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
                            self.minted(m, &core, task, &worker)?;
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
                Output::Read(read) => core.handle(now, Input::Found(reads::read(&self.members[m].state.reader(), read))),
            }
        }
        self.members[m].core = Some(core);
        self.expire_requests(m);
        self.answer_reads(m)
    }

    fn expire_requests(&mut self, m: usize) {
        let now = self.now;
        let member = &mut self.members[m];
        let Some(lead) = member.lead.as_mut().filter(|lead| lead.expire_at <= now) else { return };
        lead.expire_at = now + EXPIRE_MS;
        let reader = member.state.reader();
        let first = reader.scan::<RequestExpiry>(Prefix::new().as_bytes(), None, 1);
        let over = first.first().is_some_and(|(key, _)| key.expires < view::meta(&reader).time);
        drop(reader);
        if over {
            self.propose(m, vec![Envelope::internal("scheduler", Command::ExpireRequests(ExpireRequests {}))], None);
        }
    }

    /// Tells that the leader dispatches a task.
    fn minted(&mut self, m: usize, core: &Core, task: &Assignment, worker: &str) -> Verdict {
        let reader = self.members[m].state.reader();
        let mut names: BTreeMap<AttemptRef, Option<(String, String)>> = BTreeMap::new();
        let counted = core.held().into_iter().map(|(at, _, _)| at);
        let truly = self.workers.iter().filter(|worker| worker.up).flat_map(|worker| {
            worker.running.iter().filter(|(_, running)| worker.holds_until(running) > worker.clock(self.now)).map(|(at, _)| *at)
        });
        for at in counted.chain(truly).chain([task.at]) {
            names.entry(at).or_insert_with(|| {
                let workflow = view::workflow(&reader, at.run).filter(|workflow| !workflow.kind().is_final())?;
                let task = view::task(&reader, at.task_ref())?;
                let current = task.attempt == at.attempt && matches!(task.state(), TaskState::Ready(_));
                current.then(|| (workflow.namespace.clone(), task.node.clone()))
            });
        }
        let held: Vec<HeldNow> = names.into_iter().map(|(at, node)| HeldNow { at, node }).collect();
        let workflow = view::workflow(&reader, task.at.run);
        let ready = view::task(&reader, task.at.task_ref()).filter(|task| matches!(task.state(), TaskState::Ready(_)));
        let node = (workflow.as_ref().map(|workflow| workflow.namespace.clone()).unwrap_or_default(), task.node.clone());
        let in_force = view::limits(&reader, None, 100).into_iter().filter_map(|(key, limit)| Some((key, limit.in_force()?)));
        let limits: Vec<_> = in_force.collect();
        let sessions = view::sessions(&reader, None, 100);
        let of_node = sessions.iter().filter(|session| session.namespace == node.0).flat_map(|session| &session.nodes);
        let declared: Vec<u32> = of_node.filter(|declared| declared.node == node.1 && declared.limit > 0).map(|d| d.limit).collect();
        drop(reader);
        self.met("dispatched");
        self.dispatched.insert(task.at, node.clone());
        self.invariants.minted(&Minted {
            term: core.term(),
            at: task.at,
            lease: task.lease,
            worker,
            status: workflow.map(|workflow| workflow.kind()),
            ready: ready.map(|task| task.attempt),
            node,
            held: &held,
            limits: &limits,
            declared: &declared,
        })
    }
}
