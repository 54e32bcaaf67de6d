//! Reports to the readiness board: how recovery goes, whether a leader is known, and whether this member has caught up with it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::error::Failure;
use crate::consensus::{Consensus, Leadership};
use crate::observability::readiness::ReadinessBoard;
use crate::storage::{LogRecovered, StateStore};

/// A leader that is unknown for less than this does not make the member unready: elections pass.
const LEADERLESS_FOR: Duration = Duration::from_secs(5);
/// A barrier that failed is tried again after so long.
const BARRIER_RETRY: Duration = Duration::from_millis(250);
/// How often progress is logged.
const REPLAY_SAY: Duration = Duration::from_secs(1);

/// The replay of what the log holds beyond the flushed state.
pub(super) struct Replay {
    from: u64,
    to: u64,
    progress: AbortOnDropHandle<()>,
}

impl Replay {
    /// Says what there is to do, and goes on saying how far it has come until [`follow`] sees the end of it.
    pub(super) fn watch(board: &Arc<ReadinessBoard>, state: &StateStore, recovered: &LogRecovered) -> Self {
        let from = state.applied().index;
        let to = recovered.last.as_ref().map_or(0, |entry| entry.index);
        let (board, source) = (board.clone(), state.clone());
        let progress = AbortOnDropHandle::new(tokio::spawn(async move {
            if to <= from {
                return;
            }
            tracing::info!("replaying log {}..{to}", from + 1);
            let mut say = interval(REPLAY_SAY);
            say.tick().await;
            loop {
                let at = source.applied().index;
                board.update(|conditions| conditions.recovering = Some(format!("replaying the log: {at} of {to}")));
                say.tick().await;
                tracing::info!("replayed log up to {} of {to}", source.applied().index);
            }
        }));
        Self { from, to, progress }
    }

    /// Waits until what stood in the log has been confirmed by the cluster, and applied.
    async fn over(self, consensus: &Consensus) {
        let started = Instant::now();
        while self.to > 0 && !consensus.recovered().await {
            tracing::warn!(
                "what the log holds up to {} is still not confirmed by the cluster: a majority of its members is missing",
                self.to
            );
        }
        self.progress.abort();
        // Joined, so that it cannot write on the board any more.
        let _ = self.progress.await;
        if self.to > self.from {
            tracing::info!("replayed log {}..{} in {} ms after opening", self.from + 1, self.to, started.elapsed().as_millis());
        }
    }
}

/// Reports until it is dropped, or consensus has ended.
pub(super) async fn follow(consensus: Consensus, board: Arc<ReadinessBoard>, replay: Replay) -> Result<(), Failure> {
    let mut recovered = pin!(replay.over(&consensus));
    let mut recovering = true;
    let mut leadership = consensus.leadership();
    // Since when no leader is known, if one was known before.
    let mut leaderless_at: Option<Instant> = None;
    let mut caught_up = false;
    loop {
        let known = match &*leadership.borrow_and_update() {
            Leadership::Leader { .. } => true,
            Leadership::Follower { leader, .. } => leader.is_some(),
        };
        if known {
            leaderless_at = None;
            board.update(|conditions| conditions.leader = true);
        } else if leaderless_at.is_none() {
            leaderless_at = Some(Instant::now() + LEADERLESS_FOR);
        }
        let given_up = async {
            match leaderless_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let caught_up_now = async {
            while consensus.read_barrier().await.is_err() {
                tokio::time::sleep(BARRIER_RETRY).await;
            }
        };
        tokio::select! {
            () = caught_up_now, if known && !caught_up => {
                caught_up = true;
                board.update(|conditions| conditions.caught_up = true);
            }
            () = &mut recovered, if recovering => {
                recovering = false;
                board.update(|conditions| conditions.recovering = None);
            }
            changed = leadership.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            () = given_up, if !known => {
                caught_up = false;
                board.update(|conditions| (conditions.leader, conditions.caught_up) = (false, false));
                if leadership.changed().await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Waits until consensus cannot go on.
pub(super) async fn fatal(consensus: Consensus) -> Result<(), Failure> {
    Err(Failure::fatal(consensus.fatal().await))
}
