//! What a worker reports of an attempt: one of four commands, before the scheduler says whose it is.

use crate::command::{BlockTask, Command, CompleteTask, FailTask, LoseTask, LostReason};
use crate::ids::{AttemptRef, Lease};

/// The result of one attempt, as the machine's own command (the `worker` field is filled in by [`TaskResult::into_command`]).
#[derive(Clone, Debug, PartialEq)]
pub enum TaskResult {
    /// It finished.
    Completed(CompleteTask),
    /// It failed.
    Failed(FailTask),
    /// `can_start` said no.
    Blocked(BlockTask),
    /// It is given back untouched.
    HandedBack {
        /// The attempt.
        at: AttemptRef,
        /// Its lease.
        lease: Lease,
        /// Why.
        reason: String,
        /// Progress that the attempt reported last; empty = none.
        progress: String,
    },
}

impl TaskResult {
    /// The attempt, and the lease that it was held under.
    pub fn of(&self) -> (AttemptRef, Lease) {
        match self {
            Self::Completed(result) => (result.at, result.lease),
            Self::Failed(result) => (result.at, result.lease),
            Self::Blocked(result) => (result.at, result.lease),
            Self::HandedBack { at, lease, .. } => (*at, *lease),
        }
    }

    /// The command, as reported by the worker with this incarnation.
    pub fn into_command(self, worker: String) -> Command {
        match self {
            Self::Completed(mut result) => {
                result.worker = worker;
                Command::Complete(result)
            }
            Self::Failed(mut result) => {
                result.worker = worker;
                Command::Fail(result)
            }
            Self::Blocked(mut result) => {
                result.worker = worker;
                Command::Block(result)
            }
            Self::HandedBack { at, lease, reason: detail, progress } => {
                Command::Lose(LoseTask { at, lease, reason: LostReason::HandedBack as i32, worker, detail, progress, held_us: 0 })
            }
        }
    }
}
