//! Facts as lines of the log, under a target of their own and for debugging: a busy leader has thousands in a second.

use tracing::Level;

use super::facts::{Attempt, Fact, Subject, What};

/// The target of these lines: `info,history=debug` shows them, beside what is shown otherwise.
macro_rules! line {
    ($($said:tt)+) => { tracing::debug!(target: "history", $($said)+) };
}

/// Whether anybody reads them.
pub(super) fn are_wanted() -> bool {
    tracing::enabled!(target: "history", Level::DEBUG)
}

/// Writes the line of a fact. Its trace and span are named if the span is exported, or the caller has told one.
pub(super) fn tell(fact: &Fact, recorded: bool) {
    let Subject { trace, namespace, id, run, .. } = &fact.of;
    let trace_id = (recorded || trace.caller.is_some()).then(|| format!("{:032x}", trace.id));
    let trace_id = trace_id.as_deref();
    let span_id = |span: u64| recorded.then(|| format!("{span:016x}"));
    let of_workflow = || span_id(trace.workflow_span());
    match &fact.what {
        What::Started(tasks) => {
            let (span_id, tasks) = (of_workflow(), tasks.len());
            line!(namespace, workflow_id = id, run, tasks, trace_id, span_id = span_id.as_deref(), "a workflow was started");
        }
        What::Ended(attempt) => {
            let Attempt { task, number, node, worker, took_us, outcome, message, .. } = attempt;
            let span_id = span_id(trace.attempt_span(*task, *number));
            let (outcome, kind, span_id) = (outcome.word(), outcome.failure(), span_id.as_deref());
            let (why, attempt) = (Some(message.as_str()).filter(|message| !message.is_empty()), number);
            line!(
                namespace,
                workflow_id = id,
                run,
                task,
                node,
                attempt,
                worker,
                took_us,
                outcome,
                kind,
                why,
                trace_id,
                span_id,
                "an attempt has ended"
            );
        }
        What::GivenUp { task, attempt, .. } => {
            let span_id = span_id(trace.attempt_span(*task, *attempt));
            line!(namespace, workflow_id = id, run, task, attempt, trace_id, span_id = span_id.as_deref(), "a task was given up");
        }
        What::Redriven { again, reopened } => {
            line!(namespace, workflow_id = id, run, task = again.task, reopened, trace_id, "a dead letter is a task again");
        }
        What::Discarded(task) => line!(namespace, workflow_id = id, run, task, trace_id, "a dead letter is gone"),
        What::WorkflowEnded(end) => {
            let (span_id, outcome, why) = (of_workflow(), end.outcome, &end.reason);
            line!(namespace, workflow_id = id, run, outcome, why, trace_id, span_id = span_id.as_deref(), "a workflow has ended");
        }
        What::Joined { .. } | What::Aside => {}
    }
}
