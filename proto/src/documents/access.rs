//! Who a caller is taken for, API tokens, and the list of administrative acts.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Time, some};
use crate::v1;

/// Who a caller is taken for, and what it may do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WhoAmI {
    /// What it is called in histories; `null`: nobody knows.
    pub name: Option<String>,
    /// How it has shown that: `nothing`, `certificate`, `token`, `root-token` or `jwt`.
    pub shown_by: String,
    /// What it may do, each as `ROLE[@NAMESPACE[=NODE,NODE...]]`.
    pub grants: Vec<String>,
    /// Whether callers have to show who they are. Where they need not, who shows nothing may do everything.
    pub required: bool,
}

impl From<&v1::WhoAmIResponse> for WhoAmI {
    fn from(answer: &v1::WhoAmIResponse) -> Self {
        let v1::WhoAmIResponse { name, shown_by, grants, required } = answer;
        Self { name: some(name), shown_by: shown_by.clone(), grants: grants.clone(), required: *required }
    }
}

/// An API token, without its secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ApiToken {
    /// Its id.
    pub id: String,
    /// What its holder is called in histories.
    pub name: String,
    /// What it allows, each as `ROLE[@NAMESPACE[=NODE,NODE...]]`.
    pub grants: Vec<String>,
    /// Of no use from then on.
    pub expires_at: Option<Time>,
    /// When it was made.
    pub created_at: Option<Time>,
    /// Who made it.
    pub created_by: String,
}

impl From<&v1::ApiToken> for ApiToken {
    fn from(token: &v1::ApiToken) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            grants: token.grants.clone(),
            expires_at: Time::of(token.expires_ms),
            created_at: Time::of(token.created_ms),
            created_by: token.created_by.clone(),
        }
    }
}

/// API tokens.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ApiTokenList {
    /// By id: those that the caller could have made. What has expired may be among them until another is made.
    pub tokens: Vec<ApiToken>,
    /// Where the next page begins; `null`: this is the last.
    pub next_cursor: Option<String>,
}

impl From<&v1::ListTokensResponse> for ApiTokenList {
    fn from(answer: &v1::ListTokensResponse) -> Self {
        Self { tokens: answer.tokens.iter().map(ApiToken::from).collect(), next_cursor: some(&answer.next_cursor) }
    }
}

/// An API token that was just made.
#[derive(Clone, Serialize, JsonSchema)]
pub struct NewApiToken {
    /// The token as it is shown to members: it is told once.
    pub secret: String,
    /// What stands of it; `null`: it could not be read again.
    pub token: Option<ApiToken>,
}

impl fmt::Debug for NewApiToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewApiToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl From<&v1::CreateTokenResponse> for NewApiToken {
    fn from(answer: &v1::CreateTokenResponse) -> Self {
        Self { secret: answer.secret.clone(), token: answer.token.as_ref().map(ApiToken::from) }
    }
}

/// What an administrator did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Act {
    /// Its number: the order in which acts were begun.
    pub number: u64,
    /// When it was begun.
    pub begun_at: Option<Time>,
    /// When it had ended; `null`: it is under way, or the member stopped meanwhile.
    pub ended_at: Option<Time>,
    /// Who did it.
    pub principal: String,
    /// From where.
    pub from: String,
    /// The member that was asked.
    pub member: String,
    /// The method: `LimitService.set`.
    pub method: String,
    /// What was asked, in a few words.
    pub object: String,
    /// How it ended: `ok`, or the code and the words of an error; `null`: see `ended_at`.
    pub outcome: Option<String>,
}

impl From<&v1::Act> for Act {
    fn from(act: &v1::Act) -> Self {
        Self {
            number: act.number,
            begun_at: Time::of(act.time_ms),
            ended_at: Time::of(act.ended_ms),
            principal: act.principal.clone(),
            from: act.from.clone(),
            member: act.member.clone(),
            method: act.method.clone(),
            object: act.object.clone(),
            outcome: some(&act.outcome),
        }
    }
}

/// Administrative acts.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ActList {
    /// The latest first.
    pub acts: Vec<Act>,
    /// Whether there are earlier ones: ask for those before the number of the last.
    pub more: bool,
}

impl From<&v1::ListActsResponse> for ActList {
    fn from(answer: &v1::ListActsResponse) -> Self {
        Self { acts: answer.acts.iter().map(Act::from).collect(), more: answer.more }
    }
}
