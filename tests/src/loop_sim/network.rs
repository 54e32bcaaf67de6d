//! The network: datagrams between members and from clients, which may be lost, doubled, late and out of order; streams of workers, which are
//! ordered and lose nothing until they break.

use std::rc::Rc;

use graft_machine::command::Envelope;
use graft_machine::reply::Answer;
use graftd::scheduler::message::{Input, StreamId};
use graftd::scheduler::{FromWorker, SessionHello, ToWorker};

use super::log::Record;
use super::state::Image;
use super::world::{Verdict, World};
use crate::invariants::Answered;

/// Somebody on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A member.
    Member(usize),
    /// A worker.
    Worker(usize),
}

/// An answer on its way to a client.
#[derive(Clone, Debug)]
pub struct Reply {
    pub request: String,
    pub namespace: String,
    pub answer: Answer,
    pub index: usize,
    pub term: u64,
}

/// What is on its way.
#[derive(Clone, Debug)]
pub enum Packet {
    Append {
        from: usize,
        to: usize,
        term: u64,
        prev: (u64, usize),
        records: Vec<Record>,
        commit: usize,
        sent_at: u64,
    },
    /// `matched`: none, if the follower lacks something; then it has `commit` for certain.
    Appended {
        from: usize,
        to: usize,
        term: u64,
        matched: Option<usize>,
        commit: usize,
        sent_at: u64,
    },
    Snapshot {
        from: usize,
        to: usize,
        term: u64,
        image: Rc<Image>,
        sent_at: u64,
    },
    Hello(StreamId, SessionHello),
    ToMember(StreamId, FromWorker),
    ToWorker(StreamId, ToWorker),
    BreaksAtMember(StreamId),
    BreaksAtWorker(StreamId),
    Request(usize, Envelope),
    Read(usize, u64),
    Answered(Reply),
}

/// A stream between a worker and a member.
#[derive(Clone, Debug)]
pub struct Link {
    pub worker: usize,
    pub incarnation: String,
    pub member: usize,
    pub alive: bool,
    pub last_up: u64,
    pub last_down: u64,
}

impl World {
    pub(super) fn is_cut(&self, a: Party, b: Party) -> bool {
        self.cut.iter().any(|(x, y, until)| *until > self.now && ((*x, *y) == (a, b) || (*x, *y) == (b, a)))
            || self.one_way.iter().any(|(x, y, until)| *until > self.now && (*x, *y) == (a, b))
    }

    fn put(&mut self, at: u64, packet: Packet) {
        self.packets += 1;
        self.network.insert((at, self.packets), packet);
    }

    fn delay(&mut self) -> u64 {
        if self.chaos && self.rng.chance(30) { self.rng.between(50, 400) } else { self.rng.between(1, 15) }
    }

    /// A datagram: may be lost, doubled, late, out of order.
    pub(super) fn datagram(&mut self, packet: Packet) {
        if self.chaos && self.rng.chance(self.plan.loss) {
            return;
        }
        let at = self.now + self.delay();
        if self.chaos && self.rng.chance(30) {
            let again = self.now + self.delay();
            self.put(again, packet.clone());
        }
        self.put(at, packet);
    }

    pub(super) fn up_stream(&mut self, stream: StreamId, packet: Packet) {
        let at = self.now + self.delay();
        if let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) {
            link.last_up = link.last_up.max(at);
            let at = link.last_up;
            self.put(at, packet);
        }
    }

    pub(super) fn down_stream(&mut self, stream: StreamId, packet: Packet) {
        let at = self.now + self.delay();
        if let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) {
            link.last_down = link.last_down.max(at);
            let at = link.last_down;
            self.put(at, packet);
        }
    }

    /// A stream breaks: what is on its way is lost; each end notices in its own time.
    pub(super) fn break_link(&mut self, stream: StreamId) {
        let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) else { return };
        link.alive = false;
        let (a, b) = (self.rng.between(1, 800), self.rng.between(1, 200));
        self.put(self.now + a, Packet::BreaksAtMember(stream));
        self.put(self.now + b, Packet::BreaksAtWorker(stream));
    }

    pub(super) fn break_links(&mut self, matches: impl Fn(&Link) -> bool) {
        let streams: Vec<StreamId> = self.links.iter().filter(|(_, link)| link.alive && matches(link)).map(|(id, _)| *id).collect();
        for stream in streams {
            self.break_link(stream);
        }
    }

    fn receiver(&self, packet: &Packet) -> Option<Party> {
        let member = |stream| self.links.get(stream).map(|link: &Link| Party::Member(link.member));
        let worker = |stream| self.links.get(stream).map(|link: &Link| Party::Worker(link.worker));
        match packet {
            Packet::Append { to, .. } | Packet::Appended { to, .. } | Packet::Snapshot { to, .. } => Some(Party::Member(*to)),
            Packet::Request(to, _) | Packet::Read(to, _) => Some(Party::Member(*to)),
            Packet::Hello(stream, _) | Packet::ToMember(stream, _) | Packet::BreaksAtMember(stream) => member(stream),
            Packet::ToWorker(stream, _) | Packet::BreaksAtWorker(stream) => worker(stream),
            Packet::Answered(_) => None,
        }
    }

    /// Hands over what has arrived.
    pub(super) fn deliver(&mut self) -> Verdict {
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
            Packet::Append { from, to, .. } | Packet::Appended { from, to, .. } | Packet::Snapshot { from, to, .. } => {
                if !self.is_cut(Party::Member(from), Party::Member(to)) {
                    return self.raft_packet(packet);
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
            Packet::Request(m, envelope) => self.request_arrives(m, envelope),
            Packet::Read(m, acknowledged) => self.read_arrives(m, acknowledged),
            Packet::Answered(Reply { request, namespace, answer, index, term }) => {
                self.acknowledged = self.acknowledged.max(index as u64);
                let (request, namespace, index) = (request.as_str(), namespace.as_str(), index as u64);
                self.invariants.answered(&Answered { request, namespace, answer: &answer, index, term })?;
                self.requests.remove(request);
            }
        }
        Ok(())
    }
}
