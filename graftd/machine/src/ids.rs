//! What things are called: numbers that the machine counts, and the pairs and triples that name one thing exactly.

use std::fmt;

use prost::Message;

/// Number of a partition of the keyspace. Every key starts with it; there is one partition today.
pub type Partition = u16;

/// The only partition there is today.
pub const PARTITION: Partition = 0;

/// One life of a workflow id; counted by the machine, never reused.
pub type Run = u64;

/// Number of a task within its run, from 1.
pub type TaskId = u32;

/// Number of a scope within its run. [`OUTERMOST`] is the workflow itself.
pub type ScopeId = u32;

/// The scope that is the workflow: it completes when this scope is empty.
pub const OUTERMOST: ScopeId = 0;

/// A task, named exactly. Displays as `run/task`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct TaskRef {
    /// The run that the task belongs to.
    #[prost(uint64, tag = "1")]
    pub run: Run,
    /// The task within the run.
    #[prost(uint32, tag = "2")]
    pub task: TaskId,
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.task)
    }
}

/// One try of a task. The number rises whenever the right to the task changes hands (failure, lost lease, block, hand-back), so that
/// it fences: what an earlier attempt still sends resolves nothing. Displays as `run/task#attempt`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct AttemptRef {
    /// The run that the task belongs to.
    #[prost(uint64, tag = "1")]
    pub run: Run,
    /// The task within the run.
    #[prost(uint32, tag = "2")]
    pub task: TaskId,
    /// Number of the attempt, from 1.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
}

impl AttemptRef {
    /// The task that this is an attempt of.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef { run: self.run, task: self.task }
    }
}

impl fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.run, self.task, self.attempt)
    }
}

/// A worker's volatile right to an attempt: minted by the leader of `term`, higher wins. It is never part of the state;
/// the event of the accepted completion names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct Lease {
    /// Term of the leader that minted it.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Counted up by that leader.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
}

/// Place of an event in the log: entry index, then ordinal within the entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Message)]
pub struct EventPos {
    /// Index of the log entry.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Ordinal of the event within the entry.
    #[prost(uint32, tag = "2")]
    pub ordinal: u32,
}
