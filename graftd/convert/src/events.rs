//! The history, as clients read it.

use graft_machine::command::FailureKind;
use graft_machine::event::{self, Event, Happened};
use graft_machine::ids::Lease;
use graft_machine::tables::RunEventKey;
use graft_proto::v1;
use graft_proto::v1::event as told;

use crate::{cursors, outcomes, payload, tasks};

/// An event and its place.
pub fn event(epoch: u64, key: &RunEventKey, event: &Event) -> v1::Event {
    v1::Event {
        number: event.number,
        position: cursors::position(epoch, key.index, key.ordinal),
        time_ms: event.at,
        happened: event.happened.as_ref().map(happened),
    }
}

/// The types of events, by the names of the fields of `Event.happened`, in the order of their numbers.
pub const TYPES: [&str; 19] = [
    "started",
    "task_completed",
    "task_failed",
    "task_blocked",
    "scope_closed",
    "task_dead_lettered",
    "task_handed_back",
    "paused",
    "resumed",
    "cancelling",
    "completed",
    "failed",
    "cancelled",
    "terminated",
    "timed_out",
    "late_result_ignored",
    "dead_letter_redriven",
    "dead_letter_discarded",
    "task_retried",
];

/// The type of an event: one of [`TYPES`].
pub fn type_name(happened: &Happened) -> &'static str {
    match happened {
        Happened::Started(_) => "started",
        Happened::Completed(_) => "task_completed",
        Happened::Failed(_) => "task_failed",
        Happened::Blocked(_) => "task_blocked",
        Happened::ScopeClosed(_) => "scope_closed",
        Happened::DeadLettered(_) => "task_dead_lettered",
        Happened::HandedBack(_) => "task_handed_back",
        Happened::Paused(_) => "paused",
        Happened::Resumed(_) => "resumed",
        Happened::Cancelling(_) => "cancelling",
        Happened::WorkflowCompleted(_) => "completed",
        Happened::WorkflowFailed(_) => "failed",
        Happened::WorkflowCancelled(_) => "cancelled",
        Happened::WorkflowTerminated(_) => "terminated",
        Happened::WorkflowTimedOut(_) => "timed_out",
        Happened::LateResultIgnored(_) => "late_result_ignored",
        Happened::DeadLetterRedriven(_) => "dead_letter_redriven",
        Happened::DeadLetterDiscarded(_) => "dead_letter_discarded",
        Happened::TaskRetried(_) => "task_retried",
    }
}

fn happened(happened: &Happened) -> told::Happened {
    match happened {
        Happened::Started(it) => told::Happened::Started(told::Started {
            state: payload::json(&it.state),
            created: it.created.iter().map(created).collect(),
            principal: it.principal.clone(),
        }),
        Happened::Completed(it) => told::Happened::TaskCompleted(completed(it)),
        Happened::Failed(it) => told::Happened::TaskFailed(told::TaskFailed {
            task: it.task,
            node: it.node.clone(),
            attempt: it.attempt,
            kind: failure_kind(it.kind()).to_owned(),
            message: it.message.clone(),
            retry_at_ms: it.retry_at,
            worker: it.worker.clone(),
        }),
        Happened::Blocked(it) => told::Happened::TaskBlocked(told::TaskBlocked {
            task: it.task,
            node: it.node.clone(),
            attempt: it.attempt,
            judged_revision: it.judged_revision,
            wake_on: it.wake_on.clone(),
        }),
        Happened::ScopeClosed(it) => {
            told::Happened::ScopeClosed(told::ScopeClosed { scope: it.scope, continuation: it.continuation.as_ref().map(created) })
        }
        Happened::DeadLettered(it) => told::Happened::TaskDeadLettered(told::TaskDeadLettered {
            task: it.task,
            node: it.node.clone(),
            error: it.error.clone(),
            then: it.then.as_ref().map(tasks::on_exhausted_told),
            error_task: it.error_task.as_ref().map(created),
        }),
        Happened::HandedBack(it) => told::Happened::TaskHandedBack(handed_back(it)),
        Happened::Paused(it) => told::Happened::Paused(controlled(it)),
        Happened::Resumed(it) => told::Happened::Resumed(controlled(it)),
        Happened::Cancelling(it) => told::Happened::Cancelling(controlled(it)),
        Happened::WorkflowCompleted(it) => told::Happened::Completed(ended(it)),
        Happened::WorkflowFailed(it) => told::Happened::Failed(ended(it)),
        Happened::WorkflowCancelled(it) => told::Happened::Cancelled(ended(it)),
        Happened::WorkflowTerminated(it) => told::Happened::Terminated(ended(it)),
        Happened::WorkflowTimedOut(it) => told::Happened::TimedOut(ended(it)),
        Happened::LateResultIgnored(it) => told::Happened::LateResultIgnored(handed_back(it)),
        Happened::DeadLetterRedriven(it) => told::Happened::DeadLetterRedriven(told::DeadLetterRedriven {
            task: it.task,
            node: it.node.clone(),
            principal: it.principal.clone(),
            reason: it.reason.clone(),
            attempt: it.attempt,
            config: it.config.as_ref().and_then(payload::json),
            state_patch: payload::json(&it.state_patch),
            revision: it.revision,
            reopened: it.reopened,
            scope: it.scope,
        }),
        Happened::DeadLetterDiscarded(it) => told::Happened::DeadLetterDiscarded(told::DeadLetterDiscarded {
            task: it.task,
            node: it.node.clone(),
            principal: it.principal.clone(),
            reason: it.reason.clone(),
        }),
        Happened::TaskRetried(it) => told::Happened::TaskRetried(told::TaskRetried {
            task: it.task,
            node: it.node.clone(),
            principal: it.principal.clone(),
            reason: it.reason.clone(),
        }),
    }
}

