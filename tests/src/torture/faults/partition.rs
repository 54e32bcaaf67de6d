//! Machines that do not hear each other: a member alone, a minority together, a minority and a majority that share one member which hears both
//! sides, one that is cut off and back again and again; or a worker that is cut off from all members, and works on.

use std::time::Duration;

use super::{Begun, up_to};
use crate::bridge::Machine;
use crate::torture::arena::Arena;
use crate::torture::plan::{Kind, Turn};
use crate::walls::Wall;

/// How often a flapping member is cut off before it stays so.
const FLAPS: u64 = 3;
/// Longest time of each.
const FLAP_MAX: Duration = Duration::from_millis(1_000);

/// Begins it.
pub async fn begin(arena: &mut Arena, turn: &Turn, beyond_minority: bool) -> Option<Begun> {
    if let Some(at) = arena.worker_of(turn.victim) {
        let wall = Wall::between(&[arena.worker_machine(at)?], &members_but(arena, &[])).inspect_err(|why| eprintln!("{why}")).ok()?;
        arena.workers[at].broken = true;
        return Some(Begun::until(move |arena| {
            arena.workers[at].broken = false;
            wall.take_away();
        }));
    }
    let at = arena.member_of(turn.victim, Kind::Partition, beyond_minority)?;
    let mut side = vec![at];
    // In larger clusters, sometimes a second one goes with it.
    if turn.dice.is_multiple_of(3)
        && arena.broken() + 2 <= (arena.fighters.len() - 1) / 2
        && let Some(second) = (0..arena.fighters.len()).find(|second| *second != at && arena.fighters[*second].broken.is_empty())
    {
        side.push(second);
    }
    let mut rest: Vec<usize> = (0..arena.fighters.len()).filter(|other| !side.contains(other)).collect();
    // One of the others hears both sides.
    if turn.dice % 5 == 1 && rest.len() > 2 {
        rest.swap_remove((turn.dice >> 16) as usize % rest.len());
    }
    let mut times = 1;
    if turn.dice % 4 == 2 {
        for flap in 0..FLAPS {
            let walls = cut(arena, &side, &rest, Kind::Partition)?;
            arena.pass(up_to(FLAP_MAX, turn.dice >> (8 * flap))).await;
            bring_back(arena, walls, &side, Kind::Partition);
            arena.pass(up_to(FLAP_MAX, turn.dice >> (8 * flap + 4))).await;
            times += 1;
        }
    }
    let walls = cut(arena, &side, &rest, Kind::Partition)?;
    let heal = move |arena: &mut Arena| bring_back(arena, walls, &side, Kind::Partition);
    Some(Begun { times, ..Begun::until(heal) })
}

/// Machines of all members but these.
pub fn members_but<'a>(arena: &'a Arena, but: &[usize]) -> Vec<&'a Machine> {
    (0..arena.fighters.len()).filter(|at| !but.contains(at)).filter_map(|at| arena.machine(at)).collect()
}

/// Lets neither side hear the other. The first side is broken by it.
pub fn cut(arena: &mut Arena, side: &[usize], rest: &[usize], kind: Kind) -> Option<Vec<Wall>> {
    let walls = {
        let machines = |all: &[usize]| all.iter().filter_map(|at| arena.machine(*at)).collect::<Vec<_>>();
        let (side, rest) = (machines(side), machines(rest));
        let one = Wall::between(&side, &rest).inspect_err(|why| eprintln!("{why}")).ok()?;
        match Wall::between(&rest, &side) {
            Ok(other) => vec![one, other],
            Err(why) => {
                eprintln!("{why}");
                one.take_away();
                return None;
            }
        }
    };
    for at in side {
        arena.fighters[*at].broken.insert(kind);
    }
    Some(walls)
}

/// The end of a [`cut`].
pub fn bring_back(arena: &mut Arena, walls: Vec<Wall>, side: &[usize], kind: Kind) {
    walls.into_iter().for_each(Wall::take_away);
    for at in side {
        arena.fighters[*at].broken.remove(&kind);
    }
}
