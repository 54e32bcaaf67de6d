//! `CloseSession`: a worker process left. Closing one that is not there changes nothing.

use crate::command::CloseSession;
use crate::content;
use crate::effect::Effect;
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{SessionKey, Sessions};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &CloseSession) -> Answer {
    content::id("incarnation", &command.incarnation)?;
    let key = SessionKey { incarnation: command.incarnation.clone() };
    if turn.tx.get::<Sessions>(&key).is_some() {
        turn.tx.delete::<Sessions>(&key);
        turn.effects.push(Effect::SessionClosed { incarnation: key.incarnation });
    }
    turn.done(0)
}
