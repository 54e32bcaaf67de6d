//! `MembershipService`: what operators do to the members. Consensus decides what may be done, and carries it to the leader.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use graft_machine::command::{Command, Envelope, GrantJoin, RevokeJoinGrant};
use graft_machine::limits::GRANT_USES_MAX;
use graft_machine::session::JoinGrant;
use graft_machine::view;
use graft_proto::errors::{ErrorCode, Fault, quoted};
use graft_proto::peer_identity::is_name;
use graft_proto::v1;
use graft_proto::v1::membership_service_server::MembershipService;
use tonic::{Request, Response, Status};

use super::acts::Made;
use super::cluster::{members, not_ready_reason};
use super::requests::{Identity, payload_hash, principal};
use super::{Shared, forward};
use crate::auth::token::{Kind, Token};
use crate::consensus::{ChangeError, MemberInfo, Order};
use crate::discovery::formation_rules::Unsuitable;
use crate::discovery::records::Candidate;
use graft_convert::rejections;

/// How long a join token lives if nobody says, in milliseconds.
const TOKEN_TTL_DEFAULT_MS: u64 = 3_600_000;
/// How long an approval lives if nobody says, in milliseconds.
const APPROVAL_TTL_DEFAULT_MS: u64 = 24 * 3_600_000;
/// How long either may live, in milliseconds.
const TTL_MAX_MS: u64 = 30 * 24 * 3_600_000;

/// The service.
pub(super) struct Membership {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl MembershipService for Membership {
    async fn bootstrap(&self, request: Request<v1::BootstrapRequest>) -> Result<Response<v1::BootstrapResponse>, Status> {
        let caller = forward::Caller::of(&request);
        let request = request.into_inner();
        let names: BTreeSet<String> = request.members.iter().map(|name| member_name(name)).collect::<Result<_, _>>()?;
        if names.is_empty() {
            return Err(Fault::invalid("the first members", "are not named")
                .remedy("name them, the member that is asked among them")
                .into());
        }
        let refused = |why: String| Fault::new(ErrorCode::MembershipRefused, "the cluster", format!("is not formed: {why}"));
        let formation = self.shared.api.formation.upgrade();
        let Some(formation) = formation else { return Err(Fault::new(ErrorCode::ShuttingDown, "this member", "is shutting down").into()) };
        match formation.nominate(names, request.dry_run) {
            Ok(named) => Ok(Response::new(v1::BootstrapResponse {
                proposed_by: named.first().map(|first| first.name.clone()).unwrap_or_default(),
                members: named.iter().map(candidate).collect(),
            })),
            Err(Unsuitable::No(why)) => Err(refused(why).into()),
            Err(Unsuitable::AskInstead(member)) if caller.is_member => {
                Err(refused(format!("member {} would propose it, and is asked at another address", quoted(&member.name))).into())
            }
            Err(Unsuitable::AskInstead(member)) => {
                let answer = forward::bootstrap(&self.shared, &caller, (&member.name, &member.peer_address), request).await;
                answer.map(Response::new).map_err(|status| match status {
                    forward::Failed::Unreachable(why) => {
                        refused(format!("member {} would propose it, and cannot be asked: {why}", quoted(&member.name))).into()
                    }
                    forward::Failed::Refused(status) => *status,
                })
            }
        }
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        let principal = principal(request.metadata());
        let v1::CreateJoinTokenRequest { member, ttl_ms, uses } = request.into_inner();
        let member = if member.is_empty() { member } else { member_name(&member)? };
        let uses = match uses {
            0 => 1,
            uses if uses > GRANT_USES_MAX => {
                return Err(Fault::invalid("uses", format!("is {uses}, at most {GRANT_USES_MAX} members may use one token")).into());
            }
            uses => uses,
        };
        let token = Token::mint(Kind::Join);
        let expires = self.expires(ttl_ms, TOKEN_TTL_DEFAULT_MS)?;
        let grant = GrantJoin { id: token.id.clone(), member, secret_hash: token.secret_hash().into(), expires, uses };
        let answer = self.shared.api.consensus.propose(Envelope::internal(principal, Command::GrantJoin(grant))).await;
        answer.map_err(|error| self.shared.pointed_at_leader(error))?.map_err(rejections::fault)?;
        let mut answer = Response::new(v1::CreateJoinTokenResponse { token: token.reveal(), grant: self.grant(&token.id).await });
        answer.extensions_mut().insert(Made(format!("join token {}", token.id)));
        Ok(answer)
    }

    async fn list_join_grants(&self, _: Request<v1::ListJoinGrantsRequest>) -> Result<Response<v1::ListJoinGrantsResponse>, Status> {
        self.shared.linearizable().await?;
        let grants = self.shared.read_view(view::join_grants).await?;
        Ok(Response::new(v1::ListJoinGrantsResponse { grants: grants.iter().map(|(id, grant)| told(id, grant)).collect() }))
    }

