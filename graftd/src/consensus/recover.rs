//! Recovery by force, offline: one survivor goes on alone, with what it has, in a later epoch.
//!
//! A cluster that has lost its majority for good can decide nothing, not even who its members are. What is done here cannot be decided by
//! consensus: to the end of this member's log an entry is written by which it is the only member. So everything that stands in its log counts
//! as committed: that is at least what a majority had acknowledged *if* this is the survivor that is furthest, and perhaps what nobody was
//! promised. The others must never be heard again; the epoch sees to that.
//!
//! The same idea as `etcd --force-new-cluster` and Consul's `peers.json`.

use std::collections::BTreeSet;
use std::sync::mpsc;

use openraft::EntryPayload;

use super::codec::{Wire, decode_optional};
use super::log_store::io_error;
use super::member::MemberInfo;
use super::types::{Entry, LogId, Membership, StoredMembership, Vote, position};
use crate::storage::{Durable, LogRecovered, LogStore, StateStore, StorageError, StoredEntry};

/// Bytes of the log that are looked through at a time.
const READ_BYTES: usize = 2 << 20;

/// What a survivor has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Index of its last log entry.
    pub last_index: u64,
    /// The term in which that was written. The survivor to choose is the one with the highest term, and among those the highest index.
    pub last_term: u64,
    /// The members, as it knows them, by name.
    pub members: Vec<MemberInfo>,
    /// Raft ids of those that vote.
    pub voters: BTreeSet<u64>,
}

/// A survivor whose files are open, and nothing else.
pub struct Survivor {
    log: LogStore,
    last: LogId,
    vote: Option<Vote>,
    survey: Survey,
}

impl Survivor {
    /// Looks at what is there.
    ///
    /// # Errors
    /// If the files cannot be read, or hold nothing that could be recovered.
    pub fn examine(state: &StateStore, log: LogStore, recovered: LogRecovered) -> Result<Self, std::io::Error> {
        let purged = recovered.purged.map(|(_, log_id)| LogId::decode(log_id)).transpose()?;
        let last = recovered.last.map(|stored| Entry::decode(stored.bytes)).transpose()?.map(|entry| entry.log_id);
        let vote = recovered.vote.map(Vote::decode).transpose()?;
        let last = last.max(purged).ok_or_else(|| std::io::Error::other("the log is empty: there is nothing to recover"))?;
        let mark = state.applied();
        let mut membership = decode_optional::<StoredMembership>(&mark.membership)?.unwrap_or_default().membership().clone();
        // Later ones stand in the log.
        let mut next = purged.as_ref().map_or(1, |purged| position(purged) + 1);
        while next <= position(&last) {
            let page = log.read(next, position(&last) + 1, READ_BYTES).map_err(io_error)?;
            if page.is_empty() {
                break;
            }
            for stored in page {
                next = stored.index + 1;
                if let EntryPayload::Membership(later) = Entry::decode(stored.bytes)?.payload {
                    membership = later;
                }
            }
        }
        let mut members: Vec<MemberInfo> = membership.nodes().map(|(_, member)| member.clone()).collect();
        members.sort_by(|a, b| (&a.name, a.raft_id).cmp(&(&b.name, b.raft_id)));
        let voters = membership.voter_ids().collect();
        let survey = Survey { last_index: position(&last), last_term: last.leader_id.term, members, voters };
        Ok(Self { log, last, vote, survey })
    }

    /// What it has.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Makes this member the only one. On disk when it returns; done twice, it is done again in a later term.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn take_over(&self, me: &MemberInfo) -> Result<(), std::io::Error> {
        let term = self.last.leader_id.term.max(self.vote.map_or(0, |vote| vote.leader_id.term)) + 1;
        let alone = Membership::new(
            vec![BTreeSet::from([me.raft_id])],
            [(me.raft_id, me.clone())].into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        );
        let alone = alone.map_err(std::io::Error::other)?;
        let log_id = LogId::new_term_index(term, self.last.index + 1);
        let entry = Entry { log_id, payload: EntryPayload::Membership(alone) };
        durable(|done| self.log.save_vote(Vote::new(term, me.raft_id).encode(), done))?;
        durable(|done| self.log.append(vec![StoredEntry { index: position(&log_id), bytes: entry.encode() }], done))?;
        // It goes with the next write of the log; until then the member finds out by itself, as the only one that votes.
        self.log.save_committed(log_id.encode());
        Ok(())
    }
}

/// Waits until a write is on disk.
pub(super) fn durable(write: impl FnOnce(Durable)) -> Result<(), std::io::Error> {
    let (sender, receiver) = mpsc::channel::<Result<(), StorageError>>();
    write(Box::new(move |result| drop(sender.send(result))));
    match receiver.recv() {
        Ok(result) => result.map_err(io_error),
        Err(_) => Err(std::io::Error::other("the log's writer thread has stopped")),
    }
}
