//! Tasks: list, look, try now.

use graft_proto::documents::{RetriedTask, TaskDetail, TaskList};
use graft_proto::v1;
use graft_proto::v1::task_service_server::TaskService;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::problem::Refusal;
use super::bodies::Control;
use super::call::{Call, MaybeJson};
use super::route::{Method, Table};
use super::workflows::{Consistency, FreshRun, Run, fresh};
use crate::api::access::Guarded;
use crate::api::tasks::Tasks;

/// Adds the verbs.
pub(super) fn routes(table: &mut Table) {
    table.about("tasks");
    let list =
        "Open tasks and dead letters, a page at a time: of one workflow by number; else of one node, or of all, by node, run and number.";
    table.verb(Method::Get, "/namespaces/{namespace}/tasks", "list_tasks", list, self::list);
    let get = "One task with its input and every attempt that failed. A task that has resolved is told from the history, while that lasts.";
    table.verb(Method::Get, "/namespaces/{namespace}/workflows/{workflow_id}/tasks/{task}", "get_task", get, self::get);
    let retry = "Makes a task that waits for a time or for a change of the state ready at once. A ready one stays as it is.";
    table.verb(Method::Post, "/namespaces/{namespace}/workflows/{workflow_id}/tasks/{task}/retry", "retry_task", retry, self::retry);
}

impl<Q, B> Call<Q, B> {
    fn of_tasks(&self) -> Guarded<Tasks> {
        self.guarded(|shared| Tasks { shared })
    }
}

/// What a task is waiting for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = graft_proto::documents::words)]
enum TaskState {
    /// For a worker; or a worker has it.
    Ready,
    /// For a time.
    Delayed,
    /// For a change of the workflow's state.
    Blocked,
    /// For an operator.
    DeadLettered,
}

impl From<TaskState> for v1::TaskState {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Ready => Self::Ready,
            TaskState::Delayed => Self::Delayed,
            TaskState::Blocked => Self::Blocked,
            TaskState::DeadLettered => Self::DeadLettered,
        }
    }
}

/// Which tasks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Filter {
    /// Only of this workflow.
    workflow_id: String,
    /// Only of this run of it. Left out: the current one.
    run: Option<u64>,
    /// Only of this node.
    node: String,
    /// Only in this state; give it again for more. Left out: in any.
    state: Vec<TaskState>,
    /// Most rows, at most 1000. Left out: 100.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: String,
    /// How fresh. Left out: linearizable.
    consistency: Option<Consistency>,
}

async fn list(call: Call<Filter>) -> Result<TaskList, Refusal> {
    let query = &call.query;
    let request = v1::ListTasksRequest {
        namespace: call.namespace(),
        workflow_id: query.workflow_id.clone(),
        run: query.run.unwrap_or_default(),
        node: query.node.clone(),
        states: query.state.iter().map(|state| v1::TaskState::from(*state).into()).collect(),
        limit: query.limit.unwrap_or_default(),
        cursor: query.cursor.clone(),
        consistency: fresh(query.consistency),
    };
    Ok((&call.of_tasks().list(call.request(request)).await?.into_inner()).into())
}

/// The task that a path names.
pub(super) fn named(call: &Call<FreshRun>) -> Result<v1::GetTaskRequest, Refusal> {
    Ok(v1::GetTaskRequest {
        namespace: call.namespace(),
        workflow_id: call.workflow_id(),
        run: call.query.run.unwrap_or_default(),
        task: call.task()?,
        consistency: fresh(call.query.consistency),
    })
}

async fn get(call: Call<FreshRun>) -> Result<TaskDetail, Refusal> {
    Ok((&call.of_tasks().get(call.request(named(&call)?)).await?.into_inner()).into())
}

async fn retry(call: Call<Run, MaybeJson<Control>>) -> Result<RetriedTask, Refusal> {
    let (workflow_id, task) = (call.workflow_id(), call.task()?);
    let request = v1::RetryTaskRequest {
        namespace: call.namespace(),
        workflow_id: workflow_id.clone(),
        run: call.query.run.unwrap_or_default(),
        task,
        reason: call.body.0.reason.clone(),
        meta: call.meta()?,
    };
    let run = call.of_tasks().retry(call.request(request)).await?.into_inner().run;
    Ok(RetriedTask { workflow_id, run, task })
}
