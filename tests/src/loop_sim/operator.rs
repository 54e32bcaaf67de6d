//! Operators: they look at the state of some member, which may be old, and do something about a task.

use graft_machine::command::{Command, ControlTask, RedriveTask};
use graft_machine::ids::TaskRef;
use graft_machine::limits::PAGE_MAX;
use graft_machine::state::StateRead;
use graft_machine::task::{Task, TaskState};
use graft_machine::view;
use graft_machine::workflow::StatusKind;

use super::rng::Rng;
use super::script;

/// Something that an operator does who sees this state, if there is anything to do.
pub fn does(state: &impl StateRead, namespace: &str, rng: &mut Rng) -> Option<Command> {
    let dead: Vec<TaskRef> = view::dead_letters(state, namespace, None, PAGE_MAX).iter().map(|key| at(key.run, key.task)).collect();
    let tasks = view::tasks_by_node(state, namespace, None, None, PAGE_MAX);
    let all: Vec<TaskRef> = tasks.iter().map(|key| at(key.run, key.task)).collect();
    let waits = |task: &Task| matches!(task.state(), TaskState::Delayed(_) | TaskState::Blocked(_));
    let waiting: Vec<TaskRef> = all.iter().filter(|at| waits(&view::task(state, **at).expect("a listed task is there"))).copied().collect();
    let picked = match rng.below(10) {
        0 => &all,
        1..4 => &waiting,
        _ => &dead,
    };
    let task = picked.get(rng.below(picked.len() as u64) as usize).copied()?;
    Some(match rng.below(8) {
        _ if !dead.contains(&task) => Command::RetryTask(of_task(state, task)),
        // Refused: that is what a redrive is for.
        0 => Command::RetryTask(of_task(state, task)),
        1 | 2 => Command::Discard(of_task(state, task)),
        _ => {
            let config = rng.chance(700).then(|| script::cure(rng.below(3)));
            let patch: &'static [u8] = match rng.below(20) {
                // Refused as a whole.
                0 => b"[1]",
                1..6 => b"{\"open\":1}",
                _ => b"",
            };
            Command::Redrive(redrive(state, task, config, patch))
        }
    })
}

/// What is to be done about dead letters at the end. A third of the workflows that have ended stay as they are, and in those of them that go on
/// they are discarded; all others are redriven with a config that cures them, so that in the end everything has been tried.
pub fn mends(state: &impl StateRead, namespace: &str) -> Vec<Command> {
    let mut mends = Vec::new();
    for key in view::dead_letters(state, namespace, None, PAGE_MAX) {
        let task = at(key.run, key.task);
        let stays = task.run.is_multiple_of(3);
        match view::workflow(state, key.run).expect("a task's workflow outlives it").kind() {
            StatusKind::Running | StatusKind::Paused if stays => mends.push(Command::Discard(of_task(state, task))),
            StatusKind::Failed | StatusKind::Completed if stays => {}
            StatusKind::Running | StatusKind::Paused | StatusKind::Failed | StatusKind::Completed => {
                let command = redrive(state, task, Some(script::cure(0)), b"");
                // Not of a run that was started anew since, nor of one that is being deleted.
                if view::would_redrive(state, view::meta(state).time, &command).is_ok() {
                    mends.push(Command::Redrive(command));
                }
            }
            StatusKind::Cancelling | StatusKind::Cancelled | StatusKind::Terminated | StatusKind::TimedOut => {}
        }
    }
    mends
}

fn at(run: u64, task: u32) -> TaskRef {
    TaskRef { run, task }
}

/// Names a task as somebody does who has this state before his eyes.
fn of_task(state: &impl StateRead, task: TaskRef) -> ControlTask {
    let workflow = view::workflow(state, task.run);
    let (namespace, id) = workflow.map(|workflow| (workflow.namespace.clone(), workflow.id.clone())).unwrap_or_default();
    ControlTask { namespace, id, run: task.run, task: task.task, reason: "an operator".to_owned() }
}

fn redrive(state: &impl StateRead, task: TaskRef, config: Option<Vec<u8>>, patch: &'static [u8]) -> RedriveTask {
    let ControlTask { namespace, id, run, task, reason } = of_task(state, task);
    RedriveTask { namespace, id, run, task, config: config.map(Into::into), state_patch: patch.into(), reason }
}
