//! S15: the stamps of the log never go back; nothing that waits for a time happens before it, as the stamps count.

use std::collections::BTreeMap;

use graft_machine::Applied;
use graft_machine::command::{Command, Envelope, LogEntry};
use graft_machine::event::{CreatedTask, Event, Happened};
use graft_machine::ids::{Run, TaskRef};
use graft_machine::limits::CANCEL_GRACE_DEFAULT;
use graft_machine::memory::Memory;
use graft_machine::task::TaskState;
use graft_machine::view;

use super::{Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    stamp: u64,
    not_before: BTreeMap<TaskRef, u64>,
    deadlines: BTreeMap<Run, u64>,
    graces: BTreeMap<Run, u64>,
    /// Tasks that are blocked, and when they may be asked again if nothing changes.
    events_now: Vec<Run>,
}

impl Check {
    fn created(&mut self, run: Run, created: &[CreatedTask]) {
        for task in created.iter().filter(|task| task.task != 0) {
            self.not_before.insert(TaskRef { run, task: task.task }, task.not_before);
        }
    }

    /// An attempt ended at the machine's time `at`: it had begun.
    fn ended(&self, task: TaskRef, at: u64) -> Verdict {
        let not_before = self.not_before.get(&task).copied().unwrap_or(0);
        must!(at >= not_before, "an attempt of {task} ended at {at}, before it could start at {not_before}");
        Ok(())
    }
}

impl Invariant for Check {
    fn entry(&mut self, place: Place, entry: &LogEntry) -> Verdict {
        if !entry.commands.is_empty() {
            must!(entry.time >= self.stamp, "the stamp of entry {} goes back from {} to {}", place.index, self.stamp, entry.time);
            self.stamp = entry.time;
        }
        Ok(())
    }

    fn event(&mut self, place: Place, event: &Event) -> Verdict {
        let (run, at) = (event.run, event.at);
        must!(at == place.time, "event {} of run {run} happened at {at}; it was {}", event.number, place.time);
        let task = |task| TaskRef { run, task };
        self.events_now.push(run);
        match event.happened.as_ref().ok_or("an event without content")? {
            Happened::Started(e) => self.created(run, &e.created),
            Happened::Completed(e) => {
                self.ended(task(e.task), at)?;
                self.created(run, &e.created);
            }
            Happened::Failed(e) => {
                self.ended(task(e.task), at)?;
                self.not_before.insert(task(e.task), e.retry_at);
            }
            Happened::HandedBack(e) => self.ended(task(e.task), at)?,
            Happened::Blocked(e) => self.ended(task(e.task), at)?,
            Happened::ScopeClosed(e) => self.created(run, e.continuation.as_slice()),
            Happened::DeadLettered(e) => self.created(run, e.error_task.as_slice()),
            Happened::DeadLetterRedriven(e) => drop(self.not_before.insert(task(e.task), at)),
            Happened::TaskRetried(e) => drop(self.not_before.insert(task(e.task), at)),
            Happened::WorkflowTimedOut(_) => {
                let due = self.deadlines.get(&run).copied().unwrap_or(0);
                must!(due != 0 && at >= due, "run {run} timed out at {at}; its deadline is {due}");
            }
            _ => {}
        }
        Ok(())
    }

    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        let runs = std::mem::take(&mut self.events_now);
        match &envelope.command {
            Some(Command::Start(start)) => {
                if let Some(run) = runs.first() {
                    self.deadlines.insert(*run, start.deadline);
                }
            }
            Some(Command::Cancel(cancel)) if !cancel.idle && !applied.events.is_empty() => {
                let grace = if cancel.grace == 0 { CANCEL_GRACE_DEFAULT } else { cancel.grace };
                self.graces.insert(runs[0], place.time + grace);
            }
            Some(Command::Due(_)) => {
                for event in &applied.events {
                    if let Some(Happened::WorkflowCancelled(_)) = &event.happened {
                        let until = self.graces.get(&event.run).copied().unwrap_or(u64::MAX);
                        must!(place.time >= until, "the grace of run {} was over at {}; it lasts until {until}", event.run, place.time);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn state(&mut self, place: Place, state: &Memory) -> Verdict {
        for (task, not_before) in self.not_before.iter().filter(|(_, not_before)| **not_before > place.time) {
            if let Some(found) = view::task(state, *task) {
                must!(!matches!(found.state(), TaskState::Ready(_)), "{task} is ready at {}; it may start at {not_before}", place.time);
            }
        }
        Ok(())
    }
}
