//! The recipe that broke others: a minority A is paused; one of the rest, C, loses power and what it had not synced, and comes back; then another
//! one, B, is paused and A goes on. What was acknowledged by B and C has to be known to A and C now. Nobody but a majority in which C is old
//! news could have forgotten it.

use std::time::Duration;

use super::{Begun, Parts, parts, up_to};
use crate::torture::arena::Arena;
use crate::torture::plan::{Kind, Turn};

/// Longest time that A is paused before C is killed: what is acknowledged meanwhile is known to the others alone.
const BEFORE_MAX: Duration = Duration::from_millis(2_500);

/// Begins it. It needs a cluster in which nobody is broken.
pub async fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    let Parts { first: paused, killed } = parts(arena, turn.victim)?;
    let (size, minority) = (arena.size(), paused.len());
    for at in &paused {
        stop(arena, *at);
    }
    arena.pass(up_to(BEFORE_MAX, turn.dice)).await;
    arena.fighters[killed].broken.insert(Kind::PauseKill);
    arena.kill_member(killed);
    arena.start_member(killed);
    arena.fighters[killed].broken.remove(&Kind::PauseKill);
    // B: as many of the others as may be gone.
    let others: Vec<usize> = (0..size).filter(|at| !paused.contains(at) && *at != killed).take(minority).collect();
    for at in &others {
        stop(arena, *at);
    }
    for at in &paused {
        go_on(arena, *at);
    }
    Some(Begun::until(move |arena| {
        for at in others {
            go_on(arena, at);
        }
    }))
}

fn stop(arena: &mut Arena, at: usize) {
    arena.fighters[at].broken.insert(Kind::PauseKill);
    if arena.fighters[at].member.runs() {
        arena.fighters[at].member.stop();
    }
}

fn go_on(arena: &mut Arena, at: usize) {
    arena.fighters[at].broken.remove(&Kind::PauseKill);
    if arena.fighters[at].member.runs() {
        arena.fighters[at].member.go_on();
    }
}
