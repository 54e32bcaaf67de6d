//! What happened: `number`, `at`, `position`, `type`, and what belongs to the type. Types have the names of the protocol.

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value};

use super::task::OnExhausted;
use super::{RawJson, Time, known_small, raw, some};
use crate::v1;
use crate::v1::event::Happened as Told;
use crate::v1::operation::Change;

/// A page of a run's history.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkflowHistory {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// The oldest first.
    pub events: Vec<Event>,
    /// For the next page; `null`: this is the last one.
    pub next_cursor: Option<String>,
}

/// One fact in the history of a run.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(transform = spread)]
pub struct Event {
    /// Number within the run, from 1, without gaps.
    pub number: u64,
    /// When it became true, by the machine's time.
    pub at: Option<Time>,
    /// Opaque position in the log of the cluster.
    pub position: String,
    /// What became true.
    #[serde(flatten)]
    pub what: Happened,
}

/// What became true, by its type.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Happened {
    /// The workflow was accepted.
    Started {
        /// The state that it started with.
        state: RawJson,
        /// Who asked.
        principal: Option<String>,
        /// The tasks that were created, and those that were skipped because their key had been used.
        created: Vec<CreatedTask>,
    },
    /// A task resolved.
    TaskCompleted(Box<CompletedTask>),
    /// An attempt failed or was lost.
    TaskFailed {
        /// Number of the task.
        task: u32,
        /// Its node.
        node: String,
        /// The attempt.
        attempt: u32,
        /// `retryable`, `permanent`, `panic`, `timeout`, `bad-outcome` or `lost`.
        error_kind: String,
        /// What it said.
        message: String,
        /// When the next attempt may start; `null`: there is none.
        retry_at: Option<Time>,
        /// Incarnation of the worker.
        worker: Option<String>,
    },
    /// A task waits for a change of the state.
    TaskBlocked {
        /// Number of the task.
        task: u32,
        /// Its node.
        node: String,
        /// The attempt.
        attempt: u32,
        /// The revision that was judged.
        judged_revision: u64,
        /// What wakes it; none: any change.
        wake_on: Vec<String>,
    },
    /// A join fired.
    ScopeClosed {
        /// Number of the scope.
        scope: u32,
        /// Its continuation, if it has one.
        continuation: Option<CreatedTask>,
    },
    /// A task was given up.
    TaskDeadLettered {
        /// Number of the task.
        task: u32,
        /// Its node.
        node: String,
        /// What its last attempt said.
        error: String,
        /// What follows.
        then: OnExhausted,
        /// The error node's task, if there is one.
        error_task: Option<CreatedTask>,
    },
    /// An attempt was given back untouched.
    TaskHandedBack(HandedBackTask),
    /// A late result was ignored.
    LateResultIgnored(HandedBackTask),
    /// A dead letter got another chance.
    DeadLetterRedriven(Box<RedrivenDeadLetter>),
    /// A dead letter was given up for good.
    DeadLetterDiscarded(ControlledTask),
    /// A task that waited was made ready by request.
    TaskRetried(ControlledTask),
    /// The workflow was paused.
    Paused(Controlled),
    /// The workflow was resumed.
    Resumed(Controlled),
    /// The workflow is being cancelled.
    Cancelling(Controlled),
    /// The workflow completed.
    Completed(Ended),
    /// The workflow failed.
    Failed(Ended),
    /// The workflow was cancelled.
    Cancelled(Ended),
    /// The workflow was terminated.
    Terminated(Ended),
    /// The workflow's deadline passed.
    TimedOut(Ended),
    /// Of a newer server.
    Unknown {},
}

/// A task that resolved.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct CompletedTask {
    /// Number of the task.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// The attempt.
    pub attempt: u32,
    /// Revision that the worker had seen.
    pub base_revision: u64,
    /// Revision of the state after it.
    pub revision: u64,
    /// The merge patch (RFC 7396); `null`: no change.
    pub patch: RawJson,
    /// Changes that commute.
    pub operations: Vec<Operation>,
    /// The tasks that were created, and those that were skipped because their key had been used.
    pub created: Vec<CreatedTask>,
    /// The scopes that it opened.
    pub opened: Vec<OpenedScope>,
    /// Incarnation of the worker.
    pub worker: Option<String>,
    /// How long the node ran, in microseconds.
    pub execution_us: u64,
}

