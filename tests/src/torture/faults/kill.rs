//! `kill -9`: of a member, perhaps several times in a row with hardly a pause, or of a worker.

use std::time::Duration;

use super::{Begun, up_to};
use crate::torture::arena::Arena;
use crate::torture::plan::{Kind, Turn};

/// Most kills of one turn.
const KILLS_MAX: u64 = 3;
/// Longest time that a member is dead between two kills of one turn.
const DEAD_MAX: Duration = Duration::from_millis(1_200);
/// Longest life of a member between two kills of one turn: it may just be about to open its files.
const ALIVE_MAX: Duration = Duration::from_millis(1_500);

/// Begins it.
pub async fn begin(arena: &mut Arena, turn: &Turn, beyond_minority: bool) -> Option<Begun> {
    if let Some(at) = arena.worker_of(turn.victim) {
        arena.kill_worker(at);
        arena.workers[at].broken = true;
        return Some(Begun::until(move |arena| {
            arena.workers[at].broken = false;
            arena.start_worker(at);
        }));
    }
    let at = arena.member_of(turn.victim, Kind::Kill, beyond_minority)?;
    arena.fighters[at].broken.insert(Kind::Kill);
    arena.kill_member(at);
    let times = 1 + turn.dice % KILLS_MAX;
    for again in 1..times {
        arena.pass(up_to(DEAD_MAX, turn.dice >> (8 * again))).await;
        arena.start_member(at);
        arena.pass(up_to(ALIVE_MAX, turn.dice >> (10 * again))).await;
        arena.kill_member(at);
    }
    let heal = move |arena: &mut Arena| {
        arena.fighters[at].broken.remove(&Kind::Kill);
        arena.start_member(at);
    };
    Some(Begun { times, ..Begun::until(heal) })
}
