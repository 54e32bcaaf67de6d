//! A member's disk has no room any more, not one byte, so that it ends and ends again; or so little that it must refuse starts while it leads.

use std::time::Duration;

use super::Begun;
use crate::torture::arena::{Arena, SIGNALLED};
use crate::torture::plan::{Kind, Turn};

/// Free bytes of a disk that is nearly full: less than its reserve.
const NEARLY: u64 = 8 << 20;
/// What a member may end with for want of room.
const CODES: [i32; 3] = [70, 74, SIGNALLED];
/// What it met may end it when there is room again already.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// Begins it.
pub fn begin(arena: &mut Arena, turn: &Turn, beyond_minority: bool) -> Option<Begun> {
    let at = arena.member_of(turn.victim, Kind::DiskFull, beyond_minority)?;
    let full = !turn.dice.is_multiple_of(3);
    let shrunk = arena.fighters[at].disk.as_ref()?.shrink_to(if full { 0 } else { NEARLY });
    if !shrunk {
        return None;
    }
    arena.excuse(at, &CODES, None);
    if full {
        arena.fighters[at].broken.insert(Kind::DiskFull);
    }
    Some(Begun::until(move |arena| {
        arena.tend();
        arena.fighters[at].make_room();
        arena.fighters[at].broken.remove(&Kind::DiskFull);
        arena.excuse(at, &CODES, Some(AFTERWARDS));
    }))
}
