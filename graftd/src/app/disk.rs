//! Looks how much room the disk has. With less than the reserve a leader starts no workflow, so that what runs can end: results, control and
//! deletions need a little room each, and make some.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::statvfs;
use tokio::sync::watch::Receiver;
use tokio::time::interval;

use super::error::Failure;
use crate::config::Size;
use crate::consensus::Consensus;
use crate::observability::metrics::Metrics;

/// How often it is looked at: a fast disk writes a gigabyte meanwhile at most, which the smallest usual reserve and the bounds of the log and the
/// overlay are made for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Share of the disk that is kept if the configuration does not say.
const RESERVE_SHARE: u64 = 20;
/// The least that is kept then.
const RESERVE_LEAST: u64 = 256 << 20;
/// The most that is kept then: what runs needs no more, however large the disk is.
const RESERVE_MOST: u64 = 4 << 30;
/// Starts are taken again when there is so much more room than the reserve, in parts of it: not for every deleted file.
const AGAIN_SHARE: u64 = 10;

/// How much room a disk has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    free: u64,
    total: u64,
}

impl Room {
    fn of(path: &Path) -> std::io::Result<Self> {
        let disk = statvfs(path)?;
        // Not what is kept for root: a daemon is not root.
        Ok(Self { free: disk.f_bavail * disk.f_frsize, total: disk.f_blocks * disk.f_frsize })
    }

    fn reserve(self, said: Option<Size>) -> u64 {
        said.map_or((self.total / RESERVE_SHARE).clamp(RESERVE_LEAST, RESERVE_MOST), |said| said.bytes() as u64)
    }

    /// Whether starts are refused now, if they were before.
    fn is_short(self, reserve: u64, before: bool) -> bool {
        self.free < if before { reserve.saturating_add(reserve / AGAIN_SHARE) } else { reserve }
    }
}

/// Looks until it is dropped: at the disk of this directory, and how large these files (log and state) are.
pub(super) async fn watch(
    consensus: Consensus,
    path: PathBuf,
    files: [PathBuf; 2],
    said: Receiver<Option<Size>>,
    metrics: Arc<Metrics>,
) -> Result<(), Failure> {
    let mut look = interval(LOOK_EVERY);
    let (mut short, mut told) = (false, false);
    loop {
        look.tick().await;
        let room = match Room::of(&path) {
            Ok(room) => room,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(path = %path.display(), "how much room the disk has cannot be seen: {error}");
                }
                continue;
            }
        };
        let reserve = room.reserve(*said.borrow());
        metrics.storage.disk_free.set(room.free as i64);
        metrics.storage.disk_total.set(room.total as i64);
        for (store, file) in [&metrics.storage.log, &metrics.storage.state].into_iter().zip(&files) {
            store.file_bytes.set(std::fs::metadata(file).map_or(0, |file| file.len()) as i64);
        }
        metrics.storage.disk_reserve.set(reserve.min(i64::MAX as u64) as i64);
        let now = room.is_short(reserve, short);
        let why = now.then(|| why(&path, room, reserve));
        if now != short {
            match &why {
                Some(why) => tracing::warn!("no workflow is started while this member leads: {why}"),
                None => tracing::info!(free = room.free, reserve, "the disk has room again: workflows are started"),
            }
            short = now;
        }
        metrics.storage.starts_refused.set(i64::from(short));
        consensus.refuse_starts(why);
    }
}

fn why(path: &Path, room: Room, reserve: u64) -> String {
    let mib = |bytes: u64| bytes >> 20;
    format!(
        "the disk of {} has {} MiB free of {}, and {} MiB are kept for what runs (storage.disk_reserve)",
        path.display(),
        mib(room.free),
        mib(room.total),
        mib(reserve)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn what_is_kept_is_a_share_of_the_disk_within_bounds() {
        let room = |total| Room { free: 0, total };
        assert_eq!(room(40 * GIB).reserve(None), 2 * GIB);
        assert_eq!(room(4_000 * GIB).reserve(None), 4 * GIB);
        assert_eq!(room(GIB).reserve(None), GIB / 4);
        assert_eq!(room(GIB).reserve(Some(Size::from_bytes(7))), 7);
    }

    #[test]
    fn starts_are_taken_again_when_there_is_a_little_more_room() {
        let free = |free| Room { free, total: 1_000 };
        assert!(!free(100).is_short(100, false) && free(99).is_short(100, false));
        assert!(free(109).is_short(100, true) && !free(110).is_short(100, true));
        assert!(!free(0).is_short(0, false) && !free(0).is_short(0, true), "0 keeps none");
    }

    #[test]
    fn the_room_of_a_directory_is_that_of_its_disk() {
        let room = Room::of(Path::new("/")).unwrap();
        assert!(room.total > 0 && room.free <= room.total, "{room:?}");
    }
}
