//! Results of attempts, as workers send them.
//!
//! A result whose content cannot be taken (a patch that is no JSON, a successor without a name, too many tasks) is no reason to end the
//! worker's stream: the attempt has ended, and ended badly. It becomes a failure for good, with the reason in the history. Only a result
//! that names no attempt breaks the protocol, because nobody could be told.

use bytes::Bytes;
use graft_machine::command::{BlockTask, Change, CompleteTask, FailTask, FailureKind, Operation};
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::limits::{ERROR_BYTES_MAX, JSON_DEPTH_MAX, OPERATIONS_MAX, PATCH_BYTES_MAX, POINTER_BYTES_MAX, WAKE_ON_MAX};
use graft_proto::v1;
use graft_proto::v1::operation;
use graft_proto::v1::result::Outcome;

use crate::{payload, tasks};
use graft_machine::result::TaskResult;
use graft_proto::errors::{ErrorCode, Fault, cut, quoted};

/// A result; refused only if it names no attempt or no lease.
pub fn result(result: v1::Result) -> Result<TaskResult, Fault> {
    let (at, lease) = held(result.at, result.lease, "a result")?;
    let execution_us = result.execution_us;
    let taken = match result.outcome {
        Some(Outcome::Completed(completed)) => complete(at, lease, execution_us, completed).map(TaskResult::Completed),
        Some(Outcome::Failed(failed)) => Ok(TaskResult::Failed(fail(at, lease, execution_us, failed))),
        Some(Outcome::Blocked(blocked)) => block(at, lease, blocked).map(TaskResult::Blocked),
        Some(Outcome::HandedBack(back)) => {
            let (reason, progress) = (cut(&back.reason, ERROR_BYTES_MAX), cut(&back.progress, ERROR_BYTES_MAX));
            Ok(TaskResult::HandedBack { at, lease, reason, progress })
        }
        None => Err(Fault::invalid("the result", "has no outcome that this version knows")),
    };
    Ok(taken.unwrap_or_else(|error| {
        let message = format!("the outcome was refused: {} {}", error.object, error.detail);
        TaskResult::Failed(FailTask {
            at,
            lease,
            kind: FailureKind::BadOutcome as i32,
            message: cut(&message, ERROR_BYTES_MAX),
            retry_after: 0,
            progress: String::new(),
            worker: String::new(),
            execution_us,
        })
    }))
}

/// An attempt and the right to it, both of which every message about an attempt has to name.
pub fn held(at: Option<v1::AttemptRef>, lease: Option<v1::Lease>, what: &str) -> Result<(AttemptRef, Lease), Fault> {
    match (at, lease) {
        (Some(at), Some(lease)) => {
            Ok((AttemptRef { run: at.run, task: at.task, attempt: at.attempt }, Lease { term: lease.term, sequence: lease.sequence }))
        }
        (None, _) => Err(Fault::new(ErrorCode::ProtocolBroken, what, "names no attempt")),
        (_, None) => Err(Fault::new(ErrorCode::ProtocolBroken, what, "names no lease")),
    }
}

fn complete(at: AttemptRef, lease: Lease, execution_us: u64, completed: v1::Completed) -> Result<CompleteTask, Fault> {
    if completed.operations.len() > OPERATIONS_MAX {
        let detail = format!("has {} operations, at most {OPERATIONS_MAX} are allowed", completed.operations.len());
        return Err(Fault::too_large("the outcome", detail));
    }
    let created = completed.fan_outs.iter().map(|fan_out| fan_out.tasks.len() + 1).sum::<usize>() + completed.next.len();
    tasks::check_count(created)?;
    let operations = completed.operations.into_iter().map(operation).collect::<Result<Vec<_>, _>>()?;
    let appended: usize =
        operations.iter().map(|operation| if let Some(Change::Append(value)) = &operation.change { value.len() } else { 0 }).sum();
    if appended > PATCH_BYTES_MAX {
        let detail = format!("append {appended} bytes together, at most {PATCH_BYTES_MAX} are allowed");
        return Err(Fault::too_large("the operations", detail));
    }
    Ok(CompleteTask {
        at,
        lease,
        base_revision: completed.base_revision,
        patch: payload::patch(completed.patch)?,
        operations,
        next: tasks::new_tasks(completed.next)?,
        fan_outs: completed.fan_outs.into_iter().map(tasks::fan_out).collect::<Result<_, _>>()?,
        worker: String::new(),
        execution_us,
    })
}

fn operation(operation: v1::Operation) -> Result<Operation, Fault> {
    let whole = format!("operation at {}", quoted(&operation.pointer));
    check_pointer(&operation.pointer)?;
    let change = match operation.change {
        Some(operation::Change::Append(value)) => Change::Append(payload::appended(value).map_err(|error| error.within(&whole))?),
        Some(operation::Change::Increment(by)) => Change::Increment(by),
        Some(operation::Change::IncrementFloat(by)) if by.is_finite() => Change::IncrementFloat(by),
        Some(operation::Change::IncrementFloat(by)) => return Err(Fault::invalid(whole, format!("adds {by}, which is not finite"))),
        None => return Err(Fault::invalid(whole, "has no change that this version knows")),
    };
    Ok(Operation { pointer: operation.pointer, change: Some(change) })
}

