//! Leadership is handed over, to a member that is named or to whoever is furthest.

use std::time::Duration;

use super::Begun;
use crate::torture::arena::Arena;
use crate::torture::plan::Turn;

/// How often it is asked for: whoever leads may be about to go, and whoever is named may be too far behind.
const TRIES: u64 = 5;
/// Pause between two of them.
const TRY_EVERY: Duration = Duration::from_millis(400);

/// Begins it, and is over when the new leader has answered.
pub async fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    for tried in 0..TRIES {
        if let Some(leader) = arena.leader() {
            let whole = arena.fighters.iter().enumerate().filter(|(at, fighter)| *at != leader && fighter.broken.is_empty());
            let names: Vec<String> = whole.map(|(_, fighter)| fighter.member.name.clone()).collect();
            if names.is_empty() {
                return None;
            }
            let to = (turn.dice + tried).is_multiple_of(2).then(|| names[(turn.dice >> 8) as usize % names.len()].clone());
            if arena.operator(leader).transfer_leader(to).await.is_ok() {
                arena.leader();
                return Some(Begun::over());
            }
        }
        arena.pass(TRY_EVERY).await;
    }
    None
}
