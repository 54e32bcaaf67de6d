//! What clients asked of one register and were answered, with the times of both: the raw material of [`super::linearizable`].

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What one operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Does {
    /// It wrote this value.
    Write(u64),
    /// It read this value; `None`: there was none yet.
    Read(Option<u64>),
}

/// One operation: when it was asked, when it was answered, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which client.
    pub client: u32,
    /// What.
    pub does: Does,
    /// When it was asked, in microseconds since some moment.
    pub asked: u64,
    /// When it was answered; `None`: its outcome is unknown, and it may take effect at any time after it was asked, or never.
    pub answered: Option<u64>,
}

/// The history of one register.
#[derive(Debug)]
pub struct History {
    /// Whose.
    pub register: String,
    since: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl History {
    /// An empty one; times count from `since`.
    pub fn new(register: impl Into<String>, since: Instant) -> Self {
        Self { register: register.into(), since, operations: Mutex::default() }
    }

    /// The time, as operations have it.
    pub fn now(&self) -> u64 {
        self.since.elapsed().as_micros() as u64
    }

    /// Keeps an operation.
    pub fn keep(&self, operation: Operation) {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    /// All of them so far.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
