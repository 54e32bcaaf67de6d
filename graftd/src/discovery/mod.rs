//! Who this member is, who the others might be, and how the first members of a cluster find together.
//!
//! Discovery yields *candidates, never membership* ([`sources`]): that somebody is not found never removes anybody, and that somebody is found makes
//! nobody a member. What makes a cluster is one round of promises, once:
//!
//! - A member is told apart by its **raft id**, minted when its data directory is formatted. A wiped disk is another member, however it is
//!   called, so that it cannot vote twice ([`records`], [`data_dir`]).
//! - Fresh members greet the candidates. When exactly as many as expected are there, the one with the lowest name proposes the set under a
//!   new cluster id. Every one of them promises itself to one proposal, on disk, before it answers; *all* must promise, not a majority,
//!   since at the first start waiting costs nothing ([`formation_rules`]).
//! - Then, and only then, the initiator initialises consensus with that set, commits the cluster's id, and everybody writes a marker.
//!   **With a marker nothing is ever formed again, and no timeout forms anything** ([`formation`], [`rounds`]).
//!
//! Who comes later asks the cluster to take it in: the leader decides by its policy ([`join_policy`]) and adds it as a learner, which is
//! promoted when it has caught up. That is consensus's business; here it is a question in a round.
//!
//! The rules are synchronous and decide from what was seen; [`rounds`] does the waiting. A leaf: it knows no floor of the house, and what
//! consensus has to do is returned to the caller as a value.
//!
//! In Kubernetes a member that is told to end also asks whether it is to come back ([`stateful_set`]): the one case in which it leaves by itself. And
//! what was formed is noted outside of all data directories ([`sentinel`]), so that nothing is formed when all of them are lost.

#[cfg(test)]
mod api_server;
pub mod data_dir;
pub mod formation;
pub mod formation_rules;
pub mod join_policy;
pub mod protocol;
pub mod records;
pub mod rounds;
pub mod sentinel;
pub mod service_account;
pub mod sources;
pub mod stateful_set;
