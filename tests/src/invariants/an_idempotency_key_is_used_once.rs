//! S3: within a run the second task with an idempotency key is skipped, naming the first.

use std::collections::BTreeMap;

use graft_machine::event::{CreatedTask, Event, Happened};
use graft_machine::ids::{Run, TaskId};

use super::{Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    first: BTreeMap<(Run, String), TaskId>,
}

impl Check {
    fn created(&mut self, run: Run, created: &[CreatedTask]) -> Verdict {
        for task in created.iter().filter(|task| !task.idempotency_key.is_empty()) {
            let key = (run, task.idempotency_key.clone());
            match self.first.get(&key) {
                None => {
                    must!(task.skipped_for == 0, "a task of run {run} was skipped for {}, and {:?} is new", task.skipped_for, key.1);
                    self.first.insert(key, task.task);
                }
                Some(first) => {
                    must!(task.task == 0 && task.skipped_for == *first, "{:?} is used by task {first} of run {run}, then: {task:?}", key.1);
                }
            }
        }
        Ok(())
    }
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        match event.happened.as_ref() {
            Some(Happened::Started(e)) => self.created(event.run, &e.created),
            Some(Happened::Completed(e)) => self.created(event.run, &e.created),
            Some(Happened::ScopeClosed(e)) => self.created(event.run, e.continuation.as_slice()),
            Some(Happened::DeadLettered(e)) => self.created(event.run, e.error_task.as_slice()),
            _ => Ok(()),
        }
    }
}
