//! `BeginAct` and `EndAct`: what administrators do is noted before it is done, and how it ended afterwards. So nothing is done unnoted, and a member
//! that stops between the two leaves an act behind whose end is not known.

use crate::access::Act;
use crate::command::{BeginAct, EndAct};
use crate::content;
use crate::limits::ACTS_MAX;
use crate::reply::{Answer, Done, Rejection, RejectionCode, Reply};
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{ActKey, Acts, Counter, CounterKey, CounterName, Counters};

/// Gives the act a number. The oldest one goes when there are too many.
pub(crate) fn begin<S: StateTx>(turn: &mut Turn<'_, S>, command: &BeginAct) -> Answer {
    let BeginAct { from, method, object, member } = command;
    let key = CounterKey { name: CounterName::Act as u8 };
    let number = turn.tx.get::<Counters>(&key).map_or(0, |counter| counter.value) + 1;
    turn.tx.put::<Counters>(key, Counter { value: number });
    if number > ACTS_MAX {
        turn.tx.delete::<Acts>(&ActKey { number: number - ACTS_MAX });
    }
    let act = Act {
        time: turn.now,
        principal: content::who(turn.principal),
        from: content::who(from),
        method: content::who(method),
        object: content::message(object),
        member: content::who(member),
        outcome: String::new(),
        ended: 0,
    };
    turn.tx.put::<Acts>(ActKey { number }, act);
    Ok(Reply::Done(Done { run: number, at: None, time: turn.now }))
}

/// Notes how it ended, once.
pub(crate) fn end<S: StateTx>(turn: &mut Turn<'_, S>, command: &EndAct) -> Answer {
    let key = ActKey { number: command.number };
    let refused = |detail: &str| Err(Rejection::new(RejectionCode::Invalid, format!("act {}", command.number), detail));
    let Some(act) = turn.tx.get::<Acts>(&key) else { return refused("is not kept") };
    if act.ended != 0 {
        return refused("has ended already");
    }
    let outcome = content::message(&command.outcome);
    turn.tx.put::<Acts>(key, Act { outcome, ended: turn.now, ..Act::clone(&act) });
    turn.done(0)
}
