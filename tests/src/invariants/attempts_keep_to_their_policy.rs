//! S16: the number of an attempt only rises, and by something that the history tells; a task fails no more often than its policy allows, and
//! what the state counts is what the history counts.

use std::collections::BTreeMap;

use graft_machine::event::{Event, Happened};
use graft_machine::ids::TaskRef;
use graft_machine::memory::Memory;
use graft_machine::task::TaskState;
use graft_machine::view;

use super::{Invariant, Place, Verdict, must};

#[derive(Debug, Default)]
struct Tries {
    /// The last attempt that ended.
    last: u32,
    /// Failures since it was created or redriven.
    failures: u32,
    dead: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    tasks: BTreeMap<TaskRef, Tries>,
}

impl Check {
    fn ended(&mut self, task: TaskRef, attempt: u32, failed: bool) -> Verdict {
        let tries = self.tasks.entry(task).or_default();
        must!(attempt > tries.last, "attempt {attempt} of {task} ended after attempt {}", tries.last);
        must!(!tries.dead, "attempt {attempt} of {task} ended, which is a dead letter");
        tries.last = attempt;
        tries.failures += u32::from(failed);
        Ok(())
    }
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        let task = |task| TaskRef { run: event.run, task };
        match event.happened.as_ref().ok_or("an event without content")? {
            Happened::Completed(e) => self.ended(task(e.task), e.attempt, false)?,
            Happened::Failed(e) => self.ended(task(e.task), e.attempt, true)?,
            Happened::HandedBack(e) => self.ended(task(e.task), e.attempt, false)?,
            Happened::Blocked(e) => self.ended(task(e.task), e.attempt, false)?,
            Happened::DeadLettered(e) => self.tasks.entry(task(e.task)).or_default().dead = true,
            Happened::DeadLetterRedriven(e) => {
                let tries = self.tasks.entry(task(e.task)).or_default();
                must!(e.attempt > tries.last, "{} was redriven as attempt {}, after attempt {}", task(e.task), e.attempt, tries.last);
                (tries.dead, tries.failures) = (false, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn state(&mut self, _: Place, state: &Memory) -> Verdict {
        for (at, tries) in &self.tasks {
            let Some(task) = view::task(state, *at) else { continue };
            let (counted, max) = (task.failures, task.retry.max_attempts);
            must!(counted == tries.failures, "{at} counts {counted} failures; the history tells of {}", tries.failures);
            must!(counted <= max, "{at} has failed {counted} times; its policy allows {max}");
            let dead = matches!(task.state(), TaskState::DeadLettered(_));
            must!(dead || task.attempt > tries.last, "{at} is at attempt {} after attempt {} has ended", task.attempt, tries.last);
        }
        Ok(())
    }
}
