//! What operators order, and what a member reports: carried out here if this member leads, and at the leader otherwise.

use std::time::Duration;

use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use graft_proto::peer::v1::{
    ChangeKind, ChangeRequest, ChangeResponse, DrainRequest, PeerHeader, ReportRequest, ReportResponse, ReportVerdict,
};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Code;
use tonic::transport::Channel;

use super::error::ChangeError;
use super::leadership::{Compass, Route};
use super::links::{Links, never_sent};
use super::member::MemberInfo;
use super::registrar::{Registrar, Undone};
use crate::discovery::formation::Formation;

/// Longest time for an order, whoever carries it out.
const ORDER_WAIT: Duration = Duration::from_secs(15);
/// Who did not know of a leader looks again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Longest time for one member to answer a report or an order to drain.
const ANSWER_WAIT: Duration = Duration::from_secs(8);

/// What an operator orders of the leader. Members are named by their raft ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make a learner a voter.
    Promote(u64),
    /// Take a member out.
    Remove(u64),
    /// Only look whether a member may be taken out.
    WouldRemove(u64),
    /// Hand leadership to that voter, or to the one that is furthest.
    TransferLeader(Option<u64>),
    /// Put that machine version into force, or the highest that any member can follow.
    RaiseVersion(Option<u32>),
    /// Only look whether it may be raised.
    WouldRaiseVersion(Option<u32>),
}

impl Order {
    fn told(self, header: PeerHeader, by: &str) -> ChangeRequest {
        let (kind, member) = match self {
            Self::Promote(member) => (ChangeKind::Promote, member),
            Self::Remove(member) | Self::WouldRemove(member) => (ChangeKind::Remove, member),
            Self::TransferLeader(to) => (ChangeKind::TransferLeader, to.unwrap_or(0)),
            Self::RaiseVersion(_) | Self::WouldRaiseVersion(_) => (ChangeKind::RaiseMachineVersion, 0),
        };
        let machine_version = match self {
            Self::RaiseVersion(to) | Self::WouldRaiseVersion(to) => to.unwrap_or(0),
            _ => 0,
        };
        let dry_run = matches!(self, Self::WouldRemove(_) | Self::WouldRaiseVersion(_));
        ChangeRequest { header: Some(header), kind: kind as i32, member, dry_run, principal: by.to_owned(), machine_version }
    }

    /// What another member has told; `None` if it makes no sense.
    pub(super) fn of_request(request: &ChangeRequest) -> Option<Self> {
        match (request.kind(), request.member, request.dry_run) {
            (ChangeKind::Promote, member @ 1.., false) => Some(Self::Promote(member)),
            (ChangeKind::Remove, member @ 1.., false) => Some(Self::Remove(member)),
            (ChangeKind::Remove, member @ 1.., true) => Some(Self::WouldRemove(member)),
            (ChangeKind::TransferLeader, to, false) => Some(Self::TransferLeader((to > 0).then_some(to))),
            (ChangeKind::RaiseMachineVersion, 0, dry_run) => {
                let to = (request.machine_version > 0).then_some(request.machine_version);
                Some(if dry_run { Self::WouldRaiseVersion(to) } else { Self::RaiseVersion(to) })
            }
            _ => None,
        }
    }
}

/// Carries an order out on this member, if it leads.
pub(super) async fn here(registrar: &Registrar, order: Order, by: &str) -> Result<u64, Undone> {
    tracing::info!(?order, by, "an operator orders");
    match order {
        Order::Promote(member) => registrar.promote(member).await,
        Order::Remove(member) => registrar.remove(member).await,
        Order::WouldRemove(member) => registrar.would_remove(member).await,
        Order::TransferLeader(to) => registrar.hand_over(to).await,
        Order::RaiseVersion(to) => registrar.raise(to, false).await,
        Order::WouldRaiseVersion(to) => registrar.raise(to, true).await,
    }
}

/// The answer to a member that has passed an order on.
pub(super) fn answer(order: Order, outcome: Result<u64, Undone>) -> ChangeResponse {
    match outcome {
        Ok(version) if matches!(order, Order::RaiseVersion(_) | Order::WouldRaiseVersion(_)) => {
            ChangeResponse { machine_version: u32::try_from(version).unwrap_or(u32::MAX), ..ChangeResponse::default() }
        }
        Ok(member) => ChangeResponse { member, ..ChangeResponse::default() },
        Err(Undone::NotLeader) => ChangeResponse { not_leader: true, ..ChangeResponse::default() },
        Err(Undone::Because(error)) => {
            let unknown = matches!(error, ChangeError::Unknown { .. });
            let refused = match error {
                ChangeError::Refused { why } => why,
                ChangeError::Unknown { reason } | ChangeError::Unavailable { reason } => reason,
            };
            ChangeResponse { refused, unknown, ..ChangeResponse::default() }
        }
    }
}

/// Carries an order out, wherever the leader is; who leads may change meanwhile. `by`: who ordered it.
pub(super) async fn carry_out(registrar: &Registrar, compass: &Compass, links: &Links, order: Order, by: &str) -> Result<u64, ChangeError> {
    let deadline = Instant::now() + ORDER_WAIT;
    let mut asked = false;
    let work = async {
        loop {
            let mut news = compass.fresh();
            let route = compass.route();
            if let (true, Order::TransferLeader(Some(to))) = (asked, order)
                && route.leader(links.me()) == Some(to)
            {
                return Ok(to);
            }
            let outcome = match route {
                Route::Here { .. } => {
                    asked = true;
                    here(registrar, order, by).await
                }
                Route::There(leader) => {
                    asked = true;
                    there(links, &leader, order.told(links.header(leader.raft_id), by), deadline).await
                }
                Route::Nowhere => Err(Undone::NotLeader),
            };
            match outcome {
                Ok(member) => return Ok(member),
                Err(Undone::Because(error)) => return Err(error),
                // Nothing was done; who leads now is asked next.
                Err(Undone::NotLeader) => drop(timeout(LOOK_AGAIN, news.changed()).await),
            }
        }
    };
    match timeout_at(deadline, work).await {
        Ok(outcome) => outcome,
        Err(_) if asked => Err(ChangeError::Unknown { reason: format!("no answer within {ORDER_WAIT:?}") }),
        Err(_) => Err(ChangeError::Unavailable { reason: format!("none was known for {ORDER_WAIT:?}") }),
    }
}

