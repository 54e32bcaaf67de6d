//! What a node is told about the attempt that it executes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use graft_proto::v1 as proto;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::failure::cut;

/// Longest progress report, in bytes; longer ones are cut and marked with `…`.
pub const PROGRESS_BYTES_MAX: usize = 4 << 10;

/// One attempt of one task, as its node sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeContext(Arc<Attempt>);

#[derive(Debug)]
struct Attempt {
    at: proto::AttemptRef,
    lease: proto::Lease,
    node: String,
    workflow_id: String,
    state_revision: u64,
    idempotency_key: String,
    failures: u32,
    max_attempts: u32,
    earlier_progress: String,
    labels: HashMap<String, String>,
    traceparent: String,
    deadline: Option<Instant>,
    cancellation: CancellationToken,
    reason: OnceLock<CancelReason>,
    progress: Mutex<Progress>,
    client: Client,
}

#[derive(Debug, Default)]
struct Progress {
    text: String,
    fresh: bool,
}

/// Why an attempt is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// Its workflow is being cancelled: finish early and report.
    WorkflowCancelled,
    /// Its workflow has ended: the result is ignored.
    WorkflowEnded,
    /// The lease is lost: another worker may run the task.
    LeaseLost,
    /// It ran longer than its timeout.
    TimedOut,
    /// The worker is shutting down and its grace is over: the task goes to another worker.
    Draining,
}

impl NodeContext {
    /// Takes what it needs of a task; state and config are the caller's. The shorter of the two timeouts counts.
    pub(crate) fn new(task: proto::Task, at: proto::AttemptRef, timeout: Option<Duration>, client: Client) -> Self {
        let asked = (task.timeout_ms > 0).then(|| Duration::from_millis(task.timeout_ms));
        let timeout = [asked, timeout].into_iter().flatten().min();
        Self(Arc::new(Attempt {
            at,
            lease: task.lease.unwrap_or_default(),
            node: task.node,
            workflow_id: task.workflow_id,
            state_revision: task.state_revision,
            idempotency_key: task.idempotency_key,
            failures: task.failures,
            max_attempts: task.max_attempts,
            earlier_progress: task.progress,
            labels: task.labels,
            traceparent: task.traceparent,
            // By tokio's clock, which tests can stop.
            deadline: timeout.and_then(|timeout| tokio::time::Instant::now().into_std().checked_add(timeout)),
            cancellation: CancellationToken::new(),
            reason: OnceLock::new(),
            progress: Mutex::default(),
            client,
        }))
    }

    /// Id of the workflow.
    pub fn workflow_id(&self) -> &str {
        &self.0.workflow_id
    }

    /// Number of the run.
    pub fn run(&self) -> u64 {
        self.0.at.run
    }

    /// Number of the task within the run.
    pub fn task(&self) -> u32 {
        self.0.at.task
    }

    /// Number of the attempt, from 1. Every time that the task is handed out counts, also when the answer was that it is blocked, or the worker was
    /// lost: what to do about failures depends on [`failures`](Self::failures).
    pub fn attempt(&self) -> u32 {
        self.0.at.attempt
    }

    /// The worker's right to this attempt: the term of the leader that gave it, and its number in that term. No two executions have the same one,
    /// while an attempt can be given anew after a change of leader: for a record of executions outside of Graft.
    pub fn lease(&self) -> (u64, u64) {
        (self.0.lease.term, self.0.lease.sequence)
    }

    /// Attempts of this task that failed before.
    pub fn failures(&self) -> u32 {
        self.0.failures
    }

    /// Most tries of this task.
    pub fn max_attempts(&self) -> u32 {
        self.0.max_attempts
    }

    /// Name of the node.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Revision of the state that the node was given: counts its changes.
    pub fn state_revision(&self) -> u64 {
        self.0.state_revision
    }

    /// The same for every attempt of the task, and for no other task: hand it to services that can tell repeats by it.
    pub fn idempotency_key(&self) -> &str {
        &self.0.idempotency_key
    }

    /// When the attempt will have run for too long; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// The workflow's labels.
    pub fn labels(&self) -> &HashMap<String, String> {
        &self.0.labels
    }

    /// The span that spans of this attempt belong below, as a `traceparent` of W3C Trace Context: that of the attempt where the cluster exports spans, or
    /// else that which the workflow was started from. `None`: there is neither.
    pub fn traceparent(&self) -> Option<&str> {
        Some(self.0.traceparent.as_str()).filter(|text| !text.is_empty())
    }

    /// Fires when the attempt is to stop; [`cancel_reason`](Self::cancel_reason) then says why.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.0.cancellation
    }

    /// Whether the attempt is to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancellation.is_cancelled()
    }

    /// Why the attempt is to stop; `None`: it is not.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.0.reason.get().copied()
    }

    /// Says how far it is, at most 4 KiB; longer ones are cut. Only the last report counts: it is kept with the task when the attempt ends
    /// without completing it, and handed to the next attempt as [`earlier_progress`](Self::earlier_progress).
    pub fn progress(&self, text: impl Into<String>) {
        let text = cut(text.into(), PROGRESS_BYTES_MAX);
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress { text, fresh: true };
    }

    /// What the attempt before reported last; empty if nothing.
    pub fn earlier_progress(&self) -> &str {
        &self.0.earlier_progress
    }

    /// The worker's client, for starting or looking at other workflows.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    pub(crate) fn cancel(&self, reason: CancelReason) {
        let _ = self.0.reason.set(reason);
        self.0.cancellation.cancel();
    }

    /// The last report, if it is new since the last call.
    pub(crate) fn fresh_progress(&self) -> Option<String> {
        let mut progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut progress.fresh).then(|| progress.text.clone())
    }

    pub(crate) fn last_progress(&self) -> String {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).text.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_is_told_by_which_right_it_runs() {
        let lease = proto::Lease { term: 7, sequence: 3 };
        let task = proto::Task { lease: Some(lease), ..proto::Task::default() };
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        assert_eq!(NodeContext::new(task, proto::AttemptRef::default(), None, client).lease(), (7, 3));
    }
}
