//! S23: a workflow is deleted only once it has ended and its retention is over; the answer to a request is remembered until its not-after.

use std::collections::BTreeMap;

use graft_machine::Applied;
use graft_machine::command::{Command, Envelope};
use graft_machine::event::Event;
use graft_machine::ids::Run;
use graft_machine::limits::{NOT_AFTER_AHEAD_MAX, RETENTION_DEFAULT};
use graft_machine::memory::Memory;
use graft_machine::reply::Reply;
use graft_machine::state::StateRead;
use graft_machine::tables::{RequestKey, Requests};
use graft_machine::view;

use super::{Invariant, Place, Verdict, must, status_after};

#[derive(Debug, Default)]
struct Kept {
    retention: u64,
    ended: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    runs: BTreeMap<Run, Kept>,
    /// Starts that took effect: namespace, request id, until when.
    requests: Vec<(RequestKey, u64)>,
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        if let Some(status) = event.happened.as_ref().and_then(status_after) {
            self.runs.entry(event.run).or_default().ended = status.is_final().then_some(event.at);
        }
        Ok(())
    }

    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        if let (Some(Command::Start(start)), Ok(Reply::Started(started))) = (&envelope.command, &applied.reply)
            && !applied.events.is_empty()
        {
            self.runs.entry(started.run).or_default().retention = if start.retention == 0 { RETENTION_DEFAULT } else { start.retention };
            if !envelope.request_id.is_empty() {
                let until = if envelope.not_after == 0 { place.time + NOT_AFTER_AHEAD_MAX } else { envelope.not_after };
                self.requests.push((RequestKey { namespace: start.namespace.clone(), id: envelope.request_id.clone() }, until));
            }
        }
        Ok(())
    }

    fn state(&mut self, place: Place, state: &Memory) -> Verdict {
        for (run, kept) in self.runs.iter().filter(|(run, _)| view::workflow(state, **run).is_none()) {
            let over = kept.ended.map(|ended| ended.saturating_add(kept.retention));
            must!(over.is_some_and(|over| over <= place.time), "run {run} is gone at {}; its retention is over at {over:?}", place.time);
        }
        for (key, until) in self.requests.iter().filter(|(_, until)| *until >= place.time) {
            must!(state.get::<Requests>(key).is_some(), "the answer to {key:?} is forgotten at {}, before {until}", place.time);
        }
        Ok(())
    }
}
