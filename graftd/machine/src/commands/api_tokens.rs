//! `CreateApiToken` and `RevokeApiToken`. Who may ask for which grants is decided where callers are known; here stands only what a token is.

use crate::access::{ApiToken, Grant};
use crate::command::{CreateApiToken, RevokeApiToken};
use crate::content;
use crate::limits::{API_TOKENS_MAX, GRANTS_PER_TOKEN_MAX, SECRET_HASH_BYTES};
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{ApiTokenKey, ApiTokens, Prefix};

fn called(id: &str) -> String {
    format!("API token {id:?}")
}

/// Makes a token. Those that have expired go first.
pub(crate) fn create<S: StateTx>(turn: &mut Turn<'_, S>, command: &CreateApiToken) -> Answer {
    let CreateApiToken { id, name, secret_hash, grants, expires } = command;
    content::id("API token", id)?;
    content::name("API token", name)?;
    let invalid = |detail: String| Err(Rejection::new(RejectionCode::Invalid, called(id), detail));
    if secret_hash.len() != SECRET_HASH_BYTES {
        return invalid(format!("has a hash of {} bytes, and not of {SECRET_HASH_BYTES}", secret_hash.len()));
    }
    if !(1..=GRANTS_PER_TOKEN_MAX).contains(&grants.len()) {
        return invalid(format!("has {} grants; at least 1 and at most {GRANTS_PER_TOKEN_MAX} are allowed", grants.len()));
    }
    for grant in grants {
        if let Err(error) = grant.parse::<Grant>() {
            return Err(Rejection::new(RejectionCode::Invalid, format!("grant {:?}", content::who(grant)), error.to_string()));
        }
    }
    if *expires != 0 && *expires <= turn.now {
        return invalid("has expired before it was made".into());
    }
    let key = ApiTokenKey { id: id.clone() };
    if turn.tx.get::<ApiTokens>(&key).is_some() {
        return invalid("exists already".into());
    }
    let all = turn.tx.scan::<ApiTokens>(Prefix::new().as_bytes(), None, API_TOKENS_MAX);
    let expired: Vec<ApiTokenKey> = all.iter().filter(|(_, token)| !token.stands(turn.now)).map(|(key, _)| key.clone()).collect();
    if all.len() - expired.len() >= API_TOKENS_MAX {
        let detail = format!("would be one more than the {API_TOKENS_MAX} that may exist; revoke others first");
        return Err(Rejection::new(RejectionCode::TooLarge, called(id), detail));
    }
    for key in expired {
        turn.tx.delete::<ApiTokens>(&key);
    }
    let token = ApiToken {
        name: name.clone(),
        secret_hash: secret_hash.clone(),
        grants: grants.clone(),
        expires: *expires,
        created: turn.now,
        principal: content::who(turn.principal),
    };
    turn.tx.put::<ApiTokens>(key, token);
    turn.done(0)
}

/// Takes a token away.
pub(crate) fn revoke<S: StateTx>(turn: &mut Turn<'_, S>, command: &RevokeApiToken) -> Answer {
    content::id("API token", &command.id)?;
    let key = ApiTokenKey { id: command.id.clone() };
    if turn.tx.get::<ApiTokens>(&key).is_none() {
        return Err(Rejection::new(RejectionCode::TokenNotFound, called(&command.id), "does not exist, or was revoked already"));
    }
    turn.tx.delete::<ApiTokens>(&key);
    turn.done(0)
}
