//! Every sync of a member takes long: its log is written, and is not yet on the disk.

use std::time::Duration;

use super::Begun;
use crate::torture::arena::Arena;
use crate::torture::plan::{Turn, Victim};

/// How long a sync takes.
const SYNC_MS: std::ops::Range<u64> = 20..300;

/// Begins it. It keeps nobody from doing his work, only from doing it soon.
pub fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    let at = match turn.victim {
        Victim::Leader => arena.leader()?,
        Victim::Member(at) | Victim::Worker(at) => at % arena.size(),
    };
    arena.slow_disk(at, Duration::from_millis(SYNC_MS.start + turn.dice % (SYNC_MS.end - SYNC_MS.start)));
    Some(Begun::until(move |arena| arena.slow_disk(at, Duration::ZERO)))
}
