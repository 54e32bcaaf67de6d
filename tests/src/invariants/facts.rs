//! What an observer tells: plain data, in the words of the machine.

use graft_machine::Applied;
use graft_machine::command::LogEntry;
use graft_machine::event::Event;
use graft_machine::ids::{AttemptRef, EventPos, Lease};
use graft_machine::reply::Answer;
use graft_machine::tables::LimitKey;
use graft_machine::workflow::StatusKind;

/// Where something stands in the log, and when.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Index of the entry, from 1.
    pub index: u64,
    /// Term of the leader that wrote it.
    pub term: u64,
    /// Stamp of the entry.
    pub stamp: u64,
    /// The machine's time there: the highest stamp so far.
    pub time: u64,
}

/// A member has applied an entry.
#[derive(Debug)]
pub struct Replica<'a> {
    /// Raft id of the member.
    pub member: u64,
    /// Index of the entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The entry.
    pub entry: &'a LogEntry,
    /// What came of its commands there.
    pub applied: &'a [Applied],
    /// Hash of the whole state after it, where it was taken.
    pub hash: Option<u64>,
}

/// A client was answered.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Request id.
    pub request: &'a str,
    /// Namespace of the request.
    pub namespace: &'a str,
    /// The answer.
    pub answer: &'a Answer,
    /// Index of the entry that it came from; 0 = not known.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
}

/// An attempt that somebody holds now.
#[derive(Clone, Debug)]
pub struct HeldNow {
    /// The attempt.
    pub at: AttemptRef,
    /// Namespace and node; none where its workflow has ended or the attempt is not its task's current one: such a holder was told to stop.
    pub node: Option<(String, String)>,
}

/// A leader sends an assignment.
#[derive(Debug)]
pub struct Minted<'a> {
    /// Its term.
    pub term: u64,
    /// The attempt.
    pub at: AttemptRef,
    /// The lease.
    pub lease: Lease,
    /// Incarnation of the worker.
    pub worker: &'a str,
    /// Status of the workflow as the leader has applied it; none: it is gone.
    pub status: Option<StatusKind>,
    /// The task's current attempt, if it is ready.
    pub ready: Option<u32>,
    /// Namespace and node.
    pub node: (String, String),
    /// Every attempt that somebody holds, this one among them: by the leader's count, or truly, at a worker whose lease still runs.
    pub held: &'a [HeldNow],
    /// Limits in force.
    pub limits: &'a [(LimitKey, u32)],
    /// Limits that sessions declare for the node.
    pub declared: &'a [u32],
}

/// A worker begins to execute an attempt: a row of the execution ledger.
#[derive(Debug)]
pub struct Began<'a> {
    /// The attempt.
    pub at: AttemptRef,
    /// The lease.
    pub lease: Lease,
    /// Incarnation of the worker.
    pub worker: &'a str,
    /// Incarnation of another worker that executes the same attempt, if its lease still runs.
    pub elsewhere: Option<&'a str>,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// Raft id of the member.
    pub member: u64,
    /// Counts its starts: marks in memory may go back with a restart, and only then.
    pub start: u64,
    /// Its term.
    pub term: u64,
    /// Its log begins after this index.
    pub purged: u64,
    /// The state on disk.
    pub flushed: u64,
    /// The state in memory.
    pub applied: u64,
    /// Known to be committed.
    pub committed: u64,
    /// The last entry.
    pub last: u64,
}

/// A member has won a term.
pub struct Leads<'a> {
    /// Raft id of the member.
    pub member: u64,
    /// The term.
    pub term: u64,
    /// Index of its last entry.
    pub last: u64,
    /// Index up to which its log is purged.
    pub purged: u64,
    /// Term of an entry of its log.
    pub term_at: &'a dyn Fn(u64) -> Option<u64>,
}

/// A member has voted.
#[derive(Clone, Copy, Debug)]
pub struct Voted {
    /// Raft id of the member.
    pub member: u64,
    /// In this term.
    pub term: u64,
    /// For this member.
    pub candidate: u64,
}

/// A state was carried from one member to another, or flushed.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotSeen {
    /// Index that it says to hold.
    pub index: u64,
    /// Term of that entry.
    pub term: u64,
    /// Hash of its content.
    pub hash: u64,
}

/// A member starts.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Raft id of the member.
    pub member: u64,
    /// Whether its disk was empty: it is new.
    pub fresh: bool,
    /// What opening its stores came to.
    pub outcome: Result<(), &'a str>,
}

/// A client has read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The highest index from which an answer had reached any client when the read was asked for.
    pub acknowledged: u64,
    /// The index that the read shows.
    pub shown: u64,
}

/// A page of events that a subscriber was given.
#[derive(Debug)]
pub struct Page<'a> {
    /// Whose subscription.
    pub subscriber: u64,
    /// After this position.
    pub after: Option<EventPos>,
    /// The events, as they were given.
    pub events: &'a [(EventPos, Event)],
    /// Everything up to this index was looked through.
    pub through: u64,
}
