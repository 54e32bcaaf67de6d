//! The client against servers that follow a script: what is repeated, where, and what the caller is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use graft_client::proto::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use graft_client::proto::{self, ErrorDetail};
use graft_client::{Client, ClientError};
use prost::Message;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

/// What a scripted server does with the next call.
#[derive(Clone)]
enum Act {
    Answer,
    Refuse(Code, ErrorDetail),
    /// Closes the connection with a bare status, as a proxy does.
    Break,
}

#[derive(Default)]
struct Seen {
    starts: Vec<proto::StartRequest>,
    watches: Vec<u64>,
    principals: Vec<String>,
}

#[derive(Clone)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Seen>>,
}

impl Scripted {
    /// Starts a server with this script; when it is used up, every call is answered.
    async fn serve(script: impl IntoIterator<Item = Act>) -> (String, Self) {
        let scripted = Self { script: Arc::new(Mutex::new(script.into_iter().collect())), seen: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = WorkflowServiceServer::new(scripted.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        (url, scripted)
    }

    fn act(&self) -> Result<(), Status> {
        match self.script.lock().unwrap().pop_front().unwrap_or(Act::Answer) {
            Act::Answer => Ok(()),
            Act::Break => Err(Status::unavailable("broken")),
            Act::Refuse(code, detail) => {
                let mut status = Status::new(code, "the script says no");
                let value = tonic::metadata::MetadataValue::from_bytes(&detail.encode_to_vec());
                status.metadata_mut().insert_bin("graft-error-bin", value);
                Err(status)
            }
        }
    }

    fn calls(&self) -> usize {
        self.seen.lock().unwrap().starts.len()
    }
}

fn not_implemented<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not in the script"))
}

#[tonic::async_trait]
impl WorkflowService for Scripted {
    type WatchStream = BoxStream<'static, Result<proto::WatchResponse, Status>>;

    async fn start(&self, request: Request<proto::StartRequest>) -> Result<Response<proto::StartResponse>, Status> {
        let principal = request.metadata().get("graft-client").map(|name| name.to_str().unwrap_or_default().to_owned());
        let request = request.into_inner();
        let answer = proto::StartResponse { workflow_id: request.workflow_id.clone(), run: 7, created: true, ..Default::default() };
        let mut seen = self.seen.lock().unwrap();
        seen.starts.push(request);
        seen.principals.extend(principal);
        drop(seen);
        self.act().map(|()| Response::new(answer))
    }

    async fn get(&self, _: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        self.act()?;
        let workflow = proto::WorkflowSummary { status: proto::WorkflowStatus::Running.into(), ..Default::default() };
        Ok(Response::new(proto::GetResponse { workflow: Some(workflow), ..Default::default() }))
    }

    /// Sends events one by one, and breaks after each, until the third ends the run.
    async fn watch(&self, request: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let from = request.into_inner().from_number.max(1);
        self.seen.lock().unwrap().watches.push(from);
        let happened = match from {
            3 => proto::event::Happened::Completed(Default::default()),
            _ => proto::event::Happened::Paused(Default::default()),
        };
        let event = proto::Event { number: from, happened: Some(happened), ..Default::default() };
        let batch = Ok(proto::WatchResponse { events: vec![event] });
        Ok(Response::new(stream::iter([batch, Err(Status::unavailable("broken"))]).boxed()))
    }

