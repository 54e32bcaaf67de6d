//! Breaks things, two or three at a time, heals them, and counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::faults::{Begun, begin};
use super::load::Shared;
use super::plan::{Asked, KINDS, Kind, Rounds};

/// Longest wait for members to be ready between two rounds. Who needs longer meets the next one as it is.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// How often, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often one was to be done, and found nobody whom it may break, or did not come about.
    pub not_done: BTreeMap<&'static str, u64>,
    /// Rounds.
    pub rounds: u64,
    /// Members that were not ready soon after a round was healed, and why. They have to be at the end.
    pub slow: Vec<String>,
}

/// Runs rounds until the time is over. Nothing is broken when it returns.
pub async fn run(arena: &mut Arena, shared: &Shared, asked: &Asked) -> Done {
    let mut done = Done::default();
    for (kind, name) in KINDS {
        if asked.kinds.contains(&kind) {
            done.faults.insert(name, 0);
        }
    }
    let until = Instant::now() + asked.time;
    for round in Rounds::of(asked.seed, &asked.kinds, asked.time) {
        arena.pass(round.calm).await;
        if Instant::now() >= until || round.turns.is_empty() {
            break;
        }
        done.rounds += 1;
        let (mut standing, mut healing): (Vec<Kind>, Vec<(Kind, Begun)>) = (Vec::new(), Vec::new());
        for turn in &round.turns {
            // A fault that takes its time is felt from its beginning.
            let kinds: Vec<Kind> = standing.iter().copied().chain([turn.kind]).collect();
            let able = arena.is_able() && turn.kind != Kind::RestartAll;
            shared.stalls.standing(kinds, able);
            arena.note(&format!("{} of {:?}, dice {}", turn.kind.name(), turn.victim, turn.dice));
            if let Some(begun) = begin(arena, turn, round.beyond_minority).await {
                arena.note(&format!("{} stands; broken: {}", turn.kind.name(), arena.who_is_broken()));
                *done.faults.entry(turn.kind.name()).or_default() += begun.times;
                standing.push(turn.kind);
                healing.push((turn.kind, begun));
            } else {
                arena.note(&format!("{} not done", turn.kind.name()));
                *done.not_done.entry(turn.kind.name()).or_default() += 1;
            }
            shared.stalls.standing(standing.clone(), arena.is_able());
        }
        arena.leader();
        let left = until.saturating_duration_since(Instant::now());
        arena.pass(round.hold.min(left)).await;
        // Who has been taken out cannot come back before the others are there.
        healing.sort_by_key(|(kind, _)| *kind == Kind::Membership);
        for (kind, begun) in healing {
            arena.note(&format!("{} is healed", kind.name()));
            (begun.heal)(arena).await;
        }
        // What lasts now belongs to what has just been healed.
        shared.stalls.standing(standing, arena.is_able());
        if let Err(why) = arena.all_ready(READY_WITHIN).await {
            arena.note(&why);
            done.slow.push(why);
        }
        arena.note("calm");
        shared.stalls.standing(Vec::new(), arena.is_able());
        arena.leader();
    }
    done
}
