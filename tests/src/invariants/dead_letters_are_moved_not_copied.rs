//! S17: a dead letter is listed until it is redriven, discarded, or its workflow deleted; redriving makes a task of it again, which is tried
//! in the end, unless its workflow is ended before.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::event::{Event, Happened};
use graft_machine::ids::{Run, TaskRef};
use graft_machine::limits::PAGE_MAX;
use graft_machine::memory::Memory;
use graft_machine::view;
use graft_machine::workflow::StatusKind;

use super::{Invariant, Place, Verdict, must, status_after};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    dead: BTreeSet<TaskRef>,
    /// Redriven, and not tried yet.
    redriven: BTreeSet<TaskRef>,
    status: BTreeMap<Run, StatusKind>,
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        let at = |task| TaskRef { run: event.run, task };
        let happened = event.happened.as_ref().ok_or("an event without content")?;
        if let Some(status) = status_after(happened) {
            self.status.insert(event.run, status);
        }
        match happened {
            Happened::DeadLettered(e) => must!(self.dead.insert(at(e.task)), "{} was given up twice", at(e.task)),
            Happened::DeadLetterRedriven(e) => {
                must!(self.dead.remove(&at(e.task)), "{} was redriven, and is no dead letter", at(e.task));
                self.redriven.insert(at(e.task));
            }
            Happened::DeadLetterDiscarded(e) => {
                must!(self.dead.remove(&at(e.task)), "{} was discarded, and is no dead letter", at(e.task));
            }
            Happened::Completed(e) => drop(self.redriven.remove(&at(e.task))),
            Happened::Failed(e) => drop(self.redriven.remove(&at(e.task))),
            Happened::Blocked(e) => drop(self.redriven.remove(&at(e.task))),
            Happened::HandedBack(e) => drop(self.redriven.remove(&at(e.task))),
            _ => {}
        }
        Ok(())
    }

    fn state(&mut self, place: Place, state: &Memory) -> Verdict {
        let kept = |run| {
            let workflow = view::workflow(state, run)?;
            let over = view::retention_over(&workflow).is_some_and(|over| over <= place.time);
            (!over).then_some(workflow)
        };
        let mut listed = BTreeSet::new();
        for namespace in ["default", "other"] {
            let page = view::dead_letters(state, namespace, None, PAGE_MAX);
            listed.extend(page.into_iter().map(|key| TaskRef { run: key.run, task: key.task }));
        }
        for task in listed.iter().filter(|task| kept(task.run).is_some()) {
            must!(self.dead.contains(task), "{task} is listed as a dead letter, and is none");
        }
        for task in self.dead.iter().filter(|task| kept(task.run).is_some()) {
            must!(listed.contains(task), "{task} is a dead letter, and is not listed");
        }
        Ok(())
    }

    fn end(&mut self, place: Place, state: &Memory) -> Verdict {
        self.state(place, state)?;
        for task in &self.redriven {
            let status = self.status.get(&task.run).copied();
            let ended = status.is_some_and(|status| status.is_final() && status != StatusKind::Completed);
            must!(ended, "{task} was redriven and never tried, in a workflow that is {status:?}");
        }
        Ok(())
    }
}
