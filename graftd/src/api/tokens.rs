//! `AccessService`: who a caller is taken for, API tokens, and the list of acts.
//!
//! Nobody hands out more than he has: each grant of a new token has to be covered by one of the caller's, and only tokens that the caller could
//! have made are shown to it and revoked by it.

use std::collections::HashMap;
use std::sync::Arc;

use graft_machine::access::{Act, ApiToken, Grant};
use graft_machine::command::{ACCESS_FROM, Command, CreateApiToken, Envelope, RevokeApiToken};
use graft_machine::limits::{GRANTS_PER_TOKEN_MAX, PAGE_MAX};
use graft_machine::view;
use graft_proto::errors::{ErrorCode, Fault, quoted};
use graft_proto::v1;
use graft_proto::v1::access_service_server::AccessService;
use tonic::{Request, Response, Status};

use super::Shared;
use super::access::Asker;
use super::acts::Made;
use super::list::page_limit;
use super::requests::{Identity, payload_hash, principal};
use crate::auth::ROOT;
use crate::auth::caller::Caller;
use crate::auth::token::{Kind, Token};
use crate::consensus::View;
use graft_convert::{cursors, names, rejections};

/// How long a token is of use if its maker does not say: 90 days, in milliseconds.
const TTL_DEFAULT_MS: u64 = 90 * 24 * 3_600_000;
/// Longest time that a token may be of use: ten years, in milliseconds.
const TTL_MAX_MS: u64 = 3_650 * 24 * 3_600_000;
/// What cursors of the list of tokens are for.
const TOKENS: &str = "tokens";

/// The service.
pub(super) struct Access {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl AccessService for Access {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(v1::WhoAmIResponse {
            name: caller.name.as_deref().unwrap_or_default().to_owned(),
            shown_by: caller.shown_by.name().to_owned(),
            grants: caller.grants.iter().map(Grant::to_string).collect(),
            required: self.shared.api.auth.is_required(),
        }))
    }

    async fn create_token(&self, request: Request<v1::CreateTokenRequest>) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = caller(&request)?;
        let principal = principal(request.metadata());
        let v1::CreateTokenRequest { name, grants, ttl_ms } = request.into_inner();
        self.is_in_force()?;
        let name = names::named("name of the token", name)?;
        if name == ROOT {
            return Err(Fault::invalid("the name of the token", "is the one of the root token: acts could not be told apart").into());
        }
        if !(1..=GRANTS_PER_TOKEN_MAX).contains(&grants.len()) {
            let detail = format!("are {}; at least 1 and at most {GRANTS_PER_TOKEN_MAX} are allowed", grants.len());
            return Err(Fault::invalid("the grants", detail).remedy("say what the token allows, as in operator@billing").into());
        }
        for text in &grants {
            let grant: Grant = text.parse().map_err(|error| Fault::invalid(format!("grant {}", quoted(text)), format!("{error}")))?;
            if !caller.covers(&grant) {
                let detail = "is more than the caller may hand out";
                let remedy = "ask an admin of that namespace, or of the cluster; `graft whoami` tells what you may do";
                return Err(Fault::new(ErrorCode::NotAllowed, format!("grant {}", quoted(text)), detail).remedy(remedy).into());
            }
        }
        if ttl_ms > TTL_MAX_MS {
            return Err(
                Fault::invalid("the time to live", format!("is {ttl_ms} ms, at most {TTL_MAX_MS} ms (ten years) are allowed")).into()
            );
        }
        let ttl = if ttl_ms == 0 { TTL_DEFAULT_MS } else { ttl_ms };
        let expires = self.shared.api.consensus.machine_time().saturating_add(ttl);
        let token = Token::mint(Kind::Api);
        let create = CreateApiToken { id: token.id.clone(), name, secret_hash: token.secret_hash().into(), grants, expires };
        let answer = self.shared.api.consensus.propose(Envelope::internal(principal, Command::CreateApiToken(create))).await;
        answer.map_err(|error| self.shared.pointed_at_leader(error))?.map_err(rejections::fault)?;
        let made = match self.shared.linearizable().await {
            Ok(()) => view::api_token(&self.shared.latest(), &token.id).map(|made| told(&token.id, &made)),
            Err(_) => None,
        };
        let mut answer = Response::new(v1::CreateTokenResponse { secret: token.reveal(), token: made });
        answer.extensions_mut().insert(Made(format!("API token {}", token.id)));
        Ok(answer)
    }

    async fn list_tokens(&self, request: Request<v1::ListTokensRequest>) -> Result<Response<v1::ListTokensResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ListTokensRequest { limit, cursor } = request.into_inner();
        let limit = page_limit(limit)?;
        let after = match cursors::read(TOKENS, &cursor)? {
            None => None,
            Some(id) => Some(String::from_utf8(id).map_err(|_| cursors::broken(&cursor))?),
        };
        self.shared.linearizable().await?;
        let (tokens, more) = self.shared.read_view(move |state| tokens_of(state, &caller, after, limit)).await?;
        let next_cursor = match tokens.last() {
            Some((id, _)) if more => cursors::make(TOKENS, id.as_bytes()),
            _ => String::new(),
        };
        Ok(Response::new(v1::ListTokensResponse { tokens: tokens.iter().map(|(id, token)| told(id, token)).collect(), next_cursor }))
    }

    async fn revoke_token(&self, request: Request<v1::RevokeTokenRequest>) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = caller(&request)?;
        let principal = principal(request.metadata());
        let mut request = request.into_inner();
        let meta = request.meta.take();
        let hash = payload_hash("revoke an API token", &request, &HashMap::new());
        let identity = Identity::of(principal, meta, hash, self.shared.api.consensus.machine_time())?;
        let id = names::id("API token", request.id)?;
        self.is_in_force()?;
        self.shared.linearizable().await?;
        // What the caller could not have made is not there for it; a repeat is answered by the machine.
        let foreign = view::api_token(&self.shared.latest(), &id).is_some_and(|token| !is_for(&caller, &token));
        if foreign {
            return Err(
                Fault::new(ErrorCode::TokenNotFound, format!("API token {}", quoted(&id)), "does not exist, or is not yours").into()
            );
        }
        self.shared.done("API token", identity, Command::RevokeApiToken(RevokeApiToken { id })).await?;
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }

    async fn list_acts(&self, request: Request<v1::ListActsRequest>) -> Result<Response<v1::ListActsResponse>, Status> {
        let v1::ListActsRequest { limit, before } = request.into_inner();
        let limit = page_limit(limit)?;
        self.shared.linearizable().await?;
        let read = move |state: &View| {
            let acts = view::acts(state, before, limit);
            let more = acts.last().is_some_and(|(number, _)| *number > 1 && !view::acts(state, *number, 1).is_empty());
            (acts, more)
        };
        let (acts, more) = self.shared.read_view(read).await?;
        Ok(Response::new(v1::ListActsResponse { acts: acts.iter().map(|(number, act)| told_act(*number, act)).collect(), more }))
    }
}

