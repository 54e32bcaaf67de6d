//! A member: its clocks, its log, the machine over it, and, while it leads, a scheduler core.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use graft_machine::view;
use graftd::consensus::StampClock;
use graftd::scheduler::SessionHello;
use graftd::scheduler::core::Core;
use graftd::scheduler::message::{Input, StreamId, Token};

use super::clocks::Clocks;
use super::log::{Log, PowerCut, Record};
use super::network::Packet;
use super::plan::Disks;
use super::rng::Rng;
use super::state::{Mark, State};

/// Who belongs to the cluster. Members are named by their place among all that ever were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// They vote.
    pub voters: BTreeSet<usize>,
    /// They only follow.
    pub learners: BTreeSet<usize>,
}

impl Config {
    /// Everybody.
    pub fn members(&self) -> impl Iterator<Item = usize> {
        self.voters.union(&self.learners).copied()
    }

    /// Whether so many of the voters are enough.
    pub fn is_quorum(&self, of: usize) -> bool {
        of > self.voters.len() / 2
    }

    /// The highest value that a quorum of the voters has reached.
    pub fn reached<T: Ord + Copy + Default>(&self, of: impl Fn(usize) -> T) -> T {
        let mut all: Vec<T> = self.voters.iter().map(|voter| of(*voter)).collect();
        all.sort_unstable();
        let quorum = all.len() / 2 + 1;
        if all.is_empty() { T::default() } else { all[all.len() - quorum] }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let bits = |set: &BTreeSet<usize>| set.iter().fold(0_u16, |bits, slot| bits | 1 << slot).to_be_bytes();
        [bits(&self.voters), bits(&self.learners)].concat()
    }

    /// Of bytes; of none: nobody.
    pub fn decode(bytes: &[u8]) -> Self {
        let set = |bytes: &[u8]| {
            let bits = bytes.try_into().map_or(0, u16::from_be_bytes);
            (0..16).filter(|slot| bits & 1 << slot != 0).collect()
        };
        match bytes {
            [a, b, c, d] => Self { voters: set(&[*a, *b]), learners: set(&[*c, *d]) },
            _ => Self::default(),
        }
    }
}

/// Who waits for an answer to an entry.
#[derive(Debug)]
pub enum Asker {
    /// The core.
    Core(Token),
    /// A client: its request id, and its namespace.
    Client(String, String),
}

/// What a leader knows.
#[derive(Debug, Default)]
pub struct Lead {
    /// How much of its log each member has, durably.
    pub matched: BTreeMap<usize, usize>,
    /// After which entry each is sent what follows.
    pub next: BTreeMap<usize, usize>,
    /// When what each member has acknowledged last was sent.
    pub heard: BTreeMap<usize, u64>,
    /// Who is being sent a snapshot, and until when it may take.
    pub snapshots: BTreeMap<usize, u64>,
    /// Who waits, by index.
    pub askers: BTreeMap<usize, Asker>,
    /// Reads: when they came, the index that they must show, what had been acknowledged when they were asked for.
    pub reads: Vec<(u64, usize, u64)>,
    /// When it sends next.
    pub send_at: u64,
    /// When it next looks for requests to be forgotten.
    pub expire_at: u64,
    /// When it won its term.
    pub began: u64,
    /// Index of the entry that began the term.
    pub barrier: usize,
}

/// A member. Indexes count from 1; 0 = nothing.
pub struct Member {
    /// It is alive.
    pub up: bool,
    /// It is stopped (SIGSTOP) until then.
    pub frozen_until: u64,
    /// When it starts again, while it is down.
    pub restart_at: u64,
    /// It is gone for good: removed, or without its disk.
    pub gone: bool,
    /// Its disk does not sync until then.
    pub slow_until: u64,
    /// Its term. Durable, with the vote.
    pub term: u64,
    /// The log.
    pub log: Log,
    /// The state.
    pub state: State,
    /// How much is known to be committed.
    pub commit: usize,
    /// When a leader was last heard: no vote for a lease time from then.
    pub heard_at: u64,
    /// While it leads.
    pub lead: Option<Lead>,
    /// Once it has applied everything of earlier terms.
    pub core: Option<Core>,
    /// For the core.
    pub inputs: Vec<Input>,
    /// Workers' streams.
    pub streams: BTreeMap<StreamId, SessionHello>,
    /// To be sent once the log is synced.
    pub after_sync: Vec<Packet>,
    /// Its clocks.
    pub clocks: Clocks,
    /// Makes stamps.
    pub stamps: StampClock,
    /// Counts its starts.
    pub starts: u64,
    /// The membership that it was formed with; nobody, if it joined.
    pub formed: Rc<Config>,
    /// The end of its log when it started: what is replayed says nothing about now.
    pub recovered: usize,
}

