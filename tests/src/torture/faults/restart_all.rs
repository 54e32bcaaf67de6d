//! All members are killed at once, and started again: no quorum outlives it.

use std::time::Duration;

use super::{Begun, up_to};
use crate::torture::arena::Arena;
use crate::torture::plan::{Kind, Turn};

/// Longest time that all are dead.
const DEAD_MAX: Duration = Duration::from_millis(1_500);

/// Begins it: those that are broken otherwise (stopped, dead) are left as they are, but for the kill.
pub async fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    let alive: Vec<usize> =
        (0..arena.fighters.len()).filter(|at| arena.fighters[*at].wanted && arena.fighters[*at].member.runs()).collect();
    for at in &alive {
        arena.fighters[*at].broken.insert(Kind::RestartAll);
    }
    arena.kill_at_once(&alive);
    arena.pass(up_to(DEAD_MAX, turn.dice)).await;
    let heal = move |arena: &mut Arena| {
        for at in alive {
            arena.fighters[at].broken.remove(&Kind::RestartAll);
            arena.start_member(at);
        }
    };
    Some(Begun::until(heal))
}
