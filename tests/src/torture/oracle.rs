//! What was asked of the cluster and what it answered. Nothing here asks the cluster: only the load writes, and only the judge reads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use graft_client::ClientError;

use super::leases::Halt;

/// What became of a request that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged. The run that it made, or changed.
    Acknowledged {
        /// The run.
        run: u64,
    },
    /// It was refused, and surely had no effect.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Outcome {
    /// What an error says of it.
    pub fn of(error: &ClientError) -> Self {
        if error.has_no_side_effects() { Self::Refused } else { Self::Unknown }
    }
}

/// A start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Number of the workflow: what it must do follows from it.
    pub number: u64,
    /// What was answered in the end.
    pub outcome: Outcome,
    /// Asked, in milliseconds since the beginning.
    pub asked_ms: u64,
    /// Answered, or given up.
    pub answered_ms: u64,
}

/// All of it. See the module.
#[derive(Debug, Default)]
pub struct Oracle {
    starts: Mutex<Vec<Start>>,
    redriven: Mutex<Vec<(u64, u64)>>,
    halts: Mutex<Vec<Halt>>,
    cancels: Mutex<BTreeMap<u64, Outcome>>,
    contradictions: Mutex<Vec<String>>,
}

impl Oracle {
    /// A start that is over.
    pub fn started(&self, start: Start) {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).push(start);
    }

    /// A patch of a workflow's state that was acknowledged, together with its redrive: number of the workflow, and value.
    pub fn redriven(&self, number: u64, value: u64) {
        self.redriven.lock().unwrap_or_else(PoisonError::into_inner).push((number, value));
    }

    /// A pause or a cancellation that was acknowledged.
    pub fn halted(&self, halt: Halt) {
        self.halts.lock().unwrap_or_else(PoisonError::into_inner).push(halt);
    }

    /// What became of a request to cancel a workflow, by its number.
    pub fn cancelled(&self, number: u64, outcome: Outcome) {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner).insert(number, outcome);
    }

    /// Two answers that do not go together.
    pub fn contradiction(&self, what: String) {
        self.contradictions.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// All starts so far.
    pub fn starts(&self) -> Vec<Start> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All acknowledged patches so far.
    pub fn patches(&self) -> Vec<(u64, u64)> {
        self.redriven.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All acknowledged pauses and cancellations so far.
    pub fn halts(&self) -> Vec<Halt> {
        self.halts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All requests to cancel so far.
    pub fn cancels(&self) -> BTreeMap<u64, Outcome> {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What did not go together so far.
    pub fn contradictions(&self) -> Vec<String> {
        self.contradictions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Id of a workflow of the load.
pub fn workflow_id(number: u64) -> String {
    format!("load-{number:08}")
}

/// Number of a workflow of the load.
pub fn workflow_number(id: &str) -> Option<u64> {
    id.strip_prefix("load-")?.parse().ok()
}
