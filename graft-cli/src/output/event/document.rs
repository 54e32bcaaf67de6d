//! An event as JSON: `number`, `at`, `position`, `type`, and what belongs to the type. The rules of [`json`](crate::output::json) hold.

use graft_client::RawJson;
use graft_client::proto::event::{self, Happened};
use graft_client::proto::operation::Change;
use graft_client::proto::{CreatedTask, Event, OnExhausted, OpenedScope, Operation, on_exhausted};
use serde::Serialize;

use crate::output::json::{Document, raw, some};
use crate::output::time::rfc3339;

/// `graft workflow history`.
#[derive(Serialize)]
pub(crate) struct HistoryJson {
    /// Id of the workflow.
    pub(crate) workflow_id: String,
    /// Number of the run.
    pub(crate) run: u64,
    /// The oldest first.
    pub(crate) events: Vec<EventJson>,
    /// For the next page.
    pub(crate) next_cursor: Option<String>,
}

/// An event; one line of `graft workflow watch`.
#[derive(Serialize)]
pub(crate) struct EventJson {
    number: u64,
    at: Option<String>,
    position: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum What {
    Started {
        state: RawJson,
        principal: Option<String>,
        created: Vec<CreatedJson>,
    },
    TaskCompleted(Box<CompletedJson>),
    TaskFailed {
        task: u32,
        node: String,
        attempt: u32,
        kind: String,
        message: String,
        retry_at: Option<String>,
        worker: Option<String>,
    },
    TaskBlocked {
        task: u32,
        node: String,
        attempt: u32,
        judged_revision: u64,
        wake_on: Vec<String>,
    },
    ScopeClosed {
        scope: u32,
        continuation: Option<CreatedJson>,
    },
    TaskDeadLettered {
        task: u32,
        node: String,
        error: String,
        then: &'static str,
        error_task: Option<CreatedJson>,
    },
    TaskHandedBack(BackJson),
    LateResultIgnored(BackJson),
    DeadLetterRedriven(Box<RedrivenJson>),
    DeadLetterDiscarded(TaskControlledJson),
    TaskRetried(TaskControlledJson),
    Paused(ControlledJson),
    Resumed(ControlledJson),
    Cancelling(ControlledJson),
    Completed(EndedJson),
    Failed(EndedJson),
    Cancelled(EndedJson),
    Terminated(EndedJson),
    TimedOut(EndedJson),
    /// Of a newer server.
    Unknown {},
}

#[derive(Serialize)]
struct CompletedJson {
    task: u32,
    node: String,
    attempt: u32,
    base_revision: u64,
    revision: u64,
    patch: RawJson,
    operations: Vec<OperationJson>,
    created: Vec<CreatedJson>,
    opened: Vec<OpenedJson>,
    worker: Option<String>,
    execution_us: u64,
}

#[derive(Serialize)]
struct RedrivenJson {
    task: u32,
    node: String,
    principal: Option<String>,
    reason: Option<String>,
    attempt: u32,
    /// `null`: as it was.
    config: Option<RawJson>,
    /// `null`: the state is as it was.
    state_patch: Option<RawJson>,
    revision: u64,
    reopened: bool,
    scope: u32,
}

#[derive(Serialize)]
struct TaskControlledJson {
    task: u32,
    node: String,
    principal: Option<String>,
    reason: Option<String>,
}

impl TaskControlledJson {
    fn of(task: u32, node: String, principal: &str, reason: &str) -> Self {
        Self { task, node, principal: some(principal), reason: some(reason) }
    }
}

#[derive(Serialize)]
struct OperationJson {
    pointer: String,
    #[serde(flatten)]
    change: ChangeJson,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ChangeJson {
    Append(RawJson),
    Increment(i64),
    IncrementFloat(f64),
    Unknown(()),
}

#[derive(Serialize)]
struct CreatedJson {
    /// `null`: skipped, since its key had been used.
    task: Option<u32>,
    node: String,
    scope: u32,
    not_before_at: Option<String>,
    skipped_for: Option<u32>,
    idempotency_key: Option<String>,
}

#[derive(Serialize)]
struct OpenedJson {
    scope: u32,
    parent: u32,
    continuation: Option<String>,
}

#[derive(Serialize)]
struct BackJson {
    task: u32,
    node: String,
    attempt: u32,
    worker: Option<String>,
}

#[derive(Serialize)]
struct ControlledJson {
    principal: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct EndedJson {
    reason: Option<String>,
    task: Option<u32>,
}

impl Document for HistoryJson {
    const KIND: &'static str = "WorkflowHistory";
}

impl Document for EventJson {
    const KIND: &'static str = "Event";
}

impl From<Event> for EventJson {
    fn from(event: Event) -> Self {
        Self { number: event.number, at: rfc3339(event.time_ms), position: event.position, what: what(event.happened) }
    }
}

fn what(happened: Option<Happened>) -> What {
    match happened {
        Some(Happened::Started(e)) => {
            What::Started { state: raw(e.state.as_ref()), principal: some(&e.principal), created: each(e.created) }
        }
        Some(Happened::TaskCompleted(e)) => What::TaskCompleted(Box::new(completed(e))),
        Some(Happened::TaskFailed(e)) => What::TaskFailed {
            task: e.task,
            node: e.node,
            attempt: e.attempt,
            kind: e.kind,
            message: e.message,
            retry_at: rfc3339(e.retry_at_ms),
            worker: some(&e.worker),
        },
        Some(Happened::TaskBlocked(e)) => {
            What::TaskBlocked { task: e.task, node: e.node, attempt: e.attempt, judged_revision: e.judged_revision, wake_on: e.wake_on }
        }
        Some(Happened::ScopeClosed(e)) => What::ScopeClosed { scope: e.scope, continuation: e.continuation.map(Into::into) },
        Some(Happened::TaskDeadLettered(e)) => What::TaskDeadLettered {
            task: e.task,
            node: e.node,
            error: e.error,
            then: then(e.then.as_ref()),
            error_task: e.error_task.map(Into::into),
        },
        Some(Happened::TaskHandedBack(e)) => What::TaskHandedBack(e.into()),
        Some(Happened::LateResultIgnored(e)) => What::LateResultIgnored(e.into()),
        Some(Happened::DeadLetterRedriven(e)) => What::DeadLetterRedriven(Box::new(RedrivenJson {
            config: e.config.as_ref().map(|config| raw(Some(config))),
            state_patch: e.state_patch.as_ref().map(|patch| raw(Some(patch))),
            task: e.task,
            node: e.node,
            principal: some(&e.principal),
            reason: some(&e.reason),
            attempt: e.attempt,
            revision: e.revision,
            reopened: e.reopened,
            scope: e.scope,
        })),
        Some(Happened::DeadLetterDiscarded(e)) => {
            What::DeadLetterDiscarded(TaskControlledJson::of(e.task, e.node, &e.principal, &e.reason))
        }
        Some(Happened::TaskRetried(e)) => What::TaskRetried(TaskControlledJson::of(e.task, e.node, &e.principal, &e.reason)),
        Some(Happened::Paused(e)) => What::Paused(e.into()),
        Some(Happened::Resumed(e)) => What::Resumed(e.into()),
        Some(Happened::Cancelling(e)) => What::Cancelling(e.into()),
        Some(Happened::Completed(e)) => What::Completed(e.into()),
        Some(Happened::Failed(e)) => What::Failed(e.into()),
        Some(Happened::Cancelled(e)) => What::Cancelled(e.into()),
        Some(Happened::Terminated(e)) => What::Terminated(e.into()),
        Some(Happened::TimedOut(e)) => What::TimedOut(e.into()),
        None => What::Unknown {},
    }
}

fn completed(e: event::TaskCompleted) -> CompletedJson {
    CompletedJson {
        task: e.task,
        node: e.node,
        attempt: e.attempt,
        base_revision: e.base_revision,
        revision: e.revision,
        patch: raw(e.patch.as_ref()),
        operations: e.operations.into_iter().map(Into::into).collect(),
        created: each(e.created),
        opened: e.opened.into_iter().map(Into::into).collect(),
        worker: some(&e.worker),
        execution_us: e.execution_us,
    }
}

fn each(created: Vec<CreatedTask>) -> Vec<CreatedJson> {
    created.into_iter().map(Into::into).collect()
}

fn then(then: Option<&OnExhausted>) -> &'static str {
    match then.and_then(|then| then.then.as_ref()) {
        None | Some(on_exhausted::Then::Fail(_)) => "fail",
        Some(on_exhausted::Then::Pause(_)) => "pause",
        Some(on_exhausted::Then::Continue(_)) => "continue",
        Some(on_exhausted::Then::ErrorNode(_)) => "error_node",
    }
}

impl From<Operation> for OperationJson {
    fn from(operation: Operation) -> Self {
        let change = match operation.change {
            Some(Change::Append(payload)) => ChangeJson::Append(raw(Some(&payload))),
            Some(Change::Increment(by)) => ChangeJson::Increment(by),
            Some(Change::IncrementFloat(by)) => ChangeJson::IncrementFloat(by),
            None => ChangeJson::Unknown(()),
        };
        Self { pointer: operation.pointer, change }
    }
}

impl From<CreatedTask> for CreatedJson {
    fn from(task: CreatedTask) -> Self {
        Self {
            task: (task.task > 0).then_some(task.task),
            node: task.node,
            scope: task.scope,
            not_before_at: rfc3339(task.not_before_ms),
            skipped_for: (task.skipped_for > 0).then_some(task.skipped_for),
            idempotency_key: some(&task.idempotency_key),
        }
    }
}

impl From<OpenedScope> for OpenedJson {
    fn from(opened: OpenedScope) -> Self {
        Self { scope: opened.scope, parent: opened.parent, continuation: some(&opened.continuation) }
    }
}

impl From<event::TaskHandedBack> for BackJson {
    fn from(e: event::TaskHandedBack) -> Self {
        Self { task: e.task, node: e.node, attempt: e.attempt, worker: some(&e.worker) }
    }
}

impl From<event::Controlled> for ControlledJson {
    fn from(e: event::Controlled) -> Self {
        Self { principal: some(&e.principal), reason: some(&e.reason) }
    }
}

impl From<event::Ended> for EndedJson {
    fn from(e: event::Ended) -> Self {
        Self { reason: some(&e.reason), task: (e.task > 0).then_some(e.task) }
    }
}

#[cfg(test)]
mod tests {
    use graft_client::proto::Payload;
    use serde_json::json;