/// A dead letter that got another chance.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct RedrivenDeadLetter {
    /// Number of the task.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// Who asked.
    pub principal: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The attempt.
    pub attempt: u32,
    /// `null`: as it was.
    pub config: Option<RawJson>,
    /// `null`: the state is as it was.
    pub state_patch: Option<RawJson>,
    /// Revision of the state after it.
    pub revision: u64,
    /// Whether the workflow had ended or was paused for it, and runs again.
    pub reopened: bool,
    /// Number of the scope.
    pub scope: u32,
}

/// A task that somebody helped or gave up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ControlledTask {
    /// Number of the task.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// Who asked.
    pub principal: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl ControlledTask {
    fn of(task: u32, node: String, principal: &str, reason: &str) -> Self {
        Self { task, node, principal: some(principal), reason: some(reason) }
    }
}

/// A change that commutes with its like.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(transform = spread)]
pub struct Operation {
    /// Where, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What.
    #[serde(flatten)]
    pub change: OperationChange,
}

/// What such a change does.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationChange {
    /// Put a value at the end of the array.
    Append(RawJson),
    /// Add to the integer.
    Increment(i64),
    /// Add to the number as a float.
    IncrementFloat(f64),
    /// Of a newer server.
    Unknown(()),
}

/// A task as it was created, or skipped because its idempotency key had been used.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CreatedTask {
    /// `null`: skipped, since its key had been used.
    pub task: Option<u32>,
    /// Its node.
    pub node: String,
    /// Number of the scope.
    pub scope: u32,
    /// Not before this time; `null`: at once.
    pub not_before_at: Option<Time>,
    /// If it was skipped: the task that used its key first.
    pub skipped_for: Option<u32>,
    /// Its idempotency key.
    pub idempotency_key: Option<String>,
}

/// A fan-out that was opened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OpenedScope {
    /// Number of the scope.
    pub scope: u32,
    /// The scope around it.
    pub parent: u32,
    /// Its continuation, if it has one.
    pub continuation: Option<String>,
}

/// An attempt that was given back, or its late result ignored.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct HandedBackTask {
    /// Number of the task.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// The attempt.
    pub attempt: u32,
    /// Incarnation of the worker.
    pub worker: Option<String>,
    /// Why, in the worker's words; `null`: it did not say.
    pub reason: Option<String>,
}

/// Somebody asked for it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Controlled {
    /// Who asked.
    pub principal: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The workflow ended.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Ended {
    /// Why.
    pub reason: Option<String>,
    /// Number of the task.
    pub task: Option<u32>,
}

/// An event, and the workflow that it is about.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(transform = spread)]
pub struct WorkflowEvent {
    /// Namespace.
    pub namespace: String,
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// What all kinds have in common, said of each kind: many generators of clients see no properties beside a `oneOf`.
pub(super) fn spread(schema: &mut Schema) {
    let object = schema.ensure_object();
    let Some(Value::Array(mut kinds)) = object.remove("oneOf") else { return };
    let take = |object: &mut Map<String, Value>, key: &str| object.remove(key).unwrap_or_default();
    let properties = take(object, "properties").as_object().cloned().unwrap_or_default();
    let required = take(object, "required").as_array().cloned().unwrap_or_default();
    object.remove("type");
    for kind in kinds.iter_mut().filter_map(Value::as_object_mut) {
        let mut own = take(kind, "properties").as_object().cloned().unwrap_or_default();
        own.extend(properties.clone());
        let needed = required.iter().cloned().chain(take(kind, "required").as_array().cloned().unwrap_or_default());
        kind.insert("required".to_owned(), needed.collect());
        kind.insert("properties".to_owned(), Value::Object(own));
    }
    object.insert("oneOf".to_owned(), Value::Array(kinds));
}

impl From<v1::WorkflowEvent> for WorkflowEvent {
    fn from(told: v1::WorkflowEvent) -> Self {
        let v1::WorkflowEvent { namespace, workflow_id, run, event } = told;
        Self { namespace, workflow_id, run, event: event.unwrap_or_default().into() }
    }
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        Self { number: event.number, at: Time::of(event.time_ms), position: event.position, what: what(event.happened) }
    }
}

