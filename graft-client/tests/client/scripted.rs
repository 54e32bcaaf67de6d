//! A workflow service that follows a script: a test says what it answers, and reads what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use graft_client::proto::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use graft_client::proto::{self, ErrorDetail};
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// What a scripted server does with the next call.
#[derive(Clone)]
pub(crate) enum Act {
    Answer,
    Refuse(Code, ErrorDetail),
    /// A bare status, as from a proxy.
    Bare(Code),
    /// Answers after this long.
    Slow(Duration),
    /// Never answers, though the connection stands.
    Hang,
}

/// As a proxy does whose server is gone.
pub(crate) const BREAK: Act = Act::Bare(Code::Unavailable);

/// Every request, in order.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) starts: Vec<proto::StartRequest>,
    /// Calls of StartMany; what came in with them is among the starts.
    pub(crate) calls_of_many: usize,
    pub(crate) gets: Vec<proto::GetRequest>,
    pub(crate) lists: Vec<proto::ListRequest>,
    pub(crate) watches: Vec<proto::WatchRequest>,
    pub(crate) waits: Vec<proto::WaitRequest>,
    /// Where waits and watches came from.
    pub(crate) lasting_from: Vec<SocketAddr>,
    pub(crate) controls: Vec<proto::ControlRequest>,
    pub(crate) principals: Vec<String>,
}

pub(crate) type Batches = BoxStream<'static, Result<proto::WatchResponse, Status>>;
pub(crate) type ManyAnswers = BoxStream<'static, Result<proto::StartManyResponse, Status>>;
type Handler<Q, A> = Box<dyn Fn(Q) -> A + Send + Sync>;

/// What is answered beside the acts; a call without a handler is not implemented.
#[derive(Default)]
struct Handlers {
    get: Option<Handler<proto::GetRequest, Result<proto::GetResponse, Status>>>,
    watch: Option<Handler<proto::WatchRequest, Batches>>,
    wait: Option<Handler<proto::WaitRequest, BoxFuture<'static, Result<proto::WaitResponse, Status>>>>,
    control: Option<Handler<proto::ControlRequest, proto::ControlResponse>>,
    start_many: Option<Handler<BoxStream<'static, proto::StartRequest>, ManyAnswers>>,
    export: Option<Handler<proto::ExportRequest, BoxStream<'static, Result<proto::ExportResponse, Status>>>>,
}

/// A server to be: its acts, then what it answers.
#[derive(Default)]
pub(crate) struct Script {
    acts: VecDeque<Act>,
    handlers: Handlers,
}

/// A server under way.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<Shared>);

struct Shared {
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Seen>,
    handlers: Handlers,
}

impl Script {
    /// The next starts, gets and controls meet with these; when they are used up, every call is answered.
    pub(crate) fn acts(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: acts.into_iter().collect(), handlers: Handlers::default() }
    }

    pub(crate) fn on_get(mut self, get: impl Fn(proto::GetRequest) -> Result<proto::GetResponse, Status> + Send + Sync + 'static) -> Self {
        self.handlers.get = Some(Box::new(get));
        self
    }

    pub(crate) fn on_watch(mut self, watch: impl Fn(proto::WatchRequest) -> Batches + Send + Sync + 'static) -> Self {
        self.handlers.watch = Some(Box::new(watch));
        self
    }

    pub(crate) fn on_wait<F>(mut self, wait: impl Fn(proto::WaitRequest) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<proto::WaitResponse, Status>> + Send + 'static,
    {
        self.handlers.wait = Some(Box::new(move |request| Box::pin(wait(request))));
        self
    }

    pub(crate) fn on_control(mut self, control: impl Fn(proto::ControlRequest) -> proto::ControlResponse + Send + Sync + 'static) -> Self {
        self.handlers.control = Some(Box::new(control));
        self
    }

    /// Answers the starts of a call, which come in as the handler takes them.
    pub(crate) fn on_start_many(
        mut self,
        start_many: impl Fn(BoxStream<'static, proto::StartRequest>) -> ManyAnswers + Send + Sync + 'static,
    ) -> Self {
        self.handlers.start_many = Some(Box::new(start_many));
        self
    }

    pub(crate) fn on_export(
        mut self,
        export: impl Fn(proto::ExportRequest) -> BoxStream<'static, Result<proto::ExportResponse, Status>> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.export = Some(Box::new(export));
        self
    }

    /// Starts the server.
    pub(crate) async fn serve(self) -> (String, Scripted) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let scripted = Scripted(Arc::new(Shared { acts: Mutex::new(self.acts), seen: Mutex::default(), handlers: self.handlers }));
        let service = WorkflowServiceServer::new(scripted.clone());
        // As many streams as graftd allows.
        let mut server = tonic::transport::Server::builder().max_concurrent_streams(1_024);
        tokio::spawn(server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        (url, scripted)
    }
}

impl Scripted {
    /// What it was asked so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap()
    }

    async fn act(&self) -> Result<(), Status> {
        let act = self.0.acts.lock().unwrap().pop_front().unwrap_or(Act::Answer);
        match act {
            Act::Answer => Ok(()),
            Act::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Act::Hang => std::future::pending().await,
            Act::Bare(code) => Err(Status::new(code, "broken")),
            Act::Refuse(code, detail) => Err(refusal(code, &detail)),
        }
    }

    async fn control(&self, request: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        let request = request.into_inner();
        self.seen().controls.push(request.clone());
        self.act().await?;
        let Some(control) = &self.0.handlers.control else { return not_implemented() };
        Ok(Response::new(control(request)))
    }
}

