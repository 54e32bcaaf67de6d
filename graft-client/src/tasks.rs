//! Tasks: finding them, and looking at one with all its attempts.

use graft_proto::errors::ErrorCode;
use graft_proto::v1::{
    Event, FailedAttempt, GetTaskRequest, GetTaskResponse, ListTasksRequest, OnExhausted, RetryPolicy, RetryTaskRequest, TaskOfWorkflow,
    TaskState, TaskSummary, WorkflowStatus,
};

use crate::RawJson;
use crate::channel::Kind;
use crate::client::{Client, cursor, fresh_meta};
use crate::error::ClientError;
use crate::handle::WorkflowHandle;

/// Which tasks a list shows. Each call narrows it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct TaskFilter {
    request: ListTasksRequest,
}

impl TaskFilter {
    /// All open tasks and dead letters of the namespace, 100 to a page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only of this workflow.
    pub fn workflow(mut self, workflow_id: impl Into<String>) -> Self {
        self.request.workflow_id = workflow_id.into();
        self
    }

    /// Only of this run of the workflow; 0 is the current one.
    pub fn run(mut self, run: u64) -> Self {
        self.request.run = run;
        self
    }

    /// Only of this node.
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.request.node = node.into();
        self
    }

    /// Only in this state, or another one that is named.
    pub fn state(mut self, state: TaskState) -> Self {
        self.request.states.push(state.into());
        self
    }

    /// Most rows of a page; at most 1,000.
    pub fn limit(mut self, limit: u32) -> Self {
        self.request.limit = limit;
        self
    }

    /// The page that begins here: [`TaskPage::next_cursor`] of the page before.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.request.cursor = cursor.into();
        self
    }
}

/// A page of tasks. It may be short, even empty, and still not be the last one: the cursor says.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskOfWorkflow>,
    /// Where the next page begins; `None`: this is the last one.
    pub next_cursor: Option<String>,
}

/// A task with everything that is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDetails {
    /// Id of its workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// What the workflow is doing.
    pub workflow_status: WorkflowStatus,
    /// The task. One that has resolved has the state `resolved`, and no config.
    pub task: TaskSummary,
    /// Attempts that failed, the oldest first; at most the 1,000 youngest.
    pub failed_attempts: Vec<FailedAttempt>,
    /// The event that resolved it or made it a dead letter, while the history lasts.
    pub resolution: Option<Event>,
    /// The workflow's state as it is now: the other half of the task's input.
    pub state: RawJson,
    /// What follows its last failure.
    pub on_exhausted: Option<OnExhausted>,
    /// How failures are retried.
    pub retry: Option<RetryPolicy>,
}

/// A handle on one task of a workflow. Nothing is sent before a method is called. See [`WorkflowHandle::task`].
#[derive(Clone, Debug)]
pub struct TaskHandle {
    pub(crate) workflow: WorkflowHandle,
    pub(crate) task: u32,
}

impl WorkflowHandle {
    /// A handle on the task with this number.
    pub fn task(&self, task: u32) -> TaskHandle {
        TaskHandle { workflow: self.clone(), task }
    }
}

impl Client {
    /// A page of open tasks and dead letters: of one workflow by number; else by node, run and number.
    ///
    /// # Errors
    /// If no member answers, if the workflow that is named does not exist, or the cursor is none of this list.
    pub async fn tasks(&self, filter: TaskFilter) -> Result<TaskPage, ClientError> {
        let request = ListTasksRequest { namespace: self.namespace().to_owned(), consistency: self.consistency(), ..filter.request };
        let operation = match request.workflow_id.as_str() {
            "" => format!("list tasks of namespace \"{}\"", self.namespace()),
            workflow => format!("list tasks of workflow \"{workflow}\" in namespace \"{}\"", self.namespace()),
        };
        let call = |channel, request| {
            let mut service = self.task_service(channel);
            async move { service.list(request).await }
        };
        let mut answer = self.call(&operation, Kind::Read, request, call).await?;
        for TaskOfWorkflow { workflow_id, task, .. } in &mut answer.tasks {
            let decoded = task.as_mut().map_or(Ok(()), |task| self.payloads(workflow_id).decode_task(task));
            decoded.map_err(|broken| broken.into_error(&operation))?;
        }
        Ok(TaskPage { tasks: answer.tasks, next_cursor: cursor(answer.next_cursor) })
    }
}

