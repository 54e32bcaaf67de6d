//! S21: after its not-after a request does nothing any more: who was told that it has expired, or hears nothing until then, knows.

use std::collections::BTreeSet;

use graft_machine::Applied;
use graft_machine::command::Envelope;
use graft_machine::reply::RejectionCode;

use super::{Answered, Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    expired: BTreeSet<String>,
}

impl Invariant for Check {
    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        let Envelope { request_id, not_after, .. } = envelope;
        if !applied.events.is_empty() {
            must!(*not_after == 0 || place.time <= *not_after, "{request_id} took effect at {}; its not-after is {not_after}", place.time);
            must!(!self.expired.contains(request_id), "{request_id} took effect after its client was told that it has expired");
        }
        Ok(())
    }

    fn answered(&mut self, answered: &Answered<'_>) -> Verdict {
        if answered.answer.as_ref().is_err_and(|rejection| rejection.code == RejectionCode::RequestExpired as i32) {
            self.expired.insert(answered.request.to_owned());
        }
        Ok(())
    }
}