impl Member {
    /// A member with an empty disk.
    pub fn new(slot: usize, now: u64, disks: Disks, rng: &mut Rng) -> Self {
        let clocks = Clocks::new(slot, now, rng);
        let stamps = StampClock::new(clocks.clock.clone(), 0);
        Self {
            up: true,
            frozen_until: 0,
            restart_at: 0,
            gone: false,
            slow_until: 0,
            term: 0,
            log: Log::new(disks == Disks::Torn),
            state: State::new(disks),
            commit: 0,
            heard_at: now,
            lead: None,
            core: None,
            inputs: Vec::new(),
            streams: BTreeMap::new(),
            after_sync: Vec::new(),
            clocks,
            stamps,
            starts: 0,
            formed: Rc::default(),
            recovered: 0,
        }
    }

    /// How much of the log is applied.
    pub fn applied(&self) -> usize {
        self.state.mark().index
    }

    /// As [`Self::applied`]; of a process that does not run, what it will begin with.
    pub fn applied_or_flushed(&self) -> usize {
        if self.up { self.applied() } else { self.state.flushed().index }
    }

    /// How it stands, for whoever wonders why nobody leads.
    pub fn describe(&self) -> String {
        let Self { up, gone, term, commit, lead, .. } = self;
        let (leads, log) = (lead.is_some(), self.log.last());
        format!("up {up}, gone {gone}, term {term}, leads {leads}, last {log:?}, committed {commit}, membership {:?}", self.log.config())
    }

    /// Whether it is there and runs.
    pub fn runs(&self, now: u64) -> bool {
        self.up && self.frozen_until <= now
    }

    /// Leads no more.
    pub fn step_down(&mut self) {
        self.lead = None;
        self.core = None;
        self.inputs.clear();
    }

    /// Another term has begun.
    pub fn step_down_to(&mut self, term: u64, candidate: u64) -> Result<(), PowerCut> {
        if term > self.term {
            self.term = term;
            self.log.save_vote(term, candidate)?;
        }
        self.step_down();
        Ok(())
    }

    /// The process ends: alone, or with the power.
    pub fn crash(&mut self, restart_at: u64, power: bool, rng: &mut Rng) {
        self.step_down();
        (self.up, self.restart_at, self.frozen_until) = (false, restart_at, 0);
        self.streams.clear();
        self.after_sync.clear();
        self.log.stop(power, rng);
        self.state.stop(power, rng);
    }

    /// The process starts, with what is durable.
    pub fn restart(&mut self, now: u64, rng: &mut Rng) -> Result<(), String> {
        if let Some((term, _)) = self.log.open()? {
            self.term = term;
        }
        self.state.open(rng)?;
        let mark = self.state.mark();
        if mark.index < self.log.base() {
            return Err(format!("D3: the state is that of entry {}, and the log begins after {}", mark.index, self.log.base()));
        }
        if self.log.end() < mark.index {
            // An installed snapshot was durable, and the log did not hear of it any more.
            self.log.installed(mark.index, mark.term).map_err(|_| "the disk has failed again")?;
        }
        self.up = true;
        self.starts += 1;
        self.commit = mark.index;
        self.heard_at = now;
        self.recovered = self.log.end();
        self.log.goes_on_from(mark.index, if mark.index == 0 { self.formed.clone() } else { mark.config });
        let time = view::meta(&self.state.reader()).time;
        self.stamps = StampClock::new(self.clocks.clock.clone(), time);
        Ok(())
    }

    /// Takes entries that follow `prev`; how much of the log is now known to be the leader's, or `None` if it lacks something before.
    pub fn take(&mut self, prev: (u64, usize), records: &[Record]) -> Result<Option<usize>, PowerCut> {
        let (prev_term, prev_index) = prev;
        if prev_index >= self.log.base() && self.log.term_at(prev_index) != Some(prev_term) {
            return Ok(None);
        }
        for (i, record) in records.iter().enumerate() {
            let index = prev_index + 1 + i;
            if index <= self.log.base() {
                continue;
            }
            if self.log.get(index).is_some_and(|old| old.term != record.term) {
                assert!(index > self.commit, "a committed entry is never overwritten");
                self.log.truncate(index - 1)?;
            }
            if index == self.log.end() + 1 {
                self.log.push(record.clone());
            }
        }
        Ok(Some(prev_index + records.len()))
    }

    /// The mark of an entry of its log.
    pub fn mark(&self, index: usize, term: u64) -> Mark {
        Mark { index, term, config: self.log.config_at(index) }
    }
}
