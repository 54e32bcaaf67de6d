//! What the leader should now do. Volatile: followers drop effects, and a new leader learns the same from a view of the state.

use crate::command::TimerRef;
use crate::ids::{AttemptRef, Run, TaskRef};
use crate::session::Session;
use crate::tables::{LimitKey, ReadyKey, ReadyRecord};
use crate::time::Millis;

/// What the leader should now do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The task is ready: offer it to a worker. Repeated offers of one attempt are harmless.
    Offer(Offer),
    /// The attempt is over, or its task no longer ready: forget it, release its lease; if a worker still runs it, tell it to stop.
    Withdraw {
        /// The attempt.
        at: AttemptRef,
        /// Why, in a word for the worker and the log.
        reason: Withdrawn,
    },
    /// Running attempts of the run are to be told to stop; offers of it are void until they are repeated.
    StopRun {
        /// The run.
        run: Run,
        /// Why.
        reason: Withdrawn,
    },
    /// A timer was set.
    TimerSet(TimerRef),
    /// What a limit allows was changed; `None`: there is none any more.
    LimitSet(LimitKey, Option<u32>),
    /// A session was opened.
    SessionOpened(Session),
    /// A session was closed.
    SessionClosed {
        /// Its incarnation.
        incarnation: String,
    },
}

/// A ready task, as much of it as dispatch needs to know. State and config are read when it is dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its place in the ready order; names the task.
    pub key: ReadyKey,
    /// The attempt's number.
    pub attempt: u32,
    /// Longest execution, in milliseconds; 0 = none.
    pub timeout: u64,
    /// Ready since.
    pub since: Millis,
}

impl Offer {
    /// The task in that place.
    pub fn of(key: ReadyKey, record: ReadyRecord) -> Self {
        let ReadyRecord { attempt, timeout, since } = record;
        let since = if since == 0 { key.rank } else { since };
        Self { key, attempt, timeout, since }
    }

    /// The task that is offered.
    pub fn task(&self) -> TaskRef {
        TaskRef { run: self.key.run, task: self.key.task }
    }

    /// The attempt that is offered.
    pub fn at(&self) -> AttemptRef {
        AttemptRef { run: self.key.run, task: self.key.task, attempt: self.attempt }
    }
}

/// Why an attempt is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// It was resolved, lost or blocked: nobody needs to be told.
    Resolved,
    /// The workflow is being cancelled: finish early, report normally.
    Cancelled,
    /// The workflow has ended (terminated, failed, timed out): results are ignored.
    Ended,
    /// The workflow is paused: running attempts may finish.
    Paused,
}
