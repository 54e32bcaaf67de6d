//! A workflow: one durable execution, and the status it is in.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};

use crate::ids::{Run, ScopeId, TaskId};
use crate::time::Millis;
use crate::trace::TraceParent;

/// One run of a workflow.
///
/// Invariants (checked by `invariants::check`):
/// - `state` is a JSON object in canonical form (sorted keys, no spaces) of at most `STATE_BYTES_MAX` bytes.
/// - `revision` rises by one with every command that changes `state`.
/// - `open_tasks` is the number of task records of the run that are not dead letters.
/// - a run in a final status is reached by the retention timer only, or reopened when a dead letter of it is redriven.
#[derive(Clone, PartialEq, Message)]
pub struct Workflow {
    /// Namespace that the workflow lives in.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// The id that its user chose.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Number of this run.
    #[prost(uint64, tag = "3")]
    pub run: Run,
    /// The state document: a JSON object.
    #[prost(bytes = "bytes", tag = "4")]
    pub state: Bytes,
    /// Counts the changes of `state`, from 1.
    #[prost(uint64, tag = "5")]
    pub revision: u64,
    /// What its user marked it with.
    #[prost(btree_map = "string, string", tag = "6")]
    pub labels: BTreeMap<String, String>,
    /// When it was accepted.
    #[prost(uint64, tag = "7")]
    pub created: Millis,
    /// When it times out; 0 = never.
    #[prost(uint64, tag = "8")]
    pub deadline: Millis,
    /// How long it is kept once finished, in milliseconds.
    #[prost(uint64, tag = "9")]
    pub retention: Millis,
    /// Number that the next task gets.
    #[prost(uint32, tag = "10")]
    pub next_task: TaskId,
    /// Number that the next scope gets.
    #[prost(uint32, tag = "11")]
    pub next_scope: ScopeId,
    /// Tasks that are open: neither resolved nor dead-lettered.
    #[prost(uint32, tag = "12")]
    pub open_tasks: u32,
    /// Tasks that wait for a change of the state.
    #[prost(uint32, tag = "13")]
    pub blocked_tasks: u32,
    /// Tasks that are dead letters.
    #[prost(uint32, tag = "14")]
    pub dead_letters: u32,
    /// How far the running sweep over the tasks has come (last task seen); meaningful while a sweep timer stands.
    #[prost(uint32, tag = "15")]
    pub sweep_cursor: TaskId,
    /// Events written for this run.
    #[prost(uint64, tag = "16")]
    pub events: u64,
    /// When the pending sweep timer is due, 0 = no sweep is pending.
    #[prost(uint64, tag = "17")]
    pub sweep_due: Millis,
    /// Another pass follows the running sweep: the state changed while it was under way.
    #[prost(bool, tag = "18")]
    pub sweep_again: bool,
    /// JSON pointers whose change the pending sweep announces to blocked tasks; at most `TOUCHED_MAX`, beyond that one empty pointer.
    #[prost(string, repeated, tag = "19")]
    pub sweep_touched: Vec<String>,
    /// The pending sweep was started by a change of the state alone: it only wakes, since ready tasks have been listed and offered.
    #[prost(bool, tag = "28")]
    pub sweep_wakes_only: bool,
    /// How often it was reopened after it had ended.
    #[prost(uint32, tag = "29")]
    pub reopened: u32,
    /// The span that its caller started it from, if it told one.
    #[prost(message, optional, tag = "30")]
    pub traceparent: Option<TraceParent>,
    /// What it is doing.
    #[prost(oneof = "Status", tags = "20, 21, 22, 23, 24, 25, 26, 27")]
    pub status: Option<Status>,
}

/// What a workflow is doing. Each state carries what belongs to it.
#[derive(Clone, PartialEq, Oneof)]
pub enum Status {
    /// Tasks are offered.
    #[prost(message, tag = "20")]
    Running(Running),
    /// No task is offered until it is resumed; running attempts may finish.
    #[prost(message, tag = "21")]
    Paused(Paused),
    /// Running attempts have been told; no task starts; at `until` what still runs is given up.
    #[prost(message, tag = "22")]
    Cancelling(Cancelling),
    /// Its outermost scope is empty.
    #[prost(message, tag = "23")]
    Completed(Ended),
    /// A task was given up and its policy said that this fails the workflow. Open tasks are frozen.
    #[prost(message, tag = "24")]
    Failed(FailedBy),
    /// Cancelled on request.
    #[prost(message, tag = "25")]
    Cancelled(Ended),
    /// Ended at once on request.
    #[prost(message, tag = "26")]
    Terminated(Ended),
    /// Its deadline passed.
    #[prost(message, tag = "27")]
    TimedOut(Ended),
}

