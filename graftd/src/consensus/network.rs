//! openraft's calls to the other members, over `graft.peer.v1`.
//!
//! Appends travel as a stream: several are under way, and answers come back in order. A stream that owes answers and brings none for
//! [`APPEND_STALL`] is given up, and openraft opens another. Every other call has openraft's own deadline. A member that cannot be reached,
//! or refuses the call because it is somebody else, is retried with openraft's backoff.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt};
use graft_proto::peer::v1::{RaftKind, RaftMessage, SnapshotChunk};
use openraft::alias::SmSnapshotOf;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::apply::StateMachine;
use super::codec::{SnapshotHead, Wire};
use super::links::{Client, Links};
use super::log_store::io_error;
use super::member::MemberInfo;
use super::owed::Owed;
use super::sending::Sending;
use super::snapshot::{Passage, SnapshotData, blocking};
use super::types::{Types, Vote, position_or_zero};
use crate::observability::metrics::{Metrics, PeerMetrics};

/// A stream of appends that owes answers for so long is broken.
const APPEND_STALL: Duration = Duration::from_secs(2);
/// Chunks of a snapshot that are read ahead of the network.
const CHUNKS_AHEAD: usize = 4;

type CallError = RPCError<Types>;

/// Makes the clients that openraft asks for.
pub(crate) struct Network {
    pub(crate) links: Arc<Links>,
    pub(crate) sending: Sending,
    pub(crate) metrics: Arc<Metrics>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    /// openraft asks for one client each for replication, heartbeats and snapshots: each gets a connection of its own.
    async fn new_client(&mut self, target: u64, node: &MemberInfo) -> Peer {
        let client = connect(&self.links, node);
        let figures = self.metrics.raft.peer(&node.name);
        Peer {
            figures,
            target,
            node: node.clone(),
            client,
            links: self.links.clone(),
            sending: self.sending.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

fn connect(links: &Links, node: &MemberInfo) -> Result<Client, String> {
    links.connect(node).map_err(|error| format!("{:?} is no peer address: {error}", node.peer_address))
}

/// One connection to one member, wherever that is.
pub(crate) struct Peer {
    target: u64,
    /// As it was when the connection was made.
    node: MemberInfo,
    client: Result<Client, String>,
    links: Arc<Links>,
    sending: Sending,
    metrics: Arc<Metrics>,
    figures: PeerMetrics,
}

impl Peer {
    fn client(&mut self) -> Result<Client, CallError> {
        if let Some(address) = self.links.moved(self.target, &self.node.peer_address) {
            self.node.peer_address = address;
            self.client = connect(&self.links, &self.node);
        }
        self.client.clone().map_err(|why| RPCError::Unreachable(Unreachable::from_string(why)))
    }

    /// One request, one answer.
    async fn call<A: Wire>(&mut self, kind: RaftKind, request: &impl Wire, option: &RPCOption) -> Result<A, CallError> {
        let message = RaftMessage { header: Some(self.links.header(self.target)), kind: kind as i32, body: request.encode() };
        let mut client = self.client()?;
        let asking = async { client.call(message).await.inspect_err(|status| self.links.answered(self.target, status)) };
        let answer = within(option.soft_ttl(), asking).await?;
        A::decode(answer.into_inner().body).map_err(|error| network_error(&error))
    }
}

/// Bounds a call.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(|status| call_error(&status)),
        Err(_) => Err(network_error(&io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")))),
    }
}

fn network_error(error: &(impl std::error::Error + 'static)) -> CallError {
    RPCError::Network(NetworkError::new(error))
}

/// Refused, or not there: openraft waits before it tries again. Anything else: at once.
fn call_error(status: &Status) -> CallError {
    match status.code() {
        Code::Unavailable | Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => {
            RPCError::Unreachable(Unreachable::from_string(format!("{:?}: {}", status.code(), status.message())))
        }
        _ => network_error(status),
    }
}

impl NetBackoff<Types> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetStreamAppend<Types> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, CallError>>, CallError>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // openraft waits its backoff where it makes a request: so the first is asked for before anything can fail.
            let Some(first) = input.next().await else {
                let nothing: BoxStream<'s, _> = Box::pin(futures::stream::empty());
                return Ok(nothing);
            };
            let failures = self.figures.append_failures.clone();
            let mut client = self.client().inspect_err(|_| failures.inc())?;
            let owed = Owed::measured(self.figures.append_seconds.clone());
            let going_out = owed.clone();
            let mut header = Some(self.links.header(self.target));
            let requests = futures::stream::once(std::future::ready(first)).chain(input).map(move |request| {
                going_out.sent(&request);
                // Only the first message of a stream says who talks to whom.
                RaftMessage { header: header.take(), kind: RaftKind::Append as i32, body: request.encode() }
            });
            let answers = client.append(requests).await.map_err(|status| {
                failures.inc();
                self.links.answered(self.target, &status);
                call_error(&status)
            })?;
            let answers = answers.into_inner();
            let results = futures::stream::unfold(Some((answers, owed)), |state| async move {
                let (mut answers, owed) = state?;
                loop {
                    let owed_before = owed.some();
                    let Ok(next) = tokio::time::timeout(APPEND_STALL, answers.message()).await else {
                        if !owed_before {
                            continue;
                        }
                        let why = io::Error::new(io::ErrorKind::TimedOut, format!("appends were not answered for {APPEND_STALL:?}"));
                        return Some((Err(network_error(&why)), None));
                    };
                    return match next {
                        Err(status) => Some((Err(call_error(&status)), None)),
                        // Said, or else openraft counts what was sent as under way and never purges it.
                        Ok(None) if owed.some() => {
                            let why = "the member ended the stream without an answer";
                            Some((Err(RPCError::Unreachable(Unreachable::from_string(why))), None))
                        }
                        Ok(None) => None,
                        Ok(Some(message)) => match StreamAppendResult::<Types>::decode(message.body) {
                            Err(error) => Some((Err(network_error(&error)), None)),
                            Ok(result) if !owed.answered(result.as_ref().ok()) => continue,
                            Ok(result) => Some((Ok(result), Some((answers, owed)))),
                        },
                    };
                }
            });
            let results = results.inspect(move |result: &Result<_, CallError>| {
                if result.is_err() {
                    failures.inc();
                }
            });
            let results: BoxStream<'s, _> = Box::pin(results);
            Ok(results)
        })
    }
}

