//! `Due`: timers whose time has come. One that no longer stands, or is not due by the machine's time, is skipped: the leader may be late,
//! early or repeat itself.

use crate::command::{Due, TimerRef};
use crate::effect::Effect;
use crate::event::{Happened, WorkflowEnded};
use crate::limits::DUE_PER_COMMAND_MAX;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::{Turn, ending, ready, retention, sweep};
use crate::tables::{TaskKey, Tasks, TimerKey, TimerKind, Timers};
use crate::workflow::{Ended, Status, StatusKind};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &Due) -> Answer {
    if command.timers.len() > DUE_PER_COMMAND_MAX {
        let detail = format!("names {} timers; at most {DUE_PER_COMMAND_MAX} are allowed", command.timers.len());
        return Err(Rejection::new(RejectionCode::TooLarge, "the command", detail));
    }
    for timer in &command.timers {
        let kind = TimerKind::try_from(timer.kind).expect("a kind of timer that is not known here: a newer version wrote the log");
        let key = TimerKey { due: timer.due, kind: kind as u8, run: timer.run, task: timer.task };
        if timer.due > turn.now || turn.tx.get::<Timers>(&key).is_none() {
            continue;
        }
        fire(turn, kind, *timer);
    }
    turn.done(0)
}

fn fire<S: StateTx>(turn: &mut Turn<'_, S>, kind: TimerKind, timer: TimerRef) {
    if matches!(kind, TimerKind::Sweep | TimerKind::Retention) && turn.budget == 0 {
        // The command has done enough: the timer still stands, and is announced again.
        turn.effects.push(Effect::TimerSet(timer));
        return;
    }
    let TimerRef { due, run, task: id, .. } = timer;
    let mut workflow = turn.workflow(run).expect("a timer's workflow outlives it");
    match kind {
        TimerKind::Task => {
            let task = turn.tx.get::<Tasks>(&TaskKey { run, task: id }).expect("a timer's task outlives it");
            let blocked = workflow.blocked_tasks;
            ready::leave(turn, &mut workflow, id, &task);
            ready::make_ready(turn, &workflow, id, (*task).clone(), turn.now);
            if workflow.blocked_tasks != blocked {
                turn.save(workflow);
            }
        }
        TimerKind::Deadline => {
            let reason = format!("its deadline ({due}) passed");
            let event = Happened::WorkflowTimedOut(WorkflowEnded { reason: reason.clone(), task: 0 });
            let at = turn.now;
            ending::end(turn, &mut workflow, Status::TimedOut(Ended { at, reason }), event);
            turn.save(workflow);
        }
        TimerKind::CancelGrace => {
            assert_eq!(workflow.kind(), StatusKind::Cancelling, "the grace timer stands while a workflow is being cancelled");
            ending::cancelled(turn, &mut workflow);
            turn.save(workflow);
        }
        TimerKind::Sweep => {
            sweep::step(turn, &mut workflow);
            turn.save(workflow);
        }
        TimerKind::Retention => {
            turn.clear_timer(due, kind, run, id);
            retention::step(turn, workflow);
        }
    }
}
