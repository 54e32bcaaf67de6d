//! SIGSTOP, and SIGCONT when the round is over: a member that says nothing while its connections stand, or a worker that becomes a zombie,
//! since its lease is over when it wakes with the result in its hands.

use nix::sys::signal::Signal;

use super::Begun;
use crate::torture::arena::Arena;
use crate::torture::plan::{Kind, Turn};

/// Begins it.
pub fn begin(arena: &mut Arena, turn: &Turn, beyond_minority: bool) -> Option<Begun> {
    if let Some(at) = arena.worker_of(turn.victim) {
        arena.signal_worker(at, Signal::SIGSTOP);
        arena.workers[at].broken = true;
        return Some(Begun::until(move |arena| {
            arena.workers[at].broken = false;
            arena.signal_worker(at, Signal::SIGCONT);
        }));
    }
    let at = arena.member_of(turn.victim, Kind::Pause, beyond_minority)?;
    arena.tend();
    if !arena.fighters[at].member.runs() {
        return None;
    }
    arena.fighters[at].member.stop();
    arena.fighters[at].broken.insert(Kind::Pause);
    Some(Begun::until(move |arena| {
        arena.fighters[at].broken.remove(&Kind::Pause);
        if arena.fighters[at].member.runs() {
            arena.fighters[at].member.go_on();
        }
    }))
}
