//! What the other members ask of this one. Every call says whom it means; one that reached the wrong member, or comes from another cluster,
//! is refused before anything is done.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use graft_machine::command::Envelope;
use graft_machine::reply::StoredAnswer;
use graft_proto::peer::v1::peer_service_server::PeerService;
use graft_proto::peer::v1::{
    ChangeRequest, ChangeResponse, DrainRequest, DrainResponse, FormedRequest, FormedResponse, JoinRequest, JoinResponse, PeerHeader,
    PeerHello, PromiseRequest, PromiseResponse, ProposeRefusal, ProposeRequest, ProposeResponse, RaftKind, RaftMessage, ReadIndexRequest,
    ReadIndexResponse, ReportRequest, ReportResponse, SnapshotChunk,
};
use openraft::Snapshot;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, StreamAppendError, TransferLeaderRequest, VoteRequest};
use prost::Message;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::apply::Shared;
use super::barrier::read_index;
use super::codec::{SnapshotHead, Wire};
use super::error::ChangeError;
use super::groups::{Asked, Target};
use super::leadership::{Compass, Route};
use super::links::Links;
use super::log_store::io_error;
use super::orders::{self, Order};
use super::patience::Patience;
use super::proposer::Proposer;
use super::refusals::Refusal;
use super::registrar::Registrar;
use super::registrar::Undone;
use super::snapshot::{self, Passage, blocking};
use super::types::{Raft, SnapshotMeta, Types, Vote, position_or_zero};
use crate::discovery::formation::Formation;
use crate::discovery::records::FIRST_EPOCH;
use crate::tls::members::{PeerCaller, Unwelcome};

/// A snapshot of which no chunk comes for so long is given up.
const CHUNK_STALL: Duration = Duration::from_secs(10);
/// Chunks of a snapshot that are taken from the network ahead of the disk.
const CHUNKS_AHEAD: usize = 4;

/// Serves `graft.peer.v1`.
pub struct Peers {
    pub(super) raft: Raft,
    pub(super) links: Arc<Links>,
    pub(super) shared: Arc<Shared>,
    pub(super) proposer: Proposer,
    pub(super) compass: Compass,
    pub(super) registrar: Arc<Registrar>,
    /// Not owned: it holds the data directory, and connections may be there when the member has ended.
    pub(super) formation: Option<Weak<Formation>>,
    /// One snapshot is received at a time.
    pub(super) receiving: Arc<Semaphore>,
    /// Ends the streams.
    pub(super) stop: CancellationToken,
}

type Appended = Pin<Box<dyn Stream<Item = Result<RaftMessage, Status>> + Send>>;

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("consensus has stopped here: {error}"))
}