fn what(happened: Option<Told>) -> Happened {
    match happened {
        Some(Told::Started(e)) => {
            Happened::Started { state: raw(e.state.as_ref()), principal: some(&e.principal), created: each(e.created) }
        }
        Some(Told::TaskCompleted(e)) => Happened::TaskCompleted(Box::new(completed(e))),
        Some(Told::TaskFailed(e)) => Happened::TaskFailed {
            task: e.task,
            node: e.node,
            attempt: e.attempt,
            error_kind: e.kind,
            message: e.message,
            retry_at: Time::of(e.retry_at_ms),
            worker: some(&e.worker),
        },
        Some(Told::TaskBlocked(e)) => {
            Happened::TaskBlocked { task: e.task, node: e.node, attempt: e.attempt, judged_revision: e.judged_revision, wake_on: e.wake_on }
        }
        Some(Told::ScopeClosed(e)) => Happened::ScopeClosed { scope: e.scope, continuation: e.continuation.map(Into::into) },
        Some(Told::TaskDeadLettered(e)) => Happened::TaskDeadLettered {
            task: e.task,
            node: e.node,
            error: e.error,
            then: OnExhausted::of(e.then.as_ref()),
            error_task: e.error_task.map(Into::into),
        },
        Some(Told::TaskHandedBack(e)) => Happened::TaskHandedBack(e.into()),
        Some(Told::LateResultIgnored(e)) => Happened::LateResultIgnored(e.into()),
        Some(Told::DeadLetterRedriven(e)) => Happened::DeadLetterRedriven(Box::new(RedrivenDeadLetter {
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
        Some(Told::DeadLetterDiscarded(e)) => Happened::DeadLetterDiscarded(ControlledTask::of(e.task, e.node, &e.principal, &e.reason)),
        Some(Told::TaskRetried(e)) => Happened::TaskRetried(ControlledTask::of(e.task, e.node, &e.principal, &e.reason)),
        Some(Told::Paused(e)) => Happened::Paused(e.into()),
        Some(Told::Resumed(e)) => Happened::Resumed(e.into()),
        Some(Told::Cancelling(e)) => Happened::Cancelling(e.into()),
        Some(Told::Completed(e)) => Happened::Completed(e.into()),
        Some(Told::Failed(e)) => Happened::Failed(e.into()),
        Some(Told::Cancelled(e)) => Happened::Cancelled(e.into()),
        Some(Told::Terminated(e)) => Happened::Terminated(e.into()),
        Some(Told::TimedOut(e)) => Happened::TimedOut(e.into()),
        None => Happened::Unknown {},
    }
}

fn completed(e: v1::event::TaskCompleted) -> CompletedTask {
    CompletedTask {
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

fn each(created: Vec<v1::CreatedTask>) -> Vec<CreatedTask> {
    created.into_iter().map(Into::into).collect()
}

impl From<v1::Operation> for Operation {
    fn from(operation: v1::Operation) -> Self {
        let change = match operation.change {
            Some(Change::Append(payload)) => OperationChange::Append(raw(Some(&payload))),
            Some(Change::Increment(by)) => OperationChange::Increment(by),
            Some(Change::IncrementFloat(by)) => OperationChange::IncrementFloat(by),
            None => OperationChange::Unknown(()),
        };
        Self { pointer: operation.pointer, change }
    }
}

impl From<v1::CreatedTask> for CreatedTask {
    fn from(task: v1::CreatedTask) -> Self {
        Self {
            task: known_small(task.task),
            node: task.node,
            scope: task.scope,
            not_before_at: Time::of(task.not_before_ms),
            skipped_for: known_small(task.skipped_for),
            idempotency_key: some(&task.idempotency_key),
        }
    }
}

impl From<v1::OpenedScope> for OpenedScope {
    fn from(opened: v1::OpenedScope) -> Self {
        Self { scope: opened.scope, parent: opened.parent, continuation: some(&opened.continuation) }
    }
}

impl From<v1::event::TaskHandedBack> for HandedBackTask {
    fn from(e: v1::event::TaskHandedBack) -> Self {
        Self { task: e.task, node: e.node, attempt: e.attempt, worker: some(&e.worker), reason: some(&e.reason) }
    }
}

impl From<v1::event::Controlled> for Controlled {
    fn from(e: v1::event::Controlled) -> Self {
        Self { principal: some(&e.principal), reason: some(&e.reason) }
    }
}

impl From<v1::event::Ended> for Ended {
    fn from(e: v1::event::Ended) -> Self {
        Self { reason: some(&e.reason), task: known_small(e.task) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Versioned;
    use super::*;

    fn document(happened: Told) -> serde_json::Value {
        let event = v1::Event { number: 3, position: "1-0-9-0".into(), time_ms: 1_000, happened: Some(happened) };
        serde_json::from_str(&serde_json::to_string(&Event::from(event)).unwrap()).unwrap()
    }

    #[test]
    fn a_completed_task_tells_its_patch_and_what_it_created() {
        let patch = v1::Payload { encoding: 1, data: (&br#"{"a":1}"#[..]).into() };
        let completed = v1::event::TaskCompleted {
            task: 1,
            node: "pick".into(),
            attempt: 2,
            revision: 4,
            patch: Some(patch),
            operations: vec![v1::Operation { pointer: "/n".into(), change: Some(Change::Increment(2)) }],
            created: vec![v1::CreatedTask { task: 5, node: "ship".into(), ..v1::CreatedTask::default() }],
            opened: vec![v1::OpenedScope { scope: 1, parent: 0, continuation: "join".into() }],
            execution_us: 70,
            ..v1::event::TaskCompleted::default()
        };
        assert_eq!(
            document(Told::TaskCompleted(completed)),
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
        let ended = document(Told::TimedOut(v1::event::Ended { reason: "late".into(), task: 0 }));
        assert_eq!((&ended["type"], &ended["reason"], &ended["task"]), (&json!("timed_out"), &json!("late"), &json!(null)));
        let paused = document(Told::Paused(v1::event::Controlled::default()));
        assert_eq!((&paused["type"], &paused["reason"]), (&json!("paused"), &json!(null)));
    }

    #[test]
    fn an_event_has_no_key_of_a_document() {
        let failed = v1::event::TaskFailed { kind: "panic".into(), ..v1::event::TaskFailed::default() };
        let event = v1::Event { happened: Some(Told::TaskFailed(failed)), ..v1::Event::default() };
        let text = serde_json::to_string(&Versioned::of(&Event::from(event))).unwrap();
        assert_eq!(text.matches("\"kind\"").count(), 1, "{text}");
        assert!(text.contains(r#""kind":"Event""#) && text.contains(r#""error_kind":"panic""#), "{text}");
    }

    #[test]
    fn every_kind_of_event_has_all_its_keys_in_one_schema() {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<Versioned<'_, WorkflowEvent>>().to_value();
        let kinds = schema["oneOf"].as_array().unwrap();
        assert_eq!((kinds.len(), schema.get("properties")), (20, None));
        for kind in kinds {
            assert!(kind.get("$ref").is_none() && kind["properties"]["type"]["const"].is_string(), "{kind:#}");
            let required = kind["required"].as_array().unwrap();
            for key in ["apiVersion", "kind", "namespace", "workflow_id", "run", "number", "at", "position", "type"] {
                assert!(kind["properties"].get(key).is_some() && required.contains(&key.into()), "{key}: {kind:#}");
            }
        }
    }
}
