//! What the nodes of the simulation do. Every completion adds one to `/n` of its workflow's state: that is what the oracle counts.

use graft_machine::command::{BlockTask, Change, CompleteTask, FailTask, FailureKind, FanOut, Operation, StartWorkflow};
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::result::TaskResult;
use graft_machine::task::{Exhausted, NewTask, OnExhausted, RetryPolicy};
use graftd::scheduler::Assignment;

use super::rng::Rng;

/// Every node.
pub const NODES: [&str; 8] = ["step", "leaf", "flaky", "hang", "slow", "gate", "opener", "hopeless"];
/// Longest execution of `hang`, in milliseconds.
const HANG_TIMEOUT: u64 = 1_200;

/// What an attempt will come to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long it takes, in milliseconds; `None`: it hangs.
    pub takes: Option<u64>,
    /// Its result.
    pub result: TaskResult,
}

/// A task of a node; `depth` is how many steps may follow.
pub fn task(node: &str, depth: u64) -> NewTask {
    let retry = RetryPolicy { max_attempts: 12, initial: 50, max: 400, factor_permille: 2_000, jitter_permille: 200 };
    NewTask {
        node: node.to_owned(),
        config: cure(depth).into(),
        retry: Some(retry),
        timeout: if node == "hang" { HANG_TIMEOUT } else { 0 },
        ..Default::default()
    }
}

/// A workflow to start.
pub fn workflow(id: &str, rng: &mut Rng) -> StartWorkflow {
    let nodes = (0..rng.between(1, 3)).map(|_| task("step", rng.between(1, 5))).collect();
    StartWorkflow { namespace: "default".to_owned(), id: id.to_owned(), nodes, ..Default::default() }
}

/// A task that fails for good, until it is redriven with another config: one that says how many steps may follow. What follows its failure
/// is one of the four policies.
fn hopeless(rng: &mut Rng) -> NewTask {
    let then = match rng.below(4) {
        0 => Exhausted::Fail(()),
        1 => Exhausted::Pause(()),
        2 => Exhausted::Continue(()),
        _ => Exhausted::ErrorNode("leaf".to_owned()),
    };
    NewTask { config: "\"hopeless\"".into(), on_exhausted: Some(OnExhausted { then: Some(then) }), ..task("hopeless", 0) }
}

/// The config that cures any task.
pub fn cure(depth: u64) -> Vec<u8> {
    depth.to_string().into_bytes()
}

/// Decides what becomes of an attempt.
pub fn plan(task: &Assignment, rng: &mut Rng) -> Plan {
    let config: Option<u64> = std::str::from_utf8(&task.config).ok().and_then(|text| text.parse().ok());
    let depth = config.unwrap_or(0);
    let quick = Some(rng.between(1, 120));
    let (at, lease) = (task.at, task.lease);
    match task.node.as_str() {
        "flaky" if task.failures < 2 => Plan { takes: quick, result: failed(at, lease, "not yet") },
        "hopeless" if config.is_none() => Plan { takes: quick, result: failed_as(FailureKind::Permanent, at, lease, "never") },
        "hang" if task.failures == 0 => Plan { takes: None, result: failed(at, lease, "never said") },
        "gate" if !is_open(task) => {
            let (wake_on, recheck) = if rng.chance(500) { (vec!["/open".to_owned()], 0) } else { (vec![], 700) };
            let blocked = BlockTask { at, lease, judged_revision: task.revision, wake_on, recheck, worker: String::new() };
            Plan { takes: quick, result: TaskResult::Blocked(blocked) }
        }
        "gate" | "leaf" => Plan { takes: quick, result: completed(task, vec![add("/n")], vec![], vec![]) },
        node => {
            let mut operations = vec![add("/n")];
            if node == "opener" {
                operations.push(add("/open"));
            }
            let (next, fan_outs) = if depth == 0 { (vec![], vec![]) } else { follow(depth - 1, rng) };
            let takes = if node == "slow" { Some(rng.between(1_000, 3_500)) } else { quick };
            Plan { takes, result: completed(task, operations, next, fan_outs) }
        }
    }
}

fn follow(depth: u64, rng: &mut Rng) -> (Vec<NewTask>, Vec<FanOut>) {
    if rng.chance(40) {
        return (vec![hopeless(rng), task("step", depth)], vec![]);
    }
    match rng.below(9) {
        0 => (vec![task("flaky", depth)], vec![]),
        1 => (vec![task("hang", depth)], vec![]),
        2 => (vec![task("slow", depth)], vec![]),
        3 => (vec![task("gate", 0), task("opener", depth)], vec![]),
        4 => (vec![NewTask { delay: rng.between(50, 900), ..task("step", depth) }], vec![]),
        5 | 6 => {
            let leaf = |rng: &mut Rng| if rng.chance(60) { hopeless(rng) } else { task("leaf", 0) };
            let tasks = (0..rng.between(1, 6)).map(|_| leaf(rng)).collect();
            (vec![], vec![FanOut { tasks, continuation: Some(task("step", depth)) }])
        }
        _ => (vec![NewTask { priority: rng.below(3) as i32, ..task("step", depth) }], vec![]),
    }
}

fn is_open(task: &Assignment) -> bool {
    serde_json::from_slice::<serde_json::Value>(&task.state).is_ok_and(|state| state.get("open").is_some())
}

fn add(pointer: &str) -> Operation {
    Operation { pointer: pointer.to_owned(), change: Some(Change::Increment(1)) }
}

fn completed(task: &Assignment, operations: Vec<Operation>, next: Vec<NewTask>, fan_outs: Vec<FanOut>) -> TaskResult {
    let (at, lease, base_revision) = (task.at, task.lease, task.revision);
    TaskResult::Completed(CompleteTask { at, lease, base_revision, operations, next, fan_outs, ..Default::default() })
}

/// A failure that may be tried again.
pub fn failed(at: AttemptRef, lease: Lease, message: &str) -> TaskResult {
    failed_as(FailureKind::Retryable, at, lease, message)
}

fn failed_as(kind: FailureKind, at: AttemptRef, lease: Lease, message: &str) -> TaskResult {
    TaskResult::Failed(FailTask { at, lease, kind: kind as i32, message: message.to_owned(), ..Default::default() })
}

/// Given back untouched.
pub fn handed_back(at: AttemptRef, lease: Lease) -> TaskResult {
    TaskResult::HandedBack { at, lease, reason: "the worker leaves".to_owned(), progress: String::new() }
}
