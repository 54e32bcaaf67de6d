//! Bounds the log, in entries and in bytes: takes a snapshot when much was applied since the last one, and purges what nobody needs below it.
//!
//! openraft's own policy counts entries only, so it still takes snapshots but never purges (`ConsensusOptions::raft_config`): a purge by
//! policy could fall behind one that was asked for here. What this asks for only ever grows, and never passes the snapshot, which is the
//! flushed state. openraft puts a purge off while it is sending those entries; a follower that then lacks them gets a snapshot, and what it
//! will need behind that is kept too ([`super::sending`]), within a bound of its own.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::Shared;
use super::options::ConsensusOptions;
use super::sending::Sending;
use super::types::{Raft, Types, position_or_zero};
use crate::storage::LogStore;

/// How often the log is looked at; what is appended meanwhile comes on top of the bounds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Bytes of the log that are kept for members to which a snapshot is being sent, at most.
const KEEP_FOR_SNAPSHOTS_BYTES: u64 = 512 << 20;

/// The task that keeps the log within its bounds.
pub(crate) struct Trim {
    bounds: Bounds,
    raft: Raft,
    log: LogStore,
    sending: Sending,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

/// As in [`ConsensusOptions`].
#[derive(Clone, Copy, Debug)]
struct Bounds {
    snapshot_every_bytes: u64,
    keep_entries: u64,
    keep_bytes: u64,
    /// Entries that are kept whatever their bytes are.
    keep_least: u64,
}

impl Bounds {
    /// The last position that may go, if the last snapshot stands at `snapshot` and the bytes up to it allow to keep the entries from
    /// `first_within` on; 0 = none.
    fn purge_upto(&self, snapshot: u64, first_within: u64) -> u64 {
        let end = snapshot + 1;
        let kept_from = first_within.max(end.saturating_sub(self.keep_entries));
        kept_from.min(end.saturating_sub(self.keep_least)).saturating_sub(1)
    }
}

impl Trim {
    pub(crate) fn new(
        options: &ConsensusOptions,
        raft: Raft,
        log: LogStore,
        sending: Sending,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Self {
        let bounds = Bounds {
            snapshot_every_bytes: options.snapshot_every_bytes,
            keep_entries: options.log_keep_entries,
            keep_bytes: options.log_keep_bytes,
            keep_least: options.log_keep_least(),
        };
        Self { bounds, raft, log, sending, shared, stop }
    }

    /// Until the member stops.
    pub(crate) async fn run(self) {
        let work = async {
            let mut asked = 0;
            // An error: consensus has stopped, and says so itself.
            while self.look(&mut asked).await.is_ok() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        self.stop.run_until_cancelled(work).await;
    }

    /// `asked`: the position up to which a purge was asked for; openraft does it as soon as it can.
    async fn look(&self, asked: &mut u64) -> Result<(), Fatal<Types>> {
        let (snapshot, purged) = {
            let raft = self.raft.data_metrics();
            let now = raft.borrow_watched();
            (position_or_zero(now.snapshot.as_ref()), position_or_zero(now.purged.as_ref()))
        };
        let applied = *self.shared.applied.borrow();
        if self.log.bytes_between(snapshot + 1, applied + 1) > self.bounds.snapshot_every_bytes {
            // Ignored while one is being taken.
            self.raft.trigger().snapshot().await?;
        }
        let upto = self.bounds.purge_upto(snapshot, self.log.first_within(snapshot + 1, self.bounds.keep_bytes));
        let upto = match self.sending.lowest(Instant::now()) {
            Some(lowest) if lowest < upto && self.log.bytes_between(lowest + 1, upto + 1) <= KEEP_FOR_SNAPSHOTS_BYTES => lowest,
            Some(lowest) if lowest < upto => {
                tracing::warn!(
                    lowest,
                    upto,
                    "a member takes so long over its snapshot that the log behind it is given up: it will need another"
                );
                upto
            }
            _ => upto,
        };
        if upto > purged.max(*asked) {
            *asked = upto;
            // Positions count from 1, openraft's indexes from 0.
            self.raft.trigger().purge_log(upto - 1).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_below_the_snapshot_fits_both_bounds_but_is_never_less_than_the_least() {
        let bounds = Bounds { snapshot_every_bytes: 1, keep_entries: 100, keep_bytes: 1, keep_least: 10 };
        assert_eq!(bounds.purge_upto(1000, 1), 900, "so many entries");
        assert_eq!(bounds.purge_upto(1000, 951), 950, "the bytes allow fewer");
        assert_eq!(bounds.purge_upto(1000, 1001), 990, "the bytes allow none");
        assert_eq!(bounds.purge_upto(50, 0), 0);
        assert_eq!(bounds.purge_upto(5, 6), 0);
        assert_eq!(bounds.purge_upto(0, 0), 0, "no snapshot");
    }
}
