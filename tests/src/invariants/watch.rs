//! The invariants together: an observer tells them everything, and the first that is broken says so.

use std::fmt::Debug;

use graft_machine::Applied;
use graft_machine::command::{Envelope, LogEntry};
use graft_machine::event::Event;
use graft_machine::invariants;
use graft_machine::memory::Memory;

use super::facts::{Answered, Began, Leads, Marks, Minted, Opened, Page, Place, Read, Replica, SnapshotSeen, Voted};

/// Whether all is well; otherwise what is not.
pub type Verdict = Result<(), String>;

/// One invariant. What it does not need to know it does not listen to.
#[allow(unused_variables, reason = "the names of the arguments are their documentation")]
pub trait Invariant: Debug {
    /// An event became true. Once for each, in log order.
    fn event(&mut self, place: Place, event: &Event) -> Verdict {
        Ok(())
    }
    /// A command was applied; its events were told before. Once for each, in log order.
    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        Ok(())
    }
    /// An entry is applied by the first member.
    fn entry(&mut self, place: Place, entry: &LogEntry) -> Verdict {
        Ok(())
    }
    /// A member has applied an entry; also those that are not the first.
    fn replica(&mut self, replica: &Replica<'_>) -> Verdict {
        Ok(())
    }
    /// A client was answered.
    fn answered(&mut self, answered: &Answered<'_>) -> Verdict {
        Ok(())
    }
    /// A leader dispatches.
    fn minted(&mut self, minted: &Minted<'_>) -> Verdict {
        Ok(())
    }
    /// A worker begins.
    fn began(&mut self, began: &Began<'_>) -> Verdict {
        Ok(())
    }
    /// How far a member has come.
    fn marks(&mut self, marks: Marks) -> Verdict {
        Ok(())
    }
    /// A member has won a term.
    fn leads(&mut self, leads: &Leads<'_>) -> Verdict {
        Ok(())
    }
    /// A member has voted.
    fn voted(&mut self, voted: Voted) -> Verdict {
        Ok(())
    }
    /// A state was flushed or installed.
    fn snapshot(&mut self, seen: SnapshotSeen) -> Verdict {
        Ok(())
    }
    /// A member starts.
    fn opened(&mut self, opened: &Opened<'_>) -> Verdict {
        Ok(())
    }
    /// A client has read.
    fn read(&mut self, read: Read) -> Verdict {
        Ok(())
    }
    /// A subscriber was given events.
    fn page(&mut self, page: &Page<'_>) -> Verdict {
        Ok(())
    }
    /// The whole state, at a place.
    fn state(&mut self, place: Place, state: &Memory) -> Verdict {
        Ok(())
    }
    /// Everything has come to rest: the last state.
    fn end(&mut self, place: Place, state: &Memory) -> Verdict {
        self.state(place, state)
    }
}

