//! `InitCluster`: names the cluster, and says which machine version it begins with. A repeat changes nothing; a higher epoch of the same cluster (a forced recovery) is added to the
//! lineage; another cluster is refused.

use super::raise_machine_version::can_follow;
use crate::command::{FIRST_MACHINE_VERSION, InitCluster};
use crate::content;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{Lineage, Meta, MetaKey, MetaRecord};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &InitCluster) -> Answer {
    let InitCluster { cluster_id, cluster_name, epoch, machine_version } = command;
    content::id("cluster id", cluster_id)?;
    content::id("cluster name", cluster_name)?;
    if let Some(last) = turn.meta.lineage.last() {
        if last.cluster_id != *cluster_id || last.epoch > *epoch {
            let detail = format!("cannot rule here: this is cluster {} in epoch {}", last.cluster_id, last.epoch);
            return Err(Rejection::new(RejectionCode::ClusterMismatch, format!("cluster {cluster_id} in epoch {epoch}"), detail));
        }
        if last.epoch == *epoch {
            return turn.done(0);
        }
    }
    let mut meta = MetaRecord::clone(&turn.meta);
    meta.lineage.push(Lineage { cluster_id: cluster_id.clone(), epoch: *epoch, from_index: turn.stamp.index });
    meta.cluster_name = cluster_name.clone();
    // A later epoch is no other version: members may have been raised since, and not all of them may be of one build.
    if meta.machine_version == 0 {
        let begins_with = (*machine_version).max(FIRST_MACHINE_VERSION);
        can_follow(begins_with);
        meta.rule(begins_with, turn.stamp.index);
    }
    turn.tx.put::<Meta>(MetaKey {}, meta);
    turn.done(0)
}
