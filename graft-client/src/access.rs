//! Who may do what: who this client is taken for, API tokens, and what administrators did. For programs that operate a cluster.

use std::time::Duration;

use graft_proto::v1::access_service_client::AccessServiceClient;
use graft_proto::v1::{
    Act, ApiToken, CreateTokenRequest, CreateTokenResponse, ListActsRequest, ListTokensRequest, RevokeTokenRequest, WhoAmIRequest,
    WhoAmIResponse,
};
use tonic::transport::Channel;

use crate::channel::Kind;
use crate::client::{Client, Identity, cursor, fresh_meta};
use crate::error::ClientError;
use crate::membership::ms;

/// An API token that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewToken {
    /// What its holder is called in histories: letters, digits and `- _ . : /`.
    pub name: String,
    /// What it allows, at least one, each as `ROLE[@NAMESPACE[=NODE,NODE...]]`: `operator@billing`, `worker@billing=charge,ship-*`. The roles are
    /// `viewer`, `operator`, `worker`, `namespace-admin` and `cluster-admin`.
    pub grants: Vec<String>,
    /// Of no use after so long; otherwise 90 days. At most ten years.
    pub ttl: Option<Duration>,
}

/// A page of API tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPage {
    /// By id.
    pub tokens: Vec<ApiToken>,
    /// Where the next page begins; `None`: this is the last.
    pub next_cursor: Option<String>,
}

/// A page of what administrators did.
#[derive(Clone, Debug, PartialEq)]
pub struct ActPage {
    /// The latest first.
    pub acts: Vec<Act>,
    /// Whether there are earlier ones: ask for those before the number of the last.
    pub more: bool,
}

impl Client {
    fn access_service(&self, channel: Channel) -> AccessServiceClient<Identity> {
        AccessServiceClient::with_interceptor(channel, self.identified()).max_decoding_message_size(graft_proto::ANSWER_BYTES_MAX)
    }

    /// Who this client is taken for, and what it may do.
    ///
    /// # Errors
    /// If nobody knows it where callers have to be known, or no member answers.
    pub async fn who_am_i(&self) -> Result<WhoAmIResponse, ClientError> {
        let call = |channel, request| {
            let mut service = self.access_service(channel);
            async move { service.who_am_i(request).await }
        };
        self.call("ask who this is", Kind::Read, WhoAmIRequest {}, call).await
    }

    /// Makes an API token. Its secret is told in this answer alone.
    ///
    /// # Errors
    /// If it would grant more than this client may hand out, what is asked for is out of bounds, or no member answers. If the outcome is
    /// unknown, there may be a token that nobody knows.
    pub async fn create_token(&self, new: NewToken) -> Result<CreateTokenResponse, ClientError> {
        let NewToken { name, grants, ttl } = new;
        let request = CreateTokenRequest { name, grants, ttl_ms: ms(ttl) };
        let operation = format!("make token \"{}\"", request.name);
        let call = |channel, request| {
            let mut service = self.access_service(channel);
            async move { service.create_token(request).await }
        };
        self.call(&operation, Kind::Once, request, call).await
    }

    /// API tokens that this client could have made, without their secrets: at most `limit` (0 = 100, at most 1,000), from `cursor` on (empty = the
    /// first page).
    ///
    /// # Errors
    /// If the cursor is none, or no member answers.
    pub async fn tokens(&self, limit: u32, cursor: &str) -> Result<TokenPage, ClientError> {
        let request = ListTokensRequest { limit, cursor: cursor.to_owned() };
        let call = |channel, request| {
            let mut service = self.access_service(channel);
            async move { service.list_tokens(request).await }
        };
        let page = self.call("list tokens", Kind::Read, request, call).await?;
        Ok(TokenPage { tokens: page.tokens, next_cursor: self::cursor(page.next_cursor) })
    }

    /// Takes an API token away, by its id: nobody is let in with it from then on.
    ///
    /// # Errors
    /// If there is none that this client could have made, or no member answers.
    pub async fn revoke_token(&self, id: impl Into<String>) -> Result<(), ClientError> {
        let request = RevokeTokenRequest { id: id.into(), meta: fresh_meta() };
        let operation = format!("revoke token \"{}\"", request.id);
        let call = |channel, request| {
            let mut service = self.access_service(channel);
            async move { service.revoke_token(request).await }
        };
        self.call(&operation, Kind::Change, request, call).await.map(drop)
    }

    /// What administrators did, the latest first: at most `limit` (0 = 100, at most 1,000), before the act of this number (0 = from the latest
    /// on). The latest 100,000 are kept.
    ///
    /// # Errors
    /// If this client may not see them, or no member answers.
    pub async fn acts(&self, limit: u32, before: u64) -> Result<ActPage, ClientError> {
        let call = |channel, request| {
            let mut service = self.access_service(channel);
            async move { service.list_acts(request).await }
        };
        let page = self.call("list what administrators did", Kind::Read, ListActsRequest { limit, before }, call).await?;
        Ok(ActPage { acts: page.acts, more: page.more })
    }
}
