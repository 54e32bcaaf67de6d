//! Makes this member part of its cluster: asks discovery what follows, and does with consensus what it says. Ends when the marker is there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use graft_machine::state::StateRead;
use graft_machine::tables::{Meta, MetaKey};
use tokio::time::{Instant, sleep, timeout};

use super::error::Failure;
use crate::consensus::{Consensus, Leadership, MemberInfo};
use crate::discovery::formation::Formation;
use crate::discovery::formation_rules::Facts;
use crate::discovery::records::{Candidate, FIRST_EPOCH, Marker};
use crate::discovery::rounds::{ROUND, Rounds, Step};
use crate::discovery::sentinel::Sentinel;
use crate::discovery::sources::Candidates;
use crate::observability::readiness::ReadinessBoard;

/// Between being taken in and looking whether the log has arrived.
const LOG_ARRIVES: Duration = Duration::from_secs(1);
/// How long an answer about clusters that were formed before is believed.
const FORBIDS_FOR: Duration = Duration::from_secs(2);
/// Between two attempts to note the cluster.
const NOTE_AGAIN: Duration = Duration::from_secs(10);
/// How often a wait is logged again although its reason is the same.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Runs until this member has its marker, or until it must stop.
pub(super) async fn form(
    consensus: Consensus,
    formation: Arc<Formation>,
    candidates: Arc<Candidates>,
    token: String,
    sentinel: Option<Sentinel>,
    board: Arc<ReadinessBoard>,
) -> Result<(), Failure> {
    let new = formation.marker().is_none();
    if new {
        tokio::select! {
            rounds = run_rounds(&consensus, &formation, candidates, token, sentinel.as_ref(), &board) => rounds?,
            // The initiator's news came before the next round.
            _ = formation.settled() => {}
        }
    }
    let marker = formation.settled().await;
    consensus.set_lineage(marker.cluster_id.clone(), marker.epoch);
    if new {
        tracing::info!(cluster = %marker.cluster_name, cluster_id = %marker.cluster_id, "the cluster is formed and this member is part of it");
    }
    board.update(|conditions| conditions.forming = None);
    tokio::join!(raise_epoch(&consensus, &marker), note(sentinel.as_ref(), &marker));
    Ok(())
}

/// Notes the cluster outside of all data directories, where that is asked for.
async fn note(sentinel: Option<&Sentinel>, marker: &Marker) {
    let Some(sentinel) = sentinel else { return };
    while let Err(why) = sentinel.note(marker).await {
        tracing::warn!(config_map = sentinel.config_map, "that this cluster was formed is not noted yet: {why}");
        sleep(NOTE_AGAIN).await;
    }
}

/// After a recovery by force the marker is ahead of the log: the member that went on alone tells the machine, when it leads.
async fn raise_epoch(consensus: &Consensus, marker: &Marker) {
    loop {
        let Facts { lineage, leads, .. } = facts(consensus).await;
        match lineage {
            Some((_, epoch)) if epoch >= marker.epoch => return,
            Some(_) if leads => {
                let (id, name) = (marker.cluster_id.clone(), marker.cluster_name.clone());
                match consensus.init_cluster(id, name, marker.epoch).await {
                    Ok(Ok(_)) => tracing::warn!(epoch = marker.epoch, "this cluster was recovered by force, and goes on in a later epoch"),
                    Ok(Err(rejection)) => tracing::error!(%rejection, "the cluster's epoch cannot be raised"),
                    Err(error) => tracing::warn!(%error, "the cluster's epoch is not raised yet"),
                }
            }
            _ => {}
        }
        sleep(ROUND).await;
    }
}

