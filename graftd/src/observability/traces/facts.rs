//! What of the history spans are made of: small, owned, and without the states and patches that events hold on to.

use graft_machine::command::FailureKind;
use graft_machine::event::{CreatedTask, Event, Happened, OpenedScope, TaskHandedBack};
use graft_machine::ids::{Run, ScopeId, TaskId};
use graft_machine::task::{Exhausted, OnExhausted};
use graft_machine::time::Millis;
use graft_machine::workflow::Workflow;

use super::ids::Trace;

/// Something that became true of a workflow whose spans are exported.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The workflow.
    pub of: Subject,
    /// Number of the event within the run.
    pub number: u64,
    /// When, by the machine's time.
    pub at: Millis,
    /// What.
    pub what: What,
}

/// A workflow, as much of it as its spans tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its trace.
    pub trace: Trace,
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// Its run.
    pub run: Run,
    /// When it was accepted.
    pub created: Millis,
}

impl Subject {
    /// Of its record.
    pub fn of(workflow: &Workflow, trace: Trace) -> Self {
        let Workflow { namespace, id, run, created, .. } = workflow;
        Self { trace, namespace: namespace.clone(), id: id.clone(), run: *run, created: *created }
    }
}

/// What became true.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The workflow was accepted, with these tasks.
    Started(Vec<Born>),
    /// An attempt is over.
    Ended(Attempt),
    /// A task was given up.
    GivenUp {
        /// The task.
        task: TaskId,
        /// Its last attempt.
        attempt: u32,
        /// Its scope goes on without it.
        passed_over: bool,
        /// The task that takes its place.
        instead: Option<Born>,
    },
    /// A join fired.
    Joined {
        /// The scope.
        scope: ScopeId,
        /// What goes on from it.
        then: Option<Born>,
    },
    /// A dead letter is a task again.
    Redriven {
        /// The task.
        again: Born,
        /// Its workflow had ended, and has another life.
        reopened: bool,
    },
    /// A dead letter is gone.
    Discarded(TaskId),
    /// The workflow has ended.
    WorkflowEnded(End),
    /// Something else, of which no span tells.
    Aside,
}

/// A task that came into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Born {
    /// Its number.
    pub task: TaskId,
    /// Its scope.
    pub scope: ScopeId,
}

/// An attempt that is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attempt {
    /// Its task.
    pub task: TaskId,
    /// Its number.
    pub number: u32,
    /// Its node.
    pub node: String,
    /// Incarnation of the worker; empty: not known.
    pub worker: String,
    /// How long it took, in microseconds; 0: not known.
    pub took_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where somebody said.
    pub message: String,
    /// What follows in its own scope or in those that it opened.
    pub created: Vec<Born>,
    /// The scopes that it opened, each with the one around it.
    pub opened: Vec<(ScopeId, ScopeId)>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// Its result took effect.
    #[default]
    Completed,
    /// It failed or was lost, in this way.
    Failed(FailureKind),
    /// Its worker said that the task cannot start yet.
    Blocked,
    /// It was given back untouched.
    HandedBack,
    /// Its result came after the workflow had ended.
    Ignored,
}

impl Outcome {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Blocked => "blocked",
            Self::HandedBack => "handed-back",
            Self::Ignored => "ignored",
        }
    }

    /// How it failed, if it did, in the words of the API.
    pub fn failure(self) -> Option<&'static str> {
        let Self::Failed(kind) = self else { return None };
        Some(match kind {
            FailureKind::Retryable => "retryable",
            FailureKind::Permanent => "permanent",
            FailureKind::Panic => "panic",
            FailureKind::Timeout => "timeout",
            FailureKind::BadOutcome => "bad-outcome",
            FailureKind::Lost => "lost",
        })
    }
}

/// How a workflow ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// In one word.
    pub outcome: &'static str,
    /// Not as it should.
    pub is_error: bool,
    /// Why, where somebody said.
    pub reason: String,
}

impl What {
    /// What an event tells; `None`: it is of a kind that is not known here.
    pub fn of(event: &Event) -> Option<Self> {
        use Happened as H;
        let ended = |outcome, is_error, reason: &str| Self::WorkflowEnded(End { outcome, is_error, reason: reason.to_owned() });
        Some(match event.happened.as_ref()? {
            H::Started(started) => Self::Started(born(&started.created)),
            H::Completed(e) => Self::Ended(Attempt {
                task: e.task,
                number: e.attempt,
                node: e.node.clone(),
                worker: e.worker.clone(),
                took_us: e.execution_us,
                outcome: Outcome::Completed,
                message: String::new(),
                created: born(&e.created),
                opened: e.opened.iter().map(|OpenedScope { scope, parent, .. }| (*scope, *parent)).collect(),
            }),
            H::Failed(e) => Self::Ended(Attempt {
                task: e.task,
                number: e.attempt,
                node: e.node.clone(),
                worker: e.worker.clone(),
                took_us: e.execution_us,
                outcome: Outcome::Failed(FailureKind::try_from(e.kind).unwrap_or(FailureKind::Retryable)),
                message: e.message.clone(),
                ..Attempt::default()
            }),
            H::Blocked(e) => Self::Ended(Attempt {
                task: e.task,
                number: e.attempt,
                node: e.node.clone(),
                outcome: Outcome::Blocked,
                ..Attempt::default()
            }),
            H::HandedBack(e) => Self::Ended(given_back(e, Outcome::HandedBack)),
            H::LateResultIgnored(e) => Self::Ended(given_back(e, Outcome::Ignored)),
            H::DeadLettered(e) => Self::GivenUp {
                task: e.task,
                attempt: e.attempt,
                passed_over: matches!(e.then, Some(OnExhausted { then: Some(Exhausted::Continue(())) })),
                instead: e.error_task.as_ref().and_then(one_born),
            },
            H::ScopeClosed(e) => Self::Joined { scope: e.scope, then: e.continuation.as_ref().and_then(one_born) },
            H::DeadLetterRedriven(e) => Self::Redriven { again: Born { task: e.task, scope: e.scope }, reopened: e.reopened },
            H::DeadLetterDiscarded(e) => Self::Discarded(e.task),
            H::WorkflowCompleted(e) => ended("completed", false, &e.reason),
            H::WorkflowFailed(e) => ended("failed", true, &e.reason),
            H::WorkflowCancelled(e) => ended("cancelled", false, &e.reason),
            H::WorkflowTerminated(e) => ended("terminated", false, &e.reason),
            H::WorkflowTimedOut(e) => ended("timed-out", true, &e.reason),
            H::Paused(_) | H::Resumed(_) | H::Cancelling(_) | H::TaskRetried(_) => Self::Aside,
        })
    }

    /// Whether a span is made of it.
    pub fn has_a_span(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::WorkflowEnded(_))
    }
}

fn given_back(event: &TaskHandedBack, outcome: Outcome) -> Attempt {
    let TaskHandedBack { task, node, attempt, worker, reason, .. } = event;
    Attempt {
        task: *task,
        number: *attempt,
        node: node.clone(),
        worker: worker.clone(),
        outcome,
        message: reason.clone(),
        ..Attempt::default()
    }
}

fn born<'a>(created: impl IntoIterator<Item = &'a CreatedTask>) -> Vec<Born> {
    created.into_iter().filter_map(one_born).collect()
}

/// One that was skipped did not come into being.
fn one_born(created: &CreatedTask) -> Option<Born> {
    (created.task != 0).then_some(Born { task: created.task, scope: created.scope })
}
