//! Workflows: themselves, their lists and counts, and what the verbs answer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, RawJson, Refused, TaskSummary, Time, raw, some};
use crate::v1;
use crate::v1::start_many_response::Result as StartAnswer;

/// What a workflow is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = super::words)]
pub enum WorkflowStatus {
    /// Of a newer server.
    Unknown,
    /// Tasks are offered.
    Running,
    /// No task is offered until it is resumed.
    Paused,
    /// Running attempts have been told; nothing starts.
    Cancelling,
    /// Every task has resolved.
    Completed,
    /// A task was given up.
    Failed,
    /// Cancelled on request.
    Cancelled,
    /// Ended at once on request.
    Terminated,
    /// Its deadline passed.
    TimedOut,
}

/// Both ways, from one table.
macro_rules! statuses {
    ($($wire:ident = $word:ident),+) => {
        impl From<v1::WorkflowStatus> for WorkflowStatus {
            fn from(status: v1::WorkflowStatus) -> Self {
                match status { $(v1::WorkflowStatus::$wire => Self::$word,)+ }
            }
        }

        impl From<WorkflowStatus> for v1::WorkflowStatus {
            fn from(status: WorkflowStatus) -> Self {
                match status { $(WorkflowStatus::$word => Self::$wire,)+ }
            }
        }
    };
}

statuses!(
    Unspecified = Unknown,
    Running = Running,
    Paused = Paused,
    Cancelling = Cancelling,
    Completed = Completed,
    Failed = Failed,
    Cancelled = Cancelled,
    Terminated = Terminated,
    TimedOut = TimedOut
);

/// What a start answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StartedWorkflow {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// False if `use_existing` found it.
    pub created: bool,
    /// What is odd but accepted: a node that no worker serves, with the nearest name that one serves; a traceparent that is malformed.
    pub warnings: Vec<String>,
    /// The machine's time of the answer.
    pub answered_at: Option<Time>,
}

impl From<&v1::StartResponse> for StartedWorkflow {
    fn from(started: &v1::StartResponse) -> Self {
        let v1::StartResponse { namespace, workflow_id, run, created, warnings, time_ms } = started.clone();
        Self { namespace, workflow_id, run, created, warnings, answered_at: Time::of(time_ms) }
    }
}

/// What became of one of many starts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StartResult {
    /// Which start this answers, from 1 in the order in which they were sent.
    pub number: u64,
    /// It was started (or found).
    pub started: Option<StartedWorkflow>,
    /// It was refused.
    pub refused: Option<Refused>,
}

impl From<&v1::StartManyResponse> for StartResult {
    fn from(answer: &v1::StartManyResponse) -> Self {
        let (started, refused) = match &answer.result {
            Some(StartAnswer::Started(started)) => (Some(started.into()), None),
            Some(StartAnswer::Refused(refusal)) => (None, Some(Refused::of(&refusal.detail.clone().unwrap_or_default(), &refusal.message))),
            None => (None, None),
        };
        Self { number: answer.index + 1, started, refused }
    }
}

/// One workflow without its state.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkflowSummary {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// What it is doing.
    pub status: WorkflowStatus,
    /// Why it is paused or has ended; the error of a failure.
    pub reason: Option<String>,
    /// When it was accepted.
    pub created_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// When it times out; `null`: never.
    pub deadline_at: Option<Time>,
    /// Open tasks.
    pub open_tasks: u32,
    /// Tasks that were given up.
    pub dead_letters: u32,
    /// Counts the changes of its state.
    pub revision: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl From<&v1::WorkflowSummary> for WorkflowSummary {
    fn from(summary: &v1::WorkflowSummary) -> Self {
        Self {
            namespace: summary.namespace.clone(),
            workflow_id: summary.workflow_id.clone(),
            run: summary.run,
            status: summary.status().into(),
            reason: some(&summary.reason),
            created_at: Time::of(summary.created_ms),
            ended_at: Time::of(summary.ended_ms),
            deadline_at: Time::of(summary.deadline_ms),
            open_tasks: summary.open_tasks,
            dead_letters: summary.dead_letters,
            revision: summary.revision,
            labels: summary.labels.clone().into_iter().collect(),
        }
    }
}

/// One workflow with its state.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Workflow {
    /// What it is and does.
    #[serde(flatten)]
    pub summary: WorkflowSummary,
    /// Its state, as it was written.
    pub state: RawJson,
    /// Its first 100 open tasks and dead letters; fewer where their configs are large (1 MiB together).
    pub tasks: Vec<TaskSummary>,
}

impl From<&v1::GetResponse> for Workflow {
    fn from(answer: &v1::GetResponse) -> Self {
        Self {
            summary: (&answer.workflow.clone().unwrap_or_default()).into(),
            state: raw(answer.state.as_ref()),
            tasks: answer.tasks.iter().map(TaskSummary::from).collect(),
        }
    }
}

/// A page of workflows.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkflowList {
    /// The page. May be short (even empty) with more to come: the cursor says.
    pub workflows: Vec<WorkflowSummary>,
    /// For the next page; `null`: this is the last one.
    pub next_cursor: Option<String>,
}

impl From<&v1::ListResponse> for WorkflowList {
    fn from(page: &v1::ListResponse) -> Self {
        Self { workflows: page.workflows.iter().map(WorkflowSummary::from).collect(), next_cursor: some(&page.next_cursor) }
    }
}

