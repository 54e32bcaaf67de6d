//! A look at a cluster in peace, and whoever judges it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use graft_machine::ids::AttemptRef;

use crate::invariants::Verdict;

/// The bounds, in milliseconds of the observer's time since the faults stopped.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// L1: a leader is there, and has begun its term.
    pub leader: u64,
    /// The recovery of a term, and whatever was held before it, are over.
    pub recovery: u64,
    /// L3: a request is answered.
    pub request: u64,
    /// L4, L8: a ready task that a worker could take waits no longer.
    pub dispatch: u64,
    /// L5: every workflow has ended.
    pub all: u64,
    /// L7: a log that holds too much is purged.
    pub purge: u64,
    /// L9: something has moved.
    pub stuck: u64,
}

/// A ready task of a running workflow.
#[derive(Clone, Copy, Debug)]
pub struct ReadyLook {
    /// Its current attempt.
    pub at: AttemptRef,
    /// A worker with room could take it, and no limit is in its way.
    pub takeable: bool,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug)]
pub struct MemberLook {
    /// Raft id.
    pub member: u64,
    /// It has applied so much.
    pub applied: u64,
    /// Entries that its log holds.
    pub log: u64,
    /// Index of its flushed state.
    pub flushed: u64,
}

/// A look at everything.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Milliseconds since the faults stopped.
    pub since: u64,
    /// Raft id and term of the leader, once it has begun its term.
    pub leader: Option<(u64, u64)>,
    /// Index of the leader's last entry.
    pub last: u64,
    /// The members that belong to the cluster, as the leader has it.
    pub members: Vec<MemberLook>,
    /// Members that are only learners: there are none in the end.
    pub learners: usize,
    /// Most entries that a log may hold beyond what is not yet applied.
    pub log_bound: u64,
    /// Requests that wait for an answer, and when (in `since`) each was first asked.
    pub requests: BTreeMap<String, u64>,
    /// Ready tasks of running workflows.
    pub ready: Vec<ReadyLook>,
    /// Attempts that the leader counts as held, and by whom.
    pub held: BTreeMap<AttemptRef, String>,
    /// Incarnations of workers that live.
    pub workers: BTreeSet<String>,
    /// Workflows that have not ended, and what they wait for.
    pub open: Vec<String>,
    /// Rises whenever anything moves.
    pub progress: u64,
}

/// A promise about looks.
pub trait Promise: Debug {
    /// Judges a look; they come in the order of time.
    fn look(&mut self, look: &Look, bounds: &Bounds) -> Verdict;
}

/// All promises of liveness.
#[derive(Debug)]
pub struct Liveness {
    bounds: Bounds,
    all: Vec<(&'static str, Box<dyn Promise>)>,
}

impl Liveness {
    /// With these bounds.
    pub fn new(bounds: Bounds) -> Self {
        macro_rules! all {
            ($($id:literal $name:ident)*) => {
                vec![$((concat!($id, " ", stringify!($name)), Box::<super::$name::Check>::default() as Box<dyn Promise>),)*]
            };
        }
        let all = all! {
            "L1" a_leader_comes
            "L2" members_agree
            "L3" fresh_requests_are_served
            "L4" what_is_ready_is_dispatched
            "L5" every_workflow_ends
            "L6" a_lost_lease_is_given_again
            "L7" logs_are_purged
            "L9" something_always_moves
        };
        Self { bounds, all }
    }

    /// Judges a look.
    pub fn look(&mut self, look: &Look) -> Verdict {
        let bounds = self.bounds;
        self.all.iter_mut().try_for_each(|(name, promise)| promise.look(look, &bounds).map_err(|wrong| format!("{name}: {wrong}")))
    }
}