fn completed(it: &event::TaskCompleted) -> told::TaskCompleted {
    let opened =
        |scope: &event::OpenedScope| v1::OpenedScope { scope: scope.scope, parent: scope.parent, continuation: scope.continuation.clone() };
    told::TaskCompleted {
        task: it.task,
        node: it.node.clone(),
        attempt: it.attempt,
        lease: Some(lease(it.lease)),
        base_revision: it.base_revision,
        revision: it.revision,
        patch: payload::json(&it.patch),
        operations: it.operations.iter().map(outcomes::operation_told).collect(),
        created: it.created.iter().map(created).collect(),
        opened: it.opened.iter().map(opened).collect(),
        worker: it.worker.clone(),
        execution_us: it.execution_us,
    }
}

fn created(task: &event::CreatedTask) -> v1::CreatedTask {
    v1::CreatedTask {
        task: task.task,
        node: task.node.clone(),
        scope: task.scope,
        not_before_ms: task.not_before,
        skipped_for: task.skipped_for,
        idempotency_key: task.idempotency_key.clone(),
    }
}

fn handed_back(it: &event::TaskHandedBack) -> told::TaskHandedBack {
    told::TaskHandedBack { task: it.task, node: it.node.clone(), attempt: it.attempt, worker: it.worker.clone(), reason: it.reason.clone() }
}

fn controlled(it: &event::Controlled) -> told::Controlled {
    told::Controlled { principal: it.principal.clone(), reason: it.reason.clone() }
}

fn ended(it: &event::WorkflowEnded) -> told::Ended {
    told::Ended { reason: it.reason.clone(), task: it.task }
}

/// A lease.
pub fn lease(lease: Lease) -> v1::Lease {
    v1::Lease { term: lease.term, sequence: lease.sequence }
}

/// The word for a kind of failure.
pub fn failure_kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Retryable => "retryable",
        FailureKind::Permanent => "permanent",
        FailureKind::Panic => "panic",
        FailureKind::Timeout => "timeout",
        FailureKind::BadOutcome => "bad-outcome",
        FailureKind::Lost => "lost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use graft_machine::event::{CreatedTask, TaskCompleted, TaskFailed, WorkflowEnded, WorkflowStarted};

    fn told_of(happened: Happened) -> v1::Event {
        let key = RunEventKey { run: 7, index: 40, ordinal: 2 };
        event(3, &key, &Event { run: 7, number: 5, at: 1_000, happened: Some(happened) })
    }

    #[test]
    fn an_event_keeps_its_number_place_and_time() {
        let told = told_of(Happened::WorkflowCompleted(WorkflowEnded::default()));
        assert_eq!((told.number, told.time_ms, told.position.as_str()), (5, 1_000, "3-0-28-2"));
    }

    #[test]
    fn a_start_tells_the_state_and_the_tasks() {
        let created = vec![CreatedTask { task: 1, node: "a".into(), ..CreatedTask::default() }];
        let told = told_of(Happened::Started(WorkflowStarted { state: Bytes::from_static(b"{}"), created, principal: "client:x".into() }));
        let Some(told::Happened::Started(started)) = told.happened else { panic!("not a start") };
        assert_eq!((started.created[0].node.as_str(), started.principal.as_str()), ("a", "client:x"));
        assert_eq!(&started.state.expect("a state").data[..], b"{}");
    }

    #[test]
    fn a_completion_without_patch_tells_none() {
        let told = told_of(Happened::Completed(TaskCompleted { lease: Lease { term: 1, sequence: 2 }, ..TaskCompleted::default() }));
        let Some(told::Happened::TaskCompleted(completed)) = told.happened else { panic!("not a completion") };
        assert_eq!((completed.patch, completed.lease), (None, Some(v1::Lease { term: 1, sequence: 2 })));
    }

    #[test]
    fn types_are_called_as_the_fields_of_the_protocol_and_told_as_them() {
        let text = include_str!("../../../proto/graft/v1/workflow.proto");
        let fields = text.lines().skip_while(|line| line.trim() != "oneof happened {").skip(1).take_while(|line| line.trim() != "}");
        let fields: Vec<&str> = fields.map(str::trim).filter(|line| !line.starts_with("//")).collect();
        let names: Vec<&str> = fields.iter().map(|field| field.split_whitespace().nth(1).expect("a name")).collect();
        assert_eq!(names, TYPES);
        // The machine numbers what becomes true as the protocol does: an empty event of each number is told under that name.
        for (at, name) in TYPES.iter().enumerate() {
            let mut bytes = vec![];
            prost::encoding::encode_key(at as u32 + 10, prost::encoding::WireType::LengthDelimited, &mut bytes);
            bytes.push(0);
            let event = <Event as prost::Message>::decode(&bytes[..]).expect("an event");
            assert_eq!(type_name(event.happened.as_ref().expect("it happened")), *name);
        }
    }

    #[test]
    fn failures_are_told_by_their_words() {
        for (kind, word) in [(FailureKind::Panic, "panic"), (FailureKind::BadOutcome, "bad-outcome"), (FailureKind::Lost, "lost")] {
            let told = told_of(Happened::Failed(TaskFailed { kind: kind as i32, ..TaskFailed::default() }));
            assert!(matches!(told.happened, Some(told::Happened::TaskFailed(failed)) if failed.kind == word));
        }
    }
}
