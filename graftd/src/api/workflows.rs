//! `WorkflowService`: each method in a few lines, in terms of propose and read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use graft_machine::command::{Command, ControlWorkflow};
use graft_machine::ids::Run;
use graft_machine::state::StateRead;
use graft_machine::tables::{RunEventKey, TableKey};
use graft_machine::view;
use graft_proto::v1;
use graft_proto::v1::workflow_service_server::WorkflowService;
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::access::Asker;
use super::export::Pieces;
use super::redacted::Hidden;
use super::requests::{Identity, Starter, Target, payload_hash, principal};
use super::start_many::Answers;
use super::tasks::check_reason;
use super::watch::{EventStream, Watcher};
use super::{Shared, export, history, list, start, start_many};
use crate::consensus::View;
use graft_convert::{cursors, events, names, tasks, workflows};
use graft_proto::errors::Fault;

/// Tasks that `Get` shows, at most.
pub const TASKS_SHOWN_MAX: usize = 100;
/// `Get` shows fewer tasks when they have so many bytes together.
const TASKS_SHOWN_BYTES_MAX: usize = 1 << 20;
/// Tasks that are read at once for it.
const TASKS_STEP: usize = 4;
/// How long `Wait` waits if the client does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// Longest wait of `Wait`.
pub const WAIT_MAX: Duration = Duration::from_secs(60);

/// The service.
pub(super) struct Workflows {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl WorkflowService for Workflows {
    type WatchStream = EventStream;
    type StartManyStream = Answers;
    type ExportStream = Pieces;

    async fn start(&self, request: Request<v1::StartRequest>) -> Result<Response<v1::StartResponse>, Status> {
        Ok(Response::new(start::start(&self.shared, request).await?))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        let request = request.into_inner();
        let target = Target::new(request.namespace, request.workflow_id, request.run)?;
        self.shared.fresh(request.consistency).await?;
        let (workflow, tasks) = {
            let state = self.shared.latest();
            let workflow = target.find(&state)?;
            let tasks = open_tasks(&state, workflow.run);
            (workflow, tasks)
        };
        let state = workflows::state(&workflow);
        Ok(Response::new(v1::GetResponse { workflow: Some(workflows::summary(&workflow)), state, tasks }))
    }

    async fn start_many(&self, request: Request<Streaming<v1::StartRequest>>) -> Result<Response<Answers>, Status> {
        let (starter, asker) = (Starter::of(request.metadata()), Asker::of(&request));
        Ok(Response::new(start_many::start_many(self.shared.clone(), starter, asker, start_many::messages(request.into_inner()))))
    }

