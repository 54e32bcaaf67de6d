//! The members of the cluster: how it begins, who joins, who leaves, who leads. For programs that operate a cluster.

use std::time::Duration;

use graft_proto::v1::membership_service_client::MembershipServiceClient;
use graft_proto::v1::{
    ApproveRequest, BootstrapRequest, BootstrapResponse, CreateJoinTokenRequest, CreateJoinTokenResponse, DrainRequest, JoinGrant,
    ListJoinGrantsRequest, Member, PromoteRequest, RaiseMachineVersionRequest, RaiseMachineVersionResponse, RemoveRequest,
    RevokeJoinGrantRequest, TransferLeaderRequest,
};
use tonic::transport::Channel;

use crate::channel::Kind;
use crate::client::{Client, Identity, fresh_meta};
use crate::error::ClientError;

/// A join token that is to be made. The default is for one member of any name, for an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewJoinToken {
    /// Only the member of this name may use it.
    pub member: Option<String>,
    /// Of no use after so long; at most 30 days.
    pub ttl: Option<Duration>,
    /// How many members may use it; at most 100.
    pub uses: Option<u32>,
}

/// On the wire, where 0 is the default.
pub(crate) fn ms(time: Option<Duration>) -> u64 {
    // A part of a millisecond is no default.
    time.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
}

impl Client {
    fn membership_service(&self, channel: Channel) -> MembershipServiceClient<Identity> {
        MembershipServiceClient::with_interceptor(channel, self.identified())
    }

    /// Names the first members of a cluster that is not formed yet, to one of them. They form it by themselves then.
    ///
    /// # Errors
    /// If they cannot form one, or the member does not answer.
    pub async fn bootstrap(&self, members: Vec<String>, dry_run: bool) -> Result<BootstrapResponse, ClientError> {
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.bootstrap(request).await }
        };
        self.call("bootstrap the cluster", Kind::Once, BootstrapRequest { members, dry_run }, call).await
    }

    /// Makes a join token. Its secret is told in this answer alone.
    ///
    /// # Errors
    /// If what is asked for is out of bounds, or no member answers. If the outcome is unknown, there may be a token that nobody knows.
    pub async fn create_join_token(&self, new: NewJoinToken) -> Result<CreateJoinTokenResponse, ClientError> {
        let NewJoinToken { member, ttl, uses } = new;
        let request = CreateJoinTokenRequest { member: member.unwrap_or_default(), ttl_ms: ms(ttl), uses: uses.unwrap_or(0) };
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.create_join_token(request).await }
        };
        self.call("make a join token", Kind::Once, request, call).await
    }

    /// Join tokens and approvals that stand.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn join_grants(&self) -> Result<Vec<JoinGrant>, ClientError> {
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.list_join_grants(request).await }
        };
        Ok(self.call("list join tokens and approvals", Kind::Read, ListJoinGrantsRequest {}, call).await?.grants)
    }

    /// Takes a join token or an approval away. Who has used it stays a member.
    ///
    /// # Errors
    /// If there is none of that id, or no member answers.
    pub async fn revoke_join_grant(&self, id: impl Into<String>) -> Result<(), ClientError> {
        let request = RevokeJoinGrantRequest { id: id.into(), meta: fresh_meta() };
        let operation = format!("revoke the join token or approval \"{}\"", request.id);
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.revoke_join_grant(request).await }
        };
        self.call(&operation, Kind::Change, request, call).await.map(drop)
    }

    /// Approves the member of that name, for the strict join policy; for a day, if nothing else is said.
    ///
    /// # Errors
    /// If no member can have the name, or no member answers.
    pub async fn approve_member(&self, member: impl Into<String>, ttl: Option<Duration>) -> Result<JoinGrant, ClientError> {
        let request = ApproveRequest { member: member.into(), ttl_ms: ms(ttl), meta: fresh_meta() };
        let operation = format!("approve member \"{}\"", request.member);
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.approve(request).await }
        };
        Ok(self.call(&operation, Kind::Change, request, call).await?.grant.unwrap_or_default())
    }

    /// Makes a learner that has caught up a voter, at once. A member is named by its name, or by its raft id where two have one name.
    ///
    /// # Errors
    /// If it is no learner or has not caught up, or no leader can be reached.
    pub async fn promote_member(&self, member: impl Into<String>) -> Result<Member, ClientError> {
        let request = PromoteRequest { member: member.into() };
        let operation = format!("promote member \"{}\"", request.member);
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.promote(request).await }
        };
        Ok(self.call(&operation, Kind::Once, request, call).await?.member.unwrap_or_default())
    }

    /// Takes a member out of the cluster, for ever; with `dry_run`, only says whether that may be done now.
    ///
    /// # Errors
    /// If too few voters would be left that answer, or no leader can be reached.
    pub async fn remove_member(&self, member: impl Into<String>, dry_run: bool) -> Result<Member, ClientError> {
        let request = RemoveRequest { member: member.into(), dry_run };
        let operation = format!("remove member \"{}\"", request.member);
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.remove(request).await }
        };
        Ok(self.call(&operation, Kind::Once, request, call).await?.member.unwrap_or_default())
    }

    /// Hands leadership to a voter, or to the one that is furthest; answers with the new leader.
    ///
    /// # Errors
    /// If that one cannot lead, or no leader can be reached.
    pub async fn transfer_leader(&self, to: Option<String>) -> Result<Member, ClientError> {
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.transfer_leader(request).await }
        };
        let request = TransferLeaderRequest { to: to.unwrap_or_default() };
        Ok(self.call("hand leadership over", Kind::Once, request, call).await?.leader.unwrap_or_default())
    }

    /// Lets a member neither lead nor stand for election, until it is undone or the member starts again.
    ///
    /// # Errors
    /// If there is no such member, or it does not answer.
    pub async fn drain_member(&self, member: impl Into<String>, undo: bool) -> Result<Member, ClientError> {
        let request = DrainRequest { member: member.into(), undo };
        let operation = format!("drain member \"{}\"", request.member);
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.drain(request).await }
        };
        Ok(self.call(&operation, Kind::Once, request, call).await?.member.unwrap_or_default())
    }

    /// Puts a later machine version into force, at the end of an upgrade: the one that is given, or the highest that any member can follow; with
    /// `dry_run`, only says whether that may be done now. There is no way back.
    ///
    /// # Errors
    /// If there is a member that cannot follow, or does not answer, or no leader can be reached.
    pub async fn raise_machine_version(&self, to: Option<u32>, dry_run: bool) -> Result<RaiseMachineVersionResponse, ClientError> {
        let call = |channel, request| {
            let mut service = self.membership_service(channel);
            async move { service.raise_machine_version(request).await }
        };
        let request = RaiseMachineVersionRequest { to: to.unwrap_or(0), dry_run };
        self.call("raise the machine version", Kind::Once, request, call).await
    }
}
