//! Leadership is handed over, to a member that is named or to whoever is furthest.

use super::Begun;
use crate::torture::arena::Arena;
use crate::torture::plan::Turn;

/// Begins it, and is over when the new leader has answered.
pub async fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    let leader = arena.leader()?;
    let whole: Vec<String> =
        arena.fighters.iter().filter(|fighter| fighter.broken.is_empty()).map(|fighter| fighter.member.name.clone()).collect();
    let to = turn.dice.is_multiple_of(2).then(|| whole[turn.dice as usize % whole.len()].clone());
    // It leads already: that would be no transfer.
    if to.as_ref() == Some(&arena.fighters[leader].member.name) {
        return None;
    }
    arena.operator(leader).transfer_leader(to).await.ok()?;
    arena.leader();
    Some(Begun::over())
}
