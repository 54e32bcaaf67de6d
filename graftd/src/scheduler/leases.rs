//! Leases: who may execute which attempt. They live in the leader's memory only.
//!
//! A lease is renewed with its session, so it has no expiry of its own: when the session has been silent for its lease time, all its
//! attempts are lost together. What an attempt can have of its own is a deadline: its longest execution, or the time that a worker gets to
//! report after it was told to stop.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::ids::{AttemptRef, Lease, Run, TaskId};

use super::StopReason;
use super::queues::{Place, QueueId, Waiting};
use super::sessions::SessionId;

/// What is going on with an attempt that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The lease is minted; the state is being read. Then it is sent.
    Loading {
        /// Where it stood in its queue.
        place: Place,
        /// As what.
        waiting: Waiting,
        /// The run was stopped meanwhile: it is not to be sent.
        void: bool,
    },
    /// The worker has it.
    Running,
    /// A result of it is proposed: nothing is decided about it until that is answered.
    Resolving,
    /// Its loss is proposed.
    Losing,
}

/// Why an attempt has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeadlineKind {
    /// Its longest execution.
    Timeout,
    /// It was told to stop, and does not matter any more: then it is let go.
    Stop,
}

/// An attempt that is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: SessionId,
    pub(super) lease: Lease,
    pub(super) queue: QueueId,
    pub(super) phase: Phase,
    /// Longest execution, in milliseconds; 0 = none.
    pub(super) timeout: u64,
    /// When it was sent, by the core's clock; `None`: it was not, or under an earlier leader.
    pub(super) sent: Option<u64>,
    deadline: Option<(u64, DeadlineKind)>,
    /// Why its worker was told to stop: told again on the worker's next stream, since the first notice may have gone down with the last.
    pub(super) told: Option<StopReason>,
    /// What it reported last.
    pub(super) progress: String,
}

impl Held {
    pub(super) fn new(session: SessionId, lease: Lease, queue: QueueId, phase: Phase, timeout: u64) -> Self {
        Self { session, lease, queue, phase, timeout, sent: None, deadline: None, told: None, progress: String::new() }
    }
}

/// All attempts that are held.
#[derive(Debug)]
pub(super) struct Leases {
    term: u64,
    minted: u64,
    held: BTreeMap<AttemptRef, Held>,
    deadlines: BTreeSet<(u64, AttemptRef)>,
}

impl Leases {
    pub(super) fn new(term: u64) -> Self {
        Self { term, minted: 0, held: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    /// A new lease, higher than any before.
    pub(super) fn mint(&mut self) -> Lease {
        self.minted += 1;
        Lease { term: self.term, sequence: self.minted }
    }

    /// Attempts held.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn get(&self, at: AttemptRef) -> Option<&Held> {
        self.held.get(&at)
    }

    pub(super) fn get_mut(&mut self, at: AttemptRef) -> Option<&mut Held> {
        self.held.get_mut(&at)
    }

    /// Every attempt that is held, with who holds it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AttemptRef, &Held)> {
        self.held.iter()
    }

    pub(super) fn insert(&mut self, at: AttemptRef, held: Held) {
        let old = self.held.insert(at, held);
        debug_assert!(old.is_none(), "one live lease per attempt: {at} is held already");
    }

    pub(super) fn remove(&mut self, at: AttemptRef) -> Option<Held> {
        let held = self.held.remove(&at)?;
        if let Some((time, _)) = held.deadline {
            self.deadlines.remove(&(time, at));
        }
        Some(held)
    }

    /// Whether this attempt of the task, or a newer one, is held.
    pub(super) fn holds_or_newer(&self, at: AttemptRef) -> bool {
        self.held.range(at..=AttemptRef { attempt: u32::MAX, ..at }).next().is_some()
    }

    /// Attempts of a run that are held.
    pub(super) fn of_run(&self, run: Run) -> impl Iterator<Item = (AttemptRef, &Held)> {
        let (first, last) = (AttemptRef { run, task: 0, attempt: 0 }, AttemptRef { run, task: TaskId::MAX, attempt: u32::MAX });
        self.held.range(first..=last).map(|(at, held)| (*at, held))
    }

    /// Sets the deadline of an attempt.
    pub(super) fn set_deadline(&mut self, at: AttemptRef, time: u64, kind: DeadlineKind) {
        let Some(held) = self.held.get_mut(&at) else { return };
        if let Some((old, _)) = held.deadline.replace((time, kind)) {
            self.deadlines.remove(&(old, at));
        }
        self.deadlines.insert((time, at));
    }

    /// The next attempt whose deadline has passed; the deadline is taken off.
    pub(super) fn pop_deadline(&mut self, now: u64) -> Option<(AttemptRef, DeadlineKind)> {
        let (time, at) = *self.deadlines.first().filter(|(time, _)| *time <= now)?;
        self.deadlines.remove(&(time, at));
        let (_, kind) = self.held.get_mut(&at)?.deadline.take()?;
        Some((at, kind))
    }

    /// When the next deadline passes.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(time, _)| *time)
    }
}
