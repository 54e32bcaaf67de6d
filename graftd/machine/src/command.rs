//! What can be asked of the machine. Commands are what the log holds: tags are for ever, retired ones stay reserved.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{Message, Oneof};

use crate::ids::{AttemptRef, Lease, Run, TaskId};
use crate::session::{Limit, Session};
use crate::tables::TimerKind;
use crate::task::NewTask;
use crate::time::Millis;
use crate::trace::TraceParent;

/// Format of [`LogEntry`]; a member that reads a higher one stops.
pub const ENTRY_FORMAT: u32 = 1;
/// The highest machine version that this build can follow: what `apply` does to a state. Which one is in force stands in the state
/// ([`crate::tables::MetaRecord::machine_version`]); [`Command::RaiseMachineVersion`] raises it, once every member can follow.
///
/// - 1: the first.
/// - 2: it can be raised, and the state says from which index on each version rules; ready tasks are ordered by the start of their workflow.
///
/// Nothing was released yet: what is added before the first release belongs to 2.
pub const MACHINE_VERSION: u32 = 2;
/// From this version on a task that becomes ready gets the place of its workflow in the ready order, and no longer that of its own readiness.
pub(crate) const ORDER_BY_START: u32 = 2;
/// From this version on API tokens and administrative acts may be proposed: members of the first version stop at what they do not know.
pub const ACCESS_FROM: u32 = 2;
/// From this version on a workflow keeps the `traceparent` of its start, and a lost attempt how long it was held: members of the first version would not.
pub const TRACES_FROM: u32 = 2;
/// The version of a cluster whose first command names none.
pub const FIRST_MACHINE_VERSION: u32 = 1;

/// One entry of the replicated log: the commands that were waiting together.
#[derive(Clone, PartialEq, Message)]
pub struct LogEntry {
    /// [`ENTRY_FORMAT`] of the writer.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// The machine version that was in force where it was written, or that it brings about; a member that cannot follow it stops.
    #[prost(uint32, tag = "2")]
    pub machine_version: u32,
    /// The leader's stamp, milliseconds since the epoch.
    #[prost(uint64, tag = "3")]
    pub time: Millis,
    /// In the order in which they are applied.
    #[prost(message, repeated, tag = "4")]
    pub commands: Vec<Envelope>,
}

/// A command and who asks for it.
#[derive(Clone, PartialEq, Message)]
pub struct Envelope {
    /// Who asks: `client:NAME`, `worker:INCARNATION`, `scheduler`, `operator`.
    #[prost(string, tag = "1")]
    pub principal: String,
    /// Names the request within its namespace; a repeat gets the first answer. Empty for what is told apart otherwise (workers, scheduler).
    #[prost(string, tag = "2")]
    pub request_id: String,
    /// XXH3-64 of the request as the client sent it; a repeat with another hash is refused. Only with a request id.
    #[prost(fixed64, tag = "3")]
    pub payload_hash: u64,
    /// Refused when the machine's time is past it, so that a caller who heard nothing knows when it can no longer happen. 0 = none.
    #[prost(uint64, tag = "4")]
    pub not_after: Millis,
    /// What is asked.
    #[prost(
        oneof = "Command",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37"
    )]
    pub command: Option<Command>,
}

