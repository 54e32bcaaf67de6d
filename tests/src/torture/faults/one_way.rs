//! One direction is gone: a member that hears none of the others, one that none of the others hears, or two between whom one direction is left.

use super::Begun;
use super::partition::members_but;
use crate::torture::arena::Arena;
use crate::torture::plan::{Kind, Turn};
use crate::walls::Wall;

/// Begins it.
pub fn begin(arena: &mut Arena, turn: &Turn, beyond_minority: bool) -> Option<Begun> {
    let at = arena.member_of(turn.victim, Kind::OneWay, beyond_minority)?;
    let (wall, broken) = {
        let (one, rest) = (arena.machine(at)?, members_but(arena, &[at]));
        let mut others = (0..arena.fighters.len()).filter(|other| *other != at && arena.fighters[*other].broken.is_empty());
        match turn.dice % 3 {
            0 => (Wall::between(&[one], &rest), at),
            1 => (Wall::between(&rest, &[one]), at),
            // Whoever does not hear the victim goes on with the others, if there are any.
            _ => {
                let other = others.next()?;
                (Wall::between(&[arena.machine(other)?], &[one]), other)
            }
        }
    };
    let wall = wall.inspect_err(|why| eprintln!("{why}")).ok()?;
    arena.fighters[broken].broken.insert(Kind::OneWay);
    Some(Begun::until(move |arena| {
        wall.take_away();
        arena.fighters[broken].broken.remove(&Kind::OneWay);
    }))
}
