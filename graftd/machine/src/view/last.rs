//! Reading the workflow of one task after another: those of one run mostly stand together.

use std::sync::Arc;

use crate::ids::Run;
use crate::state::StateRead;
use crate::workflow::Workflow;

/// The last workflow that was read. It may have a megabyte of state, and its tasks need it one after the other.
#[derive(Debug, Default)]
pub struct LastWorkflow {
    last: Option<Arc<Workflow>>,
    bytes: usize,
}

impl LastWorkflow {
    /// The workflow of a task that is there.
    pub fn of(&mut self, state: &impl StateRead, run: Run) -> Arc<Workflow> {
        match &self.last {
            Some(last) if last.run == run => last.clone(),
            _ => {
                let found = super::workflow(state, run).expect("a task's workflow outlives it");
                self.bytes += found.state.len();
                self.last = Some(found.clone());
                found
            }
        }
    }

    /// Bytes of state that were read so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
