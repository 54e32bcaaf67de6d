//! What the history comes to, as metrics: counted from the events of an entry where it is applied by the member that proposed it. So all members
//! together count each event once, and none is counted again when a log is replayed; see [`crate::observability::metrics`] for what that leaves out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use graft_machine::command::FailureKind;
use graft_machine::event::{CreatedTask, Event, Happened, TaskFailed};
use graft_machine::ids::Run;
use graft_machine::state::StateRead;
use graft_machine::tables::{RunKey, Workflows};
use graft_machine::time::Millis;

use crate::observability::metrics::workflows::NamespaceMetrics;
use crate::observability::metrics::{Metrics, WorkflowMetrics};

/// See the module. One per member.
pub(crate) struct Tally {
    metrics: Arc<Metrics>,
    /// The last term in which this member has proposed something; 0: none.
    proposed_in: AtomicU64,
}

impl Tally {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, proposed_in: AtomicU64::new(0) }
    }

    /// This member leads in that term, and is about to propose.
    pub(crate) fn proposes_in(&self, term: u64) {
        self.proposed_in.store(term, Ordering::Relaxed);
    }

    /// Whether an entry of that term was proposed by this process.
    pub(crate) fn is_ours(&self, term: u64) -> bool {
        self.proposed_in.load(Ordering::Relaxed) == term
    }

    /// Counts what became true; `state` is what it led to.
    pub(crate) fn count(&self, state: &impl StateRead, events: &[Arc<Event>]) {
        let of = &self.metrics.workflows;
        for event in events {
            let Some(happened) = &event.happened else { continue };
            match happened {
                Happened::Started(started) => {
                    in_namespace(of, state, event.run, |namespace, _, _| namespace.started.inc());
                    created(of, &started.created);
                }
                Happened::Completed(completed) => {
                    of.of_node(&completed.node, |node| {
                        node.completed.inc();
                        node.execution_seconds.observe(seconds(completed.execution_us));
                    });
                    created(of, &completed.created);
                }
                Happened::Failed(failed) => self.failed(failed),
                Happened::DeadLettered(given_up) => {
                    of.of_node(&given_up.node, |node| node.dead_lettered.inc());
                    created(of, &given_up.error_task);
                }
                Happened::ScopeClosed(closed) => created(of, &closed.continuation),
                Happened::Blocked(_) => of.blocked.inc(),
                Happened::DeadLetterRedriven(redriven) => {
                    of.redriven.inc();
                    if redriven.reopened {
                        in_namespace(of, state, event.run, |namespace, _, _| namespace.reopened.inc());
                    }
                }
                Happened::DeadLetterDiscarded(_) => of.discarded.inc(),
                Happened::WorkflowCompleted(_) => ended(of, state, event, 0),
                Happened::WorkflowFailed(_) => ended(of, state, event, 1),
                Happened::WorkflowCancelled(_) => ended(of, state, event, 2),
                Happened::WorkflowTerminated(_) => ended(of, state, event, 3),
                Happened::WorkflowTimedOut(_) => ended(of, state, event, 4),
                Happened::HandedBack(_)
                | Happened::LateResultIgnored(_)
                | Happened::Paused(_)
                | Happened::Resumed(_)
                | Happened::Cancelling(_)
                | Happened::TaskRetried(_) => {}
            }
        }
    }

    fn failed(&self, failed: &TaskFailed) {
        self.metrics.workflows.of_node(&failed.node, |node| {
            // How long its node ran is known of what its worker has told.
            let (reason, told) = match FailureKind::try_from(failed.kind) {
                Ok(FailureKind::Timeout) => (1, false),
                Ok(FailureKind::Lost) => (2, false),
                _ => (0, failed.execution_us > 0),
            };
            node.failed[reason].inc();
            if told {
                node.execution_seconds.observe(seconds(failed.execution_us));
            }
        });
    }
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

fn created<'a>(of: &WorkflowMetrics, tasks: impl IntoIterator<Item = &'a CreatedTask>) {
    for task in tasks {
        match task.skipped_for {
            0 => of.of_node(&task.node, |node| node.created.inc()),
            _ => of.skipped.inc(),
        }
    }
}

/// Counts for the namespace of a run, which is handed over with when it was started and how large its state is.
fn in_namespace(of: &WorkflowMetrics, state: &impl StateRead, run: Run, count: impl FnOnce(&NamespaceMetrics, Millis, usize)) {
    // One that was replaced within the same command is gone.
    if let Some(workflow) = state.get::<Workflows>(&RunKey { run }) {
        of.of_namespace(&workflow.namespace, |namespace| count(namespace, workflow.created, workflow.state.len()));
    }
}

fn ended(of: &WorkflowMetrics, state: &impl StateRead, event: &Event, outcome: usize) {
    in_namespace(of, state, event.run, |namespace, created, bytes| {
        namespace.finished[outcome].inc();
        namespace.seconds.observe(event.at.saturating_sub(created) as f64 / 1e3);
        of.state_bytes.observe(bytes as f64);
    });
}
