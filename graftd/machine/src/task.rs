//! A task: one scheduled execution of a node; and a scope: the join that tasks belong to.

use bytes::Bytes;
use prost::{Message, Oneof};

use crate::ids::{ScopeId, TaskId};
use crate::time::Millis;

/// How a task is to be made: what a start, a successor, a fan-out or a join's continuation says.
#[derive(Clone, PartialEq, Message)]
pub struct NewTask {
    /// Node that executes it.
    #[prost(string, tag = "1")]
    pub node: String,
    /// Its config: any JSON document; empty = `null`.
    #[prost(bytes = "bytes", tag = "2")]
    pub config: Bytes,
    /// Higher goes first; 0 is usual.
    #[prost(sint32, tag = "3")]
    pub priority: i32,
    /// Not before this long after its creation, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub delay: Millis,
    /// Not before this time; the later of the two counts. 0 = none.
    #[prost(uint64, tag = "5")]
    pub not_before: Millis,
    /// Unique within the run: the second task with the same key is skipped. Empty = none.
    #[prost(string, tag = "6")]
    pub idempotency_key: String,
    /// How failures are retried; absent = `RetryPolicy::standard()`.
    #[prost(message, optional, tag = "7")]
    pub retry: Option<RetryPolicy>,
    /// Longest execution of one attempt, in milliseconds; 0 = none.
    #[prost(uint64, tag = "8")]
    pub timeout: Millis,
    /// What follows when the last attempt has failed; absent = fail the workflow.
    #[prost(message, optional, tag = "9")]
    pub on_exhausted: Option<OnExhausted>,
}

/// How failed attempts are retried: exponential backoff with jitter that is a hash of the ids.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct RetryPolicy {
    /// Most tries, the first included.
    #[prost(uint32, tag = "1")]
    pub max_attempts: u32,
    /// Wait after the first failure, in milliseconds.
    #[prost(uint64, tag = "2")]
    pub initial: Millis,
    /// Longest wait, in milliseconds.
    #[prost(uint64, tag = "3")]
    pub max: Millis,
    /// Growth of the wait from failure to failure, in thousandths (2000 = doubling).
    #[prost(uint32, tag = "4")]
    pub factor_permille: u32,
    /// How far a wait may be shortened, in thousandths (200 = to 80 %).
    #[prost(uint32, tag = "5")]
    pub jitter_permille: u32,
}

/// What follows a task's last failure.
#[derive(Clone, PartialEq, Message)]
pub struct OnExhausted {
    /// Which of the four.
    #[prost(oneof = "Exhausted", tags = "1, 2, 3, 4")]
    pub then: Option<Exhausted>,
}

/// See [`OnExhausted`].
#[derive(Clone, PartialEq, Oneof)]
pub enum Exhausted {
    /// The workflow fails.
    #[prost(message, tag = "1")]
    Fail(()),
    /// The workflow is paused; the dead letter keeps its scope open.
    #[prost(message, tag = "2")]
    Pause(()),
    /// The workflow goes on without the task: its scope counts it as resolved.
    #[prost(message, tag = "3")]
    Continue(()),
    /// A task of the named node takes its place in the scope; its config is `{"error", "node", "task", "config"}`
    /// (`config` is `null` where the whole would exceed `CONFIG_BYTES_MAX`).
    #[prost(string, tag = "4")]
    ErrorNode(String),
}

/// One scheduled execution of a node. The record lives from creation until the task is resolved.
///
/// Invariants:
/// - it stands in the ready table exactly when it is `Ready` and its workflow is `Running` (or a sweep is pending),
/// - in the timer table exactly when it is `Delayed`, or `Blocked` with a re-check time,
/// - `failures < retry.max_attempts` unless it is a dead letter.
#[derive(Clone, PartialEq, Message)]
pub struct Task {
    /// Node that executes it.
    #[prost(string, tag = "1")]
    pub node: String,
    /// Its config: a JSON document.
    #[prost(bytes = "bytes", tag = "2")]
    pub config: Bytes,
    /// Higher goes first.
    #[prost(sint32, tag = "3")]
    pub priority: i32,
    /// Scope that it belongs to.
    #[prost(uint32, tag = "4")]
    pub scope: ScopeId,
    /// Task that created it; 0 = the start.
    #[prost(uint32, tag = "5")]
    pub parent: TaskId,
    /// The current attempt's number, from 1: the fence.
    #[prost(uint32, tag = "6")]
    pub attempt: u32,
    /// Tries that failed since it was created or redriven: what the retry policy counts.
    #[prost(uint32, tag = "7")]
    pub failures: u32,
    /// How failures are retried.
    #[prost(message, required, tag = "8")]
    pub retry: RetryPolicy,
    /// Longest execution of one attempt, in milliseconds; 0 = none.
    #[prost(uint64, tag = "9")]
    pub timeout: Millis,
    /// What follows the last failure.
    #[prost(message, optional, tag = "10")]
    pub on_exhausted: Option<OnExhausted>,
    /// The user's key, if there is one.
    #[prost(string, tag = "11")]
    pub idempotency_key: String,
    /// When it was created.
    #[prost(uint64, tag = "12")]
    pub created: Millis,
    /// What the last failed attempt said; empty = none failed yet.
    #[prost(string, tag = "13")]
    pub last_error: String,
    /// What the last ended attempt reported of its progress: free text or JSON.
    #[prost(string, tag = "14")]
    pub progress: String,
    /// Hash that every attempt of the task is handed as idempotency key towards the outside: of cluster, partition, run and task.
    #[prost(string, tag = "15")]
    pub execution_key: String,
    /// [`crate::workflow::Workflow::reopened`] when it became ready. A ready task that is behind was frozen with its workflow: its attempt
    /// may be executing somewhere, unheard, so that it is not offered before it has another number.
    #[prost(uint32, tag = "16")]
    pub thawed: u32,
    /// What it is waiting for.
    #[prost(oneof = "TaskState", tags = "20, 21, 22, 23")]
    pub state: Option<TaskState>,
    // reserved 24 (awaiting a signal), 25 (awaiting a child)
}