/// What is asked.
#[derive(Clone, PartialEq, Oneof)]
pub enum Command {
    /// Start a workflow. → `Reply::Started`
    #[prost(message, tag = "10")]
    Start(StartWorkflow),
    /// A worker finished an attempt. → `Reply::Resolved`
    #[prost(message, tag = "11")]
    Complete(CompleteTask),
    /// A worker's attempt failed. → `Reply::Resolved`
    #[prost(message, tag = "12")]
    Fail(FailTask),
    /// A worker's `can_start` said no. → `Reply::Resolved`
    #[prost(message, tag = "13")]
    Block(BlockTask),
    /// The right to an attempt was lost. → `Reply::Resolved`
    #[prost(message, tag = "14")]
    Lose(LoseTask),
    /// Timers whose time has come. → `Reply::Done`
    #[prost(message, tag = "15")]
    Due(Due),
    /// Stop offering a workflow's tasks. → `Reply::Done`
    #[prost(message, tag = "16")]
    Pause(ControlWorkflow),
    /// Offer them again. → `Reply::Done`
    #[prost(message, tag = "17")]
    Resume(ControlWorkflow),
    /// End a workflow once its running attempts have ended, or its grace is over. → `Reply::Done`
    #[prost(message, tag = "18")]
    Cancel(ControlWorkflow),
    /// End a workflow at once. → `Reply::Done`
    #[prost(message, tag = "19")]
    Terminate(ControlWorkflow),
    /// A worker process came. → `Reply::Done`
    #[prost(message, tag = "20")]
    OpenSession(Session),
    /// A worker process left, or stayed silent for its lease time. → `Reply::Done`
    #[prost(message, tag = "21")]
    CloseSession(CloseSession),
    /// Set or unset a concurrency limit. → `Reply::Done`
    #[prost(message, tag = "22")]
    SetLimit(SetLimit),
    /// Names the cluster; the first command of its log. → `Reply::Done`
    #[prost(message, tag = "23")]
    InitCluster(InitCluster),
    /// Forget answers to requests whose not-after has passed (bounded). → `Reply::Done`
    #[prost(message, tag = "24")]
    ExpireRequests(ExpireRequests),
    // reserved 25 (stage tasks), 27 (signal)
    /// From here on the state is changed as that machine version has it. → `Reply::Done`
    #[prost(message, tag = "26")]
    RaiseMachineVersion(RaiseMachineVersion),
    /// Try a dead letter again, with a fresh budget of attempts. → `Reply::Done`
    #[prost(message, tag = "28")]
    Redrive(RedriveTask),
    /// Try a waiting task now. → `Reply::Done`
    #[prost(message, tag = "29")]
    RetryTask(ControlTask),
    /// Give a dead letter up for good. → `Reply::Done`
    #[prost(message, tag = "30")]
    Discard(ControlTask),
    /// Let a member join: by a token's secret, or by its name. → `Reply::Done`
    #[prost(message, tag = "31")]
    GrantJoin(GrantJoin),
    /// A member joins by a grant. → `Reply::Done`
    #[prost(message, tag = "32")]
    UseJoinGrant(UseJoinGrant),
    /// Take a grant away. → `Reply::Done`
    #[prost(message, tag = "33")]
    RevokeJoinGrant(RevokeJoinGrant),
    // The four below are proposed from machine version 2 on ([`ACCESS_FROM`]).
    /// Make an API token. → `Reply::Done`
    #[prost(message, tag = "34")]
    CreateApiToken(CreateApiToken),
    /// Take an API token away. → `Reply::Done`
    #[prost(message, tag = "35")]
    RevokeApiToken(RevokeApiToken),
    /// Note an administrative act that is about to begin. → `Reply::Done`, whose run is the act's number
    #[prost(message, tag = "36")]
    BeginAct(BeginAct),
    /// Note how it ended. → `Reply::Done`
    #[prost(message, tag = "37")]
    EndAct(EndAct),
}

/// What a start does when the id is taken. The numbers are stored; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum OnConflict {
    /// Refuse.
    Fail = 0,
    /// Answer with the run that is there.
    UseExisting = 1,
    /// Start a new run if the one that is there has ended; refuse otherwise.
    ReplaceFinished = 2,
}

/// See [`Command::Start`].
#[derive(Clone, PartialEq, Message)]
pub struct StartWorkflow {
    /// Namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// The id that the user chose.
    #[prost(string, tag = "2")]
    pub id: String,
    /// First state: a JSON object; `null` members are absent. Empty = `{}`.
    #[prost(bytes = "bytes", tag = "3")]
    pub state: Bytes,
    /// First tasks, at least one.
    #[prost(message, repeated, tag = "4")]
    pub nodes: Vec<NewTask>,
    /// Labels.
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: BTreeMap<String, String>,
    /// Ends as timed out at this time; 0 = never.
    #[prost(uint64, tag = "6")]
    pub deadline: Millis,
    /// Kept for so long once finished, in milliseconds; 0 = `RETENTION_DEFAULT`.
    #[prost(uint64, tag = "7")]
    pub retention: Millis,
    /// What happens when the id is taken.
    #[prost(enumeration = "OnConflict", tag = "8")]
    pub on_conflict: i32,
    /// The caller's span, if it has told one.
    #[prost(message, optional, tag = "9")]
    pub traceparent: Option<TraceParent>,
}

