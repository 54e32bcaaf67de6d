//! What became true: the history. One event per fact, durable, bounded by retention.

use bytes::Bytes;
use prost::{Message, Oneof};

use crate::command::Operation;
use crate::ids::{Lease, Run, ScopeId, TaskId};
use crate::task::OnExhausted;
use crate::time::Millis;

/// One fact in the history of a run. Its place in the log ([`crate::ids::EventPos`]) is its key.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// The run.
    #[prost(uint64, tag = "1")]
    pub run: Run,
    /// Number of the event within the run, from 1, without gaps.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// Machine's time.
    #[prost(uint64, tag = "3")]
    pub at: Millis,
    /// What became true.
    #[prost(oneof = "Happened", tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28")]
    pub happened: Option<Happened>,
}

impl Event {
    /// Whether its workflow has ended with it.
    pub fn ends_its_workflow(&self) -> bool {
        use Happened::{WorkflowCancelled, WorkflowCompleted, WorkflowFailed, WorkflowTerminated, WorkflowTimedOut};
        matches!(
            self.happened,
            Some(WorkflowCompleted(_) | WorkflowFailed(_) | WorkflowCancelled(_) | WorkflowTerminated(_) | WorkflowTimedOut(_))
        )
    }
}

/// What became true.
#[derive(Clone, PartialEq, Oneof)]
pub enum Happened {
    /// The workflow was accepted.
    #[prost(message, tag = "10")]
    Started(WorkflowStarted),
    /// A task resolved.
    #[prost(message, tag = "11")]
    Completed(TaskCompleted),
    /// An attempt failed or was lost.
    #[prost(message, tag = "12")]
    Failed(TaskFailed),
    /// A task waits for a change of the state.
    #[prost(message, tag = "13")]
    Blocked(TaskBlocked),
    /// A join fired.
    #[prost(message, tag = "14")]
    ScopeClosed(ScopeClosed),
    /// A task was given up.
    #[prost(message, tag = "15")]
    DeadLettered(TaskDeadLettered),
    /// An attempt was given back untouched.
    #[prost(message, tag = "16")]
    HandedBack(TaskHandedBack),
    /// The workflow was paused.
    #[prost(message, tag = "17")]
    Paused(Controlled),
    /// The workflow was resumed.
    #[prost(message, tag = "18")]
    Resumed(Controlled),
    /// The workflow is being cancelled.
    #[prost(message, tag = "19")]
    Cancelling(Controlled),
    /// The workflow completed.
    #[prost(message, tag = "20")]
    WorkflowCompleted(WorkflowEnded),
    /// The workflow failed.
    #[prost(message, tag = "21")]
    WorkflowFailed(WorkflowEnded),
    /// The workflow was cancelled.
    #[prost(message, tag = "22")]
    WorkflowCancelled(WorkflowEnded),
    /// The workflow was terminated.
    #[prost(message, tag = "23")]
    WorkflowTerminated(WorkflowEnded),
    /// The workflow's deadline passed.
    #[prost(message, tag = "24")]
    WorkflowTimedOut(WorkflowEnded),
    /// A late result of a workflow that is being cancelled or has ended was ignored.
    #[prost(message, tag = "25")]
    LateResultIgnored(TaskHandedBack),
    /// A dead letter is a task again.
    #[prost(message, tag = "26")]
    DeadLetterRedriven(DeadLetterRedriven),
    /// A dead letter is gone.
    #[prost(message, tag = "27")]
    DeadLetterDiscarded(TaskControlled),
    /// A task that waited for a time or a change of the state was made ready.
    #[prost(message, tag = "28")]
    TaskRetried(TaskControlled),
}

/// A task as it was created, or skipped because its idempotency key had been used.
#[derive(Clone, PartialEq, Message)]
pub struct CreatedTask {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// Its scope.
    #[prost(uint32, tag = "3")]
    pub scope: ScopeId,
    /// Not before this time; 0 = at once.
    #[prost(uint64, tag = "4")]
    pub not_before: Millis,
    /// Set if it was skipped: the task that used its key first. `task` is 0 then.
    #[prost(uint32, tag = "5")]
    pub skipped_for: TaskId,
    /// Its idempotency key, if it has one.
    #[prost(string, tag = "6")]
    pub idempotency_key: String,
}

/// See [`Happened::Started`].
#[derive(Clone, PartialEq, Message)]
pub struct WorkflowStarted {
    /// The state that it started with.
    #[prost(bytes = "bytes", tag = "1")]
    pub state: Bytes,
    /// Its first tasks.
    #[prost(message, repeated, tag = "2")]
    pub created: Vec<CreatedTask>,
    /// Who asked.
    #[prost(string, tag = "3")]
    pub principal: String,
}

/// See [`Happened::Completed`].
#[derive(Clone, PartialEq, Message)]
pub struct TaskCompleted {
    /// The task.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// The attempt that was accepted.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// The lease that was accepted.
    #[prost(message, required, tag = "4")]
    pub lease: Lease,
    /// Revision that the worker had seen.
    #[prost(uint64, tag = "5")]
    pub base_revision: u64,
    /// Revision after the patch.
    #[prost(uint64, tag = "6")]
    pub revision: u64,
    /// The merge patch; empty = no change.
    #[prost(bytes = "bytes", tag = "7")]
    pub patch: Bytes,
    /// The operations.
    #[prost(message, repeated, tag = "8")]
    pub operations: Vec<Operation>,
    /// The tasks that it created.
    #[prost(message, repeated, tag = "9")]
    pub created: Vec<CreatedTask>,
    /// The scopes that it opened.
    #[prost(message, repeated, tag = "10")]
    pub opened: Vec<OpenedScope>,
    /// Incarnation of the worker.
    #[prost(string, tag = "11")]
    pub worker: String,
    /// How long the node ran, in microseconds.
    #[prost(uint64, tag = "12")]
    pub execution_us: u64,
}

