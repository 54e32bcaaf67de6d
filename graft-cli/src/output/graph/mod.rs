//! The graph of a run, folded by node: [`Progress`] in, groups of tasks out; [`tree`], [`mermaid`], [`dot`] and [`json`] write it.
//!
//! A workflow's graph grows while it runs, to ten thousand tasks and more, but it is made of few nodes. So tasks of one node that come from the
//! same place are one *group*, with a count for each thing that they can be doing:
//!
//! - what follows the tasks of a group, by node, and in the same way (as a successor, in a fan-out, after a join), is again one group;
//! - a task of a node that stands further up already is another round of that: it joins that group, and an arrow leads back to it. So a loop of
//!   any length is as long as one round;
//! - a node with no more than [`FOLD_FROM`] tasks in all is not folded, and neither is one that [`Folding`] names: each of its tasks is a group of
//!   its own, with what followed from it alone.
//!
//! Folding takes time in proportion to the tasks, and its result is bounded by them.
pub(crate) mod dot;
mod fold;
pub(crate) mod json;
pub(crate) mod mermaid;
pub(crate) mod tree;

pub(crate) use fold::{Arrow, Edge, Folding, Graph, Group, Join};

use super::progress::{Progress, Task, TaskState};
use super::style::Tone;
use graft_client::is_final;

/// A node with more tasks than this is shown folded.
const FOLD_FROM: usize = 4;

/// What a task is doing, as one sees it at a glance. The order is that in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// It finished.
    Done,
    /// It waits for a worker, or runs: histories do not tell which.
    Ready,
    /// It failed and is tried again.
    Failed,
    /// It waits for a time.
    Delayed,
    /// It waits for a change of the state.
    Blocked,
    /// It was given up.
    GivenUp,
    /// The workflow ended, or goes on, without it.
    Left,
}

impl Mark {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 7] = [Self::Done, Self::Ready, Self::Failed, Self::Delayed, Self::Blocked, Self::GivenUp, Self::Left];

    /// Of a task, now.
    fn of(task: &Task, progress: &Progress, now_ms: u64) -> Self {
        match task.state {
            TaskState::Done { .. } => Self::Done,
            TaskState::GivenUp => Self::GivenUp,
            TaskState::Discarded => Self::Left,
            _ if is_final(progress.status) => Self::Left,
            TaskState::Ready => Self::Ready,
            TaskState::Delayed { until_ms } if until_ms <= now_ms => Self::Ready,
            TaskState::Delayed { .. } => Self::Delayed,
            TaskState::Blocked => Self::Blocked,
            TaskState::Failed { .. } => Self::Failed,
        }
    }

    /// Its sign, and the tone of that.
    pub(crate) fn sign(self) -> (&'static str, Tone) {
        match self {
            Self::Done => ("✓", Tone::Good),
            Self::Ready => ("●", Tone::Busy),
            Self::Delayed => ("◷", Tone::Waiting),
            Self::Blocked => ("‖", Tone::Waiting),
            Self::Failed => ("↻", Tone::Waiting),
            Self::GivenUp => ("✗", Tone::Bad),
            Self::Left => ("–", Tone::Dim),
        }
    }

    /// As it is counted: `9,812 done`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Blocked => "blocked",
            Self::Failed => "retrying",
            Self::GivenUp => "given up",
            Self::Left => "left",
        }
    }
}

/// A count as people read it: `10,000`.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let head = digits.len() % 3;
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == head {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        for (count, text) in [(0, "0"), (7, "7"), (999, "999"), (1_000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), text);
        }
    }
}
