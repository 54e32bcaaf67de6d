//! Tasks and dead letters.

use schemars::JsonSchema;
use serde::Serialize;

use super::workflow::WorkflowStatus;
use super::{Event, RawJson, Time, known, known_small, raw, some};
use crate::v1;
use crate::v1::on_exhausted::Then;

/// An open task or a dead letter.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TaskSummary {
    /// Its number within the run.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// `ready`, `delayed`, `blocked`, `dead-lettered` or `resolved`.
    pub state: String,
    /// The current attempt.
    pub attempt: u32,
    /// Most tries.
    pub max_attempts: u32,
    /// Tries that failed.
    pub failures: u32,
    /// Its scope.
    pub scope: u32,
    /// Task that created it; `null`: the start.
    pub parent: Option<u32>,
    /// When it may start, if it is delayed.
    pub not_before_at: Option<Time>,
    /// Higher goes first.
    pub priority: i32,
    /// Its config, as it was written.
    pub config: RawJson,
    /// What its last failed attempt said.
    pub last_error: Option<String>,
    /// Progress that was reported last.
    pub progress: Option<String>,
}

impl From<&v1::TaskSummary> for TaskSummary {
    fn from(task: &v1::TaskSummary) -> Self {
        Self {
            task: task.task,
            node: task.node.clone(),
            state: task.state.clone(),
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            failures: task.failures,
            scope: task.scope,
            parent: known_small(task.parent),
            not_before_at: Time::of(task.until_ms),
            priority: task.priority,
            config: raw(task.config.as_ref()),
            last_error: some(&task.last_error),
            progress: some(&task.progress),
        }
    }
}

/// A task with the workflow that it belongs to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Task {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// The task.
    #[serde(flatten)]
    pub task: TaskSummary,
}

impl From<&v1::TaskOfWorkflow> for Task {
    fn from(task: &v1::TaskOfWorkflow) -> Self {
        let summary = task.task.clone().unwrap_or_default();
        Self { workflow_id: task.workflow_id.clone(), run: task.run, task: (&summary).into() }
    }
}

/// A page of tasks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TaskList {
    /// The page. May be short (even empty) with more to come: the cursor says.
    pub tasks: Vec<Task>,
    /// For the next page; `null`: this is the last one.
    pub next_cursor: Option<String>,
}

impl From<&v1::ListTasksResponse> for TaskList {
    fn from(page: &v1::ListTasksResponse) -> Self {
        Self { tasks: page.tasks.iter().map(Task::from).collect(), next_cursor: some(&page.next_cursor) }
    }
}

/// An attempt that failed or was lost.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FailedAttempt {
    /// The attempt, from 1.
    pub attempt: u32,
    /// `retryable`, `permanent`, `panic`, `timeout`, `bad-outcome` or `lost`.
    pub error_kind: String,
    /// What it said.
    pub message: String,
    /// When it failed.
    pub at: Option<Time>,
    /// When the next attempt could start; `null`: there was none.
    pub retry_at: Option<Time>,
    /// Incarnation of the worker.
    pub worker: Option<String>,
    /// How long the node ran, in microseconds; of a lost attempt, how long the leader had it handed out.
    pub execution_us: Option<u64>,
}

impl From<&v1::FailedAttempt> for FailedAttempt {
    fn from(failed: &v1::FailedAttempt) -> Self {
        Self {
            attempt: failed.attempt,
            error_kind: failed.kind.clone(),
            message: failed.message.clone(),
            at: Time::of(failed.time_ms),
            retry_at: Time::of(failed.retry_at_ms),
            worker: some(&failed.worker),
            execution_us: known(failed.execution_us),
        }
    }
}

/// What follows a task's last failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = super::words)]
pub enum OnExhausted {
    /// The workflow fails.
    Fail,
    /// The workflow is paused for an operator.
    Pause,
    /// The workflow goes on without the task.
    Continue,
    /// A task of another node takes its place.
    ErrorNode,
}

