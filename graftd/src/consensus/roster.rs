//! The members as their leader sees them, and what may be done to them without losing a majority. Pure: the shell is in `registrar`.

use std::time::Duration;

use super::member::MemberInfo;

/// Entries that a member may lack and still count as caught up.
pub(super) const LAG_MAX: u64 = 1_000;

/// A member in the leader's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// Who it is.
    pub info: MemberInfo,
    /// Whether it votes (in the old or the new set of a change that is under way).
    pub voter: bool,
    /// Entries of the log that it lacks; all of them, as long as a new leader has not heard what it has.
    pub lag: u64,
    /// How long ago it was heard; if never, since when this member leads.
    pub silent: Duration,
    /// Whether an operator has drained it, as far as it has said.
    pub drained: bool,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Roster {
    /// In the order of their names.
    pub seats: Vec<Seat>,
    /// Raft id of the leader.
    pub leader: u64,
    /// Since when it leads, as far as is known: what the others have is heard a moment later.
    pub led_for: Duration,
    /// Whether the last change of the membership stands between two sets of voters.
    pub joint: bool,
    /// Who was heard within this time counts as there.
    pub live_within: Duration,
}

impl Roster {
    /// The member of that raft id.
    pub(super) fn seat(&self, raft_id: u64) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.info.raft_id == raft_id)
    }

    pub(super) fn voters(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| seat.voter)
    }

    pub(super) fn learners(&self) -> impl Iterator<Item = &Seat> {
        self.seats.iter().filter(|seat| !seat.voter)
    }

    pub(super) fn is_live(&self, seat: &Seat) -> bool {
        seat.info.raft_id == self.leader || seat.silent < self.live_within
    }

    /// Whether a learner is near enough to the end of the log to vote.
    pub(super) fn is_caught_up(&self, seat: &Seat) -> bool {
        self.is_live(seat) && seat.lag <= LAG_MAX
    }

    /// Whether a member may be taken out.
    pub(super) fn may_remove(&self, raft_id: u64) -> Result<(), String> {
        let seat = self.known(raft_id)?;
        if !seat.voter {
            return Ok(());
        }
        let left: Vec<&Seat> = self.voters().filter(|voter| voter.info.raft_id != raft_id).collect();
        if left.is_empty() {
            return Err("it is the last voter: a cluster without one could decide nothing any more".into());
        }
        self.majority_of(&left)
    }

    /// Whether a learner may become a voter now, on an operator's word.
    pub(super) fn may_promote(&self, raft_id: u64, voters_max: usize) -> Result<(), String> {
        let seat = self.known(raft_id)?;
        if seat.voter {
            return Err("it is a voter already".into());
        }
        if !self.is_live(seat) {
            return Err("it does not answer the leader".into());
        }
        if seat.lag > LAG_MAX {
            return Err(format!("it still lacks {} log entries; at most {LAG_MAX} may be missing", seat.lag));
        }
        if self.voters().count() >= voters_max {
            return Err(format!("there are {voters_max} voters already, as many as cluster.max_voters allows"));
        }
        if let Some(voter) = self.voters().find(|voter| voter.info.name == seat.info.name) {
            return Err(format!(
                "it takes the place of the voter of the same name (raft id {}) by itself, as soon as that may be",
                voter.info.raft_id
            ));
        }
        Ok(())
    }

    /// Who takes over: the one that is asked for, if it is not drained, or the one that is furthest of those that are not drained; of the drained only if there is no other.
    pub(super) fn heir(&self, wanted: Option<u64>) -> Result<u64, String> {
        let able = |seat: &&Seat| seat.info.raft_id != self.leader && self.is_live(seat);
        let Some(wanted) = wanted else {
            let heir = self.voters().filter(able).min_by_key(|seat| (seat.drained, seat.lag));
            return heir.map(|seat| seat.info.raft_id).ok_or_else(|| "no other voter answers the leader".into());
        };
        let seat = self.known(wanted)?;
        match (seat.voter, able(&seat)) {
            (_, _) if wanted == self.leader => Err("it leads already".into()),
            (false, _) => Err("it is a learner, which cannot lead".into()),
            (true, false) => Err("it does not answer the leader".into()),
            (true, true) if seat.drained => {
                Err("it is drained: it would hand over again; `graft cluster drain --undo` lets it lead".into())
            }
            (true, true) => Ok(wanted),
        }
    }

    /// Whether somebody can take over who is not drained.
    pub(super) fn has_heir(&self) -> bool {
        self.heir(None).is_ok_and(|heir| self.seat(heir).is_some_and(|seat| !seat.drained))
    }

    /// Whether a fresh member may have the name of one that is there, whose disk is said to be lost. The error says why not yet.
    pub(super) fn may_replace(&self, old: u64, after: Duration) -> Result<(), String> {
        let seat = self.known(old)?;
        if old == self.leader || seat.silent < after {
            return Err(format!(
                "a member `{}` (raft id {old}) is part of the cluster and was heard less than {} s ago; two cannot have one name: stop that one, or \
                 take it out with `graft cluster remove {old}`",
                seat.info.name,
                after.as_secs()
            ));
        }
        if !seat.voter {
            return Ok(());
        }
        let left: Vec<&Seat> = self.voters().filter(|voter| voter.info.raft_id != old).collect();
        self.majority_of(&left)
    }

    fn known(&self, raft_id: u64) -> Result<&Seat, String> {
        self.seat(raft_id).ok_or_else(|| "it is no member of this cluster".into())
    }

    /// Whether most of these voters are there and have the log: without them nothing can be committed, however many are alive.
    fn majority_of(&self, voters: &[&Seat]) -> Result<(), String> {
        let why_not = |voter: &&Seat| match () {
            () if !self.is_live(voter) => Some(format!("{} does not answer", voter.info.name)),
            () if voter.lag > LAG_MAX => Some(format!("{} still lacks {} log entries", voter.info.name, voter.lag)),
            () => None,
        };
        let unable: Vec<String> = voters.iter().filter_map(why_not).collect();
        let able = voters.len() - unable.len();
        if 2 * able > voters.len() {
            return Ok(());
        }
        Err(format!("of the {} voters that would be left only {able} could commit anything: {}", voters.len(), unable.join(", ")))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A member with the letter's name: `A` votes, `a` learns; `?` behind it: it is silent for a minute; `+`: it is far behind;
    /// `-`: it is drained.
    pub(in super::super) fn roster(members: &str) -> Roster {
        let seat = |(at, text): (usize, &str)| Seat {
            info: MemberInfo { raft_id: at as u64 + 1, name: text[..1].to_lowercase(), ..MemberInfo::default() },
            voter: text.starts_with(|letter: char| letter.is_ascii_uppercase()),
            lag: if text.contains('+') { LAG_MAX + 1 } else { 0 },
            silent: if text.contains('?') { Duration::from_secs(60) } else { Duration::ZERO },
            drained: text.contains('-'),
        };
        let seats = members.split(' ').enumerate().map(seat).collect();
        Roster { seats, leader: 1, led_for: Duration::from_secs(60), joint: false, live_within: Duration::from_secs(1) }
    }

    #[test]
    fn nobody_is_removed_whom_a_majority_needs() {
        assert_eq!(roster("A B C").may_remove(2), Ok(()));
        assert_eq!(roster("A B? C").may_remove(2), Ok(()), "the dead one may go");
        assert_eq!(roster("A B? c").may_remove(3), Ok(()), "a learner may always go");
        assert_eq!(roster("A B C D?").may_remove(2), Ok(()));
        let said = roster("A B? C").may_remove(3).expect_err("two are left, and one of them is silent");
        assert_eq!(said, "of the 2 voters that would be left only 1 could commit anything: b does not answer");
        let said = roster("A B+ C D+ E?").may_remove(3).expect_err("four are left, and three of them are of no use");
        let why = "b still lacks 1001 log entries, d still lacks 1001 log entries, e does not answer";
        assert_eq!(said, format!("of the 4 voters that would be left only 1 could commit anything: {why}"));
        assert_eq!(roster("A B+ C D+ E").may_remove(2), Ok(()), "of the four left, three have the log");
        assert!(roster("A b").may_remove(1).expect_err("the last").contains("last voter"));
        assert!(roster("A").may_remove(9).expect_err("unknown").contains("no member"));
    }

    #[test]
    fn a_learner_is_promoted_when_it_could_take_over_the_work() {
        assert_eq!(roster("A b").may_promote(2, 5), Ok(()));
        for (members, why) in [("A b?", "does not answer"), ("A b+", "lacks 1001 log entries"), ("A B", "voter already")] {
            let said = roster(members).may_promote(2, 5).expect_err(members);
            assert!(said.contains(why), "{said}");
        }
        assert!(roster("A B C d").may_promote(4, 3).expect_err("enough").contains("cluster.max_voters"));
        assert!(roster("A B? b").may_promote(3, 5).expect_err("by itself").contains("same name"));
    }

    #[test]
    fn leadership_goes_to_a_voter_that_is_there() {
        assert_eq!(roster("A B+ C d").heir(None), Ok(3), "the furthest");
        assert_eq!(roster("A B+ C").heir(Some(2)), Ok(2));
        assert_eq!(roster("A- B- C+").heir(None), Ok(3), "the drained one only if there is no other");
        assert_eq!((roster("A- B- C?").heir(None), roster("A- B- C?").has_heir()), (Ok(2), false));
        assert!(roster("A- B- C+").has_heir() && !roster("A- b").has_heir());
        assert!(roster("A B- C").heir(Some(2)).expect_err("drained").contains("it is drained"));
        for (wanted, why) in [(1, "leads already"), (4, "a learner"), (5, "does not answer"), (9, "no member")] {
            let said = roster("A B C d E?").heir(Some(wanted)).expect_err(why);
            assert!(said.contains(why), "{said}");
        }
        assert!(roster("A B?").heir(None).expect_err("nobody").contains("no other voter"));
    }

    #[test]
    fn a_name_is_given_again_only_when_its_member_is_gone_and_not_needed() {
        let after = Duration::from_secs(30);
        assert_eq!(roster("A B? C").may_replace(2, after), Ok(()));
        assert!(roster("A B C").may_replace(2, after).expect_err("it is there").contains("graft cluster remove 2"));
        assert!(roster("A B? C?").may_replace(2, after).expect_err("two are lost").contains("c does not answer"));
        assert!(roster("A B C").may_replace(1, after).is_err(), "the leader is surely there");
    }
}
