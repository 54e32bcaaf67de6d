//! Which requests took effect. One that is repeated is answered as the first time and has no effect, for as long as it is remembered: that is its window, and
//! however long it takes until it is swept. After that the same request is another one.

use std::collections::BTreeMap;

use graft_machine::Applied;
use graft_machine::command::Envelope;
use graft_machine::reply::Reply;

/// When each request last took effect.
#[derive(Debug, Default)]
pub struct Effects(BTreeMap<String, u64>);

impl Effects {
    /// Whether this took effect: it was neither refused nor answered from memory, which tells when it was the first time.
    pub fn has(&mut self, envelope: &Envelope, applied: &Applied) -> bool {
        match &applied.reply {
            Err(_) => false,
            Ok(Reply::Done(done)) if !envelope.request_id.is_empty() => {
                self.0.insert(envelope.request_id.clone(), done.time) != Some(done.time)
            }
            Ok(_) => true,
        }
    }
}
