//! The members: how a cluster begins, who joins, who leaves, who leads.

use graft_proto::documents::{Bootstrap, JoinGrant, JoinGrantList, JoinToken, MachineVersion, Member};
use graft_proto::v1;
use graft_proto::v1::membership_service_server::MembershipService;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::problem::Refusal;
use super::call::{Call, Json, MaybeJson, Nothing};
use super::route::{Method, Table};
use super::workflows::NoQuery;
use crate::api::access::Guarded;
use crate::api::membership::Membership;

/// Adds the verbs.
pub(super) fn routes(table: &mut Table) {
    use Method::{Delete, Get, Post, Put};
    table.about("membership");
    table.verb(Get, "/cluster/join-grants", "list_join_grants", "Join tokens and approvals that stand.", grants);
    let revoke = "Takes a join token or an approval away. Who has used it stays a member.";
    table.verb(Delete, "/cluster/join-grants/{grant}", "revoke_join_grant", revoke, self::revoke);
    let approve = "Approves the member of that name, for the strict join policy.";
    table.verb(Put, "/cluster/approvals/{member}", "approve_member", approve, self::approve);
    table.without_keys();
    let bootstrap = "Names the first members of a cluster that is not formed yet, to one of them (`cluster.bootstrap = manual`).";
    table.verb(Post, "/cluster/bootstrap", "bootstrap_cluster", bootstrap, self::bootstrap);
    let create = "Makes a join token; its secret is told in this answer alone. A repeat makes another one.";
    table.verb(Post, "/cluster/join-tokens", "create_join_token", create, create_token);
    let promote = "Makes a learner that has caught up a voter, at once.";
    table.verb(Post, "/cluster/members/{member}/promote", "promote_member", promote, self::promote);
    let remove = "Takes a member out of the cluster, for ever: its data directory is of no use any more.";
    table.verb(Delete, "/cluster/members/{member}", "remove_member", remove, self::remove);
    let drain = "Lets a member neither lead nor stand for election until it is undone or the member starts again.";
    table.verb(Post, "/cluster/members/{member}/drain", "drain_member", drain, self::drain);
    let transfer = "Hands leadership over; answers with the new leader.";
    table.verb(Post, "/cluster/transfer-leader", "transfer_leader", transfer, transfer_leader);
    let raise = "Puts a later machine version into force, once every member can follow it. There is no way back.";
    table.verb(Post, "/cluster/machine-version", "raise_machine_version", raise, raise_machine_version);
}

impl<Q, B> Call<Q, B> {
    fn of_members(&self) -> Guarded<Membership> {
        self.guarded(|shared| Membership { shared })
    }
}

/// The first members.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FirstMembers {
    /// Their names: an odd number, the member that is asked among them.
    members: Vec<String>,
    /// Only say what would be proposed.
    #[serde(default)]
    dry_run: bool,
}

async fn bootstrap(call: Call<NoQuery, Json<FirstMembers>>) -> Result<Bootstrap, Refusal> {
    let FirstMembers { members, dry_run } = call.body.0.clone();
    let request = v1::BootstrapRequest { members, dry_run };
    Ok((&call.of_members().bootstrap(call.request(request)).await?.into_inner()).into())
}

/// A join token that is to be made.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NewToken {
    /// Only the member of this name may use it. Left out: any.
    member: String,
    /// Of no use after so long. Left out: an hour; at most 30 days.
    ttl_ms: u64,
    /// How many members may use it. Left out: one; at most 100.
    uses: u32,
}

async fn create_token(call: Call<NoQuery, MaybeJson<NewToken>>) -> Result<JoinToken, Refusal> {
    let NewToken { member, ttl_ms, uses } = call.body.0.clone();
    let request = v1::CreateJoinTokenRequest { member, ttl_ms, uses };
    Ok((&call.of_members().create_join_token(call.request(request)).await?.into_inner()).into())
}

async fn grants(call: Call<NoQuery>) -> Result<JoinGrantList, Refusal> {
    let request = v1::ListJoinGrantsRequest {};
    Ok((&call.of_members().list_join_grants(call.request(request)).await?.into_inner()).into())
}

async fn revoke(call: Call<NoQuery, Nothing>) -> Result<JoinGrantList, Refusal> {
    let request = v1::RevokeJoinGrantRequest { id: call.named("grant"), meta: call.meta()? };
    call.of_members().revoke_join_grant(call.request(request)).await?;
    let left = call.of_members().list_join_grants(call.request(v1::ListJoinGrantsRequest {})).await?;
    Ok((&left.into_inner()).into())
}

/// How long an approval stands.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Approval {
    /// Of no use after so long. Left out: a day; at most 30 days.
    ttl_ms: u64,
}

async fn approve(call: Call<NoQuery, MaybeJson<Approval>>) -> Result<JoinGrant, Refusal> {
    let request = v1::ApproveRequest { member: call.named("member"), ttl_ms: call.body.0.ttl_ms, meta: call.meta()? };
    let answer = call.of_members().approve(call.request(request)).await?.into_inner();
    Ok((&answer.grant.unwrap_or_default()).into())
}

/// The member of an answer.
fn told(member: Option<v1::Member>) -> Member {
    (&member.unwrap_or_default()).into()
}

async fn promote(call: Call<NoQuery, Nothing>) -> Result<Member, Refusal> {
    let request = v1::PromoteRequest { member: call.named("member") };
    Ok(told(call.of_members().promote(call.request(request)).await?.into_inner().member))
}

/// How a member is removed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Removal {
    /// Only say whether it may be removed now.
    dry_run: bool,
}

async fn remove(call: Call<Removal, Nothing>) -> Result<Member, Refusal> {
    let request = v1::RemoveRequest { member: call.named("member"), dry_run: call.query.dry_run };
    Ok(told(call.of_members().remove(call.request(request)).await?.into_inner().member))
}

/// Whether a member is drained.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Draining {
    /// Let it take part again.
    undo: bool,
}

async fn drain(call: Call<NoQuery, MaybeJson<Draining>>) -> Result<Member, Refusal> {
    let request = v1::DrainRequest { member: call.named("member"), undo: call.body.0.undo };
    Ok(told(call.of_members().drain(call.request(request)).await?.into_inner().member))
}

/// Who is to lead.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Heir {
    /// The voter that is to lead. Left out: the one that is furthest.
    to: String,
}

async fn transfer_leader(call: Call<NoQuery, MaybeJson<Heir>>) -> Result<Member, Refusal> {
    let request = v1::TransferLeaderRequest { to: call.body.0.to.clone() };
    Ok(told(call.of_members().transfer_leader(call.request(request)).await?.into_inner().leader))
}

/// Which machine version is to be in force.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Raise {
    /// The version. Left out: the highest that any member can follow.
    to: u32,
    /// Only say whether it may be raised.
    dry_run: bool,
}

async fn raise_machine_version(call: Call<NoQuery, MaybeJson<Raise>>) -> Result<MachineVersion, Refusal> {
    let Raise { to, dry_run } = call.body.0;
    let request = v1::RaiseMachineVersionRequest { to, dry_run };
    Ok((&call.of_members().raise_machine_version(call.request(request)).await?.into_inner()).into())
}