    async fn revoke_join_grant(
        &self,
        request: Request<v1::RevokeJoinGrantRequest>,
    ) -> Result<Response<v1::RevokeJoinGrantResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("revoke a join grant", &request, &HashMap::new());
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        let id = graft_convert::names::id("join grant", request.id)?;
        self.shared.done("join grant", identity, Command::RevokeJoinGrant(RevokeJoinGrant { id })).await?;
        Ok(Response::new(v1::RevokeJoinGrantResponse {}))
    }

    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Result<Response<v1::ApproveResponse>, Status> {
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("approve a member", &request, &HashMap::new());
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        let member = member_name(&request.member)?;
        let expires = self.expires(request.ttl_ms, APPROVAL_TTL_DEFAULT_MS)?;
        let grant = GrantJoin { id: member.clone(), member: member.clone(), secret_hash: Default::default(), expires, uses: 1 };
        self.shared.done("approval", identity, Command::GrantJoin(grant)).await?;
        Ok(Response::new(v1::ApproveResponse { grant: self.grant(&member).await }))
    }

    async fn promote(&self, request: Request<v1::PromoteRequest>) -> Result<Response<v1::PromoteResponse>, Status> {
        let by = principal(request.metadata());
        let member = self.find(&request.into_inner().member)?;
        self.order(Order::Promote(member.raft_id), &by, &member, "cannot be promoted").await?;
        Ok(Response::new(v1::PromoteResponse { member: self.shown(&member) }))
    }

    async fn remove(&self, request: Request<v1::RemoveRequest>) -> Result<Response<v1::RemoveResponse>, Status> {
        let by = principal(request.metadata());
        let v1::RemoveRequest { member, dry_run } = request.into_inner();
        let member = self.find(&member)?;
        let shown = self.shown(&member);
        let order = if dry_run { Order::WouldRemove(member.raft_id) } else { Order::Remove(member.raft_id) };
        self.order(order, &by, &member, "cannot be removed").await?;
        Ok(Response::new(v1::RemoveResponse { member: shown }))
    }

    async fn transfer_leader(&self, request: Request<v1::TransferLeaderRequest>) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let by = principal(request.metadata());
        let to = match request.into_inner().to {
            anybody if anybody.is_empty() => None,
            name => Some(self.find(&name)?),
        };
        let object = to.as_ref().map_or("leadership".to_owned(), called);
        let order = Order::TransferLeader(to.as_ref().map(|member| member.raft_id));
        let leader = self.ordered(order, &by, object, "cannot be handed over").await?;
        let leader = self.shared.api.consensus.members().into_iter().find(|member| member.raft_id == leader);
        Ok(Response::new(v1::TransferLeaderResponse { leader: leader.and_then(|leader| self.shown(&leader)) }))
    }

    async fn drain(&self, request: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, Status> {
        let by = principal(request.metadata());
        let v1::DrainRequest { member, undo } = request.into_inner();
        let member = self.find(&member)?;
        let outcome = self.shared.api.consensus.drain(member.raft_id, undo, &by).await;
        outcome.map_err(|error| fault(error, called(&member), "cannot be drained"))?;
        Ok(Response::new(v1::DrainResponse { member: self.shown(&member) }))
    }

    async fn raise_machine_version(
        &self,
        request: Request<v1::RaiseMachineVersionRequest>,
    ) -> Result<Response<v1::RaiseMachineVersionResponse>, Status> {
        let by = principal(request.metadata());
        let v1::RaiseMachineVersionRequest { to, dry_run } = request.into_inner();
        let before = self.shared.api.consensus.status().machine_version;
        let to = (to > 0).then_some(to);
        let order = if dry_run { Order::WouldRaiseVersion(to) } else { Order::RaiseVersion(to) };
        let machine_version = self.ordered(order, &by, "the machine version".into(), "cannot be raised").await?;
        let machine_version = u32::try_from(machine_version).unwrap_or(u32::MAX);
        Ok(Response::new(v1::RaiseMachineVersionResponse { before, machine_version }))
    }
}

impl Membership {
    /// When what is granted now ends.
    fn expires(&self, ttl_ms: u64, default_ms: u64) -> Result<u64, Fault> {
        match ttl_ms {
            0 => Ok(self.shared.api.consensus.machine_time() + default_ms),
            ttl if ttl > TTL_MAX_MS => Err(Fault::invalid("ttl", format!("is {ttl} ms, at most {TTL_MAX_MS} (30 days) are allowed"))),
            ttl => Ok(self.shared.api.consensus.machine_time() + ttl),
        }
    }

    /// What stands of a grant that was just made; `None` if it cannot be read as fresh as it should be.
    async fn grant(&self, id: &str) -> Option<v1::JoinGrant> {
        self.shared.linearizable().await.ok()?;
        let grants = self.shared.read_view(view::join_grants).await.ok()?;
        grants.iter().find(|(made, _)| made == id).map(|(id, grant)| told(id, grant))
    }

    /// The member that is meant.
    fn find(&self, member: &str) -> Result<MemberInfo, Fault> {
        find(&self.shared.api.consensus.members(), member)
    }