/// How many workflows of a namespace are in each status.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkflowCounts {
    /// All of them together.
    pub total: u64,
    /// By status; one for each, also where there is none.
    pub counts: BTreeMap<WorkflowStatus, u64>,
}

impl From<&v1::CountResponse> for WorkflowCounts {
    fn from(answer: &v1::CountResponse) -> Self {
        Self {
            total: answer.counts.iter().map(|count| count.workflows).sum(),
            counts: answer.counts.iter().map(|count| (count.status().into(), count.workflows)).collect(),
        }
    }
}

/// What a wait answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WaitedWorkflow {
    /// Whether the workflow has ended; false: the wait was over first.
    pub ended: bool,
    /// What it is and does.
    pub workflow: WorkflowSummary,
    /// Its state, as it was written.
    pub state: RawJson,
}

impl From<&v1::WaitResponse> for WaitedWorkflow {
    fn from(answer: &v1::WaitResponse) -> Self {
        let workflow = (&answer.workflow.clone().unwrap_or_default()).into();
        Self { ended: answer.ended, workflow, state: raw(answer.state.as_ref()) }
    }
}

/// What a verb that steers answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SteeredWorkflow {
    /// The run that was changed.
    pub run: u64,
    /// The workflow after the change; `null` if it could not be read any more: the change has taken effect all the same.
    pub workflow: Option<WorkflowSummary>,
}

impl From<&v1::ControlResponse> for SteeredWorkflow {
    fn from(answer: &v1::ControlResponse) -> Self {
        Self { run: answer.run, workflow: answer.workflow.as_ref().map(Into::into) }
    }
}

/// A workflow that has ended, whole.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorkflowExport {
    /// What it was.
    pub workflow: WorkflowSummary,
    /// Its last state, as it was written.
    pub state: RawJson,
    /// Tasks that were given up, by number.
    pub dead_letters: Vec<TaskSummary>,
    /// Everything that happened to it, the oldest first.
    pub events: Vec<Event>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn summary() -> v1::WorkflowSummary {
        let mut summary = v1::WorkflowSummary {
            namespace: "default".into(),
            workflow_id: "order-1".into(),
            run: 7,
            created_ms: 1_000,
            open_tasks: 2,
            revision: 3,
            labels: [("team".to_owned(), "sales".to_owned())].into(),
            ..v1::WorkflowSummary::default()
        };
        summary.set_status(v1::WorkflowStatus::Running);
        summary
    }

    #[test]
    fn a_workflow_is_its_summary_its_state_as_written_and_its_tasks() {
        let task = v1::TaskSummary {
            task: 4,
            node: "pick".into(),
            state: "ready".into(),
            attempt: 1,
            max_attempts: 5,
            ..v1::TaskSummary::default()
        };
        let state = v1::Payload { encoding: 1, data: (&br#"{"big":12345678901234567890123,"f":1.50}"#[..]).into() };
        let workflow = v1::GetResponse { workflow: Some(summary()), state: Some(state), tasks: vec![task] };
        let text = serde_json::to_string(&Workflow::from(&workflow)).unwrap();
        assert!(text.contains(r#""state":{"big":12345678901234567890123,"f":1.50}"#), "{text}");
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["state"] = json!(null);
        assert_eq!(
            value,
            json!({
                "namespace": "default", "workflow_id": "order-1", "run": 7, "status": "running", "reason": null,
                "created_at": "1970-01-01T00:00:01.000Z", "ended_at": null, "deadline_at": null, "open_tasks": 2, "dead_letters": 0,
                "revision": 3, "labels": {"team": "sales"}, "state": null,
                "tasks": [{
                    "task": 4, "node": "pick", "state": "ready", "attempt": 1, "max_attempts": 5, "failures": 0, "scope": 0, "parent": null,
                    "not_before_at": null, "priority": 0, "config": null, "last_error": null, "progress": null,
                }],
            })
        );
    }

    #[test]
    fn a_list_says_where_the_next_page_begins() {
        let page = v1::ListResponse { workflows: vec![summary()], next_cursor: "c".into() };
        let value = serde_json::to_value(WorkflowList::from(&page)).unwrap();
        assert_eq!((&value["next_cursor"], &value["workflows"][0]["workflow_id"]), (&json!("c"), &json!("order-1")));
    }

    #[test]
    fn counts_have_their_status_as_the_key() {
        let count = |status, workflows| v1::StatusCount { status, workflows };
        let value = serde_json::to_value(WorkflowCounts::from(&v1::CountResponse { counts: vec![count(1, 3), count(8, 2)] })).unwrap();
        assert_eq!(value, json!({ "total": 5, "counts": { "running": 3, "timed-out": 2 } }));
    }

    #[test]
    fn one_of_many_starts_is_started_or_refused() {
        let detail = v1::ErrorDetail { code: "GR0004".into(), ..v1::ErrorDetail::default() };
        let refusal = v1::Refusal { detail: Some(detail), message: "it exists".into() };
        let refused = v1::StartManyResponse { index: 0, result: Some(StartAnswer::Refused(refusal)) };
        let value = serde_json::to_value(StartResult::from(&refused)).unwrap();
        assert_eq!((&value["number"], &value["started"], &value["refused"]["code"]), (&json!(1), &json!(null), &json!("GR0004")));
    }
}