fn malformed(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// Asks the connection whether its other side is who it says it is. What reaches the service by no listener of ours is not asked.
fn speaks(caller: &Extensions, asked: impl FnOnce(&PeerCaller) -> Result<(), Unwelcome>) -> Result<(), Status> {
    match caller.get::<PeerCaller>() {
        Some(caller) => asked(caller).map_err(|error| Status::permission_denied(error.to_string())),
        None => Ok(()),
    }
}

fn answer(kind: RaftKind, body: Bytes) -> RaftMessage {
    RaftMessage { header: None, kind: kind as i32, body }
}

impl Peers {
    /// Whether a call is meant for this member of this cluster, and comes from whom it says: the membership knows the name that belongs to a
    /// raft id, and the certificate the name that belongs to the caller. A raft id that the membership here does not know yet may be anybody's who
    /// has a certificate of this cluster: a member that is new learns the others from the log.
    fn admit(&self, header: Option<&PeerHeader>, caller: &Extensions) -> Result<(), Status> {
        self.links.admit(header)?;
        let Some(from) = header.map(|header| header.from) else { return Ok(()) };
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        match metrics.membership_config.membership().get_node(&from) {
            Some(member) => speaks(caller, |caller| caller.speaks_for(&member.name)),
            None => Ok(()),
        }
    }

    /// The same, of what only members may ask: the membership here knows the caller, once it knows anybody. A certificate of this cluster alone is not
    /// enough: who was taken out has one, and who was never taken in.
    fn admit_member(&self, header: Option<&PeerHeader>, caller: &Extensions) -> Result<(), Status> {
        self.admit(header, caller)?;
        let from = header.map_or(0, |header| header.from);
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        if membership.nodes().next().is_none() || membership.get_node(&from).is_some() {
            return Ok(());
        }
        Err(Status::permission_denied(format!("raft id {from} is none of a member here: it was taken out, or is not taken in yet")))
    }

    /// Takes the rest of a snapshot, and puts it in the place of the state.
    async fn arrive(
        &self,
        mut chunks: Streaming<SnapshotChunk>,
        vote: Vote,
        meta: SnapshotMeta,
        passage: &mut Passage,
    ) -> Result<Response<RaftMessage>, Status> {
        let (sender, mut taken) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
        let state = self.shared.state.clone();
        let writing = tokio::spawn(async move {
            let mut writer = blocking(move || state.receive_snapshot()).await?.map_err(io_error)?;
            // A thread for each chunk: none waits for the network.
            while let Some(data) = taken.recv().await {
                let (written, write_on) = blocking(move || (writer.write_chunk(&data), writer)).await?;
                written.map_err(io_error)?;
                writer = write_on;
            }
            Ok::<_, io::Error>(writer)
        });
        let mut complete = false;
        loop {
            // Whoever sends nothing more must not keep the next sender out.
            let next = tokio::select! {
                next = tokio::time::timeout(CHUNK_STALL, chunks.message()) => next,
                () = self.stop.cancelled() => return Err(Status::unavailable("this member is shutting down")),
            };
            let Ok(next) = next else { return Err(Status::deadline_exceeded(format!("no chunk came for {CHUNK_STALL:?}"))) };
            let Some(chunk) = next? else { break };
            complete = chunk.last;
            passage.more(chunk.data.len());
            if complete || (!chunk.data.is_empty() && sender.send(chunk.data).await.is_err()) {
                break;
            }
        }
        drop(sender);
        let writer = writing.await.map_err(stopped)?.map_err(|error| Status::internal(error.to_string()))?;
        if !complete {
            return Err(Status::aborted("the snapshot was cut off"));
        }
        // What is damaged, or does not fit this disk, is refused and may be sent again: nothing has changed.
        let checked = snapshot::check(self.shared.state.clone(), &meta, writer).await;
        let snapshot = Snapshot { meta, snapshot: checked.map_err(|error| Status::internal(error.to_string()))? };
        let response = self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(answer(RaftKind::Snapshot, response.encode())))
    }

    fn formation(&self) -> Result<Arc<Formation>, Status> {
        let formation = self.formation.as_ref().ok_or_else(|| Status::unimplemented("this member's cluster is formed by other means"))?;
        formation.upgrade().ok_or_else(|| Status::unavailable("this member is shutting down"))
    }
}

#[tonic::async_trait]
impl PeerService for Peers {
    async fn greet(&self, request: Request<PeerHello>) -> Result<Response<PeerHello>, Status> {
        let formation = self.formation()?;
        let hello = request.get_ref();
        speaks(request.extensions(), |caller| caller.is_called(&hello.cluster_name, &hello.member_name))?;
        Ok(Response::new(formation.greet(request.into_inner())))
    }

    async fn promise(&self, request: Request<PromiseRequest>) -> Result<Response<PromiseResponse>, Status> {
        let formation = self.formation()?;
        if let Some(from) = &request.get_ref().from {
            speaks(request.extensions(), |caller| caller.is_called(&from.cluster_name, &from.member_name))?;
        }
        let request = request.into_inner();
        let cluster_id = request.cluster_id.clone();
        let promised = blocking(move || formation.promise(request)).await.map_err(stopped)?;
        if promised.promised {
            // From now on raft calls of another set are refused, should one that was given up come to life again.
            self.links.set_lineage(cluster_id, FIRST_EPOCH);
        }
        Ok(Response::new(promised))
    }

