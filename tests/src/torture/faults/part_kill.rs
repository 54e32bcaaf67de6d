//! As `pause_kill`, with members cut off instead of paused: a minority A is cut off; one of the others, C, loses power and what it had not synced,
//! and comes back; A is back, and another minority B is cut off. A and C must know what B and C have acknowledged.

use std::time::Duration;

use super::partition::{bring_back, cut};
use super::{Begun, Parts, parts, up_to};
use crate::torture::arena::Arena;
use crate::torture::plan::{Kind, Turn};

/// Longest time that A is cut off before C is killed.
const BEFORE_MAX: Duration = Duration::from_millis(2_500);

/// Begins it. It needs a cluster in which nobody is broken.
pub async fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    let Parts { first, killed } = parts(arena, turn.victim)?;
    let size = arena.size();
    let rest: Vec<usize> = (0..size).filter(|at| !first.contains(at)).collect();
    let walls = cut(arena, &first, &rest, Kind::PartKill)?;
    arena.pass(up_to(BEFORE_MAX, turn.dice)).await;
    arena.fighters[killed].broken.insert(Kind::PartKill);
    arena.kill_member(killed);
    arena.start_member(killed);
    arena.fighters[killed].broken.remove(&Kind::PartKill);
    let (second, others): (Vec<usize>, Vec<usize>) = (0..size).partition(|at| *at != killed && !first.contains(at));
    let more = cut(arena, &second, &others, Kind::PartKill);
    bring_back(arena, walls, &first, Kind::PartKill);
    let more = more?;
    Some(Begun::until(move |arena| bring_back(arena, more, &second, Kind::PartKill)))
}