    use super::*;

    fn document(happened: Happened) -> serde_json::Value {
        let event = Event { number: 3, position: "1-0-9-0".into(), time_ms: 1_000, happened: Some(happened) };
        serde_json::from_str(&serde_json::to_string(&EventJson::from(event)).unwrap()).unwrap()
    }

    #[test]
    fn a_completed_task_tells_its_patch_and_what_it_created() {
        let patch = Payload { encoding: 1, data: (&br#"{"a":1}"#[..]).into() };
        let completed = event::TaskCompleted {
            task: 1,
            node: "pick".into(),
            attempt: 2,
            revision: 4,
            patch: Some(patch),
            operations: vec![Operation { pointer: "/n".into(), change: Some(Change::Increment(2)) }],
            created: vec![CreatedTask { task: 5, node: "ship".into(), ..CreatedTask::default() }],
            opened: vec![OpenedScope { scope: 1, parent: 0, continuation: "join".into() }],
            execution_us: 70,
            ..event::TaskCompleted::default()
        };
        assert_eq!(
            document(Happened::TaskCompleted(completed)),
            json!({
                "number": 3, "at": "1970-01-01T00:00:01.000Z", "position": "1-0-9-0", "type": "task_completed",
                "task": 1, "node": "pick", "attempt": 2, "base_revision": 0, "revision": 4, "patch": {"a": 1},
                "operations": [{"pointer": "/n", "increment": 2}],
                "created": [{"task": 5, "node": "ship", "scope": 0, "not_before_at": null, "skipped_for": null, "idempotency_key": null}],
                "opened": [{"scope": 1, "parent": 0, "continuation": "join"}], "worker": null, "execution_us": 70,
            })
        );
    }

    #[test]
    fn types_have_the_names_of_the_protocol() {
        let ended = document(Happened::TimedOut(event::Ended { reason: "late".into(), task: 0 }));
        assert_eq!((&ended["type"], &ended["reason"], &ended["task"]), (&json!("timed_out"), &json!("late"), &json!(null)));
        let paused = document(Happened::Paused(event::Controlled::default()));
        assert_eq!((&paused["type"], &paused["reason"]), (&json!("paused"), &json!(null)));
    }
}
