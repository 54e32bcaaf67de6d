//! A state that was saved becomes the beginning of a cluster of its own: offline, on its first member.
//!
//! What a log would hold up to here is not there any more, so the log begins behind it: purged up to one entry that never stood in any log, by which
//! this member is the only one. The machine's lineage says from which index the new cluster id rules; ids that are derived from it cannot collide
//! with those of the cluster that the state came from. The epoch is the next one: positions in the events of that cluster are none of this one's.

use std::collections::BTreeSet;
use std::io;

use graft_machine::command::MACHINE_VERSION;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{Lineage, Meta, MetaKey, MetaRecord};

use super::codec::{Wire, decode_optional};
use super::log_store::io_error;
use super::member::MemberInfo;
use super::recover::durable;
use super::types::{LogId, Membership, StoredMembership, Vote, position};
use crate::discovery::records::FIRST_EPOCH;
use crate::storage::{AppliedMark, LogStore, StateStore};

/// Makes what was installed into a fresh state store the state of a new cluster, with this member alone, and the log fit it. On disk when it
/// returns; the epoch of the new cluster.
///
/// # Errors
/// If the state is empty or of a later version, or something cannot be written.
pub fn begin_anew(state: &StateStore, log: &LogStore, me: &MemberInfo, cluster_id: &str, cluster_name: &str) -> io::Result<u64> {
    let last: LogId = decode_optional(&state.applied().log_id)?.ok_or_else(|| io::Error::other("the snapshot holds no state"))?;
    let next = LogId::new_term_index(last.leader_id.term + 1, last.index + 1);
    let nodes = std::collections::BTreeMap::from([(me.raft_id, me.clone())]);
    let alone = Membership::new(vec![BTreeSet::from([me.raft_id])], nodes).map_err(io::Error::other)?;
    let membership = StoredMembership::new(Some(next), alone).encode();
    let epoch = {
        let mut tx = state.begin();
        let meta = tx.get::<Meta>(&MetaKey {}).ok_or_else(|| io::Error::other("the snapshot is of no cluster"))?;
        if meta.machine_version > MACHINE_VERSION {
            let why = format!(
                "the snapshot is of machine version {}, and this graftd goes up to {MACHINE_VERSION}: install a newer one",
                meta.machine_version
            );
            return Err(io::Error::other(why));
        }
        let mut meta = MetaRecord::clone(&meta);
        let epoch = meta.lineage.last().map_or(FIRST_EPOCH, |before| before.epoch + 1);
        meta.lineage.push(Lineage { cluster_id: cluster_id.to_owned(), epoch, from_index: position(&next) });
        meta.cluster_name = cluster_name.to_owned();
        tx.put::<Meta>(MetaKey {}, meta);
        tx.finish(AppliedMark { index: position(&next), log_id: next.encode(), membership });
        epoch
    };
    state.flush().map_err(io_error)?;
    durable(|done| log.save_vote(Vote::new(next.leader_id.term, me.raft_id).encode(), done))?;
    durable(|done| log.purge(position(&next), next.encode(), done))?;
    Ok(epoch)
}
