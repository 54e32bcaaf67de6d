//! Reports to the readiness board: how recovery goes, whether a leader is known, and whether this member has caught up with it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_util::task::AbortOnDropHandle;

use super::error::Failure;
use crate::consensus::{Consensus, Fatal, Leadership};
use crate::observability::readiness::{Leaderless, ReadinessBoard};
use crate::storage::{LogRecovered, StateStore};

/// Nobody to decide for less than this does not make the member unready: elections pass.
const LEADERLESS_FOR: Duration = Duration::from_secs(5);
/// How often it is looked whether this leader hears from a majority.
const LOOK_EVERY: Duration = Duration::from_millis(500);
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
            // Consensus that has stopped says so without a wait.
            tokio::time::sleep(LOOK_EVERY).await;
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
    let mut drained = consensus.drained();
    let mut look = interval(LOOK_EVERY);
    // Since when nobody can decide, and whether it was told.
    let mut leaderless_at: Option<Instant> = None;
    let mut told = true;
    let mut caught_up = false;
    loop {
        let leaderless = match &*leadership.borrow_and_update() {
            // It leads as long as it does not hear of another one, also alone.
            Leadership::Leader { .. } => consensus.leader_lease_until().is_none().then_some(Leaderless::Alone),
            Leadership::Follower { leader: None, .. } => Some(Leaderless::Unknown),
            Leadership::Follower { leader: Some(_), .. } => (!consensus.sees_leader()).then_some(Leaderless::Silent),
        };
        match (leaderless, leaderless_at) {
            (None, _) => {
                if told {
                    board.update(|conditions| conditions.leaderless = None);
                }
                (leaderless_at, told) = (None, false);
            }
            (Some(_), None) => leaderless_at = Some(Instant::now() + LEADERLESS_FOR),
            (Some(why), Some(at)) if !told && at <= Instant::now() => {
                (told, caught_up) = (true, false);
                board.update(|conditions| (conditions.leaderless, conditions.caught_up) = (Some(why), false));
            }
            (Some(_), Some(_)) => {}
        }
        let caught_up_now = async {
            while consensus.read_barrier().await.is_err() {
                tokio::time::sleep(BARRIER_RETRY).await;
            }
        };
        tokio::select! {
            () = caught_up_now, if leaderless.is_none() && !caught_up => {
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
            changed = drained.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let drained = *drained.borrow_and_update();
                board.update(|conditions| conditions.drained = drained);
            }
            _ = look.tick() => {}
        }
    }
}

/// Waits until consensus cannot go on.
pub(super) async fn fatal(consensus: Consensus) -> Result<(), Failure> {
    Err(match consensus.fatal().await {
        Fatal::Broken(why) => Failure::fatal(why),
        Fatal::TooNew(why) => Failure::left_behind(format!(
            "the cluster has gone on without this member: {why}\n  → install the graftd version that the other members run, and start it again: it goes on \
             where it is"
        )),
    })
}
