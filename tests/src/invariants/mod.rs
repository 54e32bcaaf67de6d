//! What must never be otherwise: one file for each invariant, named after what it says.
//!
//! An invariant is judged from plain data: what was applied, answered, dispatched, executed, voted, kept; never from the types of whoever
//! produces it. So the simulation uses these checks as it runs; what real processes do is judged by the torture test's own oracle.
//! An observer tells [`Invariants`] everything in the order in which it became true; the first sentence that is broken is the verdict, with
//! the id and the name of the invariant in front.
//!
//! Facts come in two rows. *What the log says*, once for each entry, in log order: `event`, then `command`. *What one party does*: `replica`,
//! `answered`, `minted`, `began`, `marks`, `leads`, `voted`, `snapshot`, `opened`, `read`, `page`. Now and then the whole state, as `state`.
//! The L-invariants are judged from looks at a cluster that is left in peace ([`calm`]).
//!
//! | id | file, or what it waits for |
//! |---|---|
//! | S1 | `no_acknowledged_start_is_lost` |
//! | S2 | `same_log_same_bytes` |
//! | S3 | `a_request_id_means_one_thing`, `an_idempotency_key_is_used_once` |
//! | S4 | `a_task_completes_once` |
//! | S5 | `results_are_fenced`; of another lineage: waits for restore |
//! | S6 | `one_live_lease` |
//! | S7 | `the_state_is_what_was_accepted`; signals: wait for signals |
//! | S8 | `joins_fire_once_when_all_has_resolved` |
//! | S9 | `what_has_ended_stays_so`; children: wait for child workflows |
//! | S10 | `nothing_starts_of_what_is_paused`; of nodes, keys and namespaces: waits for their pause |
//! | S11 | `nothing_starts_of_what_is_cancelled` |
//! | S12 | `limits_hold`; of keys and namespaces: waits for those limits |
//! | S13 | waits for rate limits |
//! | S14 | waits for schedules |
//! | S15 | `no_timer_fires_early` |
//! | S16 | `attempts_keep_to_their_policy` |
//! | S17 | `nothing_vanishes`, `dead_letters_are_moved_not_copied` |
//! | S18 | waits for signals |
//! | S19 | `a_subscription_has_no_gap` |
//! | S20 | `reads_are_not_stale` |
//! | S21 | `what_has_expired_takes_no_effect` |
//! | S22 | `what_completed_was_executed` |
//! | S23 | `retention_removes_only_what_is_over` |
//! | S24 | `what_administrators_do_is_noted`; that nobody acts who may not is asked above the machine (`graftd/tests/api/access.rs`) |
//! | S25 | `every_input_is_answered`; and a panic of whatever is tested is a violation of it |
//! | raft | `one_leader_a_term`, `what_is_committed_stays` |
//! | D1 | `what_was_acknowledged_survives` |
//! | D2 | `a_vote_is_given_once` |
//! | D3 | `marks_stay_in_order` |
//! | D4 | `a_snapshot_holds_what_it_says` |
//! | D5 | `a_raft_id_is_used_once`, `a_grant_admits_no_more_than_it_says` |
//! | D6 | `a_member_opens_after_any_crash` |
//! | L1 to L9 | one file each (L4 and L8 share one) below [`calm`] |

pub mod calm;
mod facts;

mod a_grant_admits_no_more_than_it_says;
mod a_member_opens_after_any_crash;
mod a_raft_id_is_used_once;
mod a_request_id_means_one_thing;
mod a_snapshot_holds_what_it_says;
mod a_subscription_has_no_gap;
mod a_task_completes_once;
mod a_vote_is_given_once;
mod an_idempotency_key_is_used_once;
mod attempts_keep_to_their_policy;
mod dead_letters_are_moved_not_copied;
mod effects;
mod every_input_is_answered;
mod joins_fire_once_when_all_has_resolved;
mod limits_hold;
mod marks_stay_in_order;
mod no_acknowledged_start_is_lost;
mod no_timer_fires_early;
mod nothing_starts_of_what_is_cancelled;
mod nothing_starts_of_what_is_paused;
mod nothing_vanishes;
mod one_leader_a_term;
mod one_live_lease;
mod reads_are_not_stale;
mod results_are_fenced;
mod retention_removes_only_what_is_over;
mod same_log_same_bytes;
mod the_state_is_what_was_accepted;
mod watch;
mod what_administrators_do_is_noted;
mod what_completed_was_executed;
mod what_has_ended_stays_so;
mod what_has_expired_takes_no_effect;
mod what_is_committed_stays;
mod what_was_acknowledged_survives;

pub use facts::{Answered, Began, HeldNow, Leads, Marks, Minted, Opened, Page, Place, Read, Replica, SnapshotSeen, Voted};
pub use watch::{Invariant, Invariants, Verdict};
pub use what_has_ended_stays_so::status_after;

/// Ends the function with a verdict unless something holds.
macro_rules! must {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(format!($($words)*));
        }
    };
}
use must;