    async fn formed(&self, request: Request<FormedRequest>) -> Result<Response<FormedResponse>, Status> {
        let formation = self.formation()?;
        let request = request.into_inner();
        blocking(move || formation.formed(request)).await.map_err(stopped)?;
        Ok(Response::new(FormedResponse {}))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let formation = self.formation()?;
        let (_, caller, JoinRequest { header, from, token }) = request.into_parts();
        let from = from.ok_or_else(|| malformed("nobody says who wants to join"))?;
        let passed_on = header.is_some();
        match &header {
            // The member that passes it on has looked at the certificate.
            Some(_) => self.admit_member(header.as_ref(), &caller)?,
            None => speaks(&caller, |caller| caller.is_called(&from.cluster_name, &from.member_name))?,
        }
        let certified = matches!(caller.get::<PeerCaller>(), Some(PeerCaller::Member(_)));
        let (cluster_id, epoch) = self.links.lineage();
        let not_yet = |reason: String, needs_help| Ok(Response::new(JoinResponse { reason, needs_help, ..JoinResponse::default() }));
        if from.cluster_name != formation.cluster_name() || cluster_id.is_empty() {
            return not_yet(format!("member `{}` is not part of a cluster `{}`", formation.hello().member_name, from.cluster_name), true);
        }
        if let Route::There(leader) = self.compass.route()
            && !passed_on
        {
            let mut client = self.links.asking(&leader).map_err(|error| Status::unavailable(error.to_string()))?;
            return client.join(JoinRequest { header: Some(self.links.header(leader.raft_id)), from: Some(from), token }).await;
        }
        match self.registrar.admit(&formation, &from, &token, certified).await {
            Ok(()) => Ok(Response::new(JoinResponse { cluster_id, epoch, ..JoinResponse::default() })),
            Err(Undone::NotLeader) => not_yet("no leader is known just now".into(), false),
            Err(Undone::Because(error)) => {
                let refused = matches!(error, ChangeError::Refused { .. });
                self.shared.metrics.cluster.joins_refused.inc_by(u64::from(refused));
                not_yet(error.to_string(), refused)
            }
        }
    }

    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let formation = self.formation()?;
        let (_, caller, ReportRequest { from, drained }) = request.into_parts();
        let from = from.ok_or_else(|| malformed("nobody says who reports"))?;
        speaks(&caller, |caller| caller.is_called(&from.cluster_name, &from.member_name))?;
        let (cluster_id, epoch) = self.links.lineage();
        if cluster_id.is_empty() {
            return Err(Status::failed_precondition("this member is part of no cluster yet"));
        }
        // An older epoch is one to be told about; a later one knows more than this member.
        if from.cluster_id != cluster_id || from.epoch > epoch {
            return Err(self.links.refuse(from.raft_id, format!("this member belongs to cluster {cluster_id} in epoch {epoch}")));
        }
        Ok(Response::new(self.registrar.report(&formation, &from, drained).await))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        self.admit_member(request.get_ref().header.as_ref(), request.extensions())?;
        orders::drain_here(&self.registrar, request.get_ref().undo, &request.get_ref().principal).await;
        Ok(Response::new(DrainResponse {}))
    }

    async fn change(&self, request: Request<ChangeRequest>) -> Result<Response<ChangeResponse>, Status> {
        self.admit_member(request.get_ref().header.as_ref(), request.extensions())?;
        let order = Order::of_request(request.get_ref()).ok_or_else(|| malformed("the order makes no sense"))?;
        let outcome = orders::here(&self.registrar, order, &request.get_ref().principal).await;
        Ok(Response::new(orders::answer(order, outcome)))
    }

    type AppendStream = Appended;

    async fn append(&self, request: Request<Streaming<RaftMessage>>) -> Result<Response<Appended>, Status> {
        let (_, caller, mut messages) = request.into_parts();
        let first = messages.message().await?.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        self.admit(first.header.as_ref(), &caller)?;
        let first = AppendEntriesRequest::<Types>::decode(first.body).map_err(malformed)?;
        // A stream that breaks, or carries what cannot be read, just ends: the leader opens another and starts where the log stands.
        // And it ends with the listener: openraft reads it from a task of its own, which would hold the connection open otherwise.
        let rest = messages.scan((), |(), message| std::future::ready(read_append(message)));
        let rest = rest.take_until(self.stop.clone().cancelled_owned());
        let requests = futures::stream::once(async { first }).chain(rest);
        let shared = self.shared.clone();
        let appended = self.raft.stream_append(requests).map(move |result| match result {
            Ok(result) => {
                // Also a leader whose entries do not fit yet is one.
                if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
                    shared.heard.note();
                }
                Ok(answer(RaftKind::Append, result.encode()))
            }
            Err(fatal) => Err(stopped(fatal)),
        });
        // An idle stream must not hold up the end of the listener.
        Ok(Response::new(Box::pin(appended.take_until(self.stop.clone().cancelled_owned()))))
    }

    async fn call(&self, request: Request<RaftMessage>) -> Result<Response<RaftMessage>, Status> {
        let (_, caller, RaftMessage { header, kind, body }) = request.into_parts();
        self.admit(header.as_ref(), &caller)?;
        let kind = RaftKind::try_from(kind).map_err(malformed)?;
        let body = match kind {
            RaftKind::Vote => self.raft.vote(VoteRequest::decode(body).map_err(malformed)?).await.map_err(stopped)?.encode(),
            RaftKind::PreVote => self.raft.pre_vote(VoteRequest::decode(body).map_err(malformed)?).await.map_err(stopped)?.encode(),
            RaftKind::TransferLeader => {
                let request = TransferLeaderRequest::decode(body).map_err(malformed)?;
                self.raft.handle_transfer_leader(request).await.map_err(stopped)?.encode()
            }
            RaftKind::Unspecified | RaftKind::Append | RaftKind::Snapshot => {
                return Err(Status::invalid_argument(format!("{kind:?} is no call of its own")));
            }
        };
        Ok(Response::new(answer(kind, body)))
    }

    async fn snapshot(&self, request: Request<Streaming<SnapshotChunk>>) -> Result<Response<RaftMessage>, Status> {
        let (_, caller, mut chunks) = request.into_parts();
        let first = chunks.message().await?.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        self.admit(first.header.as_ref(), &caller)?;
        let SnapshotHead { vote, meta } = SnapshotHead::decode(first.head).map_err(malformed)?;
        let Ok(_receiving) = self.receiving.clone().try_acquire_owned() else {
            return Err(Status::unavailable("another snapshot is being received"));
        };
        let from = first.header.map_or(0, |header| header.from);
        let mut passage = Passage::begin(&self.shared.metrics, "install", from, position_or_zero(meta.last_log_id.as_ref()));
        let arrived = self.arrive(chunks, vote, meta, &mut passage).await;
        match &arrived {
            Ok(_) => passage.over("received and installed"),
            Err(status) => passage.failed(status.message()),
        }
        arrived
    }

    async fn propose(&self, request: Request<ProposeRequest>) -> Result<Response<ProposeResponse>, Status> {
        let (_, caller, ProposeRequest { header, commands, apart, waits_ms }) = request.into_parts();
        self.admit_member(header.as_ref(), &caller)?;
        // A command that is not known here would stop every member that applies it.
        let mut envelopes = Vec::with_capacity(commands.len());
        for command in &commands {
            let envelope = Envelope::decode(command.clone()).map_err(malformed)?;
            // Who brings a version about asks every member first.
            if envelope.brings_about() > 0 {
                return Err(malformed("a machine version is put into force by the leader alone"));
            }
            if envelope.command.is_none() {
                return Err(malformed("the leader does not know this command: upgrade all members before it is used"));
            }
            envelopes.push(envelope);
        }
        // What there is no room or time for is refused by itself: what makes room may stand beside it.
        let waits = waits_ms.into_iter().filter(|_| apart).map(Patience::told).chain(std::iter::repeat(Patience::ENDLESS));
        let (mut places, mut admitted) = (Vec::with_capacity(commands.len()), Vec::with_capacity(commands.len()));
        let mut response = ProposeResponse::default();
        for (at, ((command, envelope), patience)) in (0..).zip(commands.into_iter().zip(&envelopes).zip(waits)) {
            match self.proposer.admit(envelope) {
                Ok(()) => {
                    places.push(at);
                    admitted.push(Asked { command, patience });
                }
                Err(refusal) if apart => response.refusals.push(ProposeRefusal { at, refused: refusal.said() }),
                Err(refusal) => return Ok(Response::new(ProposeResponse { refused: refusal.said(), ..response })),
            }
        }
        if admitted.is_empty() {
            return Ok(Response::new(response));
        }
        let outcome = match self.proposer.enqueue(admitted, Target::Here) {
            Ok(ticket) => ticket.outcome().await,
            Err(error) => Err(error),
        };
        match outcome.map_err(Refusal::of) {
            Ok(answers) => {
                for (at, answer) in places.into_iter().zip(answers) {
                    match answer {
                        Some(answer) => response.answers.push(StoredAnswer::from(answer).encode_to_vec().into()),
                        None => response.refusals.push(ProposeRefusal { at, refused: Refusal::Overdue.said() }),
                    }
                }
            }
            Err(Ok(refusal)) => response.refused = refusal.said(),
            Err(Err(unknown)) => response.unknown = unknown,
        }
        Ok(Response::new(response))
    }

    async fn read_index(&self, request: Request<ReadIndexRequest>) -> Result<Response<ReadIndexResponse>, Status> {
        self.admit_member(request.get_ref().header.as_ref(), request.extensions())?;
        Ok(Response::new(match read_index(&self.raft).await {
            Ok(index) => ReadIndexResponse { index, machine_time: self.shared.stamps.estimate(), refused: String::new() },
            Err(refused) => ReadIndexResponse { refused, ..ReadIndexResponse::default() },
        }))
    }
}

/// The next request of a stream; none if it broke.
fn read_append(message: Result<RaftMessage, Status>) -> Option<AppendEntriesRequest<Types>> {
    let read = match message {
        Ok(message) => AppendEntriesRequest::decode(message.body).map_err(|error| error.to_string()),
        Err(status) => Err(status.to_string()),
    };
    read.inspect_err(|error| tracing::debug!(error, "a stream of appends has ended")).ok()
}
