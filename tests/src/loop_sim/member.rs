//! A member: a replicated log, the machine over it, and, while it leads, a scheduler core.
//!
//! The log is Raft's, without its votes: a leader appends, sends what a follower lacks, and commits what a majority has. What is appended
//! is durable at once; the state is durable as of its last flush, and a restart applies the log again from there.

use std::collections::BTreeMap;
use std::rc::Rc;

use graft_machine::command::LogEntry;
use graft_machine::memory::Memory;
use graftd::scheduler::SessionHello;
use graftd::scheduler::core::Core;
use graftd::scheduler::message::{Input, StreamId, Token};

use super::MEMBERS;

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// What it says; without commands at the beginning of a term.
    pub entry: Rc<LogEntry>,
}

/// Who waits for an answer to an entry.
#[derive(Debug)]
pub enum Asker {
    /// The core.
    Core(Token),
    /// A client: its request id.
    Client(String),
}

/// What a leader knows.
#[derive(Debug, Default)]
pub struct Lead {
    /// How much of its log each member has.
    pub matched: [usize; MEMBERS],
    /// When what each member has acknowledged last was sent.
    pub heard: [u64; MEMBERS],
    /// Who waits, by index.
    pub askers: BTreeMap<usize, Asker>,
    /// When it sends next.
    pub send_at: u64,
    /// Index of the entry that began the term.
    pub barrier: usize,
}

/// A member. Indexes count from 1; 0 = nothing.
#[derive(Debug, Default)]
pub struct Member {
    /// It is alive.
    pub up: bool,
    /// It is stopped (SIGSTOP) until then.
    pub frozen_until: u64,
    /// When it starts again, while it is down.
    pub restart_at: u64,
    /// Its term. Durable.
    pub term: u64,
    /// The log. Durable.
    pub log: Vec<Record>,
    /// State and index of the last flush.
    pub flushed: (Memory, usize),
    /// The state.
    pub state: Memory,
    /// How much of the log is applied.
    pub applied: usize,
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
}

impl Member {
    /// Term and index of the last entry.
    pub fn last(&self) -> (u64, usize) {
        (self.log.last().map_or(0, |record| record.term), self.log.len())
    }

    /// Leads no more.
    pub fn step_down(&mut self) {
        self.lead = None;
        self.core = None;
        self.inputs.clear();
    }

    /// Another term has begun.
    pub fn step_down_to(&mut self, term: u64) {
        self.term = term;
        self.step_down();
    }

    /// The process dies.
    pub fn crash(&mut self, restart_at: u64) {
        self.step_down();
        (self.up, self.restart_at, self.frozen_until) = (false, restart_at, 0);
        self.streams.clear();
    }

    /// The process starts, with what is durable.
    pub fn restart(&mut self, now: u64) {
        self.up = true;
        self.state = self.flushed.0.clone();
        (self.applied, self.commit) = (self.flushed.1, self.flushed.1);
        self.heard_at = now;
    }

    /// Takes entries that follow `prev`; how much of the log is now known to be the leader's, or `None` if it lacks something before.
    pub fn take(&mut self, prev: (u64, usize), records: &[Record]) -> Option<usize> {
        let (prev_term, prev_index) = prev;
        if prev_index > self.log.len() || (prev_index > 0 && self.log[prev_index - 1].term != prev_term) {
            return None;
        }
        for (i, record) in records.iter().enumerate() {
            let index = prev_index + i;
            if self.log.get(index).is_some_and(|old| old.term != record.term) {
                assert!(index >= self.commit, "a committed entry is never overwritten");
                self.log.truncate(index);
            }
            if index == self.log.len() {
                self.log.push(record.clone());
            }
        }
        Some(prev_index + records.len())
    }
}