/// What a task is waiting for.
#[derive(Clone, PartialEq, Oneof)]
pub enum TaskState {
    /// For a worker; or a worker has it: leases are not part of the state.
    #[prost(message, tag = "20")]
    Ready(Ready),
    /// For a time: its delay, or the backoff after a failure.
    #[prost(message, tag = "21")]
    Delayed(Delayed),
    /// For a change of the workflow's state.
    #[prost(message, tag = "22")]
    Blocked(Blocked),
    /// For an operator.
    #[prost(message, tag = "23")]
    DeadLettered(DeadLettered),
}

/// See [`TaskState::Ready`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Ready {
    /// Since when.
    #[prost(uint64, tag = "1")]
    pub since: Millis,
    /// See [`Ready::rank`]; 0: it is `since`, as in machine version 1.
    #[prost(uint64, tag = "2")]
    pub started: Millis,
}

impl Ready {
    /// Its place in the ready order among tasks of its priority: when its workflow was started. So what was begun is finished before more is
    /// begun, however much is waiting.
    pub fn rank(&self) -> Millis {
        if self.started == 0 { self.since } else { self.started }
    }
}

/// See [`TaskState::Delayed`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Delayed {
    /// Until when.
    #[prost(uint64, tag = "1")]
    pub until: Millis,
}

/// See [`TaskState::Blocked`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Blocked {
    /// The revision that the worker judged.
    #[prost(uint64, tag = "1")]
    pub since_revision: u64,
    /// JSON pointers whose change wakes it; empty = any change.
    #[prost(string, repeated, tag = "2")]
    pub wake_on: Vec<String>,
    /// When it is asked again in any case; 0 = only on a change.
    #[prost(uint64, tag = "3")]
    pub recheck: Millis,
}

/// See [`TaskState::DeadLettered`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeadLettered {
    /// Since when.
    #[prost(uint64, tag = "1")]
    pub at: Millis,
    /// What the last attempt said.
    #[prost(string, tag = "2")]
    pub error: String,
}

impl Task {
    /// What the task is waiting for.
    ///
    /// # Panics
    /// If the record carries a state that this version does not know (a newer version wrote it).
    pub fn state(&self) -> &TaskState {
        self.state.as_ref().expect("task record without a known state: written by a newer version")
    }

    /// Whether its scope counts it as resolved once it is a dead letter: its policy goes on without it, or puts another task in its place.
    pub fn is_passed_over(&self) -> bool {
        let policy = self.on_exhausted.as_ref().and_then(|policy| policy.then.as_ref());
        matches!(policy, Some(Exhausted::Continue(()) | Exhausted::ErrorNode(_)))
    }
}

/// A set of open tasks with a continuation: the join. Nothing lists its tasks; each task names its scope.
///
/// Invariants:
/// - `open` = tasks that name this scope and are neither resolved nor counted as resolved, plus scopes whose parent it is.
/// - a scope with `open == 0` does not exist; the outermost goes when its workflow completes.
#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    /// The scope around it. The outermost one names itself.
    #[prost(uint32, tag = "1")]
    pub parent: ScopeId,
    /// What is still open in it.
    #[prost(uint32, tag = "2")]
    pub open: u32,
    /// What starts in `parent` when it is empty; none for the outermost.
    #[prost(message, optional, tag = "3")]
    pub continuation: Option<NewTask>,
    /// Task that opened it; 0 = the start.
    #[prost(uint32, tag = "4")]
    pub opened_by: TaskId,
    /// How many scopes are around it; 0 for the outermost. At most `SCOPE_DEPTH_MAX`, so that closing upwards is bounded.
    #[prost(uint32, tag = "5")]
    pub depth: u32,
}