impl OnExhausted {
    /// As the wire has it: fail, unless it says otherwise.
    pub fn of(then: Option<&v1::OnExhausted>) -> Self {
        match then.and_then(|then| then.then.as_ref()) {
            None | Some(Then::Fail(_)) => Self::Fail,
            Some(Then::Pause(_)) => Self::Pause,
            Some(Then::Continue(_)) => Self::Continue,
            Some(Then::ErrorNode(_)) => Self::ErrorNode,
        }
    }
}

/// One task with its input and every attempt that failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TaskDetail {
    /// The task.
    #[serde(flatten)]
    pub task: Task,
    /// What its workflow is doing.
    pub workflow_status: WorkflowStatus,
    /// What follows its last failure.
    pub on_exhausted: OnExhausted,
    /// The node that takes its place after its last failure, where one does.
    pub error_node: Option<String>,
    /// State of the workflow as it is now: the other half of the task's input.
    pub workflow_state: RawJson,
    /// Attempts that failed, the oldest first; at most 1000, the youngest of them.
    pub failed_attempts: Vec<FailedAttempt>,
    /// The event that resolved it or made it a dead letter, while the history lasts.
    pub resolution: Option<Event>,
}

impl From<&v1::GetTaskResponse> for TaskDetail {
    fn from(answer: &v1::GetTaskResponse) -> Self {
        let error_node = match answer.on_exhausted.as_ref().and_then(|then| then.then.as_ref()) {
            Some(Then::ErrorNode(node)) => some(node),
            _ => None,
        };
        Self {
            task: (&answer.task.clone().unwrap_or_default()).into(),
            workflow_status: answer.workflow_status().into(),
            on_exhausted: OnExhausted::of(answer.on_exhausted.as_ref()),
            error_node,
            workflow_state: raw(answer.state.as_ref()),
            failed_attempts: answer.failed_attempts.iter().map(FailedAttempt::from).collect(),
            resolution: answer.resolution.clone().map(Into::into),
        }
    }
}

/// What making a waiting task ready answers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RetriedTask {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// Number of the task.
    pub task: u32,
}

/// A task that was given up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeadLetter {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// Number of the task.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// What its last attempt said.
    pub error: String,
    /// When it was given up.
    pub given_up_at: Option<Time>,
    /// Tries that failed.
    pub failures: u32,
    /// What its workflow is doing.
    pub workflow_status: WorkflowStatus,
}

impl From<&v1::DeadLetter> for DeadLetter {
    fn from(letter: &v1::DeadLetter) -> Self {
        Self {
            workflow_id: letter.workflow_id.clone(),
            run: letter.run,
            task: letter.task,
            node: letter.node.clone(),
            error: letter.error.clone(),
            given_up_at: Time::of(letter.given_up_ms),
            failures: letter.failures,
            workflow_status: letter.workflow_status().into(),
        }
    }
}

/// A page of dead letters.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeadLetterList {
    /// The oldest first. May be short (even empty) with more to come: the cursor says.
    pub dead_letters: Vec<DeadLetter>,
    /// For the next page; `null`: this is the last one.
    pub next_cursor: Option<String>,
}

impl From<&v1::ListDeadLettersResponse> for DeadLetterList {
    fn from(page: &v1::ListDeadLettersResponse) -> Self {
        Self { dead_letters: page.dead_letters.iter().map(DeadLetter::from).collect(), next_cursor: some(&page.next_cursor) }
    }
}

/// What became of dead letters that were redriven or discarded.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeadLetterResults {
    /// Whether nothing was changed, because only a dry run was asked for.
    pub dry_run: bool,
    /// Each that was found, in order. May be few (even none) with more to come: the cursor says.
    pub results: Vec<DeadLetterResult>,
    /// Of a filter: for the next page; `null`: this is the last one.
    pub next_cursor: Option<String>,
}