/// All invariants of safety.
#[derive(Debug)]
pub struct Invariants {
    all: Vec<(&'static str, Box<dyn Invariant>)>,
    last: Place,
    /// The last of them to have been applied by anybody.
    first_applied: u64,
}

macro_rules! all {
    ($($id:literal $name:ident)*) => {
        vec![$((concat!($id, " ", stringify!($name)), Box::<super::$name::Check>::default() as Box<dyn Invariant>),)*]
    };
}

impl Default for Invariants {
    fn default() -> Self {
        let all = all! {
            "S2" same_log_same_bytes
            "S1" no_acknowledged_start_is_lost
            "S3" a_request_id_means_one_thing
            "S3" an_idempotency_key_is_used_once
            "S4" a_task_completes_once
            "S5" results_are_fenced
            "S6" one_live_lease
            "S7" the_state_is_what_was_accepted
            "S8" joins_fire_once_when_all_has_resolved
            "S9" what_has_ended_stays_so
            "S10" nothing_starts_of_what_is_paused
            "S11" nothing_starts_of_what_is_cancelled
            "S12" limits_hold
            "S15" no_timer_fires_early
            "S16" attempts_keep_to_their_policy
            "S17" nothing_vanishes
            "S17" dead_letters_are_moved_not_copied
            "S19" a_subscription_has_no_gap
            "S20" reads_are_not_stale
            "S21" what_has_expired_takes_no_effect
            "S22" what_completed_was_executed
            "S23" retention_removes_only_what_is_over
            "S24" what_administrators_do_is_noted
            "S25" every_input_is_answered
            "raft" one_leader_a_term
            "raft" what_is_committed_stays
            "D1" what_was_acknowledged_survives
            "D2" a_vote_is_given_once
            "D3" marks_stay_in_order
            "D4" a_snapshot_holds_what_it_says
            "D5" a_raft_id_is_used_once
            "D5" a_grant_admits_no_more_than_it_says
            "D6" a_member_opens_after_any_crash
        };
        Self { all, last: Place { index: 0, term: 0, stamp: 0, time: 0 }, first_applied: 0 }
    }
}

macro_rules! tell {
    ($($(#[$doc:meta])* $fact:ident($arg:ident: $type:ty);)*) => {
        $($(#[$doc])*
        pub fn $fact(&mut self, $arg: $type) -> Verdict {
            self.each(|check| check.$fact($arg))
        })*
    };
}

impl Invariants {
    fn each(&mut self, mut tell: impl FnMut(&mut dyn Invariant) -> Verdict) -> Verdict {
        self.all.iter_mut().try_for_each(|(name, check)| tell(check.as_mut()).map_err(|wrong| format!("{name}: {wrong}")))
    }

    tell! {
        /// A client was answered.
        answered(answered: &Answered<'_>);
        /// A leader dispatches.
        minted(minted: &Minted<'_>);
        /// A worker begins.
        began(began: &Began<'_>);
        /// How far a member has come.
        marks(marks: Marks);
        /// A member has won a term.
        leads(leads: &Leads<'_>);
        /// A member has voted.
        voted(voted: Voted);
        /// A state was flushed or installed.
        snapshot(seen: SnapshotSeen);
        /// A member starts.
        opened(opened: &Opened<'_>);
        /// A client has read.
        read(read: Read);
        /// A subscriber was given events.
        page(page: &Page<'_>);
    }

    /// A member has applied an entry. If it is the first to do so, the entry's commands and events are told as well; true then.
    pub fn applied(&mut self, replica: &Replica<'_>) -> Result<bool, String> {
        self.each(|check| check.replica(replica))?;
        if replica.index <= self.first_applied {
            return Ok(false);
        }
        self.first_applied = replica.index;
        let stamp = replica.entry.time;
        // An entry without commands (of raft's own) carries no stamp.
        let time = if replica.entry.commands.is_empty() { self.last.time } else { self.last.time.max(stamp) };
        let place = Place { index: replica.index, term: replica.term, stamp, time };
        self.last = place;
        self.each(|check| check.entry(place, replica.entry))?;
        for (envelope, applied) in replica.entry.commands.iter().zip(replica.applied) {
            for event in &applied.events {
                self.each(|check| check.event(place, event))?;
            }
            self.each(|check| check.command(place, envelope, applied))?;
        }
        Ok(true)
    }

    /// The whole state after the last entry that was told of.
    pub fn state(&mut self, state: &Memory) -> Verdict {
        check_state(state)?;
        let place = self.last;
        self.each(|check| check.state(place, state))
    }

    /// Everything has come to rest: the last state.
    pub fn end(&mut self, state: &Memory) -> Verdict {
        check_state(state)?;
        let place = self.last;
        self.each(|check| check.end(place, state))
    }
}

/// What the machine itself says of a state.
fn check_state(state: &Memory) -> Verdict {
    invariants::check(state).map_err(|wrong| format!("S17 check_of_the_state: {}", wrong.join("; ")))
}
