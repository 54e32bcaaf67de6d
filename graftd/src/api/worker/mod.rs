//! `WorkerService`: one stream for each worker process.
//!
//! The handler waits for the greeting, checks it, and connects a session; then two pumps run: what the worker sends is converted and handed
//! to the scheduler (`session`), what the scheduler sends is converted and streamed out. The scheduler knows nothing of messages, and this
//! folder knows nothing of leases.
//!
//! A worker that cannot reach the leader says so in its greeting: then the stream is carried there (`relay`).
//!
//! The stream ends when the worker ends it, when the scheduler drops it, when the worker breaks the protocol, or when the member stops; in
//! the last two cases the worker is told why with `Closing` first.

mod relay;
mod session;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use graft_proto::v1;
use graft_proto::v1::from_worker::Message;
use graft_proto::v1::worker_service_server::WorkerService;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::Shared;
use super::access::Asker;
use super::forward::Caller;
use super::sessions;
use graft_proto::errors::{ErrorCode, Fault};

/// How long a new stream may take to greet.
pub const HELLO_WAIT_MAX: Duration = Duration::from_secs(5);
/// Messages for a worker that may wait before the scheduler has to.
pub const OUTBOUND_MAX: usize = 256;

/// The service.
pub(super) struct Workers {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl WorkerService for Workers {
    type WorkStream = Pin<Box<dyn Stream<Item = Result<v1::ToWorker, Status>> + Send>>;

    async fn work(&self, request: Request<Streaming<v1::FromWorker>>) -> Result<Response<Self::WorkStream>, Status> {
        let (caller, asker) = (Caller::of(&request), Asker::of(&request));
        let mut inbound = request.into_inner();
        let status = self.shared.api.consensus.status();
        let greeting = first_message(&mut inbound).await?;
        let hello = sessions::hello(greeting.clone(), &status.cluster_id)?;
        asker.may_serve(&self.shared, &hello.namespace, hello.nodes.iter().map(|(node, ..)| node.as_str()))?;
        if greeting.relay
            && !caller.is_member
            && let Some(leader) = relay::leader(&self.shared)
        {
            return Ok(Response::new(relay::relay(&self.shared, &caller, greeting, inbound, leader).await?.boxed()));
        }
        tracing::info!(worker = %hello.worker, incarnation = %hello.incarnation, namespace = %hello.namespace, "worker connected");
        let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
        let nodes = hello.nodes.iter().map(|(node, ..)| node.clone()).collect();
        let worker = hello.worker.clone();
        let over = CancellationToken::new();
        let link = self.shared.api.scheduler.connect(hello, outbound).await;
        let broken = session::receive(worker, nodes, inbound, link, over.clone());
        let outgoing = session::Outgoing::new(
            messages,
            broken,
            status.member,
            self.shared.api.info.urls(),
            self.shared.shutdown.clone(),
            over.drop_guard(),
        );
        Ok(Response::new(outgoing.into_stream().boxed()))
    }
}

async fn first_message(inbound: &mut Streaming<v1::FromWorker>) -> Result<v1::Hello, Status> {
    let broken = |detail: &str| Status::from(Fault::new(ErrorCode::ProtocolBroken, "the worker's stream", detail));
    match tokio::time::timeout(HELLO_WAIT_MAX, inbound.message()).await {
        Err(_) => Err(broken(&format!("brought no Hello within {} s", HELLO_WAIT_MAX.as_secs()))),
        Ok(Ok(Some(v1::FromWorker { message: Some(Message::Hello(hello)) }))) => Ok(hello),
        Ok(Ok(Some(_))) => Err(broken("did not begin with Hello")),
        Ok(Ok(None)) => Err(broken("ended before Hello")),
        Ok(Err(status)) => Err(super::methods::explained(status)),
    }
}
