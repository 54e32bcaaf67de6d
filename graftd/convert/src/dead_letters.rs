//! Dead letters: which are asked for, and as they stand.

use graft_machine::limits::ERROR_BYTES_MAX;
use graft_machine::task::{Task, TaskState};
use graft_machine::time::Millis;
use graft_machine::workflow::Workflow;
use graft_proto::errors::{Fault, cut};
use graft_proto::v1;

use crate::{names, workflows};

/// Longest error that a row of a list shows, in bytes; the dead letter itself has all of it.
const ERROR_SHOWN_MAX: usize = 1_024;

/// Which dead letters of a namespace, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    workflow_id: String,
    run: u64,
    node: String,
    error_contains: String,
    /// Given up at or after this time.
    pub since: Millis,
    /// Given up before this time.
    pub until: Millis,
}

impl Filter {
    /// Checks a filter; none is all.
    pub fn new(filter: Option<v1::DeadLetterFilter>) -> Result<Self, Fault> {
        let filter = filter.unwrap_or_default();
        if filter.workflow_id.is_empty() && filter.run != 0 {
            return Err(Fault::invalid("run", "is given without workflow_id").remedy("name the workflow, too"));
        }
        if filter.error_contains.len() > ERROR_BYTES_MAX {
            let detail = format!("has {} bytes, at most {ERROR_BYTES_MAX} are allowed", filter.error_contains.len());
            return Err(Fault::too_large("error_contains", detail));
        }
        Ok(Self {
            workflow_id: if filter.workflow_id.is_empty() { filter.workflow_id } else { names::workflow_id(filter.workflow_id)? },
            run: filter.run,
            node: if filter.node.is_empty() { filter.node } else { names::node(filter.node)? },
            error_contains: filter.error_contains,
            since: filter.since_ms,
            until: if filter.until_ms == 0 { Millis::MAX } else { filter.until_ms },
        })
    }

    /// The workflow and its run (0 = the current one) whose dead letters alone are asked for.
    pub fn workflow(&self) -> Option<(&str, u64)> {
        (!self.workflow_id.is_empty()).then_some((&self.workflow_id, self.run))
    }

    /// Whether a dead letter is asked for. Its workflow and its time are the list's matter.
    pub fn takes(&self, task: &Task) -> bool {
        (self.node.is_empty() || self.node == task.node) && error(task).contains(&self.error_contains)
    }
}

fn error(task: &Task) -> &str {
    match task.state() {
        TaskState::DeadLettered(dead) => &dead.error,
        TaskState::Ready(_) | TaskState::Delayed(_) | TaskState::Blocked(_) => "",
    }
}

/// A dead letter as a row of a list.
pub fn row(workflow: &Workflow, number: u32, task: &Task) -> v1::DeadLetter {
    let given_up_ms = match task.state() {
        TaskState::DeadLettered(dead) => dead.at,
        TaskState::Ready(_) | TaskState::Delayed(_) | TaskState::Blocked(_) => 0,
    };
    v1::DeadLetter {
        workflow_id: workflow.id.clone(),
        run: workflow.run,
        task: number,
        node: task.node.clone(),
        error: cut(error(task), ERROR_SHOWN_MAX),
        given_up_ms,
        failures: task.failures,
        workflow_status: workflows::status(workflow.kind()) as i32,
    }
}

#[cfg(test)]
mod tests {
    use graft_machine::task::DeadLettered;

    use super::*;

    fn dead(node: &str, error: &str) -> Task {
        let state = TaskState::DeadLettered(DeadLettered { at: 7, error: error.to_owned() });
        Task { node: node.to_owned(), state: Some(state), ..Task::default() }
    }

    fn filter(filter: v1::DeadLetterFilter) -> Filter {
        Filter::new(Some(filter)).expect("good")
    }

    #[test]
    fn every_part_of_a_filter_counts() {
        let task = dead("pay", "timeout at the bank");
        let everything = Filter::new(None).expect("all");
        assert!(everything.takes(&task) && everything.workflow().is_none());
        let all = v1::DeadLetterFilter {
            workflow_id: "a".into(),
            run: 3,
            node: "pay".into(),
            error_contains: "at the".into(),
            ..Default::default()
        };
        assert!(filter(all.clone()).takes(&task));
        assert_eq!(filter(all.clone()).workflow(), Some(("a", 3)));
        for other in
            [v1::DeadLetterFilter { node: "ship".into(), ..all.clone() }, v1::DeadLetterFilter { error_contains: "on the".into(), ..all }]
        {
            assert!(!filter(other.clone()).takes(&task), "{other:?}");
        }
    }

    #[test]
    fn a_run_without_its_workflow_is_refused() {
        let error = Filter::new(Some(v1::DeadLetterFilter { run: 1, ..Default::default() })).expect_err("whose?");
        assert!(error.to_string().contains("name the workflow"), "{error}");
    }
}