/// A fan-out that was opened.
#[derive(Clone, PartialEq, Message)]
pub struct OpenedScope {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub scope: ScopeId,
    /// The scope around it.
    #[prost(uint32, tag = "2")]
    pub parent: ScopeId,
    /// Node of its continuation; empty = none.
    #[prost(string, tag = "3")]
    pub continuation: String,
}

/// See [`Happened::Failed`].
#[derive(Clone, PartialEq, Message)]
pub struct TaskFailed {
    /// The task.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// The attempt that failed.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// The lease that it was held under.
    #[prost(message, required, tag = "4")]
    pub lease: Lease,
    /// How (a `FailureKind`).
    #[prost(enumeration = "crate::command::FailureKind", tag = "5")]
    pub kind: i32,
    /// What it said.
    #[prost(string, tag = "6")]
    pub message: String,
    /// When the next attempt may start; 0 = there is none.
    #[prost(uint64, tag = "7")]
    pub retry_at: Millis,
    /// Incarnation of the worker.
    #[prost(string, tag = "8")]
    pub worker: String,
    /// How long the node ran, in microseconds; of a lost attempt, how long the leader had it handed out. 0 = not known.
    #[prost(uint64, tag = "9")]
    pub execution_us: u64,
}

/// See [`Happened::Blocked`].
#[derive(Clone, PartialEq, Message)]
pub struct TaskBlocked {
    /// The task.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// The attempt that was refused.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// The revision that was judged.
    #[prost(uint64, tag = "4")]
    pub judged_revision: u64,
    /// What wakes it; empty = any change.
    #[prost(string, repeated, tag = "5")]
    pub wake_on: Vec<String>,
    /// The lease that it was held under.
    #[prost(message, required, tag = "6")]
    pub lease: Lease,
}

/// See [`Happened::ScopeClosed`].
#[derive(Clone, PartialEq, Message)]
pub struct ScopeClosed {
    /// The scope.
    #[prost(uint32, tag = "1")]
    pub scope: ScopeId,
    /// Its continuation as it was created, if it has one.
    #[prost(message, optional, tag = "2")]
    pub continuation: Option<CreatedTask>,
}

/// See [`Happened::DeadLettered`].
#[derive(Clone, PartialEq, Message)]
pub struct TaskDeadLettered {
    /// The task.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// What its last attempt said.
    #[prost(string, tag = "3")]
    pub error: String,
    /// What follows; absent = the workflow fails.
    #[prost(message, optional, tag = "4")]
    pub then: Option<OnExhausted>,
    /// The error node's task, if there is one.
    #[prost(message, optional, tag = "5")]
    pub error_task: Option<CreatedTask>,
    /// Its last attempt: a repeat of that attempt's result is answered from here.
    #[prost(uint32, tag = "6")]
    pub attempt: u32,
    /// The lease that the last attempt was held under.
    #[prost(message, required, tag = "7")]
    pub lease: Lease,
}

/// See [`Happened::HandedBack`].
#[derive(Clone, PartialEq, Message)]
pub struct TaskHandedBack {
    /// The task.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// The attempt.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// The lease that it was held under.
    #[prost(message, required, tag = "4")]
    pub lease: Lease,
    /// Incarnation of the worker.
    #[prost(string, tag = "5")]
    pub worker: String,
    /// Why; empty if nobody said.
    #[prost(string, tag = "6")]
    pub reason: String,
}

/// Somebody asked for it.
#[derive(Clone, PartialEq, Message)]
pub struct Controlled {
    /// Who.
    #[prost(string, tag = "1")]
    pub principal: String,
    /// Why.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// See [`Happened::DeadLetterRedriven`]. Whatever ended or paused the workflow for the dead letter's sake is over.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeadLetterRedriven {
    /// The task.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// Who asked.
    #[prost(string, tag = "3")]
    pub principal: String,
    /// Why.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// Number of the attempt that is made now.
    #[prost(uint32, tag = "5")]
    pub attempt: u32,
    /// Its config, if that was changed.
    #[prost(bytes = "bytes", optional, tag = "6")]
    pub config: Option<Bytes>,
    /// The merge patch of the state that came with it; empty = none.
    #[prost(bytes = "bytes", tag = "7")]
    pub state_patch: Bytes,
    /// Revision of the state after the patch.
    #[prost(uint64, tag = "8")]
    pub revision: u64,
    /// The workflow had ended, and goes on.
    #[prost(bool, tag = "9")]
    pub reopened: bool,
    /// The scope that it belongs to now: another than before if the join of its own has fired.
    #[prost(uint32, tag = "10")]
    pub scope: ScopeId,
}

/// Somebody asked for it, of a task.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TaskControlled {
    /// The task.
    #[prost(uint32, tag = "1")]
    pub task: TaskId,
    /// Its node.
    #[prost(string, tag = "2")]
    pub node: String,
    /// Who.
    #[prost(string, tag = "3")]
    pub principal: String,
    /// Why.
    #[prost(string, tag = "4")]
    pub reason: String,
}

/// The workflow ended.
#[derive(Clone, PartialEq, Message)]
pub struct WorkflowEnded {
    /// Why, where somebody said; the error of a failure.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// The task that made it end; 0 = none.
    #[prost(uint32, tag = "2")]
    pub task: TaskId,
}