impl NetVote<Types> for Peer {
    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, CallError> {
        self.call(RaftKind::Vote, &rpc, &option).await
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Result<VoteResponse<Types>, CallError> {
        self.call(RaftKind::PreVote, &rpc, &option).await
    }
}

impl NetTransferLeader<Types> for Peer {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, CallError> {
        self.call(RaftKind::TransferLeader, &request, &option).await
    }
}

impl NetSnapshot<Types> for Peer {
    type SnapshotData = SnapshotData;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SmSnapshotOf<Types, StateMachine>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let Snapshot { meta, snapshot } = snapshot;
        let SnapshotData::Outgoing(mut reader) = snapshot else {
            let why = io::Error::other("only an opened snapshot can be sent");
            return Err(StreamingError::Network(NetworkError::new(&why)));
        };
        let upto = position_or_zero(meta.last_log_id.as_ref());
        let _sent = self.sending.begin(self.target, upto);
        let mut passage = Passage::begin(&self.metrics, "send", self.target, upto);
        let bytes = passage.bytes();
        let header = Some(self.links.header(self.target));
        let head = SnapshotHead { vote, meta }.encode();
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        // Ends when everything is read or nobody takes the chunks any more; what was not announced as the last chunk is not installed.
        let reading = tokio::spawn(async move {
            if sender.send(SnapshotChunk { header, head, ..SnapshotChunk::default() }).await.is_err() {
                return Ok(());
            }
            loop {
                // A thread for each chunk: none waits for the network.
                let (next, read_on) = blocking(move || (reader.next_chunk(), reader)).await?;
                reader = read_on;
                let Some(data) = next.map_err(io_error)? else { break };
                bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                if sender.send(SnapshotChunk { data, ..SnapshotChunk::default() }).await.is_err() {
                    return Ok(());
                }
            }
            drop(sender.send(SnapshotChunk { last: true, ..SnapshotChunk::default() }).await);
            Ok::<(), io::Error>(())
        });
        let mut client = self.client()?;
        let (links, target) = (self.links.clone(), self.target);
        let sending = async { client.snapshot(ReceiverStream::new(chunks)).await.inspect_err(|status| links.answered(target, status)) };
        let sending = within(option.soft_ttl(), sending);
        let answer = tokio::select! {
            answer = sending => answer.inspect_err(|error| match error {
                // Whoever is gone is offered one every second.
                RPCError::Unreachable(_) => passage.refused(&error.to_string()),
                _ => passage.failed(&error.to_string()),
            })?,
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        if let Ok(Err(error)) = reading.await {
            return Err(StreamingError::Network(NetworkError::new(&error)));
        }
        self.metrics.raft.snapshots.with_label_values(&["send"]).inc();
        passage.over("sent and installed");
        Ok(SnapshotResponse::decode(answer.into_inner().body).map_err(|error| network_error(&error))?)
    }
}
