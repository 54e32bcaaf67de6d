//! Nothing but power cuts, so many of them: of one member, of a minority, of all at once; with hardly time to come back, and only as much work in
//! between as it takes to have something to lose.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::load::Shared;
use super::nemesis::Done;
use super::plan::{Asked, Kind, Victim};
use crate::loop_sim::rng::Rng;

/// Longest time without power.
const DARK_MS_MAX: u64 = 500;
/// Acknowledgements that are waited for between two cuts, at most.
const WORK_MAX: u64 = 40;
/// Longest wait for them; then power is cut all the same.
const WORK_WITHIN: Duration = Duration::from_secs(8);
/// How often all members have to be whole again: each so many cuts. Otherwise the next cut may meet a member that is not back yet.
const WHOLE_EVERY: u64 = 5;
/// Longest wait for that.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Whose power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    One,
    Minority,
    All,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::One => "power-one",
            Self::Minority => "power-minority",
            Self::All => "power-all",
        }
    }
}

/// The scopes of a seed, in order. In a cluster of three, a minority is one.
fn scopes(seed: u64, members: usize) -> impl Iterator<Item = (Scope, u64)> {
    let mut rng = Rng::new(seed ^ 0xB1AC_0507);
    std::iter::repeat_with(move || {
        let scope = match rng.below(10) {
            0..4 => Scope::One,
            4..7 if members > 3 => Scope::Minority,
            4..7 => Scope::One,
            _ => Scope::All,
        };
        (scope, rng.next())
    })
}

/// Cuts power so many times. All members run when it returns.
pub async fn run(arena: &mut Arena, shared: &Shared, asked: &Asked, cuts: u64) -> Done {
    let mut done = Done { faults: BTreeMap::from([("power-one", 0), ("power-all", 0)]), ..Done::default() };
    for (number, (scope, dice)) in (1..=cuts).zip(scopes(asked.seed, asked.members)) {
        work(arena, shared, 1 + (dice >> 32) % WORK_MAX).await;
        let victim = if dice.is_multiple_of(2) { Victim::Leader } else { Victim::Member(dice as usize % 64) };
        let first = arena.member_of(victim, Kind::Kill, true).unwrap_or(0);
        let many = match scope {
            Scope::One => 1,
            Scope::Minority => asked.minority(),
            Scope::All => arena.size(),
        };
        let dark: Vec<usize> = (0..many).map(|by| (first + by) % arena.size()).collect();
        let kind = if scope == Scope::All { Kind::RestartAll } else { Kind::Kill };
        shared.stalls.standing(vec![kind], scope != Scope::All);
        arena.kill_at_once(&dark);
        arena.note(&format!("{} from m{}", scope.name(), first + 1));
        arena.pass(Duration::from_millis((dice >> 16) % DARK_MS_MAX)).await;
        dark.iter().for_each(|at| arena.start_member(*at));
        shared.stalls.standing(vec![kind], true);
        *done.faults.entry(scope.name()).or_default() += 1;
        done.rounds += 1;
        if number % WHOLE_EVERY == 0
            && let Err(why) = arena.all_ready(WHOLE_WITHIN).await
        {
            done.slow.push(why);
        }
        arena.leader();
    }
    shared.stalls.standing(Vec::new(), true);
    done
}

/// Waits until so much was acknowledged that there is something to lose.
async fn work(arena: &mut Arena, shared: &Shared, acknowledgements: u64) {
    let (begun, before) = (Instant::now(), shared.stalls.moves());
    while begun.elapsed() < WORK_WITHIN && shared.stalls.moves() - before < acknowledgements {
        arena.pass(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cut_of_the_fifth_seed_takes_all() {
        // A test of the whole depends on it.
        assert_eq!(scopes(5, 3).next().map(|(scope, _)| scope), Some(Scope::All));
    }

    #[test]
    fn a_seed_cuts_the_power_of_one_of_a_minority_and_of_all() {
        let seen = |members| scopes(1, members).take(100).map(|(scope, _)| scope.name()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(seen(5).len(), 3);
        assert_eq!(seen(3).into_iter().collect::<Vec<_>>(), ["power-all", "power-one"]);
    }
}