/// A refusal with details, as graftd sends them.
pub(crate) fn refusal(code: Code, detail: &ErrorDetail) -> Status {
    let mut status = Status::new(code, "the script says no");
    let value = tonic::metadata::MetadataValue::from_bytes(&detail.encode_to_vec());
    status.metadata_mut().insert_bin("graft-error-bin", value);
    status
}

/// Details of a refusal of `order-1`.
pub(crate) fn detail(code: &str) -> ErrorDetail {
    ErrorDetail { code: code.into(), object: "workflow \"order-1\" in namespace \"default\"".into(), ..ErrorDetail::default() }
}

/// A workflow with this status.
pub(crate) fn summary(run: u64, status: proto::WorkflowStatus) -> proto::WorkflowSummary {
    proto::WorkflowSummary { workflow_id: "order-1".into(), run, status: status.into(), ..proto::WorkflowSummary::default() }
}

fn not_implemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not in the script"))
}

#[tonic::async_trait]
impl WorkflowService for Scripted {
    type WatchStream = Batches;
    type StartManyStream = BoxStream<'static, Result<proto::StartManyResponse, Status>>;
    type ExportStream = BoxStream<'static, Result<proto::ExportResponse, Status>>;

    async fn start(&self, request: Request<proto::StartRequest>) -> Result<Response<proto::StartResponse>, Status> {
        let principal = request.metadata().get("graft-client").map(|name| name.to_str().unwrap_or_default().to_owned());
        let request = request.into_inner();
        let answer = proto::StartResponse { workflow_id: request.workflow_id.clone(), run: 7, created: true, ..Default::default() };
        {
            let mut seen = self.seen();
            seen.starts.push(request);
            seen.principals.extend(principal);
        }
        self.act().await.map(|()| Response::new(answer))
    }

    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        let request = request.into_inner();
        self.seen().gets.push(request.clone());
        self.act().await?;
        let running = || proto::GetResponse { workflow: Some(summary(7, proto::WorkflowStatus::Running)), ..Default::default() };
        self.0.handlers.get.as_ref().map_or_else(|| Ok(running()), |get| get(request)).map(Response::new)
    }

    async fn watch(&self, request: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let from = request.remote_addr();
        let request = request.into_inner();
        self.seen().watches.push(request.clone());
        self.seen().lasting_from.extend(from);
        let Some(watch) = &self.0.handlers.watch else { return not_implemented() };
        Ok(Response::new(watch(request).boxed()))
    }

    async fn wait(&self, request: Request<proto::WaitRequest>) -> Result<Response<proto::WaitResponse>, Status> {
        let from = request.remote_addr();
        let request = request.into_inner();
        self.seen().waits.push(request.clone());
        self.seen().lasting_from.extend(from);
        let Some(wait) = &self.0.handlers.wait else { return not_implemented() };
        let answer = wait(request);
        answer.await.map(Response::new)
    }

    async fn pause(&self, request: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        self.control(request).await
    }
    async fn resume(&self, request: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        self.control(request).await
    }
    async fn cancel(&self, request: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        self.control(request).await
    }
    async fn terminate(&self, request: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        self.control(request).await
    }

    async fn start_many(&self, request: Request<Streaming<proto::StartRequest>>) -> Result<Response<Self::StartManyStream>, Status> {
        self.seen().calls_of_many += 1;
        self.act().await?;
        let Some(start_many) = &self.0.handlers.start_many else { return not_implemented() };
        let seen = self.clone();
        let starts = request
            .into_inner()
            .filter_map(|start| std::future::ready(start.ok()))
            .inspect(move |start| seen.seen().starts.push(start.clone()));
        Ok(Response::new(start_many(starts.boxed())))
    }
    async fn export(&self, request: Request<proto::ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        self.act().await?;
        let Some(export) = &self.0.handlers.export else { return not_implemented() };
        Ok(Response::new(export(request.into_inner())))
    }
    async fn count(&self, _: Request<proto::CountRequest>) -> Result<Response<proto::CountResponse>, Status> {
        self.act().await?;
        let count = |status: proto::WorkflowStatus, workflows| proto::StatusCount { status: status.into(), workflows };
        let counts = vec![count(proto::WorkflowStatus::Running, 3), count(proto::WorkflowStatus::Failed, 0)];
        Ok(Response::new(proto::CountResponse { counts }))
    }
    async fn list(&self, request: Request<proto::ListRequest>) -> Result<Response<proto::ListResponse>, Status> {
        self.seen().lists.push(request.into_inner());
        self.act().await?;
        Ok(Response::new(proto::ListResponse { workflows: vec![summary(7, proto::WorkflowStatus::Running)], next_cursor: "next".into() }))
    }
    async fn history(&self, _: Request<proto::HistoryRequest>) -> Result<Response<proto::HistoryResponse>, Status> {
        not_implemented()
    }
}