/// See [`Command::Complete`].
#[derive(Clone, PartialEq, Message)]
pub struct CompleteTask {
    /// The attempt that finished.
    #[prost(message, required, tag = "1")]
    pub at: AttemptRef,
    /// The lease that it was held under; recorded in the event.
    #[prost(message, required, tag = "2")]
    pub lease: Lease,
    /// Revision of the state that the worker was given.
    #[prost(uint64, tag = "3")]
    pub base_revision: u64,
    /// JSON Merge Patch (RFC 7396), an object; empty = no change.
    #[prost(bytes = "bytes", tag = "4")]
    pub patch: Bytes,
    /// Applied after the patch, in order.
    #[prost(message, repeated, tag = "5")]
    pub operations: Vec<Operation>,
    /// Plain successors, in the task's own scope.
    #[prost(message, repeated, tag = "6")]
    pub next: Vec<NewTask>,
    /// Fan-outs, each a new scope.
    #[prost(message, repeated, tag = "7")]
    pub fan_outs: Vec<FanOut>,
    /// Incarnation of the worker.
    #[prost(string, tag = "8")]
    pub worker: String,
    /// How long the node ran, in microseconds, by the worker's clock.
    #[prost(uint64, tag = "9")]
    pub execution_us: u64,
}

/// Tasks that run in parallel, and what starts, once, when all of them and all their descendants have resolved.
#[derive(Clone, PartialEq, Message)]
pub struct FanOut {
    /// The tasks. None: the continuation starts at once.
    #[prost(message, repeated, tag = "1")]
    pub tasks: Vec<NewTask>,
    /// What starts then; absent: nothing, the scope just closes.
    #[prost(message, optional, tag = "2")]
    pub continuation: Option<NewTask>,
}

/// A change that commutes with its like, for parallel branches.
#[derive(Clone, PartialEq, Message)]
pub struct Operation {
    /// Where, as a JSON pointer (RFC 6901). Missing objects on the way are made.
    #[prost(string, tag = "1")]
    pub pointer: String,
    /// What.
    #[prost(oneof = "Change", tags = "2, 3, 4")]
    pub change: Option<Change>,
}

/// See [`Operation`].
#[derive(Clone, PartialEq, Oneof)]
pub enum Change {
    /// Put a JSON value at the end of the array (made if absent).
    #[prost(bytes = "bytes", tag = "2")]
    Append(Bytes),
    /// Add to the integer (0 if absent); overflow fails the attempt for good.
    #[prost(sint64, tag = "3")]
    Increment(i64),
    /// Add to the number as a float (0 if absent); a result that is not finite fails the attempt for good.
    #[prost(double, tag = "4")]
    IncrementFloat(f64),
}

/// How an attempt failed. The numbers are stored; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum FailureKind {
    /// It may work the next time.
    Retryable = 0,
    /// It will never work: dead-lettered at once.
    Permanent = 1,
    /// The node's code panicked; retried like `Retryable`.
    Panic = 2,
    /// It ran longer than its timeout; retried like `Retryable`.
    Timeout = 3,
    /// The outcome could not be applied (bad patch, state too large): dead-lettered at once.
    BadOutcome = 4,
    /// The lease ran out, or its worker left: retried like `Retryable`.
    Lost = 5,
}

/// See [`Command::Fail`].
#[derive(Clone, PartialEq, Message)]
pub struct FailTask {
    /// The attempt that failed.
    #[prost(message, required, tag = "1")]
    pub at: AttemptRef,
    /// The lease that it was held under.
    #[prost(message, required, tag = "2")]
    pub lease: Lease,
    /// How.
    #[prost(enumeration = "FailureKind", tag = "3")]
    pub kind: i32,
    /// What the node said.
    #[prost(string, tag = "4")]
    pub message: String,
    /// Not again before this long from now, in milliseconds; instead of the policy's backoff. 0 = the policy decides.
    #[prost(uint64, tag = "5")]
    pub retry_after: Millis,
    /// Progress that the attempt reported last.
    #[prost(string, tag = "6")]
    pub progress: String,
    /// Incarnation of the worker.
    #[prost(string, tag = "7")]
    pub worker: String,
    /// How long the node ran, in microseconds, by the worker's clock.
    #[prost(uint64, tag = "8")]
    pub execution_us: u64,
}

/// See [`Command::Block`].
#[derive(Clone, PartialEq, Message)]
pub struct BlockTask {
    /// The attempt whose start was refused.
    #[prost(message, required, tag = "1")]
    pub at: AttemptRef,
    /// The lease that it was held under.
    #[prost(message, required, tag = "2")]
    pub lease: Lease,
    /// Revision of the state that the worker judged. If the state has moved since, the task is ready again at once.
    #[prost(uint64, tag = "3")]
    pub judged_revision: u64,
    /// JSON pointers whose change wakes it; empty = any change.
    #[prost(string, repeated, tag = "4")]
    pub wake_on: Vec<String>,
    /// Asked again after this long in any case, in milliseconds; 0 = only on a change.
    #[prost(uint64, tag = "5")]
    pub recheck: Millis,
    /// Incarnation of the worker.
    #[prost(string, tag = "6")]
    pub worker: String,
}

