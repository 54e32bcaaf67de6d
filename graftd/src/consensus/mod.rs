//! Consensus: one replicated log of commands, and the state that follows from it. The only folder that spells openraft.
//!
//! A command becomes part of an entry ([`proposer`](self)), the entry is appended and replicated by openraft over our log store and peer
//! protocol, and when a quorum has it on disk every member applies it. The floors above see five things: *answers* to what they proposed,
//! a *watch of leadership*, the *feed* of effects for the scheduler of the term, *views* of the state, and *wake-ups* for runs with news.
//!
//! | file | what it tells |
//! |---|---|
//! | `proposer`, `lanes`, `brake`, `refusals` | commands into entries, here or at the leader; who goes first; what a leader that is late takes on; what is known of their outcome |
//! | `apply` | entries into answers, effects, news |
//! | `feed`, `subscriptions` | who hears of them |
//! | `leadership`, `heard`, `barrier` | who leads, and whether a follower still hears of it; reads that miss nothing |
//! | `log_store`, `snapshot` | openraft's storage over our two stores |
//! | `network`, `links`, `peer_server` | members among themselves |
//! | `roster`, `autopilot`, `registrar`, `orders` | who the members are, and how they come, go, move and take over |
//! | `recover`, `restore` | offline: one survivor goes on alone; a saved state begins anew |
//! | `trim` | the log's bounds, in entries and bytes |
//! | `time` | the stamp of an entry |
//! | `types`, `codec` | openraft's types, and their bytes on disk and wire |
//! | `versions` | whether this build can go on from what is there |
//! | `figures`, `tally` | what it says in metrics: how things stand, and what the history comes to |
//! | `handle`, `status`, `options`, `error`, `member` | what the floors above hold |
//!
//! Why it is safe: vote and entries go through one file in order, and are acknowledged when durable; a restarted leader has to win a new term;
//! the applied state may be lost up to its flushed mark, since the log is never purged beyond a snapshot, and a snapshot *is* the flushed
//! state; an error of a store, or a panic in apply, ends the member ([`Consensus::fatal`]).

mod apply;
mod autopilot;
mod barrier;
mod brake;
// Reachable for the tests that feed it damaged bytes.
#[doc(hidden)]
pub mod codec;
mod error;
mod feed;
mod figures;
mod groups;
mod handle;
mod heard;
mod lanes;
mod leadership;
mod links;
mod log_store;
mod member;
mod network;
mod options;
mod orders;
mod owed;
mod patience;
mod peer_server;
mod proposer;
mod recover;
mod refusals;
mod registrar;
mod restore;
mod roster;
mod sending;
mod snapshot;
mod status;
#[cfg(test)]
mod storage_suite;
mod subscriptions;
mod tally;
mod time;
mod trim;
#[doc(hidden)]
pub mod types;
mod upgrade;
mod versions;

pub use barrier::BARRIER_WAIT;
pub use error::{ChangeError, OpenError, ProposeError};
pub use feed::{Feed, FeedBatch};
pub use groups::{ANSWER_WAIT, LEADER_WAIT};
pub use handle::Consensus;
pub use leadership::Leadership;
pub use links::{PEER_MESSAGE_BYTES_MAX, never_sent};
pub use member::MemberInfo;
pub use options::{ConsensusOptions, MembershipRules};
pub use orders::Order;
pub use patience::Patience;
pub use peer_server::Peers;
pub use recover::{Survey, Survivor};
pub use restore::begin_anew;
pub use status::{ClusterStatus, MemberStatus};
pub use subscriptions::RunSubscription;
pub use time::StampClock;
pub use versions::{Fatal, unreadable};

pub use crate::storage::{Latest, View};