impl TaskHandle {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.task
    }

    /// The workflow that it belongs to.
    pub fn workflow(&self) -> &WorkflowHandle {
        &self.workflow
    }

    pub(crate) fn doing(&self, verb: &str) -> String {
        let WorkflowHandle { client, workflow_id, .. } = &self.workflow;
        format!("{verb} task {} of workflow \"{workflow_id}\" in namespace \"{}\"", self.task, client.namespace())
    }

    fn question(&self) -> GetTaskRequest {
        let WorkflowHandle { client, workflow_id, run } = &self.workflow;
        let (namespace, workflow_id) = (client.namespace().to_owned(), workflow_id.clone());
        GetTaskRequest { namespace, workflow_id, run: *run, task: self.task, consistency: client.consistency() }
    }

    /// The task as it is now, with every attempt that failed. What became of one that has resolved is told from the history, while that lasts.
    ///
    /// # Errors
    /// If the workflow or the task does not exist, or no member answers.
    pub async fn get(&self) -> Result<TaskDetails, ClientError> {
        let call = |channel, request| {
            let mut service = self.workflow.client.task_service(channel);
            async move { service.get(request).await }
        };
        let operation = self.doing("get");
        let answer = self.workflow.client.call(&operation, Kind::Read, self.question(), call).await?;
        self.details(&operation, answer)
    }

    /// The same for a dead letter only: a task that was not given up is refused.
    ///
    /// # Errors
    /// As [`get`](Self::get), and if the task is no dead letter.
    pub async fn get_dead_letter(&self) -> Result<TaskDetails, ClientError> {
        let call = |channel, request| {
            let mut service = self.workflow.client.dead_letter_service(channel);
            async move { service.get(request).await }
        };
        let operation = self.doing("get the dead letter of");
        let answer = self.workflow.client.call(&operation, Kind::Read, self.question(), call).await?;
        self.details(&operation, answer)
    }

    /// Makes it ready at once, if it waits for a time (its delay, its backoff) or for a change of the state. A ready one stays as it is. The run
    /// that it belongs to.
    ///
    /// # Errors
    /// If the workflow or the task does not exist, if it was given up (see [`redrive`](Self::redrive)), or no member answers.
    pub async fn retry(&self, reason: impl Into<String>) -> Result<u64, ClientError> {
        let WorkflowHandle { client, workflow_id, run } = &self.workflow;
        let request = RetryTaskRequest {
            namespace: client.namespace().to_owned(),
            workflow_id: workflow_id.clone(),
            run: *run,
            task: self.task,
            reason: reason.into(),
            meta: fresh_meta(),
        };
        let call = |channel, request| {
            let mut service = client.task_service(channel);
            async move { service.retry(request).await }
        };
        Ok(client.call(&self.doing("retry"), Kind::Change, request, call).await?.run)
    }

    fn details(&self, operation: &str, mut answer: GetTaskResponse) -> Result<TaskDetails, ClientError> {
        let workflow_status = answer.workflow_status();
        let (workflow_id, run, mut task) = match answer.task {
            Some(TaskOfWorkflow { workflow_id, run, task: Some(task) }) => (workflow_id, run, task),
            _ => {
                let object = format!("task {} of workflow \"{}\"", self.task, self.workflow.workflow_id);
                return Err(ClientError::new(ErrorCode::BadAnswer, "read an answer", object, "the server sent no task"));
            }
        };
        let payloads = self.workflow.client.payloads(&workflow_id);
        let decoded = payloads
            .decode_task(&mut task)
            .and_then(|()| answer.resolution.as_mut().map_or(Ok(()), |event| payloads.decode_event(event)))
            .and_then(|()| payloads.state(answer.state));
        let state = decoded.map_err(|broken| broken.into_error(operation))?;
        Ok(TaskDetails {
            workflow_id,
            run,
            workflow_status,
            task,
            failed_attempts: answer.failed_attempts,
            resolution: answer.resolution,
            state,
            on_exhausted: answer.on_exhausted,
            retry: answer.retry,
        })
    }
}
