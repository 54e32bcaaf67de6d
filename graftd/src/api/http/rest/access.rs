//! Who asks and what it may do, API tokens, and what administrators did.

use graft_proto::documents::{ActList, ApiTokenList, NewApiToken, WhoAmI};
use graft_proto::v1;
use graft_proto::v1::access_service_server::AccessService;
use schemars::JsonSchema;
use serde::Deserialize;

use super::super::problem::Refusal;
use super::call::{Call, Json, Nothing};
use super::route::{Method, Table};
use super::workflows::NoQuery;
use crate::api::access::Guarded;
use crate::api::tokens::Access;

/// Adds the verbs.
pub(super) fn routes(table: &mut Table) {
    use Method::{Delete, Get, Post};
    table.about("access");
    table.verb(Get, "/access/me", "who_am_i", "Who the caller is taken for, and what it may do.", me);
    table.verb(Get, "/access/tokens", "list_tokens", "API tokens that the caller could have made, without their secrets.", tokens);
    let revoke = "Takes an API token away: nobody is let in with it from then on. Answers with the first page of those that are left.";
    table.verb(Delete, "/access/tokens/{token}", "revoke_token", revoke, self::revoke);
    table.verb(Get, "/access/acts", "list_acts", "What administrators did, the latest first. The latest 100,000 acts are kept.", acts);
    table.without_keys();
    let create = "Makes an API token that grants no more than the caller may hand out; its secret is told in this answer alone. A repeat makes \
                  another one.";
    table.verb(Post, "/access/tokens", "create_token", create, self::create);
}

impl<Q, B> Call<Q, B> {
    fn of_access(&self) -> Guarded<Access> {
        self.guarded(|shared| Access { shared })
    }
}

async fn me(call: Call<NoQuery>) -> Result<WhoAmI, Refusal> {
    Ok((&call.of_access().who_am_i(call.request(v1::WhoAmIRequest {})).await?.into_inner()).into())
}

/// An API token that is to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateApiToken {
    /// What its holder is called in histories: letters, digits and `- _ . : /`.
    name: String,
    /// What it allows, at least one: each is `ROLE[@NAMESPACE[=NODE,NODE...]]`, as in `operator@billing`.
    grants: Vec<String>,
    /// Of no use after so long. Left out: 90 days; at most ten years.
    #[serde(default)]
    ttl_ms: u64,
}

async fn create(call: Call<NoQuery, Json<CreateApiToken>>) -> Result<NewApiToken, Refusal> {
    let CreateApiToken { name, grants, ttl_ms } = call.body.0.clone();
    let request = v1::CreateTokenRequest { name, grants, ttl_ms };
    Ok((&call.of_access().create_token(call.request(request)).await?.into_inner()).into())
}

/// Which page.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Paging {
    /// Most rows of a page. Left out: 100; at most 1,000.
    limit: u32,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: String,
}

async fn tokens(call: Call<Paging>) -> Result<ApiTokenList, Refusal> {
    let Paging { limit, cursor } = call.query.clone();
    Ok((&call.of_access().list_tokens(call.request(v1::ListTokensRequest { limit, cursor })).await?.into_inner()).into())
}

async fn revoke(call: Call<NoQuery, Nothing>) -> Result<ApiTokenList, Refusal> {
    let request = v1::RevokeTokenRequest { id: call.named("token"), meta: call.meta()? };
    call.of_access().revoke_token(call.request(request)).await?;
    Ok((&call.of_access().list_tokens(call.request(v1::ListTokensRequest::default())).await?.into_inner()).into())
}

/// Which acts.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Which {
    /// Most rows of a page. Left out: 100; at most 1,000.
    limit: u32,
    /// Only acts with lower numbers. Left out: from the latest on.
    before: u64,
}

async fn acts(call: Call<Which>) -> Result<ActList, Refusal> {
    let Which { limit, before } = call.query;
    Ok((&call.of_access().list_acts(call.request(v1::ListActsRequest { limit, before })).await?.into_inner()).into())
}
