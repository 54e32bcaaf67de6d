//! `SetLimit`: sets or unsets the concurrency limit of a node or of the whole cluster.

use crate::command::SetLimit;
use crate::content;
use crate::effect::Effect;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{LimitKey, Limits};

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
    let key = LimitKey { namespace: namespace.clone(), node: node.clone() };
    let stands = turn.tx.get::<Limits>(&key).map(|limit| *limit);
    if stands == *limit || (*only_if_absent && stands.is_some()) {
        return turn.done(0);
    }
    match limit {
        Some(limit) => turn.tx.put::<Limits>(key.clone(), *limit),
        None => turn.tx.delete::<Limits>(&key),
    }
    turn.effects.push(Effect::LimitSet(key, *limit));
    turn.done(0)
}
