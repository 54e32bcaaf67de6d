//! `ExpireRequests`: forgets the answers to requests that can no longer take effect, oldest first, at most `EXPIRE_REQUESTS_STEP`.

use crate::limits::EXPIRE_REQUESTS_STEP;
use crate::reply::Answer;
use crate::state::StateTx;
use crate::step::Turn;
use crate::tables::{Prefix, RequestExpiry, RequestKey, Requests};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>) -> Answer {
    let page = turn.tx.scan::<RequestExpiry>(Prefix::new().as_bytes(), None, EXPIRE_REQUESTS_STEP);
    for (key, _) in page.into_iter().take_while(|(key, _)| key.expires < turn.now) {
        turn.tx.delete::<RequestExpiry>(&key);
        turn.tx.delete::<Requests>(&RequestKey { namespace: key.namespace, id: key.id });
    }
    turn.done(0)
}
