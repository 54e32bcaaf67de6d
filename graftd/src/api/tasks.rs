//! `TaskService`: open tasks and dead letters, a page at a time or one with all that its attempts said; and trying one now.

use std::collections::HashMap;
use std::sync::Arc;

use graft_convert::{cursors, events, names, tasks, workflows};
use graft_machine::command::{Command, ControlTask};
use graft_machine::ids::{Run, TaskId, TaskRef};
use graft_machine::limits::{ERROR_BYTES_MAX, LIST_EXAMINED_MAX};
use graft_machine::state::StateRead;
use graft_machine::tables::{RunEventKey, TableKey, TaskKey, TaskListKey};
use graft_machine::task::Task;
use graft_machine::view::{self, LastWorkflow};
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1;
use graft_proto::v1::task_service_server::TaskService;
use prost::Message;
use tonic::{Request, Response, Status};

use super::list::{EXAMINED_BYTES_MAX, PAGE_BYTES_MAX, page_limit};
use super::requests::{Identity, Target, payload_hash, principal};
use super::{Shared, history};

/// Failed attempts that are shown of a task, at most; the youngest.
pub const ATTEMPTS_SHOWN_MAX: usize = 1_000;
/// Fewer are shown when they have so many bytes together.
const ATTEMPTS_BYTES_MAX: usize = 1 << 20;
/// Failed attempts that are read at once.
const STEP: usize = 100;
/// Places of tasks that are read at once for a page.
const PLACES_STEP: usize = 500;
/// Tasks that are read at once, where their places are not read before: each may have a megabyte.
const TASKS_STEP: usize = 16;

/// The service.
pub(super) struct Tasks {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl TaskService for Tasks {
    async fn list(&self, request: Request<v1::ListTasksRequest>) -> Result<Response<v1::ListTasksResponse>, Status> {
        let request = request.into_inner();
        let consistency = request.consistency;
        let query = Query::new(request)?;
        self.shared.fresh(consistency).await?;
        let page = self.shared.read_view(move |view| query.page(view)).await??;
        Ok(Response::new(page))
    }

    async fn get(&self, request: Request<v1::GetTaskRequest>) -> Result<Response<v1::GetTaskResponse>, Status> {
        let request = request.into_inner();
        Ok(Response::new(found(&self.shared, request).await?))
    }

    async fn retry(&self, request: Request<v1::RetryTaskRequest>) -> Result<Response<v1::RetryTaskResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("retry task", &request, &HashMap::new());
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        let target = Target::new(request.namespace, request.workflow_id, request.run)?;
        let asked = control(target, request.task, request.reason)?;
        let run = self.shared.done("retry of a task", identity, Command::RetryTask(asked)).await?.run;
        Ok(Response::new(v1::RetryTaskResponse { run }))
    }
}

/// What is asked of one task, and why.
pub(super) fn control(target: Target, task: TaskId, reason: String) -> Result<ControlTask, Fault> {
    check_reason(&reason)?;
    Ok(ControlTask { namespace: target.namespace, id: target.id, run: target.run, task, reason })
}

/// Refuses a reason that no history can hold.
pub(super) fn check_reason(reason: &str) -> Result<(), Fault> {
    if reason.len() > ERROR_BYTES_MAX {
        return Err(Fault::too_large("the reason", format!("has {} bytes, at most {ERROR_BYTES_MAX} are allowed", reason.len())));
    }
    Ok(())
}

/// One task, with its failed attempts.
pub(super) async fn found(shared: &Arc<Shared>, request: v1::GetTaskRequest) -> Result<v1::GetTaskResponse, Fault> {
    let target = Target::new(request.namespace, request.workflow_id, request.run)?;
    shared.fresh(request.consistency).await?;
    shared.read_view(move |view| get(view, &target, request.task)).await?
}

fn get(state: &impl StateRead, target: &Target, number: TaskId) -> Result<v1::GetTaskResponse, Fault> {
    let workflow = target.find(state)?;
    let at = TaskRef { run: workflow.run, task: number };
    let task = view::task(state, at);
    let resolution = view::resolution(state, at);
    let summary = match (&task, &resolution) {
        (Some(task), _) => tasks::summary(number, task),
        (None, Some((_, event))) => tasks::resolved(event).ok_or_else(|| absent(target, number))?,
        (None, None) => return Err(absent(target, number)),
    };
    let epoch = history::epoch(state);
    let resolution = resolution.map(|(at, event)| {
        let key = RunEventKey { run: workflow.run, index: at.index, ordinal: at.ordinal };
        events::event(epoch, &key, &event)
    });
    Ok(v1::GetTaskResponse {
        failed_attempts: failed_attempts(state, at),
        resolution,
        state: workflows::state(&workflow),
        on_exhausted: task.as_ref().and_then(|task| task.on_exhausted.as_ref()).map(tasks::on_exhausted_told),
        retry: task.as_ref().map(|task| tasks::retry_told(&task.retry)),
        workflow_status: workflows::status(workflow.kind()) as i32,
        task: Some(v1::TaskOfWorkflow { workflow_id: workflow.id.clone(), run: workflow.run, task: Some(summary) }),
    })
}