    fn shown(&self, member: &MemberInfo) -> Option<v1::Member> {
        let shown = members(&self.shared.api.consensus.status(), &not_ready_reason(&self.shared))
            .into_iter()
            .find(|shown| shown.raft_id == member.raft_id);
        shown.or_else(|| Some(v1::Member { raft_id: member.raft_id, name: member.name.clone(), ..v1::Member::default() }))
    }

    async fn order(&self, order: Order, by: &str, member: &MemberInfo, what: &str) -> Result<u64, Fault> {
        self.ordered(order, by, called(member), what).await
    }

    async fn ordered(&self, order: Order, by: &str, object: String, what: &str) -> Result<u64, Fault> {
        self.shared.api.consensus.order(order, by).await.map_err(|error| fault(error, object, what))
    }
}

fn find(members: &[MemberInfo], wanted: &str) -> Result<MemberInfo, Fault> {
    let by_id = |member: &&MemberInfo| wanted.parse() == Ok(member.raft_id);
    let mut named = members.iter().filter(|member| member.name == wanted);
    match (named.next(), named.next(), members.iter().find(by_id)) {
        (Some(_), Some(_), _) => {
            let ids: Vec<String> = members.iter().filter(|member| member.name == wanted).map(|member| member.raft_id.to_string()).collect();
            let detail = format!("is the name of several: one of them takes the place of the other (raft ids {})", ids.join(", "));
            Err(Fault::invalid(format!("member {}", quoted(wanted)), detail).remedy("give the raft id of the one that is meant"))
        }
        (Some(member), None, _) | (None, _, Some(member)) => Ok(member.clone()),
        (None, _, None) => Err(Fault::new(ErrorCode::MemberNotFound, format!("member {}", quoted(wanted)), "is not part of this cluster")),
    }
}

fn called(member: &MemberInfo) -> String {
    format!("member {} (raft id {})", quoted(&member.name), member.raft_id)
}

fn fault(error: ChangeError, object: String, what: &str) -> Fault {
    match error {
        ChangeError::Unavailable { reason } => Fault::new(ErrorCode::NoLeader, object, format!("{what}: {reason}")),
        ChangeError::Refused { why } => Fault::new(ErrorCode::MembershipRefused, object, format!("{what}: {why}")),
        ChangeError::Unknown { reason } => {
            Fault::new(ErrorCode::OutcomeUnknown, object, format!("{what}, or it was done all the same: {reason}"))
                .remedy("look at the members before you try again")
        }
    }
}

/// A name that a member can have.
fn member_name(name: &str) -> Result<String, Fault> {
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(Fault::invalid(format!("member {}", quoted(name)), "is no name: letters, digits, `.`, `_` and `-`, at most 63")),
    }
}

fn candidate(member: &Candidate) -> v1::Member {
    v1::Member {
        raft_id: member.raft_id,
        name: member.name.clone(),
        client_address: member.client_address.clone(),
        peer_address: member.peer_address.clone(),
        role: "voter".to_owned(),
        ..v1::Member::default()
    }
}

fn told(id: &str, grant: &JoinGrant) -> v1::JoinGrant {
    v1::JoinGrant {
        id: id.to_owned(),
        kind: if grant.secret_hash.is_empty() { "approval" } else { "token" }.to_owned(),
        member: grant.member.clone(),
        expires_ms: grant.expires,
        uses: grant.uses,
        used_by: grant.used_by.clone(),
        created_ms: grant.created,
        created_by: grant.principal.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_by_its_name_or_by_its_raft_id() {
        let member = |raft_id, name: &str| MemberInfo { raft_id, name: name.into(), ..MemberInfo::default() };
        let all = [member(11, "a"), member(12, "b"), member(13, "b"), member(14, "15"), member(15, "c")];
        let found = |wanted| find(&all, wanted).map(|member| member.raft_id);
        assert_eq!((found("a").ok(), found("13").ok(), found("15").ok()), (Some(11), Some(13), Some(14)), "a name comes first");
        let twice = found("b").expect_err("two are called so");
        assert_eq!(twice.code, ErrorCode::Invalid);
        assert!(twice.to_string().contains("raft ids 12, 13"), "{twice}");
        assert_eq!(found("x").expect_err("nobody").code, ErrorCode::MemberNotFound);
    }

    #[test]
    fn what_is_not_known_of_a_change_is_told_as_that() {
        let fault = |error| fault(error, "member \"a\"".into(), "cannot be removed");
        assert_eq!(fault(ChangeError::Refused { why: "no".into() }).code, ErrorCode::MembershipRefused);
        assert_eq!(fault(ChangeError::Unavailable { reason: "no".into() }).code, ErrorCode::NoLeader);
        let unknown = fault(ChangeError::Unknown { reason: "no answer".into() });
        assert!(unknown.detail().outcome_unknown && unknown.to_string().contains("look at the members"), "{unknown}");
    }
}
