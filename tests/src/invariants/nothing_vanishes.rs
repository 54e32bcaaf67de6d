//! S17: every workflow that was accepted is counted under the status that its history gives it, or its retention is over; every task that was
//! created is open, a dead letter, or resolved in the history; failed attempts are listed as they happened.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::event::{CreatedTask, Event, Happened};
use graft_machine::ids::{Run, TaskId, TaskRef};
use graft_machine::limits::PAGE_MAX;
use graft_machine::memory::Memory;
use graft_machine::view;
use graft_machine::workflow::StatusKind;

use super::{Invariant, Place, Verdict, must, status_after};

#[derive(Debug, Default)]
struct Tasks {
    open: BTreeSet<TaskId>,
    status: Option<StatusKind>,
    /// How often each task has failed or was lost.
    failed: BTreeMap<TaskId, usize>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    runs: BTreeMap<Run, Tasks>,
}

impl Tasks {
    fn created(&mut self, created: &[CreatedTask]) {
        self.open.extend(created.iter().map(|task| task.task).filter(|task| *task != 0));
    }
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        let tasks = self.runs.entry(event.run).or_default();
        let happened = event.happened.as_ref().ok_or("an event without content")?;
        tasks.status = status_after(happened).or(tasks.status);
        let cancelling = tasks.status == Some(StatusKind::Cancelling);
        match happened {
            Happened::Started(e) => tasks.created(&e.created),
            Happened::Completed(e) => {
                tasks.open.remove(&e.task);
                tasks.created(&e.created);
            }
            Happened::Failed(e) => {
                *tasks.failed.entry(e.task).or_default() += 1;
                if cancelling {
                    tasks.open.remove(&e.task);
                }
            }
            Happened::HandedBack(e) if cancelling => drop(tasks.open.remove(&e.task)),
            Happened::ScopeClosed(e) => tasks.created(e.continuation.as_slice()),
            Happened::DeadLettered(e) => tasks.created(e.error_task.as_slice()),
            Happened::DeadLetterDiscarded(e) => drop(tasks.open.remove(&e.task)),
            _ => {}
        }
        Ok(())
    }

    fn state(&mut self, place: Place, state: &Memory) -> Verdict {
        let mut counts: BTreeMap<(String, StatusKind), u64> = BTreeMap::new();
        for (run, tasks) in &self.runs {
            // What its retention deletes is half there; that it may, is another invariant.
            let Some(workflow) = view::workflow(state, *run) else { continue };
            let status = workflow.kind();
            *counts.entry((workflow.namespace.clone(), status)).or_default() += 1;
            must!(Some(status) == tasks.status, "run {run} is {status:?}; its history says {:?}", tasks.status);
            let retiring = view::retention_over(&workflow).is_some_and(|over| over <= place.time);
            if retiring {
                continue;
            }
            if matches!(status, StatusKind::Running | StatusKind::Paused | StatusKind::Failed | StatusKind::Cancelling) {
                let mut found = BTreeSet::new();
                while let page = view::tasks(state, *run, found.last().copied().unwrap_or(0), PAGE_MAX)
                    && !page.is_empty()
                {
                    found.extend(page.into_iter().map(|(task, _)| task));
                }
                must!(found == tasks.open, "run {run} ({status:?}) has tasks {found:?}; its history leaves {:?} open", tasks.open);
            }
            for (task, failed) in &tasks.failed {
                let listed = view::failed_attempts(state, TaskRef { run: *run, task: *task }, None, PAGE_MAX).len();
                must!(listed == *failed, "{listed} failed attempts of {run}/{task} are listed, {failed} were heard of");
            }
        }
        let namespaces: BTreeSet<&String> = counts.keys().map(|(namespace, _)| namespace).collect();
        for namespace in namespaces {
            let counted = view::status_counts(state, namespace);
            let own = counts.iter().filter(|((of, _), _)| of == namespace).map(|((_, status), count)| (*status, *count)).collect();
            must!(counted == own, "workflows of {namespace} are counted as {counted:?}; there are {own:?}");
        }
        Ok(())
    }
}