async fn there(links: &Links, leader: &MemberInfo, told: ChangeRequest, deadline: Instant) -> Result<u64, Undone> {
    let mut request = tonic::Request::new(told);
    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    let mut client = links.asking(leader).map_err(|error| Undone::Because(ChangeError::Unavailable { reason: error.to_string() }))?;
    match client.change(request).await.map(tonic::Response::into_inner) {
        Ok(ChangeResponse { not_leader: true, .. }) => Err(Undone::NotLeader),
        Ok(ChangeResponse { unknown: true, refused: reason, .. }) => Err(Undone::Because(ChangeError::Unknown { reason })),
        Ok(ChangeResponse { machine_version: version @ 1.., .. }) => Ok(u64::from(version)),
        Ok(ChangeResponse { member: 0, refused, .. }) => Err(Undone::Because(ChangeError::refused(refused))),
        Ok(ChangeResponse { member, .. }) => Ok(member),
        Err(status) if never_sent(&status) => Err(Undone::NotLeader),
        // What makes no sense to it is looked at before anything is done.
        Err(status) if status.code() == Code::InvalidArgument => {
            let why = format!("`{}`, which leads, does not know this order: install a later graftd there first", leader.name);
            Err(Undone::Because(ChangeError::refused(why)))
        }
        Err(status) => Err(Undone::Because(ChangeError::Unknown { reason: format!("the leader: {}", status.message()) })),
    }
}

/// Drains that member, or lets it take part again. `by`: who ordered it.
pub(super) async fn drain(
    registrar: &Registrar,
    compass: &Compass,
    links: &Links,
    member: u64,
    undo: bool,
    by: &str,
) -> Result<(), ChangeError> {
    if member == links.me() {
        drain_here(registrar, undo, by).await;
        return Ok(());
    }
    let Some(info) = compass.metrics().membership_config.get_node(&member).cloned() else {
        return Err(ChangeError::refused("it is no member of this cluster"));
    };
    let unreachable = |why: String| ChangeError::Unavailable {
        reason: format!("member `{}` does not answer at {}: {why}", info.name, info.peer_address),
    };
    let mut client = links.asking(&info).map_err(|error| unreachable(error.to_string()))?;
    let mut request = tonic::Request::new(DrainRequest { header: Some(links.header(member)), undo, principal: by.to_owned() });
    request.set_timeout(ANSWER_WAIT);
    match timeout(ANSWER_WAIT, client.drain(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(unreachable(status.message().to_owned())),
        Err(_) => Err(unreachable(format!("no answer within {ANSWER_WAIT:?}"))),
    }
}

/// Drains this member, or lets it take part again.
pub(super) async fn drain_here(registrar: &Registrar, undo: bool, by: &str) {
    tracing::info!(undo, by, "an operator drains this member");
    registrar.drain(undo).await;
}

/// Tells the leader where this member is. If no leader is known, everybody is asked who may know one.
pub(super) async fn report(
    registrar: &Registrar,
    compass: &Compass,
    links: &Links,
    formation: &Formation,
    candidates: Vec<PeerServiceClient<Channel>>,
) -> Result<(), String> {
    let asked = match compass.route() {
        Route::Here { .. } => {
            if let Err(error) = registrar.relocate_self(formation).await {
                tracing::warn!(%error, "this member's new addresses are not known to the others yet");
            }
            return Ok(());
        }
        Route::There(leader) => links.asking(&leader).into_iter().collect(),
        Route::Nowhere => {
            let others = compass.metrics().membership_config.nodes().map(|(_, member)| member.clone()).collect::<Vec<_>>();
            let others = others.iter().filter(|member| member.raft_id != links.me() && !member.peer_address.is_empty());
            others.filter_map(|member| links.asking(member).ok()).chain(candidates).collect::<Vec<_>>()
        }
    };
    let request = ReportRequest { from: Some(formation.hello()), drained: registrar.is_drained() };
    let answers = asked.into_iter().map(|client| ask(client, request.clone()));
    let answers: Vec<ReportResponse> = futures::future::join_all(answers).await.into_iter().flatten().collect();
    // Where nothing is written for long, no entry tells what time it is.
    answers.iter().for_each(|answer| registrar.shared.stamps.heard(answer.machine_time));
    match answers.into_iter().find(|answer| answer.verdict() == ReportVerdict::Removed) {
        Some(removed) => Err(removed.reason),
        None => Ok(()),
    }
}

async fn ask(mut client: PeerServiceClient<Channel>, request: ReportRequest) -> Option<ReportResponse> {
    match timeout(ANSWER_WAIT, client.report(request)).await {
        Ok(Ok(answer)) => {
            let answer = answer.into_inner();
            if !answer.reason.is_empty() {
                tracing::debug!(reason = answer.reason, "a member was asked whether this one is part of the cluster");
            }
            Some(answer)
        }
        Ok(Err(_)) | Err(_) => None,
    }
}