fn absent(target: &Target, number: TaskId) -> Fault {
    let object = format!("task {number} of {}", names::workflow_object(&target.namespace, &target.id, target.run));
    Fault::new(ErrorCode::TaskNotFound, object, "does not exist")
}

/// Attempts of a task that failed, the oldest first: the youngest that fit.
fn failed_attempts(state: &impl StateRead, at: TaskRef) -> Vec<v1::FailedAttempt> {
    let (mut shown, mut bytes, mut before) = (Vec::new(), 0, None);
    'pages: loop {
        let page = view::failed_attempts(state, at, before, STEP);
        for (place, event) in &page {
            let Some(attempt) = tasks::failed_attempt(event) else { continue };
            bytes += attempt.encoded_len();
            if shown.len() == ATTEMPTS_SHOWN_MAX || bytes > ATTEMPTS_BYTES_MAX {
                break 'pages;
            }
            shown.push(attempt);
            before = Some(*place);
        }
        if page.len() < STEP {
            break;
        }
    }
    shown.reverse();
    shown
}

/// Which tasks a list shows.
enum Of {
    /// Those of one workflow, by number.
    Workflow(Target),
    /// Those of a namespace, or of one node in it: by node, run and number.
    Namespace,
}

struct Query {
    of: Of,
    namespace: String,
    node: String,
    states: Vec<v1::TaskState>,
    limit: usize,
    cursor: String,
}

impl Query {
    fn new(request: v1::ListTasksRequest) -> Result<Self, Fault> {
        let namespace = names::namespace(request.namespace)?;
        let of = match (request.workflow_id, request.run) {
            (id, 0) if id.is_empty() => Of::Namespace,
            (id, _) if id.is_empty() => {
                return Err(Fault::invalid("run", "is given without workflow_id").remedy("name the workflow, too"));
            }
            (id, run) => Of::Workflow(Target::new(namespace.clone(), id, run)?),
        };
        Ok(Self {
            of,
            namespace,
            node: if request.node.is_empty() { request.node } else { names::node(request.node)? },
            states: tasks::states(&request.states)?,
            limit: page_limit(request.limit)?,
            cursor: request.cursor,
        })
    }

    fn question(&self) -> String {
        let Self { of, namespace, node, states, .. } = self;
        let of = match of {
            Of::Workflow(target) => format!("{}\0{}", target.id, target.run),
            Of::Namespace => String::new(),
        };
        format!("tasks\0{namespace}\0{of}\0{node}\0{states:?}")
    }

    fn page(&self, state: &impl StateRead) -> Result<v1::ListTasksResponse, Fault> {
        let cursor = cursors::read(&self.question(), &self.cursor)?;
        match &self.of {
            Of::Workflow(target) => self.of_workflow(state, target, cursor.as_deref()),
            Of::Namespace => self.of_namespace(state, cursor.as_deref()),
        }
    }

    fn of_workflow(&self, state: &impl StateRead, target: &Target, cursor: Option<&[u8]>) -> Result<v1::ListTasksResponse, Fault> {
        // A cursor names its run: the pages of one list are of one run, even if another one replaces it meanwhile.
        let cursor = cursor.map(|key| TaskKey::from_bytes(key).ok_or_else(|| cursors::broken(&self.cursor))).transpose()?;
        let run = cursor.as_ref().map_or(target.run, |key| key.run);
        let workflow = Target { run, ..target.clone() }.find(state)?;
        let mut after = cursor.map_or(0, |key| key.task);
        let mut page = Page::new(self);
        loop {
            let found = view::tasks(state, workflow.run, after, TASKS_STEP);
            for (number, task) in &found {
                if !page.offer(state, workflow.run, *number, task) {
                    return Ok(page.next(TaskKey { run: workflow.run, task: after }.to_bytes()));
                }
                after = *number;
            }
            if found.len() < TASKS_STEP {
                return Ok(page.last());
            }
        }
    }

    fn of_namespace(&self, state: &impl StateRead, cursor: Option<&[u8]>) -> Result<v1::ListTasksResponse, Fault> {
        let mut after = cursor.map(|key| TaskListKey::from_bytes(key).ok_or_else(|| cursors::broken(&self.cursor))).transpose()?;
        let node = Some(self.node.as_str()).filter(|node| !node.is_empty());
        let mut page = Page::new(self);
        loop {
            let found = view::tasks_by_node(state, &self.namespace, node, after.as_ref(), PLACES_STEP);
            let is_last = found.len() < PLACES_STEP;
            for key in found {
                let task = view::task(state, TaskRef { run: key.run, task: key.task }).expect("a listed task is there");
                if !page.offer(state, key.run, key.task, &task) {
                    return Ok(after.map_or_else(v1::ListTasksResponse::default, |after| page.next(after.to_bytes())));
                }
                after = Some(key);
            }
            if is_last {
                return Ok(page.last());
            }
        }
    }
}