/// Why the right to an attempt was lost. The numbers are stored; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum LostReason {
    /// No heartbeat within the lease time. Counts as a failure.
    LeaseExpired = 0,
    /// It ran longer than the task's timeout. Counts as a failure.
    TimedOut = 1,
    /// The worker process went away. Counts as a failure.
    SessionLost = 2,
    /// The worker gave it back untouched (drain, or it never arrived). Does not count.
    HandedBack = 3,
}

/// See [`Command::Lose`].
#[derive(Clone, PartialEq, Message)]
pub struct LoseTask {
    /// The attempt.
    #[prost(message, required, tag = "1")]
    pub at: AttemptRef,
    /// The lease that it was held under.
    #[prost(message, required, tag = "2")]
    pub lease: Lease,
    /// Why.
    #[prost(enumeration = "LostReason", tag = "3")]
    pub reason: i32,
    /// Progress that the attempt reported last.
    #[prost(string, tag = "4")]
    pub progress: String,
    /// Incarnation of the worker.
    #[prost(string, tag = "5")]
    pub worker: String,
    /// Of what was handed back: why, in the worker's own words.
    #[prost(string, tag = "6")]
    pub detail: String,
    /// How long the leader had it handed out, in microseconds by its clock; 0 = not known.
    #[prost(uint64, tag = "7")]
    pub held_us: u64,
}

/// See [`Command::Due`]. A timer that no longer stands, or is not due by the machine's time, is skipped.
#[derive(Clone, PartialEq, Message)]
pub struct Due {
    /// At most `DUE_PER_COMMAND_MAX`.
    #[prost(message, repeated, tag = "1")]
    pub timers: Vec<TimerRef>,
}

/// Names one timer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Message)]
pub struct TimerRef {
    /// When it is due.
    #[prost(uint64, tag = "1")]
    pub due: Millis,
    /// What it is for.
    #[prost(enumeration = "TimerKind", tag = "2")]
    pub kind: i32,
    /// The run that it belongs to.
    #[prost(uint64, tag = "3")]
    pub run: Run,
    /// The task that it belongs to; 0 = the workflow.
    #[prost(uint32, tag = "4")]
    pub task: TaskId,
}

/// Names a workflow, and says why. For pause, resume, cancel and terminate.
#[derive(Clone, PartialEq, Message)]
pub struct ControlWorkflow {
    /// Namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Id of the workflow.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Only this run; 0 = the current one.
    #[prost(uint64, tag = "3")]
    pub run: Run,
    /// Why, for the history.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// Cancel only: how long running attempts may take to end, in milliseconds; 0 = `CANCEL_GRACE_DEFAULT`.
    #[prost(uint64, tag = "5")]
    pub grace: Millis,
    /// Cancel only, and only from the leader's scheduler: it vouches that no attempt of the run is held any more. Ends a workflow that is
    /// being cancelled at once, as cancelled; without meaning in any other status. Never set from a client's request.
    #[prost(bool, tag = "6")]
    pub idle: bool,
}

/// Names a task of a workflow, and says why.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ControlTask {
    /// Namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Id of the workflow.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Only this run; 0 = the current one.
    #[prost(uint64, tag = "3")]
    pub run: Run,
    /// The task.
    #[prost(uint32, tag = "4")]
    pub task: TaskId,
    /// Why, for the history.
    #[prost(string, tag = "5")]
    pub reason: String,
}

/// See [`Command::Redrive`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RedriveTask {
    /// Namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// Id of the workflow.
    #[prost(string, tag = "2")]
    pub id: String,
    /// Only this run, which must be the current one; 0 = the current one.
    #[prost(uint64, tag = "3")]
    pub run: Run,
    /// The dead letter.
    #[prost(uint32, tag = "4")]
    pub task: TaskId,
    /// Its config from now on: any JSON document, empty = `null`; absent = as it was.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub config: Option<Bytes>,
    /// JSON Merge Patch (RFC 7396) of the workflow's state, an object; empty = no change.
    #[prost(bytes = "bytes", tag = "6")]
    pub state_patch: Bytes,
    /// Why, for the history.
    #[prost(string, tag = "7")]
    pub reason: String,
}

/// See [`Command::CloseSession`]. The attempts that it held are given up with `Lose` commands of their own.
#[derive(Clone, PartialEq, Message)]
pub struct CloseSession {
    /// The session.
    #[prost(string, tag = "1")]
    pub incarnation: String,
    /// Why, for logs.
    #[prost(string, tag = "2")]
    pub reason: String,
}

