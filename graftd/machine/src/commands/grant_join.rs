//! `GrantJoin`, `UseJoinGrant` and `RevokeJoinGrant`: who may join the cluster, where its policy asks for more than a certificate.
//!
//! A grant is a *token* (whoever has the secret may join) or an *approval* (the member of this name may join). Using one is a command, so
//! that a token for one member admits one, however many ask two leaders at the same time.

use bytes::Bytes;

use crate::command::{GrantJoin, RevokeJoinGrant, UseJoinGrant};
use crate::content;
use crate::limits::{GRANT_USES_MAX, JOIN_GRANTS_MAX, SECRET_HASH_BYTES};
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::session::JoinGrant;
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{JoinGrantKey, JoinGrants, Prefix};

fn called(id: &str) -> String {
    format!("join grant {id:?}")
}

fn refused(id: &str, detail: impl Into<String>) -> Answer {
    Err(Rejection::new(RejectionCode::GrantRefused, called(id), detail))
}

/// Makes a grant, or an approval again. What has expired goes first.
pub(crate) fn grant<S: StateTx>(turn: &mut Turn<'_, S>, command: &GrantJoin) -> Answer {
    let GrantJoin { id, member, secret_hash, expires, uses } = command;
    content::id("join grant", id)?;
    if !member.is_empty() {
        content::name("member", member)?;
    }
    let invalid = |detail: String| Err(Rejection::new(RejectionCode::Invalid, called(id), detail));
    match (secret_hash.len(), member.is_empty()) {
        (0, true) => return invalid("has neither a secret nor a member's name".into()),
        (0 | SECRET_HASH_BYTES, _) => {}
        (other, _) => return invalid(format!("has a hash of {other} bytes, and not of {SECRET_HASH_BYTES}")),
    }
    if !(1..=GRANT_USES_MAX).contains(uses) {
        return invalid(format!("is for {uses} members; at least 1 and at most {GRANT_USES_MAX} may use one"));
    }
    if *expires <= turn.now {
        return invalid("has expired before it was made".into());
    }
    let all = turn.tx.scan::<JoinGrants>(Prefix::new().as_bytes(), None, JOIN_GRANTS_MAX);
    let stands = all.iter().find(|(key, _)| key.id == *id);
    if stands.is_some_and(|(_, grant)| !grant.secret_hash.is_empty()) {
        return refused(id, "exists already; make one with another id");
    }
    let expired: Vec<JoinGrantKey> = all.iter().filter(|(_, grant)| grant.expires <= turn.now).map(|(key, _)| key.clone()).collect();
    if stands.is_none() && all.len() - expired.len() >= JOIN_GRANTS_MAX {
        let detail = format!("would be one more than the {JOIN_GRANTS_MAX} that may stand; revoke others first");
        return Err(Rejection::new(RejectionCode::TooLarge, called(id), detail));
    }
    for key in expired {
        turn.tx.delete::<JoinGrants>(&key);
    }
    let grant = JoinGrant {
        member: member.clone(),
        secret_hash: secret_hash.clone(),
        expires: *expires,
        uses: *uses,
        used_by: Vec::new(),
        created: turn.now,
        principal: content::who(turn.principal),
    };
    turn.tx.put::<JoinGrants>(JoinGrantKey { id: id.clone() }, grant);
    turn.done(0)
}

/// Takes one use of a grant for a member's data directory. A repeat for the same one takes none.
pub(crate) fn use_grant<S: StateTx>(turn: &mut Turn<'_, S>, command: &UseJoinGrant) -> Answer {
    let UseJoinGrant { id, secret_hash, member, raft_id } = command;
    let key = JoinGrantKey { id: id.clone() };
    let Some(stands) = turn.tx.get::<JoinGrants>(&key) else {
        return Err(Rejection::new(RejectionCode::GrantNotFound, called(id), "does not exist, or was revoked"));
    };
    if !same(&stands.secret_hash, secret_hash) {
        return refused(id, "has another secret");
    }
    if !stands.member.is_empty() && stands.member != *member {
        return refused(id, format!("is for member {:?}, and not for {member:?}", stands.member));
    }
    if stands.used_by.contains(raft_id) {
        return turn.done(0);
    }
    if stands.expires <= turn.now {
        return refused(id, "has expired");
    }
    if stands.used_by.len() >= stands.uses as usize {
        return refused(id, format!("has been used by as many members as it is for ({})", stands.uses));
    }
    let mut next = JoinGrant::clone(&stands);
    next.used_by.push(*raft_id);
    turn.tx.put::<JoinGrants>(key, next);
    turn.done(0)
}

/// Takes a grant away. Who has used it stays a member.
pub(crate) fn revoke<S: StateTx>(turn: &mut Turn<'_, S>, command: &RevokeJoinGrant) -> Answer {
    let key = JoinGrantKey { id: command.id.clone() };
    if turn.tx.get::<JoinGrants>(&key).is_none() {
        return Err(Rejection::new(RejectionCode::GrantNotFound, called(&command.id), "does not exist, or was revoked already"));
    }
    turn.tx.delete::<JoinGrants>(&key);
    turn.done(0)
}

/// Compares without telling by the time it takes where two hashes differ.
fn same(a: &Bytes, b: &Bytes) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
