//! S1: a start that was answered is there, until its retention deletes it; and one request starts one run, however often it is repeated.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::Applied;
use graft_machine::command::{Command, Envelope};
use graft_machine::ids::Run;
use graft_machine::memory::Memory;
use graft_machine::reply::Reply;
use graft_machine::view;

use super::{Answered, Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    acknowledged: BTreeSet<Run>,
    /// Made by which request.
    made: BTreeMap<Run, String>,
    deleted_at: BTreeMap<Run, u64>,
    retention: BTreeMap<Run, u64>,
}

impl Invariant for Check {
    fn event(&mut self, place: Place, event: &graft_machine::event::Event) -> Verdict {
        let ended = super::status_after(event.happened.as_ref().ok_or("an event without content")?).map(|status| status.is_final());
        match ended {
            Some(true) => {
                let retention = self.retention.get(&event.run).copied().unwrap_or(0);
                self.deleted_at.insert(event.run, event.at.saturating_add(retention));
            }
            Some(false) => drop(self.deleted_at.remove(&event.run)),
            None => {}
        }
        let _ = place;
        Ok(())
    }

    fn command(&mut self, _: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        if let (Some(Command::Start(start)), Ok(Reply::Started(started))) = (&envelope.command, &applied.reply)
            && started.created
            && !applied.events.is_empty()
        {
            let retention = if start.retention == 0 { graft_machine::limits::RETENTION_DEFAULT } else { start.retention };
            self.retention.insert(started.run, retention);
            let other = self.made.insert(started.run, envelope.request_id.clone());
            must!(other.is_none(), "run {} was made by request {:?} and by {other:?}", started.run, envelope.request_id);
        }
        Ok(())
    }

    fn answered(&mut self, answered: &Answered<'_>) -> Verdict {
        if let Ok(Reply::Started(started)) = answered.answer {
            must!(self.made.contains_key(&started.run), "{} was told of run {}, which nobody started", answered.request, started.run);
            self.acknowledged.insert(started.run);
        }
        Ok(())
    }

    fn state(&mut self, place: Place, state: &Memory) -> Verdict {
        for run in &self.acknowledged {
            let over = self.deleted_at.get(run).is_some_and(|at| *at <= place.time);
            must!(over || view::workflow(state, *run).is_some(), "run {run} was acknowledged and is gone");
        }
        Ok(())
    }
}
