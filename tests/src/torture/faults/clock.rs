//! A member's wall clock jumps, forward or back, by seconds or by minutes. It goes on doing its work: nobody is broken by it.

use std::time::{Duration, Instant};

use super::Begun;
use crate::torture::arena::Arena;
use crate::torture::plan::{Turn, Victim};
use crate::torture::wall_clock;

/// Farthest jump, in seconds. Less than the time for which request ids are kept, which is in the machine's time: a jump of the one who starts first
/// after all were dead is the machine's, too.
const JUMP_MAX: i64 = 240;
/// Nearest jump.
const JUMP_MIN: i64 = 10;
/// What the answers of a member may be off.
const OFF_MAX: i64 = 3;
/// How long it may take before they show it: the date in their heads is made anew every second.
const SHOWN_WITHIN: Duration = Duration::from_secs(3);

/// Begins it. A jump forward counts when the member itself shows it. One back cannot be seen so: the date in the heads of answers stands still
/// until the clock has come to it again; there it has to do that the process has the library whose clock it reads.
pub async fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    let at = match turn.victim {
        Victim::Leader => arena.leader()?,
        Victim::Member(at) | Victim::Worker(at) => at % arena.size(),
    };
    let fighter = &arena.fighters[at];
    if !fighter.wanted || !fighter.broken.is_empty() || !wall_clock::is_worn_by(&fighter.member) {
        return None;
    }
    let far = JUMP_MIN + (turn.dice >> 8) as i64 % (JUMP_MAX - JUMP_MIN);
    let seconds = if turn.dice.is_multiple_of(2) { far } else { -far };
    wall_clock::move_to(&fighter.member, seconds).inspect_err(|why| eprintln!("{why}")).ok()?;
    let begun = Instant::now();
    let mut shown = seconds < 0;
    while !shown && begun.elapsed() < SHOWN_WITHIN {
        arena.pass(Duration::from_millis(200)).await;
        shown = wall_clock::shown_by(&arena.fighters[at].member).is_some_and(|shown| (shown - seconds).abs() <= OFF_MAX);
    }
    if !shown {
        let _ = wall_clock::move_to(&arena.fighters[at].member, 0);
        return None;
    }
    Some(Begun::until(move |arena| {
        if let Err(why) = wall_clock::move_to(&arena.fighters[at].member, 0) {
            eprintln!("a clock stays: {why}");
        }
    }))
}
