//! Carries a worker's stream to the leader: for a worker that reaches this member and not the leader, because a proxy or a firewall stands
//! between them.
//!
//! What comes from either side goes to the other as it is, message by message and no further ahead than a few of them: the leader greets the
//! worker, counts its leases and acknowledges its results, and this member decides nothing. The leader does not relay again. When another
//! member leads, or the way to the leader is gone, the worker's stream ends with the reason, and the worker opens the next one.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, stream};
use graft_proto::v1;
use graft_proto::v1::from_worker::Message;
use graft_proto::v1::to_worker;
use graft_proto::v1::worker_service_client::WorkerServiceClient;
use graft_proto::{ANSWER_BYTES_MAX, MESSAGE_BYTES_MAX};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

use crate::api::forward::{self, Caller};
use crate::api::{Shared, methods};
use crate::consensus::{Leadership, MemberInfo, never_sent};
use graft_proto::errors::{ErrorCode, Fault};

/// Messages of one direction that wait for the other side; beyond that, whoever sends has to.
const AHEAD_MAX: usize = 64;

/// The leader, if that is another member, and news of it.
pub(super) fn leader(shared: &Shared) -> Option<(MemberInfo, watch::Receiver<Leadership>)> {
    let leadership = shared.api.consensus.leadership();
    let leader = match &*leadership.borrow() {
        Leadership::Leader { .. } | Leadership::Follower { leader: None, .. } => None,
        Leadership::Follower { leader: Some(leader), .. } => Some(leader.clone()),
    };
    leader.map(|leader| (leader, leadership))
}

/// Opens a stream to the leader for a worker that has greeted here, and carries on what both say.
pub(super) async fn relay(
    shared: &Arc<Shared>,
    caller: &Caller,
    hello: v1::Hello,
    inbound: Streaming<v1::FromWorker>,
    (leader, leadership): (MemberInfo, watch::Receiver<Leadership>),
) -> Result<impl Stream<Item = Result<v1::ToWorker, Status>> + Send + use<>, Status> {
    let worker = hello.worker_id.clone();
    let (upward, messages) = mpsc::channel(AHEAD_MAX);
    // There is room: nothing else was sent yet.
    let _ = upward.try_send(v1::FromWorker { message: Some(Message::Hello(hello)) });
    let unreachable = |why: String| {
        let detail = format!("cannot be carried to the leader, member `{}` at {}: {why}", leader.name, leader.peer_address);
        Status::from(Fault::new(ErrorCode::NoLeader, "the worker's stream", detail))
    };
    let channel = forward::dial_for_streams(shared, &leader).map_err(|error| unreachable(error.to_string()))?;
    let mut client =
        WorkerServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let downward = match client.work(caller.named(ReceiverStream::new(messages))).await {
        Ok(answer) => answer.into_inner(),
        Err(status) if never_sent(&status) => return Err(unreachable(status.message().to_owned())),
        // What the leader refuses, it refuses the worker.
        Err(status) => return Err(status),
    };
    tracing::info!(%worker, leader = %leader.name, "a worker's stream is carried to the leader");
    let over = CancellationToken::new();
    tokio::spawn(carry_up(inbound, upward, over.clone()));
    let relayed = Relayed {
        downward,
        replaced: Box::pin(replaced(leader, leadership)),
        shutdown: shared.shutdown.clone(),
        worker,
        ended: None,
        _over: over.drop_guard(),
    };
    Ok(stream::unfold(relayed, |mut relayed| async move { relayed.next().await.map(|item| (item, relayed)) }))
}

/// Ends with the worker's side, with the leader's, and when nobody takes the answers any more.
async fn carry_up(mut inbound: Streaming<v1::FromWorker>, upward: mpsc::Sender<v1::FromWorker>, over: CancellationToken) {
    let carry = async {
        while let Ok(Some(message)) = inbound.message().await {
            if upward.send(message).await.is_err() {
                return;
            }
        }
    };
    over.run_until_cancelled(carry).await;
}

/// Until another member leads than this one; then why the stream ends.
async fn replaced(leader: MemberInfo, mut leadership: watch::Receiver<Leadership>) -> String {
    let still = |now: &Leadership| matches!(now, Leadership::Follower { leader: Some(now), .. } if now.raft_id == leader.raft_id);
    match leadership.wait_for(|now| !still(now)).await {
        Ok(_) => format!("member `{}` leads no more", leader.name),
        Err(_) => "this member is shutting down".to_owned(),
    }
}

/// What the leader says, to its end.
struct Relayed {
    downward: Streaming<v1::ToWorker>,
    replaced: Pin<Box<dyn Future<Output = String> + Send>>,
    shutdown: CancellationToken,
    worker: String,
    /// Said `Closing`; then this, if anything, and the end.
    ended: Option<Option<Status>>,
    _over: DropGuard,
}

impl Relayed {
    async fn next(&mut self) -> Option<Result<v1::ToWorker, Status>> {
        if let Some(ended) = &mut self.ended {
            return ended.take().map(Err);
        }
        tokio::select! {
            biased;
            message = self.downward.message() => match message {
                Ok(Some(message)) => Some(Ok(message)),
                Ok(None) => {
                    self.ended = Some(None);
                    None
                }
                Err(status) => {
                    self.ended = Some(None);
                    Some(Err(methods::explained(status)))
                }
            },
            reason = &mut self.replaced => {
                tracing::info!(worker = %self.worker, reason, "a worker's stream is carried to the leader no more");
                self.close(reason, None)
            }
            () = self.shutdown.cancelled() => {
                let status = Status::from(Fault::shutting_down());
                self.close(status.message().to_owned(), Some(status))
            }
        }
    }

    fn close(&mut self, reason: String, end: Option<Status>) -> Option<Result<v1::ToWorker, Status>> {
        self.ended = Some(end);
        Some(Ok(v1::ToWorker { message: Some(to_worker::Message::Closing(v1::Closing { reason })) }))
    }
}
