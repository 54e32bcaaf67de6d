//! The services for operators (tasks, dead letters, limits, events), which follow a script: the next calls fail as it says, the others are
//! answered; a test reads what was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::stream::{BoxStream, StreamExt};
use graft_client::proto::dead_letter_service_server::{DeadLetterService, DeadLetterServiceServer};
use graft_client::proto::event_service_server::{EventService, EventServiceServer};
use graft_client::proto::limit_service_server::{LimitService, LimitServiceServer};
use graft_client::proto::task_service_server::{TaskService, TaskServiceServer};
use graft_client::proto::{self, ErrorDetail};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

use crate::scripted::{Act, detail, refusal};

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    Tasks(proto::ListTasksRequest),
    Task(proto::GetTaskRequest),
    Retry(proto::RetryTaskRequest),
    DeadLetters(proto::ListDeadLettersRequest),
    DeadLetter(proto::GetTaskRequest),
    Redrive(proto::RedriveRequest),
    Discard(proto::DiscardRequest),
    Limits(proto::ListLimitsRequest),
    SetLimit(proto::SetLimitRequest),
    UnsetLimit(proto::UnsetLimitRequest),
    Events(proto::SubscribeRequest),
}

pub(crate) type Told = BoxStream<'static, Result<proto::SubscribeResponse, Status>>;
type Subscribe = dyn Fn(proto::SubscribeRequest) -> Told + Send + Sync;

#[derive(Clone)]
pub(crate) struct Desk(Arc<Shared>);

struct Shared {
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Asked>>,
    events: Box<Subscribe>,
}

impl Desk {
    /// A server whose next calls meet with these.
    pub(crate) async fn serve(acts: impl IntoIterator<Item = Act>) -> (String, Self) {
        Self::with_events(acts, |_| futures::stream::pending().boxed()).await
    }

    /// And that tells these events.
    pub(crate) async fn with_events(
        acts: impl IntoIterator<Item = Act>,
        events: impl Fn(proto::SubscribeRequest) -> Told + Send + Sync + 'static,
    ) -> (String, Self) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Shared { acts: Mutex::new(acts.into_iter().collect()), asked: Mutex::default(), events: Box::new(events) };
        let desk = Self(Arc::new(shared));
        let server = tonic::transport::Server::builder()
            .add_service(TaskServiceServer::new(desk.clone()))
            .add_service(DeadLetterServiceServer::new(desk.clone()))
            .add_service(LimitServiceServer::new(desk.clone()))
            .add_service(EventServiceServer::new(desk.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (url, desk)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.0.asked.lock().unwrap()
    }

    async fn act<A>(&self, asked: Asked, answer: A) -> Result<Response<A>, Status> {
        self.asked().push(asked);
        let act = self.0.acts.lock().unwrap().pop_front().unwrap_or(Act::Answer);
        match act {
            Act::Answer => Ok(Response::new(answer)),
            Act::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(Response::new(answer))
            }
            Act::Hang => std::future::pending().await,
            Act::Bare(code) => Err(Status::new(code, "broken")),
            Act::Refuse(code, detail) => Err(refusal(code, &detail)),
        }
    }
}

pub(crate) fn task(state: &str) -> proto::TaskOfWorkflow {
    let task = proto::TaskSummary { task: 3, node: "charge".into(), state: state.into(), ..Default::default() };
    proto::TaskOfWorkflow { workflow_id: "order-1".into(), run: 7, task: Some(task) }
}

/// One that was done and one that was refused; asked for one by its number, only the first. A task 9 is always refused. The filter of a node
/// `many` has three pages, and that of a node `loop` no end.
fn resolved(one: Option<u32>, filter: Option<&proto::DeadLetterFilter>, cursor: &str, dry_run: bool) -> proto::ResolveDeadLettersResponse {
    let result = |task, refused: Option<ErrorDetail>| {
        let message = if refused.is_some() { "workflow \"order-1\" in namespace \"default\" has ended" } else { "" }.to_owned();
        proto::DeadLetterResult { workflow_id: "order-1".into(), run: 7, task, node: "charge".into(), refused, message }
    };
    let results = match one {
        Some(9) => vec![result(9, Some(detail("GR0005")))],
        Some(task) => vec![result(task, None)],
        None => vec![result(3, None), result(9, Some(detail("GR0005")))],
    };
    let next_cursor = match (filter.map_or("", |filter| &filter.node), cursor) {
        ("many", "") => "p-2",
        ("many", "p-2") => "p-3",
        ("loop", _) => "p-2",
        _ => "",
    };
    proto::ResolveDeadLettersResponse { results, next_cursor: next_cursor.to_owned(), dry_run }
}

