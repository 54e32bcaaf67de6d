//! S11: a leader that has applied a cancellation, or an end of any kind, dispatches nothing of that workflow; what comes late is ignored, and
//! its history says so.

use graft_machine::event::{Event, Happened};
use graft_machine::ids::Run;
use graft_machine::workflow::StatusKind;
use std::collections::BTreeSet;

use super::{Invariant, Minted, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    cancelling: BTreeSet<Run>,
}

impl Invariant for Check {
    fn minted(&mut self, minted: &Minted<'_>) -> Verdict {
        let Minted { at, status, .. } = minted;
        let status = status.ok_or_else(|| format!("{at} was dispatched, and its workflow is gone"))?;
        must!(matches!(status, StatusKind::Running | StatusKind::Paused), "{at} was dispatched in a workflow that is {status:?}");
        Ok(())
    }

    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        match &event.happened {
            Some(Happened::Cancelling(_)) => drop(self.cancelling.insert(event.run)),
            Some(Happened::Completed(e)) if self.cancelling.contains(&event.run) => {
                let nothing = e.created.is_empty() && e.opened.is_empty();
                must!(nothing, "task {} of run {}, which is being cancelled, created {:?}", e.task, event.run, e.created);
            }
            _ => {}
        }
        Ok(())
    }
}
