//! What the leader does with the members by itself: it finishes changes that an earlier leader began, puts a member with a new disk into the
//! place of its lost self, and makes voters of learners that have caught up.
//!
//! - One change at a time. The decision is pure ([`next`]); the loop ([`run`]) looks at the members and does what it says.
//! - The number of voters stays odd: a pair of learners becomes voters together, a single one waits beside an odd number. An even number of
//!   voters survives no more losses than one less, and more of them must answer.
//! - Nobody is ever removed because it is silent: only in favour of its own successor, or by an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::registrar::Registrar;
use super::roster::Roster;

/// How often the leader looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Leave the joint membership that an earlier leader left behind.
    Finish,
    /// Let the new one vote instead of the old one, in one change.
    Replace {
        /// The member that is gone.
        old: u64,
        /// The one of the same name.
        new: u64,
    },
    /// Make these learners voters.
    Promote(BTreeSet<u64>),
}

/// What to do next, if anything. `settled` are the learners that have been caught up long enough.
pub(super) fn next(roster: &Roster, settled: &BTreeSet<u64>, voters_max: usize, replace_after: Duration) -> Option<Step> {
    if roster.joint {
        return Some(Step::Finish);
    }
    let mut waiting = Vec::new();
    for learner in roster.learners().filter(|learner| settled.contains(&learner.info.raft_id)) {
        match roster.voters().find(|voter| voter.info.name == learner.info.name) {
            Some(old) if roster.may_replace(old.info.raft_id, replace_after).is_ok() => {
                return Some(Step::Replace { old: old.info.raft_id, new: learner.info.raft_id });
            }
            Some(_) => {}
            None => waiting.push(learner.info.raft_id),
        }
    }
    let voters = roster.voters().count();
    let wanted = if voters.is_multiple_of(2) { 1 } else { 2 };
    let fits = waiting.len() >= wanted && voters + wanted <= voters_max;
    fits.then(|| Step::Promote(waiting.into_iter().take(wanted).collect()))
}

/// Looks and acts, as long as this member leads.
pub(super) async fn run(registrar: Arc<Registrar>, stop: CancellationToken) {
    let work = async {
        let mut since: BTreeMap<u64, Instant> = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(roster) = registrar.roster() else {
                since.clear();
                continue;
            };
            if registrar.is_drained() {
                // Whoever led before did not know.
                registrar.hand_over_if_drained(&roster).await;
                continue;
            }
            let caught_up: BTreeSet<u64> =
                roster.learners().filter(|seat| roster.is_caught_up(seat)).map(|seat| seat.info.raft_id).collect();
            since.retain(|raft_id, _| caught_up.contains(raft_id));
            for raft_id in caught_up {
                since.entry(raft_id).or_insert_with(Instant::now);
            }
            let rules = registrar.rules();
            let settled = since.iter().filter(|(_, at)| at.elapsed() >= rules.promote_after).map(|(raft_id, _)| *raft_id).collect();
            let Some(step) = next(&roster, &settled, rules.voters_max, rules.replace_after) else { continue };
            let (op, change) = match &step {
                Step::Finish => ("finish", ChangeMembers::AddVoterIds(BTreeSet::new())),
                Step::Replace { old, new } => {
                    let instead = [ChangeMembers::AddVoterIds(BTreeSet::from([*new])), ChangeMembers::RemoveVoters(BTreeSet::from([*old]))];
                    ("replace", ChangeMembers::Batch(instead.to_vec()))
                }
                Step::Promote(learners) => ("promote", ChangeMembers::AddVoterIds(learners.clone())),
            };
            // Somebody else's change goes first; this one is looked at again.
            let Some(outcome) = registrar.try_change(op, change).await else { continue };
            match outcome {
                Ok(()) => tracing::info!(?step, "the membership was changed"),
                Err(error) => tracing::warn!(?step, %error, "the membership could not be changed; it is tried again"),
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

#[cfg(test)]
mod tests {
    use super::super::roster::tests::roster;
    use super::*;

    const AFTER: Duration = Duration::from_secs(30);

    /// What is done when these learners have been caught up for long.
    fn step(members: &str, settled: &[u64]) -> Option<Step> {
        next(&roster(members), &settled.iter().copied().collect(), 5, AFTER)
    }

    fn promote(raft_ids: &[u64]) -> Option<Step> {
        Some(Step::Promote(raft_ids.iter().copied().collect()))
    }

    #[test]
    fn the_number_of_voters_stays_odd() {
        assert_eq!(step("A b", &[2]), None, "one of two would be no gain");
        assert_eq!(step("A b c", &[2]), None, "the other one is not ready");
        assert_eq!(step("A b c", &[2, 3]), promote(&[2, 3]));
        assert_eq!(step("A b c d", &[2, 3, 4]), promote(&[2, 3]));
        assert_eq!(step("A B c", &[3]), promote(&[3]), "an even number is mended");
        assert_eq!(step("A B C d e", &[4, 5]), promote(&[4, 5]));
    }

    #[test]
    fn there_are_no_more_voters_than_are_wanted() {
        assert_eq!(step("A B C D E f g", &[6, 7]), None);
        assert_eq!(next(&roster("A B C d e"), &BTreeSet::from([4, 5]), 3, AFTER), None);
    }

    #[test]
    fn a_member_with_a_new_disk_takes_the_place_of_its_lost_self() {
        assert_eq!(step("A B? C b", &[4]), Some(Step::Replace { old: 2, new: 4 }));
        assert_eq!(step("A B? C b", &[]), None, "it has not caught up");
        assert_eq!(step("A B C b", &[4]), None, "the old one is still there; and the new one makes no fourth voter");
        assert_eq!(step("A B? C? b", &[4]), None, "two are lost: that is for an operator");
        assert_eq!(step("A B? C b d e", &[4, 5, 6]), Some(Step::Replace { old: 2, new: 4 }), "first things first");
    }

    #[test]
    fn a_change_that_an_earlier_leader_began_is_finished_first() {
        let mut joint = roster("A B C d e");
        joint.joint = true;
        assert_eq!(next(&joint, &BTreeSet::from([4, 5]), 5, AFTER), Some(Step::Finish));
    }

    #[test]
    fn silence_removes_nobody() {
        assert_eq!(step("A B? C?", &[]), None);
        assert_eq!(step("A B C d?", &[]), None);
    }
}
