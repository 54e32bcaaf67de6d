//! Waits, tells the engine, and does what it says.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use graft_proto::v1::result::Outcome;
use graft_proto::v1::worker_service_client::WorkerServiceClient;
use graft_proto::v1::{AttemptRef, FromWorker, Hello, Task, ToWorker, from_worker};
use graft_proto::{ANSWER_BYTES_MAX, MESSAGE_BYTES_MAX};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::builder::Worker;
use super::engine::{Engine, Gone, LeaseKey, LinkId, Output};
use super::execution::Execution;
use super::registry::Registry;
use crate::client::Client;
use crate::context::NodeContext;
use crate::error::ClientError;

/// Messages from members that wait for the engine; a member whose messages do not fit is slowed down.
const INBOUND_MAX: usize = 256;
/// Inputs that the engine takes before its outputs are acted upon.
const BATCH: usize = 1_024;

/// News from a member's stream.
enum Inbound {
    Message(LinkId, ToWorker),
    Gone(LinkId, Gone),
}

/// An attempt's code has ended. `None`: it was dropped.
struct Ended {
    lease: LeaseKey,
    outcome: Option<Outcome>,
    execution_us: u64,
}

/// Runs the worker to its end.
pub(super) async fn run(worker: Worker, shutdown: impl Future<Output = ()>) -> Result<(), ClientError> {
    let Worker { client, registry, settings } = worker;
    let seed = uuid::Uuid::new_v4().as_u64_pair().0;
    let mut engine = Engine::new(settings, client.connections().configured(), seed);
    let clock = Clock(Instant::now());
    let (inbound_sender, mut inbound) = mpsc::channel(INBOUND_MAX);
    // Holds at most one entry for each attempt that runs.
    let (ended_sender, mut ended) = mpsc::unbounded_channel();
    let mut shell = Shell {
        client,
        registry,
        attempts: HashMap::new(),
        outbound: HashMap::new(),
        streams: JoinSet::new(),
        inbound: inbound_sender,
        ended: ended_sender,
    };
    let mut shutdown = pin!(shutdown);
    let mut draining = false;
    let (mut news, mut batch) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    loop {
        let now = clock.now();
        if engine.heartbeat_due(now) {
            for (lease, (cx, _)) in &shell.attempts {
                if let Some(text) = cx.fresh_progress() {
                    engine.progress(*lease, text);
                }
            }
        }
        engine.tick(now);
        engine.advance(now);
        engine.flush();
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Refused(error) => return Err(error),
                Output::Left => return Ok(()),
                output => shell.act(output),
            }
        }
        let wake = engine.next_timeout().map(|at| clock.at(at));
        tokio::select! {
            _ = inbound.recv_many(&mut news, BATCH) => {
                for news in news.drain(..) {
                    match news {
                        Inbound::Message(link, message) => engine.received(link, message, clock.now()),
                        Inbound::Gone(link, gone) => {
                            shell.outbound.remove(&link);
                            engine.closed(link, gone, clock.now());
                        }
                    }
                }
                while let Ok(ended) = ended.try_recv() {
                    shell.ended(&mut engine, ended);
                }
            }
            _ = ended.recv_many(&mut batch, BATCH) => {
                for ended in batch.drain(..) {
                    shell.ended(&mut engine, ended);
                }
            }
            () = sleep_until(wake) => {}
            () = &mut shutdown, if !draining => {
                draining = true;
                engine.drain(clock.now());
            }
            Some(_) = shell.streams.join_next(), if !shell.streams.is_empty() => {}
        }
    }
}

/// The process's monotonic clock in milliseconds; never 0, which means "none" on the wire.
struct Clock(Instant);

impl Clock {
    fn now(&self) -> u64 {
        crate::next::millis(self.0.elapsed()) + 1
    }

