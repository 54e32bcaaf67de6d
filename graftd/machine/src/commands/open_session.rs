//! `OpenSession`: a worker process came. Opening it again replaces what it declared, and keeps when it was first opened.

use std::collections::BTreeSet;

use crate::content;
use crate::effect::Effect;
use crate::limits::NODES_PER_SESSION_MAX;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::session::Session;
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{SessionKey, Sessions};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &Session) -> Answer {
    check(command)?;
    let key = SessionKey { incarnation: command.incarnation.clone() };
    let opened = turn.tx.get::<Sessions>(&key).map_or(turn.now, |known| known.opened);
    let session = Session { opened, ..command.clone() };
    turn.tx.put::<Sessions>(key, session.clone());
    turn.effects.push(Effect::SessionOpened(session));
    turn.done(0)
}

fn check(session: &Session) -> Result<(), Rejection> {
    content::id("incarnation", &session.incarnation)?;
    content::id("worker", &session.worker)?;
    content::name("namespace", &session.namespace)?;
    if !session.build.is_empty() {
        content::id("build", &session.build)?;
    }
    let refuse = |code, detail: String| Err(Rejection::new(code, format!("worker {:?}", session.worker), detail));
    if session.nodes.len() > NODES_PER_SESSION_MAX {
        let detail = format!("serves {} nodes; at most {NODES_PER_SESSION_MAX} are allowed", session.nodes.len());
        return refuse(RejectionCode::TooLarge, detail);
    }
    if session.lease_time == 0 {
        return refuse(RejectionCode::Invalid, "has a lease time of 0 ms".to_owned());
    }
    let mut seen = BTreeSet::new();
    for node in &session.nodes {
        content::name("node", &node.node)?;
        if node.capacity == 0 {
            return refuse(RejectionCode::Invalid, format!("serves node {:?} with a capacity of 0", node.node));
        }
        if !seen.insert(&node.node) {
            return refuse(RejectionCode::Invalid, format!("names node {:?} twice", node.node));
        }
    }
    Ok(())
}
