//! One stream's two pumps.

use std::collections::{BTreeSet, VecDeque};

use futures::{Stream, stream};
use graft_machine::limits::ERROR_BYTES_MAX;
use graft_proto::v1;
use graft_proto::v1::from_worker::Message;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

use crate::api::methods;
use crate::api::{Urls, sessions};
use crate::scheduler::{FromWorker, SessionLink, ToWorker};
use graft_convert::outcomes;
use graft_proto::errors::{ErrorCode, Fault, cut, quoted};

/// Most attempts that one inventory may name.
const HELD_MAX: usize = 1_000_000;

/// Hands what the worker sends to the scheduler, in order, until the stream ends. If the worker breaks the protocol, the receiver gets the
/// status; if it just goes, the receiver closes. Dropping the link tells the scheduler that the stream is gone: so it is kept until `over`,
/// which [`Outgoing`] cancels when it has said its last.
pub(super) fn receive(
    worker: String,
    nodes: BTreeSet<String>,
    mut inbound: Streaming<v1::FromWorker>,
    link: SessionLink,
    over: CancellationToken,
) -> oneshot::Receiver<Status> {
    let (broken, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let end = tokio::select! {
            end = pump(&worker, &nodes, &mut inbound, &link) => end,
            () = over.cancelled() => Ok(()),
        };
        match end {
            Ok(()) => tracing::info!(%worker, "worker's stream ended"),
            Err(status) => {
                tracing::warn!(%worker, reason = status.message(), "worker's stream broke");
                // The outgoing pump may have gone with the connection: then there is nobody to tell.
                let _ = broken.send(status);
            }
        }
    });
    receiver
}

async fn pump(worker: &str, nodes: &BTreeSet<String>, inbound: &mut Streaming<v1::FromWorker>, link: &SessionLink) -> Result<(), Status> {
    let mut parts = Vec::new();
    while let Some(message) = inbound.message().await.map_err(methods::explained)? {
        let Some(message) = whole(message, &mut parts)? else { continue };
        let message = from_worker(message, nodes)?;
        if let FromWorker::Goodbye { reason } = &message {
            tracing::info!(worker, reason, "worker says goodbye");
        }
        if link.send(message).await.is_err() {
            return Err(Fault::shutting_down().into());
        }
    }
    Ok(())
}

/// Puts the parts of an inventory together: `None` while more are to come.
fn whole(mut message: v1::FromWorker, parts: &mut Vec<v1::HeldAttempt>) -> Result<Option<v1::FromWorker>, Fault> {
    if let Some(Message::Inventory(inventory)) = &mut message.message {
        if parts.len() + inventory.held.len() > HELD_MAX {
            return Err(Fault::new(ErrorCode::ProtocolBroken, "an inventory", format!("names more than {HELD_MAX} attempts")));
        }
        parts.append(&mut inventory.held);
        if inventory.more {
            return Ok(None);
        }
        inventory.held = std::mem::take(parts);
    }
    Ok(Some(message))
}

/// A message of the stream, after Hello. An error breaks the stream, so it is for the worker's SDK, never for what a node did.
fn from_worker(message: v1::FromWorker, nodes: &BTreeSet<String>) -> Result<FromWorker, Fault> {
    let broken = |object: &str, detail: String| Fault::new(ErrorCode::ProtocolBroken, object, detail);
    Ok(match message.message {
        Some(Message::Inventory(inventory)) => {
            FromWorker::Inventory { term: inventory.term, held: inventory.held.into_iter().map(sessions::held).collect::<Result<_, _>>()? }
        }
        Some(Message::Credit(credit)) => {
            if credit.partition != u32::from(graft_machine::ids::PARTITION) {
                return Err(broken(
                    "a credit",
                    format!("names partition {}, there is only {}", credit.partition, graft_machine::ids::PARTITION),
                ));
            }
            if !nodes.contains(&credit.node) {
                return Err(broken("a credit", format!("names node {}, which Hello did not", quoted(&credit.node))));
            }
            FromWorker::Credit { node: credit.node, window: credit.window, sequence: credit.sequence }
        }
        Some(Message::Heartbeat(heartbeat)) => FromWorker::Heartbeat {
            sent_ms: heartbeat.sent_ms,
            progress: heartbeat
                .progress
                .into_iter()
                .map(|held| {
                    let (at, lease) = outcomes::held(held.at, held.lease, "progress")?;
                    Ok((at, lease, cut(&held.progress, ERROR_BYTES_MAX)))
                })
                .collect::<Result<_, Fault>>()?,
        },
        Some(Message::Results(results)) => {
            FromWorker::Results(results.results.into_iter().map(outcomes::result).collect::<Result<_, _>>()?)
        }
        Some(Message::Goodbye(goodbye)) => FromWorker::Goodbye { reason: cut(&goodbye.reason, ERROR_BYTES_MAX) },
        Some(Message::Hello(_)) => return Err(broken("the worker's stream", "brought a second Hello".to_owned())),
        None => return Err(broken("the worker's stream", "brought a message that this version does not know".to_owned())),
    })
}

