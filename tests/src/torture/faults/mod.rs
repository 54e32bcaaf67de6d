//! What can be done to the cluster, one file for each kind. A fault begins, stands for a while, and is healed. It says who is broken by it, so
//! that no more than a minority is at a time, unless a round asks for that.
//!
//! A fault that finds nobody whom it may break does nothing, and is not counted: only what was really done is.

mod clock;
mod disk_full;
mod kill;
mod membership;
mod one_way;
mod part_kill;
mod partition;
mod pause;
mod pause_kill;
mod restart_all;
mod slow_disk;
mod transfer;

use std::time::Duration;

use futures::future::BoxFuture;

use super::arena::Arena;
use super::plan::{Kind, Turn, Victim};
use super::wall_clock;
use crate::small_disk::SmallDisk;
use crate::walls;

/// How a fault is taken back.
pub type Heal = Box<dyn for<'a> FnOnce(&'a mut Arena) -> BoxFuture<'a, ()> + Send>;

/// A fault that has begun.
pub struct Begun {
    /// How often it was done: a kill may come several times.
    pub times: u64,
    /// How it is taken back.
    pub heal: Heal,
}

impl Begun {
    /// Once, with nothing to take back.
    fn over() -> Self {
        Self { times: 1, heal: Box::new(|_| Box::pin(async {})) }
    }

    /// Once, taken back by a function.
    fn until(heal: impl FnOnce(&mut Arena) + Send + 'static) -> Self {
        Self { times: 1, heal: Box::new(|arena| Box::pin(async { heal(arena) })) }
    }
}

/// Begins a fault. `None`: it found nobody whom it may break, or did not come about.
pub async fn begin(arena: &mut Arena, turn: &Turn, beyond_minority: bool) -> Option<Begun> {
    arena.pass(turn.after).await;
    match turn.kind {
        Kind::Kill => kill::begin(arena, turn, beyond_minority).await,
        Kind::Pause => pause::begin(arena, turn, beyond_minority),
        Kind::Transfer => transfer::begin(arena, turn).await,
        Kind::RestartAll => restart_all::begin(arena, turn).await,
        Kind::SlowDisk => slow_disk::begin(arena, turn),
        Kind::PauseKill => pause_kill::begin(arena, turn).await,
        Kind::Partition => partition::begin(arena, turn, beyond_minority).await,
        Kind::OneWay => one_way::begin(arena, turn, beyond_minority),
        Kind::PartKill => part_kill::begin(arena, turn).await,
        Kind::Clock => clock::begin(arena, turn).await,
        Kind::DiskFull => disk_full::begin(arena, turn, beyond_minority),
        Kind::Membership => membership::begin(arena, turn).await,
    }
}

/// A time from a number of the plan.
fn up_to(most: Duration, dice: u64) -> Duration {
    most.mul_f64((dice % 1_000) as f64 / 1_000.0)
}

/// Why a kind of fault cannot be done on this machine.
///
/// # Errors
/// It cannot.
pub fn possible(kind: Kind) -> Result<(), String> {
    match kind {
        Kind::Kill | Kind::Pause | Kind::Transfer | Kind::RestartAll | Kind::SlowDisk | Kind::PauseKill | Kind::Membership => Ok(()),
        Kind::Partition | Kind::OneWay | Kind::PartKill => walls::possible(),
        Kind::Clock => wall_clock::possible(),
        Kind::DiskFull => SmallDisk::possible(),
    }
}

/// Who plays which part in the recipes of `pause_kill` and `part_kill`.
struct Parts {
    /// A: the minority that is out of the way first.
    first: Vec<usize>,
    /// C: who loses power.
    killed: usize,
}

/// Hands the parts out. `None`: somebody is broken, or nobody may be.
fn parts(arena: &mut Arena, victim: Victim) -> Option<Parts> {
    let size = arena.size();
    let minority = (size - 1) / 2;
    if arena.broken() > 0 || minority == 0 {
        return None;
    }
    let leader = arena.leader()?;
    let begins = match victim {
        // The leader is C: it is killed with everything in its hands.
        Victim::Leader => (leader + 1) % size,
        Victim::Member(at) | Victim::Worker(at) => at % size,
    };
    let first: Vec<usize> = (0..minority).map(|by| (begins + by) % size).collect();
    let killed = if first.contains(&leader) { (begins + minority) % size } else { leader };
    Some(Parts { first, killed })
}