#[tonic::async_trait]
impl TaskService for Desk {
    async fn list(&self, request: Request<proto::ListTasksRequest>) -> Result<Response<proto::ListTasksResponse>, Status> {
        let answer = proto::ListTasksResponse { tasks: vec![task("ready")], next_cursor: String::new() };
        self.act(Asked::Tasks(request.into_inner()), answer).await
    }

    async fn get(&self, request: Request<proto::GetTaskRequest>) -> Result<Response<proto::GetTaskResponse>, Status> {
        let request = request.into_inner();
        // A server that says nothing of the task itself is of another kind.
        let found = (request.task != 4).then(|| task("ready"));
        let failed_attempts = vec![proto::FailedAttempt { attempt: 1, message: "no".into(), ..Default::default() }];
        let answer = proto::GetTaskResponse { task: found, failed_attempts, ..Default::default() };
        self.act(Asked::Task(request), answer).await
    }

    async fn retry(&self, request: Request<proto::RetryTaskRequest>) -> Result<Response<proto::RetryTaskResponse>, Status> {
        self.act(Asked::Retry(request.into_inner()), proto::RetryTaskResponse { run: 7 }).await
    }
}

#[tonic::async_trait]
impl DeadLetterService for Desk {
    async fn list(&self, request: Request<proto::ListDeadLettersRequest>) -> Result<Response<proto::ListDeadLettersResponse>, Status> {
        let letter = proto::DeadLetter { workflow_id: "order-1".into(), run: 7, task: 3, ..Default::default() };
        let answer = proto::ListDeadLettersResponse { dead_letters: vec![letter], next_cursor: "next".into() };
        self.act(Asked::DeadLetters(request.into_inner()), answer).await
    }

    async fn get(&self, request: Request<proto::GetTaskRequest>) -> Result<Response<proto::GetTaskResponse>, Status> {
        let answer = proto::GetTaskResponse { task: Some(task("dead-lettered")), ..Default::default() };
        self.act(Asked::DeadLetter(request.into_inner()), answer).await
    }

    async fn redrive(&self, request: Request<proto::RedriveRequest>) -> Result<Response<proto::ResolveDeadLettersResponse>, Status> {
        use proto::redrive_request::Which;
        let request = request.into_inner();
        let (one, filter) = match &request.which {
            Some(Which::One(one)) => (Some(one.task), None),
            Some(Which::Filter(filter)) => (None, Some(filter)),
            _ => (None, None),
        };
        let answer = resolved(one, filter, &request.cursor, request.dry_run);
        self.act(Asked::Redrive(request), answer).await
    }

    async fn discard(&self, request: Request<proto::DiscardRequest>) -> Result<Response<proto::ResolveDeadLettersResponse>, Status> {
        use proto::discard_request::Which;
        let request = request.into_inner();
        let (one, filter) = match &request.which {
            Some(Which::One(one)) => (Some(one.task), None),
            Some(Which::Filter(filter)) => (None, Some(filter)),
            _ => (None, None),
        };
        let answer = resolved(one, filter, &request.cursor, request.dry_run);
        self.act(Asked::Discard(request), answer).await
    }
}

#[tonic::async_trait]
impl LimitService for Desk {
    async fn list(&self, request: Request<proto::ListLimitsRequest>) -> Result<Response<proto::ListLimitsResponse>, Status> {
        let limit = proto::Limit { max: 5, held: 2, ..Default::default() };
        self.act(Asked::Limits(request.into_inner()), proto::ListLimitsResponse { limits: vec![limit], live: true, ..Default::default() })
            .await
    }

    async fn set(&self, request: Request<proto::SetLimitRequest>) -> Result<Response<proto::SetLimitResponse>, Status> {
        let request = request.into_inner();
        let now = Some(proto::Limit { max: request.max, ..Default::default() });
        self.act(Asked::SetLimit(request), proto::SetLimitResponse { before: None, now }).await
    }

    async fn unset(&self, request: Request<proto::UnsetLimitRequest>) -> Result<Response<proto::SetLimitResponse>, Status> {
        let before = Some(proto::Limit { max: 5, ..Default::default() });
        self.act(Asked::UnsetLimit(request.into_inner()), proto::SetLimitResponse { before, now: None }).await
    }
}

#[tonic::async_trait]
impl EventService for Desk {
    type SubscribeStream = Told;

    async fn subscribe(&self, request: Request<proto::SubscribeRequest>) -> Result<Response<Told>, Status> {
        let request = request.into_inner();
        let told = (self.0.events)(request.clone());
        self.act(Asked::Events(request), told).await
    }
}

/// A refusal for now.
pub(crate) fn not_now() -> Act {
    Act::Refuse(Code::ResourceExhausted, ErrorDetail { retryable: true, ..detail("GR0011") })
}
