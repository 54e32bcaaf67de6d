//! A member that is part of a cluster tells the leader where it is and whether it is drained, and hears whether it still is part of it.
//!
//! So an address that has changed becomes known without an operator, and a member that was taken out while it was away ends instead of
//! waiting for a leader that will never call. Who is leader says so only after it has confirmed that it still leads.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::error::Failure;
use crate::consensus::Consensus;
use crate::discovery::formation::Formation;
use crate::discovery::sources::Candidates;

/// How often a member reports, if nothing changes.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// After a change of leaders, before the new one is told.
const SETTLE: Duration = Duration::from_millis(500);

/// Reports until it is dropped; fails when this member is one no more.
pub(super) async fn follow(consensus: Consensus, formation: Arc<Formation>, candidates: Arc<Candidates>) -> Result<(), Failure> {
    let marker = formation.settled().await;
    let (mut leadership, mut drained) = (consensus.leadership(), consensus.drained());
    loop {
        let clients = candidates.links().into_iter().map(|link| link.client).collect();
        if let Err(reason) = consensus.report(&formation, clients).await {
            let remedy = "move its data directory away and start it again: it then joins anew, with nothing";
            return Err(Failure::removed(format!("{reason}\n  → {remedy} (cluster id {})", marker.cluster_id)));
        }
        let news = async {
            tokio::select! {
                changed = leadership.changed() => changed.map(|()| SETTLE),
                changed = drained.changed() => changed.map(|()| Duration::ZERO),
            }
        };
        match timeout(REPORT_EVERY, news).await {
            Ok(Ok(settle)) => tokio::time::sleep(settle).await,
            Ok(Err(_)) => return Ok(()),
            Err(_) => {}
        }
    }
}