/// The outgoing pump: what the scheduler sends, then perhaps `Closing`, then the end.
pub(super) struct Outgoing {
    messages: mpsc::Receiver<ToWorker>,
    /// Resolves with a status when the worker has broken the protocol, and with an error when it has gone.
    broken: Option<oneshot::Receiver<Status>>,
    member: u64,
    urls: Urls,
    shutdown: CancellationToken,
    /// Ends the other pump when this one is dropped: at its end, or when the connection is gone.
    _over: DropGuard,
    /// Made, but not yet taken.
    ready: VecDeque<v1::ToWorker>,
    end: Option<Option<Status>>,
}

enum News {
    Message(Option<ToWorker>),
    Broken(Result<Status, oneshot::error::RecvError>),
    Shutdown,
}

impl Outgoing {
    pub(super) fn new(
        messages: mpsc::Receiver<ToWorker>,
        broken: oneshot::Receiver<Status>,
        member: u64,
        urls: Urls,
        shutdown: CancellationToken,
        over: DropGuard,
    ) -> Self {
        Self { messages, broken: Some(broken), member, urls, shutdown, _over: over, ready: VecDeque::new(), end: None }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<v1::ToWorker, Status>> + Send {
        stream::unfold(self, |mut outgoing| async move { outgoing.next().await.map(|item| (item, outgoing)) })
    }

    async fn next(&mut self) -> Option<Result<v1::ToWorker, Status>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(Ok(message));
            }
            if let Some(end) = &mut self.end {
                return end.take().map(Err);
            }
            match self.news().await {
                News::Message(Some(message)) => self.ready.extend(sessions::told(message, self.member, self.urls)),
                // The scheduler stops with the member, and may be faster.
                News::Message(None) if self.shutdown.is_cancelled() => self.close(Fault::shutting_down().into()),
                News::Message(None) => self.end = Some(None),
                News::Broken(Ok(status)) => self.close(status),
                // The worker has closed its half: what is still owed to it (acknowledgements) is sent until the scheduler drops the stream.
                News::Broken(Err(_)) => self.broken = None,
                News::Shutdown => self.close(Fault::shutting_down().into()),
            }
        }
    }

    async fn news(&mut self) -> News {
        let broken = async {
            match &mut self.broken {
                Some(broken) => broken.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            broken = broken => News::Broken(broken),
            message = self.messages.recv() => News::Message(message),
            () = self.shutdown.cancelled() => News::Shutdown,
        }
    }

    fn close(&mut self, status: Status) {
        let reason = status.message().to_owned();
        self.ready.extend(sessions::told(ToWorker::Closing { reason }, self.member, self.urls));
        self.end = Some(Some(status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use graft_proto::v1::to_worker;

    const PLAIN: Urls = Urls { is_secure: false };

    fn nodes() -> BTreeSet<String> {
        BTreeSet::from(["a".to_owned()])
    }

    fn message(message: Message) -> v1::FromWorker {
        v1::FromWorker { message: Some(message) }
    }

    #[test]
    fn what_breaks_the_protocol_is_named() {
        let held = v1::HeldAttempt::default();
        let cases = [
            (v1::FromWorker::default(), "does not know"),
            (message(Message::Hello(v1::Hello::default())), "second Hello"),
            (message(Message::Credit(v1::Credit { node: "b".into(), ..Default::default() })), "node \"b\", which Hello did not"),
            (message(Message::Credit(v1::Credit { node: "a".into(), partition: 3, ..Default::default() })), "partition 3"),
            (message(Message::Inventory(v1::Inventory { term: 1, held: vec![held.clone()], more: false })), "names no attempt"),
            (message(Message::Heartbeat(v1::Heartbeat { sent_ms: 1, progress: vec![held] })), "names no attempt"),
            (message(Message::Results(v1::Results { results: vec![v1::Result::default()] })), "names no attempt"),
        ];
        for (message, needle) in cases {
            let error = from_worker(message, &nodes()).expect_err(needle);
            assert!(error.to_string().contains(needle), "{error}");
        }
    }

    #[test]
    fn good_messages_arrive() {
        let credit = message(Message::Credit(v1::Credit { partition: 0, node: "a".into(), window: 5, sequence: 2 }));
        assert!(matches!(from_worker(credit, &nodes()), Ok(FromWorker::Credit { window: 5, sequence: 2, .. })));
        let goodbye = message(Message::Goodbye(v1::Goodbye { reason: "done".into() }));
        assert!(matches!(from_worker(goodbye, &nodes()), Ok(FromWorker::Goodbye { reason }) if reason == "done"));
        let held = v1::HeldAttempt {
            at: Some(v1::AttemptRef { run: 1, task: 2, attempt: 3 }),
            lease: Some(v1::Lease { term: 4, sequence: 5 }),
            node: "a".into(),
            progress: "half".into(),
        };
        let heartbeat = message(Message::Heartbeat(v1::Heartbeat { sent_ms: 9, progress: vec![held.clone()] }));
        assert!(matches!(from_worker(heartbeat, &nodes()), Ok(FromWorker::Heartbeat { sent_ms: 9, progress }) if progress[0].2 == "half"));
        let inventory = message(Message::Inventory(v1::Inventory { term: 4, held: vec![held], more: false }));
        assert!(matches!(from_worker(inventory, &nodes()), Ok(FromWorker::Inventory { term: 4, held }) if held[0].lease.sequence == 5));
    }

    fn guard() -> DropGuard {
        CancellationToken::new().drop_guard()
    }

    #[test]
    fn an_inventory_in_parts_is_one_inventory_and_has_a_bound() {
        let part = |count: usize, more| {
            let held = vec![v1::HeldAttempt::default(); count];
            message(Message::Inventory(v1::Inventory { term: 4, held, more }))
        };
        let mut parts = Vec::new();
        assert_eq!(whole(part(2, true), &mut parts), Ok(None));
        assert_eq!(whole(part(3, false), &mut parts), Ok(Some(part(5, false))));
        assert_eq!(whole(part(1, false), &mut parts), Ok(Some(part(1, false))), "the next one begins anew");
        assert!(whole(part(HELD_MAX + 1, true), &mut parts).is_err());
    }

    fn reason(item: Option<Result<v1::ToWorker, Status>>) -> String {
        match item.expect("an item").expect("a message").message {
            Some(to_worker::Message::Closing(closing)) => closing.reason,
            other => panic!("not closing: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_worker_that_breaks_the_protocol_is_told_before_the_end() {
        let (_outbound, messages) = mpsc::channel(4);
        let (broken, receiver) = oneshot::channel();
        let mut stream = Outgoing::new(messages, receiver, 1, PLAIN, CancellationToken::new(), guard()).into_stream().boxed();
        broken.send(Status::invalid_argument("because")).expect("the stream listens");
        assert_eq!(reason(stream.next().await), "because");
        assert_eq!(stream.next().await.expect("an item").expect_err("the status").code(), tonic::Code::InvalidArgument);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_member_that_stops_says_so_after_what_was_sent_before() {
        let (outbound, messages) = mpsc::channel(4);
        let (_broken, receiver) = oneshot::channel();
        let shutdown = CancellationToken::new();
        outbound.send(ToWorker::HeartbeatAck { term: 1, echo: 2, leading: true }).await.expect("room");
        shutdown.cancel();
        let mut stream = Outgoing::new(messages, receiver, 1, PLAIN, shutdown, guard()).into_stream().boxed();
        assert!(matches!(stream.next().await, Some(Ok(v1::ToWorker { message: Some(to_worker::Message::HeartbeatAck(_)) }))));
        assert!(reason(stream.next().await).contains("is shutting down"));
        assert_eq!(stream.next().await.expect("an item").expect_err("the status").code(), tonic::Code::Unavailable);
    }

    #[tokio::test]
    async fn a_worker_that_has_closed_its_half_still_gets_its_acknowledgements() {
        let (outbound, messages) = mpsc::channel(4);
        let (broken, receiver) = oneshot::channel();
        drop(broken);
        let mut stream = Outgoing::new(messages, receiver, 1, PLAIN, CancellationToken::new(), guard()).into_stream().boxed();
        outbound.send(ToWorker::Acks(vec![])).await.expect("room");
        assert!(matches!(stream.next().await, Some(Ok(v1::ToWorker { message: Some(to_worker::Message::Acks(_)) }))));
        drop(outbound);
        assert!(stream.next().await.is_none());
    }
}
