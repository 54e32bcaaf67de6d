//! `SetLimit`: sets or unsets the concurrency limit of a node or of the whole cluster.

use crate::command::SetLimit;
use crate::content;
use crate::effect::Effect;
use crate::limits::LIMITS_MAX;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::session::Limit;
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{LimitKey, Limits, Prefix};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &SetLimit) -> Answer {
    let SetLimit { namespace, node, limit, only_if_absent } = command;
    match (namespace.as_str(), node.as_str()) {
        ("", "") => {}
        ("", _) | (_, "") => {
            let detail = "names only one of namespace and node; name both, or neither for the whole cluster";
            return Err(Rejection::new(RejectionCode::Invalid, "the limit", detail));
        }
        (namespace, node) => {
            content::name("namespace", namespace)?;
            content::name("node", node)?;
        }
    }
    if limit.is_some_and(|limit| limit.in_force().is_none()) {
        return Err(Rejection::new(RejectionCode::Invalid, "the limit", "is 0, at least 1 attempt has to be allowed"));
    }
    let key = LimitKey { namespace: namespace.clone(), node: node.clone() };
    let stands = turn.tx.get::<Limits>(&key).map(|limit| *limit);
    let next = match (stands, limit) {
        (Some(stands), _) if *only_if_absent => Some(Limit { configured: true, ..stands }),
        (stands, Some(limit)) => {
            Some(Limit { max: limit.max, configured: *only_if_absent || stands.is_some_and(|stands| stands.configured) })
        }
        (Some(Limit { configured: true, .. }), None) => Some(Limit { max: 0, configured: true }),
        (_, None) => None,
    };
    if stands == next {
        return turn.done(0);
    }
    match next {
        Some(next) => {
            // Counted, and not kept as a number: a new limit is rare, and there are few.
            if stands.is_none() && turn.tx.scan::<Limits>(Prefix::new().as_bytes(), None, LIMITS_MAX).len() == LIMITS_MAX {
                let detail = format!("would be one more than the {LIMITS_MAX} that may be set; take others away first");
                return Err(Rejection::new(RejectionCode::TooLarge, "the limit", detail));
            }
            turn.tx.put::<Limits>(key.clone(), next);
        }
        None => turn.tx.delete::<Limits>(&key),
    }
    let in_force = |limit: Option<Limit>| limit.and_then(Limit::in_force);
    if in_force(stands) != in_force(next) {
        turn.effects.push(Effect::LimitSet(key, in_force(next)));
    }
    turn.done(0)
}
