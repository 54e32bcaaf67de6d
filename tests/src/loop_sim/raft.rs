//! A model of Raft, the smallest that keeps its promises: a leader appends, sends what a follower lacks, and commits what a quorum has synced.
//!
//! - An election happens in one moment: whoever has heard of no leader for a lease time asks everybody it can reach, and only if a quorum
//!   would vote for it (its log is not behind theirs, they have heard of no leader either) does a term begin. So there is pre-vote, and a
//!   leader's lease: until a quorum has heard nothing of it for a lease time, nobody else can win. Votes are durable before they count.
//! - What is appended is acknowledged once it is synced; a power cut takes what is not.
//! - The membership changes by one member at a time, takes effect when it is appended, and only a leader that has committed an entry of
//!   its own term, and no other change under way, may change it.
//! - A follower that needs what is purged is sent the state.

use std::rc::Rc;

use graft_machine::command::{ENTRY_FORMAT, Envelope, LogEntry, MACHINE_VERSION};

use super::LEADER_LEASE_MS;
use super::log::{PowerCut, Record};
use super::member::{Asker, Config, Lead};
use super::network::{Packet, Party};
use super::world::{Verdict, World};
use crate::invariants::{Leads, Marks, Voted};

/// How often a leader sends to its followers, in milliseconds.
const APPEND_MS: u64 = 30;
/// Entries in one message.
const APPEND_RECORDS: usize = 400;
/// How long a snapshot may take before another is sent, in milliseconds.
const SNAPSHOT_MS: u64 = 600;

/// The raft id of a member: never used again.
pub fn raft_id(slot: usize) -> u64 {
    slot as u64 + 1
}

impl World {
    /// A member's disk has failed under it: the power is gone.
    pub(super) fn power_cut(&mut self, m: usize) {
        let until = self.now + self.rng.between(100, 2_500);
        self.met("power cut in a write");
        self.crash(m, until, true);
    }

    /// Does something with a member's disk; the member is gone if that fails.
    pub(super) fn on_disk<R>(&mut self, m: usize, work: impl FnOnce(&mut Self) -> Result<R, PowerCut>) -> Option<R> {
        work(self).map_err(|PowerCut| self.power_cut(m)).ok()
    }