    async fn count(&self, request: Request<v1::CountRequest>) -> Result<Response<v1::CountResponse>, Status> {
        let request = request.into_inner();
        let namespace = names::namespace(request.namespace)?;
        self.shared.fresh(request.consistency).await?;
        Ok(Response::new(workflows::counts(&self.shared.latest(), &namespace)))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let request = request.into_inner();
        let consistency = request.consistency;
        let query = list::Query::new(request)?;
        self.shared.fresh(consistency).await?;
        let page = self.shared.read_view(move |view| query.page(view)).await??;
        Ok(Response::new(page))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<EventStream>, Status> {
        let request = request.into_inner();
        let target = Target::new(request.namespace, request.workflow_id, request.run)?;
        self.shared.linearizable().await?;
        let watcher = Watcher::new(self.shared.clone(), target, request.from_number).await?;
        Ok(Response::new(watcher.into_stream()))
    }

    async fn wait(&self, request: Request<v1::WaitRequest>) -> Result<Response<v1::WaitResponse>, Status> {
        let request = request.into_inner();
        let mut target = Target::new(request.namespace, request.workflow_id, request.run)?;
        let wait = match Duration::from_millis(request.timeout_ms) {
            Duration::ZERO => WAIT_DEFAULT,
            wait => wait.min(WAIT_MAX),
        };
        self.shared.linearizable().await?;
        // What is waited for is the run that is current now, even if another one replaces it meanwhile.
        target.run = target.find(&self.shared.latest())?.run;
        let deadline = tokio::time::Instant::now() + wait;
        let mut news = self.shared.api.consensus.subscribe(target.run);
        loop {
            let workflow = target.find(&self.shared.latest())?;
            let ended = workflow.kind().is_final();
            let over = tokio::time::Instant::now() >= deadline;
            if ended || over {
                let state = workflows::state(&workflow);
                return Ok(Response::new(v1::WaitResponse { ended, workflow: Some(workflows::summary(&workflow)), state }));
            }
            tokio::select! {
                () = news.changed() => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.shared.shutdown.cancelled() => return Err(Fault::shutting_down().into()),
            }
        }
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Result<Response<v1::HistoryResponse>, Status> {
        let request = request.into_inner();
        let target = Target::new(request.namespace, request.workflow_id, request.run)?;
        let limit = list::page_limit(request.limit)?;
        self.shared.fresh(request.consistency).await?;
        let cursor = request.cursor;
        let page = self.shared.read_view(move |view| history_page(view, &target, limit, &cursor)).await??;
        Ok(Response::new(page))
    }

    async fn export(&self, request: Request<v1::ExportRequest>) -> Result<Response<Pieces>, Status> {
        let hidden = Hidden::from(&self.shared, request.extensions().get().cloned(), &request.get_ref().namespace);
        let request = request.into_inner();
        let target = Target::new(request.namespace, request.workflow_id, request.run)?;
        self.shared.linearizable().await?;
        Ok(Response::new(export::export(self.shared.clone(), target, hidden)?))
    }

    async fn pause(&self, request: Request<v1::ControlRequest>) -> Result<Response<v1::ControlResponse>, Status> {
        self.control("pause", Command::Pause, request).await
    }

    async fn resume(&self, request: Request<v1::ControlRequest>) -> Result<Response<v1::ControlResponse>, Status> {
        self.control("resume", Command::Resume, request).await
    }

    async fn cancel(&self, request: Request<v1::ControlRequest>) -> Result<Response<v1::ControlResponse>, Status> {
        self.control("cancel", Command::Cancel, request).await
    }

    async fn terminate(&self, request: Request<v1::ControlRequest>) -> Result<Response<v1::ControlResponse>, Status> {
        self.control("terminate", Command::Terminate, request).await
    }
}

impl Workflows {
    async fn control(
        &self,
        verb: &str,
        command: fn(ControlWorkflow) -> Command,
        request: Request<v1::ControlRequest>,
    ) -> Result<Response<v1::ControlResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let identity =
            Identity::of(principal, meta, payload_hash(verb, &request, &HashMap::new()), self.shared.api.consensus.machine_time())?;
        check_reason(&request.reason)?;
        let mut target = Target::new(request.namespace, request.workflow_id, request.run)?;
        let asked = ControlWorkflow {
            namespace: target.namespace.clone(),
            id: target.id.clone(),
            run: target.run,
            reason: request.reason,
            grace: request.grace_ms,
            idle: false,
        };
        target.run = self.shared.done(verb, identity, command(asked)).await?.run;
        // It has happened, so the answer is no error even if the summary cannot be read as fresh as it should be.
        let workflow = match self.shared.linearizable().await {
            Ok(()) => target.find(&self.shared.latest()).ok(),
            Err(_) => None,
        };
        let workflow = workflow.map(|workflow| workflows::summary(&workflow));
        Ok(Response::new(v1::ControlResponse { workflow, run: target.run }))
    }
}

/// The first open tasks of a run, within both bounds. Read a few at a time: the state is locked meanwhile, and each may be large.
fn open_tasks(state: &impl StateRead, run: Run) -> Vec<v1::TaskSummary> {
    let (mut shown, mut bytes) = (Vec::new(), 0);
    while shown.len() < TASKS_SHOWN_MAX {
        let after = shown.last().map_or(0, |task: &v1::TaskSummary| task.task);
        let page = view::tasks(state, run, after, TASKS_STEP);
        for (number, task) in &page {
            let summary = tasks::summary(*number, task);
            bytes += summary.encoded_len();
            if bytes > TASKS_SHOWN_BYTES_MAX || shown.len() == TASKS_SHOWN_MAX {
                return shown;
            }
            shown.push(summary);
        }
        if page.len() < TASKS_STEP {
            return shown;
        }
    }
    shown
}

fn history_page(view: &View, target: &Target, limit: usize, cursor: &str) -> Result<v1::HistoryResponse, Fault> {
    // A cursor names its run: the pages of one history are of one run, even if another one replaces it meanwhile.
    let question = format!("history\0{}\0{}", target.namespace, target.id);
    let after = match cursors::read(&question, cursor)? {
        None => None,
        Some(key) => Some(RunEventKey::from_bytes(&key).ok_or_else(|| cursors::broken(cursor))?),
    };
    let run = match &after {
        Some(key) if target.run != 0 && target.run != key.run => return Err(cursors::of_another_run(cursor, key.run)),
        Some(key) => Target { run: key.run, ..target.clone() }.find(view)?.run,
        None => target.find(view)?.run,
    };
    let page = history::page(view, run, after.as_ref(), limit);
    let next_cursor = match page.events.last() {
        Some((key, _)) if page.more => cursors::make(&question, &key.to_bytes()),
        _ => String::new(),
    };
    let epoch = history::epoch(view);
    let events = page.events.iter().map(|(key, event)| events::event(epoch, key, event)).collect();
    Ok(v1::HistoryResponse { events, next_cursor, run })
}

impl Shared {
    /// Reads pages of a view on a thread where disk may be waited for, and that yields to work.
    pub(crate) async fn read_view<T: Send + 'static>(self: &Arc<Self>, read: impl FnOnce(&View) -> T + Send + 'static) -> Result<T, Fault> {
        let place = self.readers.place().await;
        // Taken here: what it locks for a moment is not left to a thread that may have to wait.
        let view = self.api.consensus.view();
        self.readers.run(place, move || read(&view)).await
    }
}
