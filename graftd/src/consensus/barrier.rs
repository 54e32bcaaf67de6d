//! Linearizable reads on any member. Barriers that are asked for while one is under way share the next one.

use std::sync::Arc;
use std::time::Duration;

use graft_proto::peer::v1::ReadIndexRequest;
use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::apply::Shared;
use super::error::ProposeError;
use super::leadership::{Compass, Route};
use super::links::Links;
use super::types::Raft;

/// How long a barrier takes at most.
pub const BARRIER_WAIT: Duration = Duration::from_secs(5);
/// A leader that refused is asked again after so long, unless another one is known before.
const RETRY: Duration = Duration::from_millis(50);
/// Readers that may wait for a barrier.
const READERS_MAX: usize = 16_384;

type Outcome = Result<u64, ProposeError>;

/// The way in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Barrier {
    readers: mpsc::Sender<oneshot::Sender<Outcome>>,
}

impl Barrier {
    /// Starts the task; it ends when `stop` is cancelled.
    pub(crate) fn start(raft: Raft, compass: Compass, links: Arc<Links>, shared: Arc<Shared>, stop: CancellationToken) -> Self {
        let (readers, mut waiting) = mpsc::channel::<oneshot::Sender<Outcome>>(READERS_MAX);
        let mut reads = Reads { raft, compass, links, shared };
        let work = async move {
            let mut joined = Vec::new();
            while waiting.recv_many(&mut joined, READERS_MAX).await > 0 {
                let outcome = reads.pass().await;
                for reader in joined.drain(..) {
                    drop(reader.send(outcome.clone()));
                }
            }
        };
        tokio::spawn(async move { stop.run_until_cancelled(work).await });
        Self { readers }
    }

    /// Waits until what was acknowledged before the call is applied here; the index that was waited for.
    pub(crate) async fn pass(&self) -> Outcome {
        let (sender, passed) = oneshot::channel();
        match self.readers.try_send(sender) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(ProposeError::Overloaded { retry_after_ms: 100 }),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(stopping()),
        }
        // What is left of the barrier that is under way counts too. A moment more, so that who waits for one alone hears why it failed.
        match tokio::time::timeout(BARRIER_WAIT + RETRY, passed).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(stopping())),
            Err(_) => Err(ProposeError::Unavailable { reason: "no leader has answered in time".into() }),
        }
    }
}

fn stopping() -> ProposeError {
    ProposeError::Unavailable { reason: "this member is shutting down".into() }
}

struct Reads {
    raft: Raft,
    compass: Compass,
    links: Arc<Links>,
    shared: Arc<Shared>,
}

impl Reads {
    async fn pass(&mut self) -> Outcome {
        let mut last = String::from("no leader is known");
        let work = async {
            loop {
                // A leader that is gone may take long to be missed; who comes next is asked at once.
                let mut news = self.compass.fresh();
                let asked = tokio::select! {
                    asked = self.index() => asked,
                    () = news.changed() => Err("another leader has come".into()),
                };
                match asked {
                    Ok(index) => {
                        last = format!("index {index} is not yet applied here");
                        let mut applied = self.shared.applied.subscribe();
                        return applied.wait_for(|applied| *applied >= index).await.map(|_| index).map_err(|_| stopping());
                    }
                    Err(reason) => last = reason,
                }
                drop(tokio::time::timeout(RETRY, self.compass.changed()).await);
            }
        };
        match tokio::time::timeout(BARRIER_WAIT, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ProposeError::Unavailable { reason: last }),
        }
    }

    /// An index that covers what was acknowledged before now, from the leader.
    async fn index(&self) -> Result<u64, String> {
        match self.compass.route() {
            Route::Nowhere => Err("no leader is known".into()),
            Route::Here { .. } => read_index(&self.raft).await,
            Route::There(leader) => {
                let mut client = self.links.asking(&leader).map_err(|error| error.to_string())?;
                let mut request = tonic::Request::new(ReadIndexRequest { header: Some(self.links.header(leader.raft_id)) });
                request.set_timeout(BARRIER_WAIT);
                let answer = client.read_index(request).await.map_err(|status| status.message().to_owned())?.into_inner();
                self.shared.stamps.heard(answer.machine_time);
                if answer.refused.is_empty() { Ok(answer.index) } else { Err(answer.refused) }
            }
        }
    }
}

/// The read index of this member, if it leads: a quorum has confirmed it after the call.
pub(crate) async fn read_index(raft: &Raft) -> Result<u64, String> {
    match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => Ok(linearizer.read_log_id().index() + 1),
        Err(error) => Err(error.to_string()),
    }
}