/// An operation as the history tells it.
pub fn operation_told(operation: &Operation) -> v1::Operation {
    let json = |value: &Bytes| payload::json(value).unwrap_or_default();
    let change = operation.change.as_ref().map(|change| match change {
        Change::Append(value) => operation::Change::Append(json(value)),
        Change::Increment(by) => operation::Change::Increment(*by),
        Change::IncrementFloat(by) => operation::Change::IncrementFloat(*by),
    });
    v1::Operation { pointer: operation.pointer.clone(), change }
}

fn fail(at: AttemptRef, lease: Lease, execution_us: u64, failed: v1::Failed) -> FailTask {
    let kind = match failed.kind() {
        v1::FailureKind::Unspecified | v1::FailureKind::Retryable => FailureKind::Retryable,
        v1::FailureKind::Permanent => FailureKind::Permanent,
        v1::FailureKind::Panic => FailureKind::Panic,
    };
    FailTask {
        at,
        lease,
        kind: kind as i32,
        message: cut(&failed.message, ERROR_BYTES_MAX),
        retry_after: failed.retry_after_ms,
        progress: cut(&failed.progress, ERROR_BYTES_MAX),
        worker: String::new(),
        execution_us,
    }
}

fn block(at: AttemptRef, lease: Lease, blocked: v1::Blocked) -> Result<BlockTask, Fault> {
    if blocked.wake_on.len() > WAKE_ON_MAX {
        let detail = format!("names {} pointers, at most {WAKE_ON_MAX} are allowed", blocked.wake_on.len());
        return Err(Fault::too_large("wake_on", detail));
    }
    for pointer in &blocked.wake_on {
        check_pointer(pointer)?;
    }
    let v1::Blocked { judged_revision, wake_on, recheck_ms } = blocked;
    Ok(BlockTask { at, lease, judged_revision, wake_on, recheck: recheck_ms, worker: String::new() })
}

