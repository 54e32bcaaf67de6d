//! Snapshots that are under way to members that fell behind, and where each of these members will go on in the log.
//!
//! openraft protects the entries that it is sending, but not those that a member needs once its snapshot is installed: were they purged
//! meanwhile, it would need another snapshot, and so on as long as the load lasts. [`super::trim`] asks here before it purges.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// How long a member may take, after its snapshot is installed, to be sent the first entry behind it.
const GRACE: Duration = Duration::from_secs(10);

/// What is under way, by raft id of the receiver. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Sending {
    under_way: Arc<Mutex<BTreeMap<u64, UnderWay>>>,
}

struct UnderWay {
    /// Position of the last entry in the snapshot.
    upto: u64,
    /// When it was sent, or given up.
    ended: Option<Instant>,
}

/// Held while a snapshot is sent.
pub(crate) struct Sent {
    to: u64,
    all: Sending,
}

impl Sending {
    /// A snapshot up to this position is sent to a member; replaces what was sent to it before.
    pub(crate) fn begin(&self, to: u64, upto: u64) -> Sent {
        self.lock().insert(to, UnderWay { upto, ended: None });
        Sent { to, all: self.clone() }
    }

    /// The lowest position that a member will go on behind, if there is one.
    pub(crate) fn lowest(&self, now: Instant) -> Option<u64> {
        let mut under_way = self.lock();
        under_way.retain(|_, one| one.ended.is_none_or(|ended| now.saturating_duration_since(ended) < GRACE));
        under_way.values().map(|one| one.upto).min()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, UnderWay>> {
        self.under_way.lock().expect("no panic while the list is held")
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(one) = self.all.lock().get_mut(&self.to) {
            one.ended = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_behind_a_snapshot_is_kept_while_it_is_sent_and_a_little_longer() {
        let sending = Sending::default();
        let now = Instant::now();
        assert_eq!(sending.lowest(now), None);
        let (two, three) = (sending.begin(2, 70), sending.begin(3, 50));
        assert_eq!(sending.lowest(now), Some(50));
        drop(three);
        assert_eq!(sending.lowest(Instant::now()), Some(50));
        assert_eq!(sending.lowest(Instant::now() + GRACE), Some(70));
        drop(two);
        assert_eq!(sending.lowest(Instant::now() + GRACE), None);
    }
}
