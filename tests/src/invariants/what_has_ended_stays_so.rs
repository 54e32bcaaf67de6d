//! S9: a workflow goes only where its status allows; what has ended stays so, until a redrive, which is in its history, reopens it. None
//! completes with a dead letter that its policy keeps.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::event::{Event, Happened};
use graft_machine::ids::{Run, TaskId};
use graft_machine::task::Exhausted;
use graft_machine::workflow::StatusKind;

use super::{Invariant, Place, Verdict, must};

#[derive(Debug, Default)]
struct Life {
    /// What the history says that it is.
    status: Option<StatusKind>,
    /// The last that was heard of it is that a dead letter was discarded, or a join that this has closed.
    discarding: bool,
    /// Dead letters that its policy keeps.
    kept: BTreeSet<TaskId>,
    events: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    runs: BTreeMap<Run, Life>,
}

/// The status that a workflow has after an event; `None`: the one that it had.
pub fn status_after(happened: &Happened) -> Option<StatusKind> {
    Some(match happened {
        Happened::Started(_) | Happened::Resumed(_) => StatusKind::Running,
        Happened::DeadLetterRedriven(redriven) if redriven.reopened => StatusKind::Running,
        Happened::Paused(_) => StatusKind::Paused,
        Happened::Cancelling(_) => StatusKind::Cancelling,
        Happened::WorkflowCompleted(_) => StatusKind::Completed,
        Happened::WorkflowFailed(_) => StatusKind::Failed,
        Happened::WorkflowCancelled(_) => StatusKind::Cancelled,
        Happened::WorkflowTerminated(_) => StatusKind::Terminated,
        Happened::WorkflowTimedOut(_) => StatusKind::TimedOut,
        _ => return None,
    })
}

fn leads_to(from: StatusKind, to: StatusKind) -> bool {
    use StatusKind::{Cancelled, Cancelling, Completed, Failed, Paused, Running, Terminated, TimedOut};
    match from {
        Running => matches!(to, Paused | Cancelling | Completed | Failed | Terminated | TimedOut),
        Paused => matches!(to, Paused | Running | Cancelling | Completed | Failed | Terminated | TimedOut),
        Cancelling => matches!(to, Cancelled | Terminated | TimedOut),
        // Only by a redrive.
        Completed | Failed => to == Running,
        Cancelled | Terminated | TimedOut => false,
    }
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        let run = event.run;
        let happened = event.happened.as_ref().ok_or("an event without content")?;
        let life = self.runs.entry(run).or_default();
        life.events += 1;
        must!(event.number == life.events, "event {} of run {run} has number {}", life.events, event.number);
        let started = matches!(happened, Happened::Started(_));
        must!(life.status.is_some() != started, "run {run} is {:?}, then: {happened:?}", life.status);
        let ended = life.status.is_some_and(StatusKind::is_final);
        let reopens = matches!(happened, Happened::DeadLetterRedriven(redriven) if redriven.reopened);
        // The join of a dead letter that is discarded fires in a workflow that has failed, too; what it starts is frozen.
        let closes = life.discarding && life.status == Some(StatusKind::Failed) && matches!(happened, Happened::ScopeClosed(_));
        let discards = matches!(happened, Happened::DeadLetterDiscarded(_));
        let harmless = closes || discards || matches!(happened, Happened::LateResultIgnored(_));
        must!(!ended || harmless || reopens, "run {run} had ended as {:?}, then: {happened:?}", life.status);
        must!(ended || !reopens, "run {run} was reopened, and had not ended");
        life.discarding = discards || closes;
        if let Some(next) = status_after(happened) {
            let legal = life.status.is_none_or(|status| leads_to(status, next));
            must!(legal, "run {run} goes from {:?} to {next:?}", life.status);
            life.status = Some(next);
        }
        match happened {
            Happened::DeadLettered(e) => {
                let policy = e.then.as_ref().and_then(|policy| policy.then.as_ref());
                if !matches!(policy, Some(Exhausted::Continue(()) | Exhausted::ErrorNode(_))) {
                    life.kept.insert(e.task);
                }
            }
            Happened::DeadLetterRedriven(e) => drop(life.kept.remove(&e.task)),
            Happened::DeadLetterDiscarded(e) => drop(life.kept.remove(&e.task)),
            Happened::WorkflowCompleted(_) => {
                must!(life.kept.is_empty(), "run {run} completed with dead letters that their policy keeps: {:?}", life.kept);
            }
            _ => {}
        }
        Ok(())
    }
}