/// A JSON pointer (RFC 6901): empty, or parts that begin with `/`; `~` only in `~0` and `~1`.
fn check_pointer(pointer: &str) -> Result<(), Fault> {
    let refused = |detail: &str| Err(Fault::invalid(format!("JSON pointer {}", quoted(pointer)), detail));
    if pointer.len() > POINTER_BYTES_MAX {
        return refused(&format!("has {} bytes, at most {POINTER_BYTES_MAX} are allowed", pointer.len()));
    }
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return refused("has to begin with /");
    }
    if pointer.matches('/').count() > JSON_DEPTH_MAX {
        return refused(&format!("leads deeper than {JSON_DEPTH_MAX} levels, which no document has"));
    }
    if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return refused("has a ~ that is neither ~0 nor ~1");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use graft_machine::limits::TASKS_PER_COMMAND_MAX;

    use super::*;

    const AT: v1::AttemptRef = v1::AttemptRef { run: 7, task: 3, attempt: 2 };
    const LEASE: v1::Lease = v1::Lease { term: 5, sequence: 9 };

    fn of(outcome: Outcome) -> v1::Result {
        v1::Result { at: Some(AT), lease: Some(LEASE), execution_us: 42, outcome: Some(outcome) }
    }

    fn json(text: &str) -> v1::Payload {
        v1::Payload { encoding: 1, data: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn named(node: &str) -> v1::NewTask {
        v1::NewTask { node: node.into(), ..v1::NewTask::default() }
    }

    fn refused(outcome: Outcome) -> String {
        match result(of(outcome)).expect("the stream goes on") {
            TaskResult::Failed(failed) => {
                assert_eq!(failed.kind(), FailureKind::BadOutcome);
                assert_eq!((failed.at.run, failed.lease.sequence, failed.execution_us), (7, 9, 42));
                failed.message
            }
            other => panic!("taken as {other:?}"),
        }
    }

    #[test]
    fn a_completion_arrives_whole() {
        let completed = v1::Completed {
            base_revision: 4,
            patch: Some(json("{\"a\":null}")),
            operations: vec![
                v1::Operation { pointer: "/l".into(), change: Some(operation::Change::Append(json("1"))) },
                v1::Operation { pointer: "/n~1m".into(), change: Some(operation::Change::Increment(-2)) },
                v1::Operation { pointer: "/f".into(), change: Some(operation::Change::IncrementFloat(0.5)) },
            ],
            next: vec![named("b")],
            fan_outs: vec![v1::FanOut { tasks: vec![named("c"), named("d")], continuation: Some(named("e")) }],
        };
        let TaskResult::Completed(made) = result(of(Outcome::Completed(completed.clone()))).expect("good") else { panic!("not completed") };
        assert_eq!((made.base_revision, made.execution_us, &made.patch[..]), (4, 42, &b"{\"a\":null}"[..]));
        assert_eq!(made.operations.iter().map(operation_told).collect::<Vec<_>>(), completed.operations);
        assert_eq!(made.next[0].node, "b");
        assert_eq!(made.fan_outs[0].tasks.len(), 2);
        assert_eq!(made.fan_outs[0].continuation.as_ref().expect("a continuation").node, "e");
    }

    #[test]
    fn a_patch_that_cannot_be_taken_fails_the_attempt_for_good() {
        let with_patch = |text: &str| Outcome::Completed(v1::Completed { patch: Some(json(text)), ..v1::Completed::default() });
        assert!(refused(with_patch("{oops")).contains("the patch is no JSON"));
        assert!(refused(with_patch("[1]")).contains("is an array, but has to be a JSON object"));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(PATCH_BYTES_MAX));
        assert!(refused(with_patch(&large)).contains("at most 1048576"));
    }

    #[test]
    fn bad_successors_fail_the_attempt_for_good() {
        let next = |task| Outcome::Completed(v1::Completed { next: vec![task], ..v1::Completed::default() });
        assert!(refused(next(named("no good"))).contains("node \"no good\""));
        let bad_config = v1::NewTask { config: Some(json("nope")), ..named("a") };
        assert!(refused(next(bad_config)).contains("task of node \"a\": the config is no JSON"));
        let wide = v1::FanOut { tasks: vec![named("a"); TASKS_PER_COMMAND_MAX], continuation: None };
        assert!(
            refused(Outcome::Completed(v1::Completed { fan_outs: vec![wide], ..v1::Completed::default() })).contains("creates 10001 tasks")
        );
    }

    #[test]
    fn bad_operations_fail_the_attempt_for_good() {
        let one = |pointer: &str, change| {
            let operation = v1::Operation { pointer: pointer.into(), change };
            Outcome::Completed(v1::Completed { operations: vec![operation], ..v1::Completed::default() })
        };
        assert!(refused(one("a", Some(operation::Change::Increment(1)))).contains("has to begin with /"));
        assert!(refused(one("/a~2", Some(operation::Change::Increment(1)))).contains("neither ~0 nor ~1"));
        assert!(refused(one("/a", Some(operation::Change::IncrementFloat(f64::NAN)))).contains("not finite"));
        assert!(refused(one("/a", Some(operation::Change::Append(json("["))))).contains("the value to append"));
        assert!(refused(one("/a", None)).contains("no change"));
        let many = vec![v1::Operation { pointer: String::new(), change: None }; OPERATIONS_MAX + 1];
        assert!(refused(Outcome::Completed(v1::Completed { operations: many, ..v1::Completed::default() })).contains("1001 operations"));
    }

    #[test]
    fn blocks_are_bounded() {
        let blocked = v1::Blocked { judged_revision: 3, wake_on: vec!["/a".into()], recheck_ms: 8 };
        let TaskResult::Blocked(made) = result(of(Outcome::Blocked(blocked))).expect("good") else { panic!("not blocked") };
        assert_eq!((made.judged_revision, made.recheck, made.wake_on), (3, 8, vec!["/a".to_owned()]));
        assert!(refused(Outcome::Blocked(v1::Blocked { wake_on: vec!["/a".into(); 33], ..Default::default() })).contains("33 pointers"));
        assert!(refused(Outcome::Blocked(v1::Blocked { wake_on: vec!["a".into()], ..Default::default() })).contains("begin with /"));
    }

    #[test]
    fn failures_keep_their_kind_and_long_messages_are_cut() {
        for (sent, kind) in [(0, FailureKind::Retryable), (1, FailureKind::Retryable), (2, FailureKind::Permanent), (3, FailureKind::Panic)]
        {
            let failed = v1::Failed { kind: sent, message: "x".repeat(ERROR_BYTES_MAX + 1), retry_after_ms: 5, progress: "p".into() };
            let TaskResult::Failed(made) = result(of(Outcome::Failed(failed))).expect("good") else { panic!("not failed") };
            assert_eq!((made.kind(), made.retry_after, made.progress.as_str()), (kind, 5, "p"));
            assert!(made.message.len() <= ERROR_BYTES_MAX && made.message.ends_with('…'));
        }
    }

    #[test]
    fn a_result_without_outcome_fails_and_one_without_attempt_breaks_the_protocol() {
        let failed = result(v1::Result { at: Some(AT), lease: Some(LEASE), ..v1::Result::default() }).expect("the stream goes on");
        assert!(matches!(failed, TaskResult::Failed(failed) if failed.kind() == FailureKind::BadOutcome));
        assert_eq!(
            result(v1::Result { lease: Some(LEASE), ..v1::Result::default() }).expect_err("no attempt").code,
            ErrorCode::ProtocolBroken
        );
        assert_eq!(result(v1::Result { at: Some(AT), ..v1::Result::default() }).expect_err("no lease").code, ErrorCode::ProtocolBroken);
    }
}