impl Access {
    /// Members of the first machine version would stop at what they do not know. Before there is a cluster there is none (0), and consensus says so.
    fn is_in_force(&self) -> Result<(), Fault> {
        let version = self.shared.api.consensus.status().machine_version;
        if version == 0 || version >= ACCESS_FROM {
            return Ok(());
        }
        let detail = format!("has machine version {version} in force, and API tokens need {ACCESS_FROM}");
        Err(Fault::new(ErrorCode::NotInForce, "this cluster", detail))
    }
}

/// Who asks. What comes past the gate, from other members, is not asked for here.
fn caller<T>(request: &Request<T>) -> Result<Caller, Fault> {
    let asker = Asker::of(request);
    asker.caller().cloned().ok_or_else(|| Fault::new(ErrorCode::Internal, "the request", "came past the gate"))
}

/// Whether the caller could have made the token.
fn is_for(caller: &Caller, token: &ApiToken) -> bool {
    token.grants.iter().all(|grant| grant.parse().is_ok_and(|grant| caller.covers(&grant)))
}

/// Tokens that are for the caller, after that one, and whether there are more.
fn tokens_of(state: &View, caller: &Caller, mut after: Option<String>, limit: usize) -> (Vec<(String, Arc<ApiToken>)>, bool) {
    let mut found = Vec::new();
    loop {
        let page = view::api_tokens(state, after.as_deref(), PAGE_MAX);
        let is_last = page.len() < PAGE_MAX;
        after = page.last().map(|(id, _)| id.clone());
        for (id, token) in page.into_iter().filter(|(_, token)| is_for(caller, token)) {
            if found.len() == limit {
                return (found, true);
            }
            found.push((id, token));
        }
        if is_last {
            return (found, false);
        }
    }
}

fn told(id: &str, token: &ApiToken) -> v1::ApiToken {
    v1::ApiToken {
        id: id.to_owned(),
        name: token.name.clone(),
        grants: token.grants.clone(),
        expires_ms: token.expires,
        created_ms: token.created,
        created_by: token.principal.clone(),
    }
}

fn told_act(number: u64, act: &Act) -> v1::Act {
    v1::Act {
        number,
        time_ms: act.time,
        principal: act.principal.clone(),
        from: act.from.clone(),
        member: act.member.clone(),
        method: act.method.clone(),
        object: act.object.clone(),
        outcome: act.outcome.clone(),
        ended_ms: act.ended,
    }
}