    /// The first moment at which [`now`](Self::now) says `at`.
    fn at(&self, at: u64) -> tokio::time::Instant {
        (self.0 + Duration::from_millis(at.saturating_sub(1))).into()
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Shell {
    client: Client,
    registry: Arc<Registry>,
    attempts: HashMap<LeaseKey, (NodeContext, AbortHandle)>,
    /// Bounded by what the engine lets out: results by capacity, the rest by time, until keep-alive ends a stream that does not move.
    outbound: HashMap<LinkId, mpsc::UnboundedSender<FromWorker>>,
    streams: JoinSet<()>,
    inbound: mpsc::Sender<Inbound>,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Shell {
    fn act(&mut self, output: Output) {
        match output {
            Output::Connect { link, address, hello } => self.connect(link, address, hello),
            Output::Send { link, message } => {
                if let Some(outbound) = self.outbound.get(&link) {
                    let _ = outbound.send(message); // if the stream is gone, the engine is about to hear of it
                }
            }
            Output::Close { link } => {
                self.outbound.remove(&link);
            }
            Output::Start { lease, at, task } => self.start(lease, at, *task),
            Output::Cancel { lease, reason } => {
                if let Some((cx, _)) = self.attempts.get(&lease) {
                    cx.cancel(reason);
                }
            }
            Output::Drop { lease, reason } => {
                if let Some((cx, attempt)) = self.attempts.get(&lease) {
                    cx.cancel(reason);
                    attempt.abort();
                }
            }
            Output::Refused(_) | Output::Left => {} // the loop's own
        }
    }

    fn ended(&mut self, engine: &mut Engine, ended: Ended) {
        self.attempts.remove(&ended.lease);
        engine.finished(ended.lease, ended.outcome, ended.execution_us);
    }

    fn connect(&mut self, link: LinkId, address: String, hello: Hello) {
        let (outbound, messages) = mpsc::unbounded_channel();
        let _ = outbound.send(FromWorker { message: Some(from_worker::Message::Hello(hello)) });
        self.outbound.insert(link, outbound);
        let (client, inbound) = (self.client.clone(), self.inbound.clone());
        self.streams.spawn(async move {
            let gone = stream(link, &client, &address, messages, &inbound).await;
            let _ = inbound.send(Inbound::Gone(link, gone)).await;
        });
    }

    fn start(&mut self, lease: LeaseKey, at: AttemptRef, task: Task) {
        let report = Report { lease, began: Instant::now(), outcome: None, to: self.ended.clone() };
        let Some(Execution { cx, outcome }) = self.registry.execute(task, at, self.client.clone()) else {
            return; // the engine starts only what is registered; the report says that it has ended
        };
        let attempt = tokio::spawn(async move { report.with(outcome.await) });
        self.attempts.insert(lease, (cx, attempt.abort_handle()));
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for (_, attempt) in self.attempts.values() {
            attempt.abort();
        }
    }
}

/// Says that an attempt's code has ended, however it did.
struct Report {
    lease: LeaseKey,
    began: Instant,
    outcome: Option<Outcome>,
    to: mpsc::UnboundedSender<Ended>,
}

impl Report {
    /// Ends with an outcome, rather than dropped.
    fn with(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let execution_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let _ = self.to.send(Ended { lease: self.lease, outcome: self.outcome.take(), execution_us });
    }
}

/// Keeps one stream until it ends, and says why it did.
async fn stream(
    link: LinkId,
    client: &Client,
    address: &str,
    messages: mpsc::UnboundedReceiver<FromWorker>,
    inbound: &mpsc::Sender<Inbound>,
) -> Gone {
    let refused = |status: &tonic::Status| {
        let error = ClientError::from_status("connect a worker", address, status);
        if error.is_retryable() { Gone::Lost(error.to_string()) } else { Gone::Refused(error) }
    };
    let channel = match client.connections().fresh(address) {
        Ok(channel) => channel,
        Err(error) => return Gone::Refused(error),
    };
    // A stream stands for long: it begins with the token that is there now.
    client.connections().credentials().look();
    let mut service = WorkerServiceClient::with_interceptor(channel, client.identified())
        .max_decoding_message_size(ANSWER_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut answers = match service.work(UnboundedReceiverStream::new(messages)).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return refused(&status),
    };
    loop {
        match answers.message().await {
            Ok(Some(message)) => {
                if inbound.send(Inbound::Message(link, message)).await.is_err() {
                    return Gone::Lost("the worker has ended".to_owned());
                }
            }
            Ok(None) => return Gone::Lost(format!("{address} closed the stream")),
            Err(status) => return refused(&status),
        }
    }
}