/// See [`Command::SetLimit`].
#[derive(Clone, PartialEq, Message)]
pub struct SetLimit {
    /// Namespace of the node; empty together with `node` = the whole cluster.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// The node; empty = the whole cluster.
    #[prost(string, tag = "2")]
    pub node: String,
    /// The limit; absent = unset.
    #[prost(message, optional, tag = "3")]
    pub limit: Option<Limit>,
    /// The configuration asks: whatever was set or taken away before stands, and this is not asked again.
    #[prost(bool, tag = "4")]
    pub only_if_absent: bool,
}

/// See [`Command::InitCluster`]. A second one with another id is refused.
#[derive(Clone, PartialEq, Message)]
pub struct InitCluster {
    /// UUID of the cluster, as text.
    #[prost(string, tag = "1")]
    pub cluster_id: String,
    /// Name of the cluster, from the configuration.
    #[prost(string, tag = "2")]
    pub cluster_name: String,
    /// Raised by a forced recovery; 1 at first.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// The machine version that the cluster begins with, which all its first members can follow; 0 = [`FIRST_MACHINE_VERSION`]. Without meaning
    /// in a later epoch.
    #[prost(uint32, tag = "4")]
    pub machine_version: u32,
}

/// See [`Command::RaiseMachineVersion`]. Only a leader that has asked every member proposes it: whoever cannot follow stops at it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct RaiseMachineVersion {
    /// The version that is to be in force. The one that is: nothing changes. A lower one is refused.
    #[prost(uint32, tag = "1")]
    pub to: u32,
}

/// See [`Command::GrantJoin`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GrantJoin {
    /// Names the grant: random for a token, the member's name for an approval.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Only the member of this name; empty = any, with a secret only.
    #[prost(string, tag = "2")]
    pub member: String,
    /// SHA-256 of the secret; empty = an approval, which needs none.
    #[prost(bytes = "bytes", tag = "3")]
    pub secret_hash: Bytes,
    /// Of no use from this time on.
    #[prost(uint64, tag = "4")]
    pub expires: Millis,
    /// How many members may use it.
    #[prost(uint32, tag = "5")]
    pub uses: u32,
}

/// See [`Command::UseJoinGrant`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UseJoinGrant {
    /// The grant.
    #[prost(string, tag = "1")]
    pub id: String,
    /// SHA-256 of the secret that was shown; empty for an approval.
    #[prost(bytes = "bytes", tag = "2")]
    pub secret_hash: Bytes,
    /// Name of the member.
    #[prost(string, tag = "3")]
    pub member: String,
    /// Its raft id.
    #[prost(uint64, tag = "4")]
    pub raft_id: u64,
}

/// See [`Command::RevokeJoinGrant`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RevokeJoinGrant {
    /// The grant.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// See [`Command::CreateApiToken`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CreateApiToken {
    /// Names the token: random.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Who its holder is in histories.
    #[prost(string, tag = "2")]
    pub name: String,
    /// SHA-256 of its secret.
    #[prost(bytes = "bytes", tag = "3")]
    pub secret_hash: Bytes,
    /// What it allows: [`crate::access::Grant`]s, as text.
    #[prost(string, repeated, tag = "4")]
    pub grants: Vec<String>,
    /// Of no use from this time on; 0 = it does not expire.
    #[prost(uint64, tag = "5")]
    pub expires: Millis,
}

/// See [`Command::RevokeApiToken`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RevokeApiToken {
    /// The token.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// See [`Command::BeginAct`]. Who acts is the envelope's principal.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BeginAct {
    /// From where.
    #[prost(string, tag = "1")]
    pub from: String,
    /// The method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// To what.
    #[prost(string, tag = "3")]
    pub object: String,
    /// The member that was asked.
    #[prost(string, tag = "4")]
    pub member: String,
}

/// See [`Command::EndAct`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EndAct {
    /// The act's number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// How it ended.
    #[prost(string, tag = "2")]
    pub outcome: String,
}

/// See [`Command::ExpireRequests`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ExpireRequests {}

impl Envelope {
    /// A command that carries no request id: from the scheduler, a worker or a member itself.
    pub fn internal(principal: impl Into<String>, command: Command) -> Self {
        Self { principal: principal.into(), request_id: String::new(), payload_hash: 0, not_after: 0, command: Some(command) }
    }

    /// The machine version that it brings about, which its entry has to carry, so that whoever cannot follow stops there; 0: none.
    pub fn brings_about(&self) -> u32 {
        match &self.command {
            Some(Command::RaiseMachineVersion(raise)) => raise.to,
            Some(Command::InitCluster(init)) => init.machine_version,
            _ => 0,
        }
    }
}