    async fn list(&self, _: Request<proto::ListRequest>) -> Result<Response<proto::ListResponse>, Status> {
        not_implemented()
    }
    async fn wait(&self, _: Request<proto::WaitRequest>) -> Result<Response<proto::WaitResponse>, Status> {
        not_implemented()
    }
    async fn history(&self, _: Request<proto::HistoryRequest>) -> Result<Response<proto::HistoryResponse>, Status> {
        not_implemented()
    }
    async fn pause(&self, _: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        not_implemented()
    }
    async fn resume(&self, _: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        not_implemented()
    }
    async fn cancel(&self, _: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        not_implemented()
    }
    async fn terminate(&self, _: Request<proto::ControlRequest>) -> Result<Response<proto::ControlResponse>, Status> {
        not_implemented()
    }
}

async fn start(client: &Client) -> Result<graft_client::Started, ClientError> {
    client.start("order-1").node_named("charge", ()).await
}

fn detail(code: &str) -> ErrorDetail {
    ErrorDetail { code: code.into(), object: "workflow \"order-1\" in namespace \"default\"".into(), ..ErrorDetail::default() }
}

#[tokio::test]
async fn a_start_is_repeated_with_the_same_request_id_until_it_is_answered() {
    let later = ErrorDetail { retryable: true, ..detail("GR0100") };
    let (url, server) = Scripted::serve([Act::Break, Act::Refuse(Code::ResourceExhausted, later)]).await;
    let client = Client::builder(url).identity("till-3").build().unwrap();
    assert_eq!(start(&client).await.unwrap().run, 7);
    let seen = server.seen.lock().unwrap();
    let ids: Vec<&str> = seen.starts.iter().map(|start| start.meta.as_ref().unwrap().request_id.as_str()).collect();
    assert_eq!(ids.len(), 3);
    assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(seen.principals.iter().all(|name| name == "till-3") && seen.principals.len() == 3);
}

#[tokio::test]
async fn a_refusal_that_will_stand_is_not_repeated_and_says_what_to_do() {
    let taken = ErrorDetail { remedy: "Choose another id.".into(), ..detail("GR0003") };
    let (url, server) = Scripted::serve([Act::Refuse(Code::AlreadyExists, taken)]).await;
    let error = start(&Client::connect(url).unwrap()).await.unwrap_err();
    assert_eq!(server.calls(), 1);
    assert!(error.is_already_exists() && error.has_no_side_effects() && !error.is_retryable());
    assert_eq!((error.code(), error.remedy(), error.message()), ("GR0003", "Choose another id.", "the script says no"));
}

#[tokio::test]
async fn the_leader_that_a_member_names_is_asked_next() {
    let (leader_url, leader) = Scripted::serve([]).await;
    let hint = ErrorDetail { retryable: true, leader_address: leader_url, ..detail("GR0101") };
    let (url, follower) = Scripted::serve([Act::Refuse(Code::Unavailable, hint)]).await;
    let client = Client::connect(url).unwrap();
    start(&client).await.unwrap();
    // From then on it is asked first.
    start(&client).await.unwrap();
    assert_eq!((follower.calls(), leader.calls()), (1, 2));
}

#[tokio::test]
async fn a_member_that_is_down_is_passed_over() {
    let (url, server) = Scripted::serve([]).await;
    let client = Client::connect(["http://127.0.0.1:1", url.as_str()]).unwrap();
    start(&client).await.unwrap();
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn a_start_that_never_left_had_no_side_effects_and_one_that_broke_may_have() {
    let nobody = Client::builder("http://127.0.0.1:1").request_timeout(Duration::from_millis(300)).build().unwrap();
    let error = start(&nobody).await.unwrap_err();
    assert!(error.has_no_side_effects() && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");

    let (url, _server) = Scripted::serve(vec![Act::Break; 100]).await;
    let breaking = Client::builder(url).request_timeout(Duration::from_millis(300)).build().unwrap();
    let error = start(&breaking).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    // A read has none, however it ends.
    assert!(breaking.workflow("order-1").get().await.unwrap_err().has_no_side_effects());
}

#[tokio::test]
async fn a_watch_that_breaks_goes_on_where_it_stopped() {
    let (url, server) = Scripted::serve([]).await;
    let events: Vec<_> = Client::connect(url).unwrap().workflow("order-1").watch().map(|event| event.unwrap().number).collect().await;
    assert_eq!(events, [1, 2, 3]);
    assert_eq!(server.seen.lock().unwrap().watches, [1, 2, 3]);
}
