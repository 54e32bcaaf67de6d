//! What must become true once faults have stopped: looked at again and again, each with a bound of time.
//!
//! An observer takes a [`Look`] at regular times and shows it to [`Liveness`]; when everything has come to rest it says so.
//!
//! | id | file |
//! |---|---|
//! | L1 | `a_leader_comes` |
//! | L2 | `members_agree` |
//! | L3 | `fresh_requests_are_served` |
//! | L4, L8 | `what_is_ready_is_dispatched` |
//! | L5 | `every_workflow_ends` |
//! | L6 | `a_lost_lease_is_given_again` |
//! | L7 | `logs_are_purged` |
//! | L9 | `something_always_moves` |

mod a_leader_comes;
mod a_lost_lease_is_given_again;
mod every_workflow_ends;
mod fresh_requests_are_served;
mod logs_are_purged;
mod looks;
mod members_agree;
mod something_always_moves;
mod what_is_ready_is_dispatched;

pub use looks::{Bounds, Liveness, Look, MemberLook, Promise, ReadyLook};
