//! The types that openraft is told to work with.
//!
//! The data of a log entry is opaque here: the bytes of a machine [`LogEntry`](graft_machine::command::LogEntry), encoded once by whoever
//! proposes, stored and sent as they are, and decoded once when they are applied. A term has at most one leader (`leader_id_std`): leases
//! that carry a term count on it.
//!
//! openraft counts log entries from 0; everything else in Graft counts from 1, with 0 for "none". [`position`] is the only bridge.

use std::fmt;

use bytes::Bytes;
use graft_machine::reply::Answer;
use openraft::alias;

use super::apply::StateMachine;
use super::member::MemberInfo;

openraft::declare_raft_types!(
    /// The types of the one replicated log of a member.
    pub Types:
        D = EntryBytes,
        R = Answers,
        NodeId = u64,
        Node = MemberInfo,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type Raft = openraft::Raft<Types, StateMachine>;
pub type Entry = alias::EntryOf<Types>;
pub type LogId = alias::LogIdOf<Types>;
pub type Vote = alias::VoteOf<Types>;
pub type Membership = openraft::Membership<u64, MemberInfo>;
pub type StoredMembership = alias::StoredMembershipOf<Types>;
pub type SnapshotMeta = alias::SnapshotMetaOf<Types>;

/// An encoded machine `LogEntry`. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryBytes(pub Bytes);

impl fmt::Debug for EntryBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for EntryBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// The answers to the commands of one entry, in order. Empty for entries of openraft's own.
#[derive(Debug, Default)]
pub struct Answers(pub Vec<Answer>);

/// The index of a log entry as Graft counts: from 1.
pub fn position(log_id: &LogId) -> u64 {
    log_id.index + 1
}

/// The index of an optional log entry as Graft counts; 0 = none.
pub fn position_or_zero(log_id: Option<&LogId>) -> u64 {
    log_id.map_or(0, position)
}