    /// Appends an entry of commands, or an empty one.
    pub(super) fn propose(&mut self, m: usize, commands: Vec<Envelope>, asker: Option<Asker>) {
        let member = &mut self.members[m];
        member.clocks.tick(self.now);
        // What raft itself writes carries no stamp: it says nothing to the machine.
        let time = if commands.is_empty() { 0 } else { member.stamps.stamp() };
        let entry = LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time, commands };
        self.append_record(m, Rc::new(entry), None, asker);
    }

    fn append_record(&mut self, m: usize, entry: Rc<LogEntry>, config: Option<Rc<Config>>, asker: Option<Asker>) {
        let member = &mut self.members[m];
        member.log.push(Record { term: member.term, entry, config });
        let index = member.log.end();
        if let Some(lead) = &mut member.lead {
            lead.send_at = 0;
            if let Some(asker) = asker {
                lead.askers.insert(index, asker);
            }
        }
    }

    /// Changes the membership, if this leader may now.
    pub(super) fn reconfigure(&mut self, m: usize, config: Config) -> bool {
        let member = &self.members[m];
        let (at, _) = member.log.config();
        let may = member.lead.as_ref().is_some_and(|lead| member.commit >= lead.barrier) && at <= member.commit;
        if may {
            let entry = LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time: 0, commands: vec![] };
            self.append_record(m, Rc::new(entry), Some(Rc::new(config)), None);
        }
        may
    }

    /// A member's turn: sync, acknowledge, send, commit.
    pub(super) fn raft_turn(&mut self, m: usize) -> Verdict {
        if self.members[m].slow_until <= self.now {
            if self.on_disk(m, |world| world.members[m].log.sync()).is_none() {
                return Ok(());
            }
            for packet in std::mem::take(&mut self.members[m].after_sync) {
                self.datagram(packet);
            }
        }
        self.advance_commit(m);
        self.replicate(m);
        if self.members[m].up { self.tell_marks(m) } else { Ok(()) }
    }

    pub(super) fn tell_marks(&mut self, m: usize) -> Verdict {
        let member = &self.members[m];
        self.invariants.marks(Marks {
            member: raft_id(m),
            start: member.starts,
            term: member.term,
            purged: member.log.base() as u64,
            flushed: member.state.flushed().index as u64,
            applied: member.applied() as u64,
            committed: member.commit as u64,
            last: member.log.end() as u64,
        })
    }

    fn advance_commit(&mut self, m: usize) {
        let member = &mut self.members[m];
        let Some(lead) = &mut member.lead else { return };
        lead.matched.insert(m, member.log.synced());
        let (_, config) = member.log.config();
        let majority = config.reached(|voter| lead.matched.get(&voter).copied().unwrap_or(0));
        if majority > member.commit && member.log.term_at(majority) == Some(member.term) {
            member.commit = majority;
        }
        let done = member.log.config().0 <= member.commit && !config.voters.contains(&m);
        if done {
            // It has removed itself.
            member.step_down();
        }
    }

    fn replicate(&mut self, m: usize) {
        let now = self.now;
        let member = &mut self.members[m];
        let (term, commit) = (member.term, member.commit);
        let (_, config) = member.log.config();
        let Some(lead) = member.lead.as_mut().filter(|lead| lead.send_at <= now) else { return };
        lead.send_at = now + APPEND_MS;
        let end = member.log.end();
        let nexts: Vec<(usize, usize)> =
            config.members().filter(|to| *to != m).map(|to| (to, lead.next.get(&to).copied().unwrap_or(end).min(end))).collect();
        for (to, prev) in nexts {
            let log = &self.members[m].log;
            if prev < log.base() {
                self.send_snapshot(m, to);
                continue;
            }
            let prev = (log.term_at(prev).unwrap_or(0), prev);
            let records = log.from(prev.1 + 1, APPEND_RECORDS);
            self.datagram(Packet::Append { from: m, to, term, prev, records, commit, sent_at: now });
        }
    }

    fn send_snapshot(&mut self, m: usize, to: usize) {
        let now = self.now;
        let Some(lead) = &mut self.members[m].lead else { return };
        if lead.snapshots.get(&to).is_some_and(|until| *until > now) {
            // A heartbeat, so that nobody is elected meanwhile.
            let (term, commit, base) = (self.members[m].term, 0, self.members[m].log.base());
            let prev = (self.members[m].log.term_at(base).unwrap_or(0), base);
            self.datagram(Packet::Append { from: m, to, term, prev, records: vec![], commit, sent_at: now });
            return;
        }
        lead.snapshots.insert(to, now + SNAPSHOT_MS);
        let Some(image) = self.on_disk(m, |world| world.members[m].state.image()) else { return };
        self.met("snapshot sent");
        let term = self.members[m].term;
        self.datagram(Packet::Snapshot { from: m, to, term, image: Rc::new(image), sent_at: now });
    }

    pub(super) fn raft_packet(&mut self, packet: Packet) -> Verdict {
        match packet {
            Packet::Append { from, to, term, prev, records, commit, sent_at } => {
                self.append(from, to, term, prev, &records, commit, sent_at);
            }
            Packet::Appended { from, to, term, matched, commit, sent_at } => self.appended(from, to, term, matched, commit, sent_at),
            Packet::Snapshot { from, to, term, image, sent_at } => self.snapshot_arrives(from, to, term, &image, sent_at)?,
            _ => unreachable!("only raft's packets come here"),
        }
        Ok(())
    }

    /// A leader has spoken to a member: whether it is heard.
    pub(super) fn hear_leader(&mut self, from: usize, to: usize, term: u64) -> bool {
        let now = self.now;
        let member = &mut self.members[to];
        if term < member.term {
            return false;
        }
        if (term > member.term || member.lead.is_some())
            && self.on_disk(to, |world| world.members[to].step_down_to(term, raft_id(from))).is_none()
        {
            return false;
        }
        self.members[to].heard_at = now;
        true
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one message")]
    fn append(&mut self, from: usize, to: usize, term: u64, prev: (u64, usize), records: &[Record], commit: usize, sent_at: u64) {
        if !self.hear_leader(from, to, term) {
            if self.members[to].up {
                let term = self.members[to].term;
                self.datagram(Packet::Appended { from: to, to: from, term, matched: None, commit: 0, sent_at });
            }
            return;
        }
        let Some(matched) = self.on_disk(to, |world| world.members[to].take(prev, records)) else { return };
        let member = &mut self.members[to];
        if let Some(matched) = matched {
            member.commit = member.commit.max(commit.min(matched));
        }
        let reply = Packet::Appended { from: to, to: from, term, matched, commit: member.commit, sent_at };
        member.after_sync.push(reply);
    }

    fn appended(&mut self, from: usize, to: usize, term: u64, matched: Option<usize>, commit: usize, sent_at: u64) {
        let member = &mut self.members[to];
        if term > member.term {
            let _ = self.on_disk(to, |world| world.members[to].step_down_to(term, 0));
            return;
        }
        let own = member.term;
        let Some(lead) = member.lead.as_mut().filter(|_| term == own) else { return };
        let heard = lead.heard.entry(from).or_default();
        *heard = (*heard).max(sent_at);
        match matched {
            Some(matched) => {
                let known = lead.matched.entry(from).or_default();
                *known = (*known).max(matched);
                lead.next.insert(from, *known);
            }
            // It has what it knows to be committed: everybody has.
            None => drop(lead.next.insert(from, commit)),
        }
        self.advance_commit(to);
    }

    /// When a quorum last heard this leader, as far as it knows.
    pub(super) fn quorum_heard(&self, m: usize) -> Option<u64> {
        let member = &self.members[m];
        let lead = member.lead.as_ref()?;
        let (_, config) = member.log.config();
        let since = config.reached(|voter| if voter == m { self.now } else { lead.heard.get(&voter).copied().unwrap_or(0) });
        Some(since).filter(|since| *since > 0)
    }

    /// Until when nobody else can lead, in the member's own clock.
    pub(super) fn leader_lease(&self, m: usize) -> Option<u64> {
        self.quorum_heard(m).map(|since| self.members[m].clocks.monotonic(since + LEADER_LEASE_MS))
    }

    /// Somebody who has heard of no leader for the lease time asks for votes; who has heard of one lately gives none.
    pub(super) fn elect(&mut self) -> Verdict {
        // In peace there is less to wait for.
        if !self.rng.chance(if self.chaos { 50 } else { 150 }) {
            return Ok(());
        }
        let present: Vec<usize> = (0..self.members.len()).filter(|m| !self.members[*m].gone).collect();
        let c = present[self.rng.below(present.len() as u64) as usize];
        let now = self.now;
        let can = |world: &Self, m: usize| {
            let member = &world.members[m];
            // A leader that a quorum has not heard for as long may have been deposed, and votes like everybody.
            let heard = match &member.lead {
                Some(lead) => world.quorum_heard(m).unwrap_or(0).max(lead.began),
                None => member.heard_at,
            };
            member.runs(now) && now >= heard + LEADER_LEASE_MS
        };
        let (_, config) = self.members[c].log.config();
        // Also who is not in its own membership any more: until that is committed, it may be the only one that has it.
        if !can(self, c) || config.voters.is_empty() || config.learners.contains(&c) {
            return Ok(());
        }
        let last = self.members[c].log.last();
        let reached = |world: &Self, v: usize| {
            v == c || !world.is_cut(Party::Member(c), Party::Member(v)) && !world.is_cut(Party::Member(v), Party::Member(c))
        };
        let willing: Vec<usize> =
            config.voters.iter().copied().filter(|v| reached(self, *v) && can(self, *v) && self.members[*v].log.last() <= last).collect();
        if !config.is_quorum(willing.len()) {
            return Ok(());
        }
        let term = willing.iter().chain([&c]).map(|v| self.members[*v].term).max().unwrap_or(0) + 1;
        let mut votes = 0;
        if self.on_disk(c, |world| world.members[c].step_down_to(term, raft_id(c))).is_none() {
            return Ok(());
        }
        for v in willing {
            if self.on_disk(v, |world| world.members[v].step_down_to(term, raft_id(c))).is_some() {
                self.invariants.voted(Voted { member: raft_id(v), term, candidate: raft_id(c) })?;
                votes += 1;
            }
        }
        if !config.is_quorum(votes) || !self.members[c].up {
            return Ok(());
        }
        self.met("term");
        self.members[c].lead = Some(Lead { began: self.now, ..Default::default() });
        let log = &self.members[c].log;
        let term_at = |index| log.term_at(index as usize);
        let (last, purged) = (log.end() as u64, log.base() as u64);
        self.invariants.leads(&Leads { member: raft_id(c), term, last, purged, term_at: &term_at })?;
        self.propose(c, vec![], None);
        let barrier = self.members[c].log.end();
        if let Some(lead) = &mut self.members[c].lead {
            lead.barrier = barrier;
        }
        Ok(())
    }
}