async fn run_rounds(
    consensus: &Consensus,
    formation: &Arc<Formation>,
    candidates: Arc<Candidates>,
    token: String,
    sentinel: Option<&Sentinel>,
    board: &ReadinessBoard,
) -> Result<(), Failure> {
    let rounds = Rounds::new(formation.clone(), candidates, token);
    let mut said = Said::default();
    let (mut forbidden, mut looked) = (None, None::<Instant>);
    loop {
        if let Some(sentinel) = sentinel.filter(|_| looked.is_none_or(|at| at.elapsed() > FORBIDS_FOR)) {
            forbidden = sentinel.forbids().await;
            looked = Some(Instant::now());
        }
        let step = rounds.next(async || Facts { forbidden: forbidden.clone(), ..facts(consensus).await }).await;
        match step.map_err(|e| Failure::fatal(format!("failed to write to the data directory while the cluster forms: {e}")))? {
            Step::Settled => return Ok(()),
            Step::Stop { why } => {
                return Err(Failure::misconfigured(format!("{why}; this member stops before it mixes them up: correct cluster.peers")));
            }
            Step::Initialize(proposal) => {
                consensus.set_lineage(proposal.cluster_id.clone(), FIRST_EPOCH);
                let members = proposal.members.iter().map(member_info).collect();
                consensus.initialize(members).await.map_err(|e| Failure::fatal(format!("failed to initialise consensus: {e}")))?;
                // Whoever leads then finds `Finish` in its next round.
                led(consensus).await;
            }
            Step::Finish(proposal) => {
                let (id, name) = (proposal.cluster_id.clone(), proposal.cluster_name.clone());
                match consensus.init_cluster(id, name, FIRST_EPOCH).await {
                    // The next round finds the id in the state, and settles.
                    Ok(Ok(_)) => rounds.announce(&proposal).await,
                    // It has another id already: the next round finds that one.
                    Ok(Err(_)) => sleep(ROUND).await,
                    Err(e) => {
                        tracing::warn!("the cluster's id is not committed yet: {e}");
                        sleep(ROUND).await;
                    }
                }
            }
            Step::Joined { cluster_id, epoch } => {
                consensus.set_lineage(cluster_id, epoch);
                let why = "the cluster has taken this member in; its log has still to arrive from the leader".to_owned();
                board.update(|conditions| conditions.forming = Some(why.clone()));
                said.say(why, false);
                sleep(LOG_ARRIVES).await;
            }
            Step::Wait { why, needs_help } => {
                board.update(|conditions| conditions.forming = Some(why.clone()));
                said.say(why, needs_help);
                sleep(ROUND).await;
            }
        }
    }
}

async fn facts(consensus: &Consensus) -> Facts {
    // Consensus that has stopped ends this member by itself; until it does, it counts as what forbids most.
    let initialized = consensus.is_initialized().await.unwrap_or(true);
    let meta = consensus.latest().get::<Meta>(&MetaKey {});
    let lineage = meta.as_ref().and_then(|meta| meta.lineage.last()).map(|last| (last.cluster_id.clone(), last.epoch));
    Facts {
        initialized,
        members: consensus.members().iter().map(|member| member.raft_id).collect::<BTreeSet<u64>>(),
        leads: matches!(*consensus.leadership().borrow(), Leadership::Leader { .. }),
        lineage,
        ..Facts::default()
    }
}

/// A candidate, as the membership knows it.
pub(super) fn member_info(candidate: &Candidate) -> MemberInfo {
    MemberInfo {
        raft_id: candidate.raft_id,
        name: candidate.name.clone(),
        peer_address: candidate.peer_address.clone(),
        client_address: candidate.client_address.clone(),
    }
}

/// Waits a moment for this member to lead.
async fn led(consensus: &Consensus) {
    let mut leadership = consensus.leadership();
    let _ = timeout(ROUND, leadership.wait_for(|now| matches!(now, Leadership::Leader { .. }))).await;
}

/// What was logged last, so that a wait is told once and then from time to time, not four times a second.
#[derive(Default)]
struct Said {
    last: Option<(String, Instant)>,
}

impl Said {
    fn say(&mut self, why: String, needs_help: bool) {
        if self.last.as_ref().is_some_and(|(said, at)| *said == why && at.elapsed() < SAY_AGAIN) {
            return;
        }
        if needs_help {
            tracing::error!("{why}");
        } else {
            tracing::info!("{why}");
        }
        self.last = Some((why, Instant::now()));
    }
}
