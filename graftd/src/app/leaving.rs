//! Leaves the cluster for good, when this member is told to end and is not to come back: the one way in which a member goes by itself.
//!
//! Whether it is to come back says the StatefulSet whose pod it is. The members that stay decide whether they can do without it, as they do for
//! an operator; what they refuse (another member is just leaving) is asked again as long as there is time. When the others have agreed, on disk,
//! the data directory is marked: a pod of the same name that comes later begins anew with it.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::consensus::{Consensus, Order};
use crate::discovery::data_dir::DataDir;
use crate::discovery::formation::Formation;
use crate::discovery::stateful_set::StatefulSetPod;

/// Who orders it, as the others are told.
const BY: &str = "kubernetes";
/// Between two requests to be taken out.
const PAUSE: Duration = Duration::from_millis(500);

/// Leaves, if the pod is surplus, and tells how that went. What is not agreed on by the deadline is left to an operator.
pub(super) async fn leave(pod: &StatefulSetPod, consensus: &Consensus, formation: &Formation, data_dir: &DataDir, deadline: Instant) {
    let Some(marker) = formation.marker() else { return };
    let by_hand = format!("if it is not to come back, take it out with `graft cluster remove {}`", marker.member);
    let replicas = match timeout_at(deadline, pod.surplus()).await {
        Ok(Ok(Some(replicas))) => replicas,
        Ok(Ok(None)) => return,
        Ok(Err(why)) => {
            tracing::warn!(
                stateful_set = pod.stateful_set,
                "this member stays one, since nobody says whether it is to go: {why}; {by_hand}"
            );
            return;
        }
        Err(_) => {
            tracing::warn!(
                stateful_set = pod.stateful_set,
                "this member stays one, since nobody has said in time whether it is to go; {by_hand}"
            );
            return;
        }
    };
    tracing::info!(stateful_set = pod.stateful_set, replicas, "this pod is not to come back: leaving the cluster");
    let mut last = "nobody has answered".to_owned();
    let asking = async {
        loop {
            match consensus.order(Order::Remove(marker.raft_id), BY).await {
                Ok(_) => return,
                // It may have been done all the same, now or before.
                Err(_) if consensus.report(formation, Vec::new()).await.is_err() => return,
                Err(error) => last = error.to_string(),
            }
            sleep(PAUSE).await;
        }
    };
    if timeout_at(deadline, asking).await.is_err() {
        tracing::error!("this member has not left the cluster: {last}; {by_hand}");
        return;
    }
    match data_dir.write_left(&marker) {
        Ok(()) => tracing::info!("this member has left the cluster"),
        Err(error) => tracing::error!(
            "this member has left the cluster, and its data directory cannot say so: {error}; remove it before a pod of this name is started again"
        ),
    }
}