/// A page that fills up.
struct Page<'a> {
    query: &'a Query,
    rows: Vec<v1::TaskOfWorkflow>,
    bytes: usize,
    /// Rows that were looked at, and the bytes of their tasks.
    examined: usize,
    read: usize,
    workflows: LastWorkflow,
}

impl<'a> Page<'a> {
    fn new(query: &'a Query) -> Self {
        Self { query, rows: Vec::new(), bytes: 0, examined: 0, read: 0, workflows: LastWorkflow::default() }
    }

    /// Takes a task if it fits the filter; only then its workflow is read. False: this one has to wait for the next page.
    fn offer(&mut self, state: &impl StateRead, run: Run, number: TaskId, task: &Task) -> bool {
        if self.examined == LIST_EXAMINED_MAX || self.read + self.workflows.bytes() > EXAMINED_BYTES_MAX {
            return false;
        }
        self.examined += 1;
        self.read += task.config.len();
        let query = self.query;
        let fits =
            (query.node.is_empty() || query.node == task.node) && (query.states.is_empty() || query.states.contains(&tasks::state(task)));
        if !fits {
            return true;
        }
        let workflow = self.workflows.of(state, run);
        let row = v1::TaskOfWorkflow { workflow_id: workflow.id.clone(), run, task: Some(tasks::summary(number, task)) };
        let size = row.encoded_len();
        if self.rows.len() == query.limit || (self.bytes + size > PAGE_BYTES_MAX && !self.rows.is_empty()) {
            return false;
        }
        self.bytes += size;
        self.rows.push(row);
        true
    }

    fn next(self, key: Vec<u8>) -> v1::ListTasksResponse {
        v1::ListTasksResponse { next_cursor: cursors::make(&self.query.question(), &key), tasks: self.rows }
    }

    fn last(self) -> v1::ListTasksResponse {
        v1::ListTasksResponse { tasks: self.rows, next_cursor: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use graft_machine::memory::Memory;
    use graft_machine::state::StateTx;
    use graft_machine::tables::{NameKey, NameRecord, Names, RunKey, TaskList, Tasks as TaskRecords, Workflows};
    use graft_machine::task::{Ready, TaskState};
    use graft_machine::workflow::{Running, Status as Doing, Workflow};

    use super::*;
    use crate::api::counted::Counted;

    /// `runs` workflows with `tasks` ready tasks of one node each.
    fn state(runs: u64, tasks: u32, config: usize) -> Counted {
        let mut state = Memory::new();
        for run in 1..=runs {
            let (namespace, id) = ("default".to_owned(), format!("w-{run}"));
            let status = Some(Doing::Running(Running {}));
            state.put::<Names>(NameKey { namespace: namespace.clone(), id: id.clone() }, NameRecord { run });
            state.put::<Workflows>(RunKey { run }, Workflow { namespace: namespace.clone(), id, run, status, ..Workflow::default() });
            for task in 1..=tasks {
                let (node, now) = ("n".to_owned(), Some(TaskState::Ready(Ready::default())));
                let record = Task { node: node.clone(), config: vec![b'1'; config].into(), state: now, ..Task::default() };
                state.put::<TaskRecords>(TaskKey { run, task }, record);
                state.put::<TaskList>(TaskListKey { namespace: namespace.clone(), node, run, task }, ());
            }
        }
        Counted { state, reads: Cell::new(0) }
    }

    fn pages(state: &Counted, asked: v1::ListTasksRequest) -> Vec<usize> {
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = Query::new(v1::ListTasksRequest { cursor, ..asked.clone() }).expect("good").page(state).expect("a page");
            rows.push(page.tasks.len());
            if page.next_cursor.is_empty() {
                return rows;
            }
            cursor = page.next_cursor;
        }
    }

    #[test]
    fn a_workflow_is_read_once_for_its_tasks_that_stand_together_and_never_for_those_that_do_not_fit() {
        let state = state(3, 50, 0);
        let asked = v1::ListTasksRequest { node: "n".into(), limit: 1_000, ..Default::default() };
        assert_eq!(pages(&state, asked.clone()), [150]);
        assert!(state.reads.get() <= 153, "{} records were read for 150 tasks of 3 workflows", state.reads.get());
        state.reads.set(0);
        assert_eq!(pages(&state, v1::ListTasksRequest { states: vec![v1::TaskState::Blocked as i32], ..asked }), [0]);
        assert_eq!(state.reads.get(), 150);
    }

    #[test]
    fn a_page_ends_when_much_was_read_for_it_though_little_fits() {
        let state = state(2, 40, 1 << 20);
        let blocked = v1::ListTasksRequest { states: vec![v1::TaskState::Blocked as i32], ..Default::default() };
        assert_eq!(pages(&state, blocked.clone()), [0, 0], "80 MiB, 64 at a time");
        assert_eq!(pages(&state, v1::ListTasksRequest { workflow_id: "w-1".into(), ..blocked }), [0], "40 MiB");
    }
}