impl From<&v1::ResolveDeadLettersResponse> for DeadLetterResults {
    fn from(answer: &v1::ResolveDeadLettersResponse) -> Self {
        let results = answer.results.iter().map(Into::into).collect();
        Self { dry_run: answer.dry_run, results, next_cursor: some(&answer.next_cursor) }
    }
}

/// What became of one dead letter.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeadLetterResult {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// Number of the task.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// Why it was refused (or, in a dry run, would be); `null`: it was done (or would be).
    pub refused: Option<Refused>,
}

impl From<&v1::DeadLetterResult> for DeadLetterResult {
    fn from(result: &v1::DeadLetterResult) -> Self {
        Self {
            workflow_id: result.workflow_id.clone(),
            run: result.run,
            task: result.task,
            node: result.node.clone(),
            refused: result.refused.as_ref().map(|detail| Refused::of(detail, &result.message)),
        }
    }
}

/// Why one of many was refused.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Refused {
    /// Of the catalogue of errors: `GR0001` and so on.
    pub code: String,
    /// As a sentence: object, reason, and what to do next.
    pub message: String,
    /// The object concerned.
    pub object: Option<String>,
    /// What to do next.
    pub remedy: Option<String>,
    /// Whether the same may work later.
    pub retryable: bool,
    /// Whether it may have taken effect all the same.
    pub outcome_unknown: bool,
    /// Wait at least this long before trying again.
    pub retry_after_ms: Option<u64>,
}

impl Refused {
    /// From what the server says.
    pub fn of(detail: &v1::ErrorDetail, message: &str) -> Self {
        Self {
            code: detail.code.clone(),
            message: message.to_owned(),
            object: some(&detail.object),
            remedy: some(&detail.remedy),
            retryable: detail.retryable,
            outcome_unknown: detail.outcome_unknown,
            retry_after_ms: known(detail.retry_after_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_stands_beside_the_workflow_that_it_belongs_to() {
        let task = v1::TaskSummary { task: 4, parent: 1, until_ms: 1_000, ..v1::TaskSummary::default() };
        let of = v1::TaskOfWorkflow { workflow_id: "a".into(), run: 3, task: Some(task) };
        let failed = v1::FailedAttempt { attempt: 1, kind: "panic".into(), time_ms: 1, ..v1::FailedAttempt::default() };
        let then = v1::OnExhausted { then: Some(Then::ErrorNode("sorry".into())) };
        let answer = v1::GetTaskResponse {
            task: Some(of),
            failed_attempts: vec![failed],
            on_exhausted: Some(then),
            workflow_status: 1,
            ..v1::GetTaskResponse::default()
        };
        let value = serde_json::to_value(TaskDetail::from(&answer)).unwrap();
        assert_eq!((&value["workflow_id"], &value["task"], &value["parent"]), (&json!("a"), &json!(4), &json!(1)));
        assert_eq!((&value["on_exhausted"], &value["error_node"]), (&json!("error_node"), &json!("sorry")));
        assert_eq!(
            value["failed_attempts"],
            json!([{
                "attempt": 1, "error_kind": "panic", "message": "", "at": "1970-01-01T00:00:00.001Z", "retry_at": null, "worker": null,
                "execution_us": null,
            }])
        );
    }

    #[test]
    fn a_refusal_says_all_that_the_server_said() {
        let detail = v1::ErrorDetail { code: "GR0022".into(), object: "task 4".into(), retry_after_ms: 5, ..v1::ErrorDetail::default() };
        let result = v1::DeadLetterResult { task: 4, refused: Some(detail), message: "no".into(), ..v1::DeadLetterResult::default() };
        let value = serde_json::to_value(DeadLetterResult::from(&result)).unwrap();
        assert_eq!(
            value["refused"],
            json!({
                "code": "GR0022", "message": "no", "object": "task 4", "remedy": null, "retryable": false, "outcome_unknown": false,
                "retry_after_ms": 5,
            })
        );
    }
}
