//! A worker, message by message.

use std::collections::VecDeque;

use graft_proto::v1;
use graft_proto::v1::from_worker::Message as From;
use graft_proto::v1::result::Outcome;
use graft_proto::v1::to_worker::Message as To;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{IntoRequest, Request, Status, Streaming};

use crate::member::{Member, json, within};

/// A worker's stream.
pub struct Worker {
    pub outgoing: mpsc::Sender<v1::FromWorker>,
    incoming: Streaming<v1::ToWorker>,
    tasks: VecDeque<v1::Task>,
    acks: VecDeque<v1::Ack>,
    others: VecDeque<To>,
}

/// A greeting for one node, with room for ten attempts.
pub fn hello(node: &str) -> v1::Hello {
    v1::Hello {
        protocol_min: 1,
        protocol_max: 1,
        worker_id: "w-1".into(),
        incarnation: "6f9619ff-8b86-4d11-b42d-00c04fc964ff".into(),
        nodes: vec![v1::NodeCapacity { node: node.into(), capacity: 10, cluster_limit: 0 }],
        build_id: "test".into(),
        ..v1::Hello::default()
    }
}

impl Worker {
    /// Opens a stream and greets.
    pub async fn greet(member: &Member, first: From) -> Result<Self, Status> {
        Self::greet_with(member, first, |messages| messages.into_request()).await
    }

    async fn greet_with(
        member: &Member,
        first: From,
        asking: impl FnOnce(ReceiverStream<v1::FromWorker>) -> Request<ReceiverStream<v1::FromWorker>>,
    ) -> Result<Self, Status> {
        let (outgoing, messages) = mpsc::channel(16);
        outgoing.send(v1::FromWorker { message: Some(first) }).await.expect("room");
        let incoming = within(member.workers().await.work(asking(ReceiverStream::new(messages)))).await?.into_inner();
        Ok(Self { outgoing, incoming, tasks: VecDeque::new(), acks: VecDeque::new(), others: VecDeque::new() })
    }

    /// Opens a stream for the node, and does what it takes to be given tasks.
    pub async fn connect(member: &Member, node: &str) -> (Self, v1::Welcome) {
        Self::connect_with(member, node, |messages| messages.into_request()).await
    }

    /// The same, with what it shows of itself.
    pub async fn connect_with(
        member: &Member,
        node: &str,
        asking: impl FnOnce(ReceiverStream<v1::FromWorker>) -> Request<ReceiverStream<v1::FromWorker>>,
    ) -> (Self, v1::Welcome) {
        let mut worker = Self::greet_with(member, From::Hello(hello(node)), asking).await.expect("a good greeting");
        let welcome = loop {
            match worker.other().await {
                To::Welcome(welcome) if welcome.leading => break welcome,
                To::Welcome(_) => {}
                other => panic!("before the welcome: {other:?}"),
            }
        };
        worker.send(From::Inventory(v1::Inventory { term: welcome.term, held: vec![], more: false })).await;
        worker.send(From::Heartbeat(v1::Heartbeat { sent_ms: 1, progress: vec![] })).await;
        worker.send(From::Credit(v1::Credit { partition: 0, node: node.into(), window: 10, sequence: 1 })).await;
        (worker, welcome)
    }

    pub async fn send(&self, message: From) {
        self.outgoing.send(v1::FromWorker { message: Some(message) }).await.expect("the stream is open");
    }

    /// The next message as it comes; `None` at the end.
    pub async fn raw(&mut self) -> Result<Option<To>, Status> {
        within(self.incoming.message()).await.map(|message| message.and_then(|message| message.message))
    }

    async fn sort_next(&mut self) {
        match self.raw().await.expect("the stream goes on").expect("the stream goes on") {
            To::Tasks(tasks) => self.tasks.extend(tasks.tasks),
            To::Acks(acks) => self.acks.extend(acks.acks),
            other => self.others.push_back(other),
        }
    }

    /// The next task.
    pub async fn task(&mut self) -> v1::Task {
        loop {
            match self.tasks.pop_front() {
                Some(task) => return task,
                None => self.sort_next().await,
            }
        }
    }

    /// The next acknowledgement.
    pub async fn ack(&mut self) -> v1::Ack {
        loop {
            match self.acks.pop_front() {
                Some(ack) => return ack,
                None => self.sort_next().await,
            }
        }
    }

    /// The next message that is neither.
    pub async fn other(&mut self) -> To {
        loop {
            match self.others.pop_front() {
                Some(other) => return other,
                None => self.sort_next().await,
            }
        }
    }

    /// Sends a result of a task.
    pub async fn resolve(&self, task: &v1::Task, outcome: Outcome) {
        let result = v1::Result { at: task.at, lease: task.lease, execution_us: 5, outcome: Some(outcome) };
        self.send(From::Results(v1::Results { results: vec![result] })).await;
    }

    /// Completes a task with a patch and successors.
    pub async fn complete(&self, task: &v1::Task, patch: &str, next: Vec<v1::NewTask>) {
        let completed = v1::Completed { base_revision: task.state_revision, patch: json(patch), next, ..v1::Completed::default() };
        self.resolve(task, Outcome::Completed(completed)).await;
    }
}
