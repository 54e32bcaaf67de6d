//! `Block`: a worker's `can_start` said no. The task waits for a change of the state; if the state has moved since it was judged, the task
//! is handed back instead and asked again at once. Either way the attempt number rises, and no try is used up.

use crate::command::BlockTask;
use crate::commands::lose;
use crate::content;
use crate::event::{Happened, TaskBlocked, TaskHandedBack};
use crate::limits::WAKE_ON_MAX;
use crate::reply::{Answer, Rejection, RejectionCode};
use crate::state::StateTx;
use crate::step::fence::{self, Standing};
use crate::step::{Turn, ready};
use crate::tables::{BlockedTasks, TaskKey, Tasks, TimerKind};
use crate::task::{Blocked, Task, TaskState};
use crate::workflow::{StatusKind, Workflow};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &BlockTask) -> Answer {
    check(command)?;
    let (mut workflow, task) = match fence::check(turn, command.at, command.lease, Some(&command.worker)) {
        Standing::Current(workflow, task) => (workflow, task),
        Standing::Settled(answer) => return answer,
    };
    if command.judged_revision < workflow.revision || workflow.kind() == StatusKind::Cancelling {
        let event = TaskHandedBack {
            task: command.at.task,
            node: task.node.clone(),
            attempt: command.at.attempt,
            lease: command.lease,
            worker: content::who(&command.worker),
            reason: "the state has moved since it was judged".to_owned(),
        };
        lose::hand_back(turn, &mut workflow, &task, event, "");
    } else {
        block(turn, &mut workflow, &task, command);
    }
    turn.save(*workflow);
    fence::applied()
}

fn check(command: &BlockTask) -> Result<(), Rejection> {
    if command.wake_on.len() > WAKE_ON_MAX {
        let detail = format!("names {} JSON pointers; at most {WAKE_ON_MAX} are allowed", command.wake_on.len());
        return Err(Rejection::new(RejectionCode::TooLarge, format!("the block of {}", command.at), detail));
    }
    command.wake_on.iter().try_for_each(|pointer| content::pointer(pointer))
}

fn block<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, task: &Task, command: &BlockTask) {
    let (run, id) = (workflow.run, command.at.task);
    let event = TaskBlocked {
        task: id,
        node: task.node.clone(),
        attempt: command.at.attempt,
        judged_revision: workflow.revision,
        wake_on: command.wake_on.clone(),
        lease: command.lease,
    };
    turn.event(workflow, Happened::Blocked(event));
    ready::unlist(turn, workflow, id, task);
    let recheck = if command.recheck == 0 { 0 } else { turn.now.saturating_add(command.recheck) };
    let blocked = Blocked { since_revision: workflow.revision, wake_on: command.wake_on.clone(), recheck };
    let state = TaskState::Blocked(blocked);
    turn.counted.task(task.state.as_ref(), Some(&state));
    let task = Task { attempt: task.attempt.saturating_add(1), state: Some(state), ..task.clone() };
    turn.tx.put::<Tasks>(TaskKey { run, task: id }, task);
    turn.tx.put::<BlockedTasks>(TaskKey { run, task: id }, ());
    workflow.blocked_tasks += 1;
    if recheck != 0 {
        turn.set_timer(recheck, TimerKind::Task, run, id);
    }
}
