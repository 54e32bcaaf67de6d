//! S4: a task has one completion. While the history is kept, its repeat is answered as resolved, naming the lease that was accepted; whatever
//! else is said of the task is stale.

use std::collections::BTreeMap;

use graft_machine::Applied;
use graft_machine::command::{Command, Envelope};
use graft_machine::event::{Event, Happened};
use graft_machine::ids::{AttemptRef, Lease, TaskRef};
use graft_machine::memory::Memory;
use graft_machine::reply::{Reply, Resolution};
use graft_machine::view;

use super::{Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    completed: BTreeMap<TaskRef, (u32, Lease)>,
    /// Completed by the command that is being told of.
    now: Option<TaskRef>,
}

fn of(command: &Command) -> Option<(AttemptRef, Lease)> {
    match command {
        Command::Complete(c) => Some((c.at, c.lease)),
        Command::Fail(c) => Some((c.at, c.lease)),
        Command::Block(c) => Some((c.at, c.lease)),
        Command::Lose(c) => Some((c.at, c.lease)),
        _ => None,
    }
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        if let Some(Happened::Completed(e)) = &event.happened {
            let task = TaskRef { run: event.run, task: e.task };
            let before = self.completed.insert(task, (e.attempt, e.lease));
            must!(before.is_none(), "{task} completed as {before:?} and as attempt {} under {:?}", e.attempt, e.lease);
            self.now = Some(task);
        }
        Ok(())
    }

    fn command(&mut self, _: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        let now = self.now.take();
        let Some((at, lease)) = envelope.command.as_ref().and_then(of) else { return Ok(()) };
        let Some((attempt, accepted)) = self.completed.get(&at.task_ref()).copied().filter(|_| now != Some(at.task_ref())) else {
            return Ok(());
        };
        let Ok(Reply::Resolved(resolved)) = &applied.reply else { return Ok(()) };
        let said = resolved.resolution();
        must!(said != Resolution::Applied, "{at} took effect after its task had completed");
        if said == Resolution::AlreadyResolved {
            must!(resolved.accepted == Some(accepted), "a repeat of {at} was told of {:?}; accepted was {accepted:?}", resolved.accepted);
            must!(at.attempt == attempt && lease == accepted, "{at} under {lease:?} was told that it had been accepted");
        }
        Ok(())
    }

    fn state(&mut self, _: Place, state: &Memory) -> Verdict {
        for task in self.completed.keys() {
            must!(view::task(state, *task).is_none(), "{task} has completed and is still open");
        }
        Ok(())
    }
}