/// See [`Status::Running`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Running {}

/// See [`Status::Paused`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Paused {
    /// Since when.
    #[prost(uint64, tag = "1")]
    pub at: Millis,
    /// Why, in the words of whoever (or whatever) paused it.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// The dead letter whose policy paused it: it goes on when that is redriven or discarded. 0 = somebody asked for the pause, and has to
    /// resume it.
    #[prost(uint32, tag = "3")]
    pub task: TaskId,
}

/// See [`Status::Cancelling`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Cancelling {
    /// When it was asked.
    #[prost(uint64, tag = "1")]
    pub at: Millis,
    /// When the grace is over.
    #[prost(uint64, tag = "2")]
    pub until: Millis,
    /// Why.
    #[prost(string, tag = "3")]
    pub reason: String,
}

/// When and why a workflow ended.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Ended {
    /// When it ended.
    #[prost(uint64, tag = "1")]
    pub at: Millis,
    /// Why, where somebody said; empty for a completion.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// When and by which task a workflow failed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FailedBy {
    /// When it failed.
    #[prost(uint64, tag = "1")]
    pub at: Millis,
    /// The dead letter.
    #[prost(uint32, tag = "2")]
    pub task: TaskId,
    /// Node of that task.
    #[prost(string, tag = "3")]
    pub node: String,
    /// What its last attempt said.
    #[prost(string, tag = "4")]
    pub error: String,
}

/// A status without its data: what lists are keyed by. The numbers are stored; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum StatusKind {
    /// See [`Status::Running`].
    Running = 1,
    /// See [`Status::Paused`].
    Paused = 2,
    /// See [`Status::Cancelling`].
    Cancelling = 3,
    /// See [`Status::Completed`].
    Completed = 4,
    /// See [`Status::Failed`].
    Failed = 5,
    /// See [`Status::Cancelled`].
    Cancelled = 6,
    /// See [`Status::Terminated`].
    Terminated = 7,
    /// See [`Status::TimedOut`].
    TimedOut = 8,
}

impl StatusKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Running, Self::Paused, Self::Cancelling, Self::Completed, Self::Failed, Self::Cancelled, Self::Terminated, Self::TimedOut];

    /// Whether a workflow in this status has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Terminated | Self::TimedOut)
    }

    /// The word used in APIs and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Terminated => "terminated",
            Self::TimedOut => "timed-out",
        }
    }
}

impl Workflow {
    /// The status, which every stored workflow has.
    ///
    /// # Panics
    /// If the record carries a status that this version does not know: a newer version wrote it, and guessing would let members
    /// drift apart.
    pub fn status(&self) -> &Status {
        self.status.as_ref().expect("workflow record without a known status: written by a newer version")
    }

    /// The status without its data.
    pub fn kind(&self) -> StatusKind {
        self.status().kind()
    }

    /// When the workflow ended, if it has.
    pub fn ended_at(&self) -> Option<Millis> {
        match self.status() {
            Status::Completed(e) | Status::Cancelled(e) | Status::Terminated(e) | Status::TimedOut(e) => Some(e.at),
            Status::Failed(f) => Some(f.at),
            Status::Running(_) | Status::Paused(_) | Status::Cancelling(_) => None,
        }
    }
}

impl Status {
    /// The status without its data.
    pub fn kind(&self) -> StatusKind {
        match self {
            Self::Running(_) => StatusKind::Running,
            Self::Paused(_) => StatusKind::Paused,
            Self::Cancelling(_) => StatusKind::Cancelling,
            Self::Completed(_) => StatusKind::Completed,
            Self::Failed(_) => StatusKind::Failed,
            Self::Cancelled(_) => StatusKind::Cancelled,
            Self::Terminated(_) => StatusKind::Terminated,
            Self::TimedOut(_) => StatusKind::TimedOut,
        }
    }
}
