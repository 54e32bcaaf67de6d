//! What the nodes of the simulation do, and what clients start. Every completion changes its workflow's state, so that what is applied twice, or
//! not at all, shows.

use bytes::Bytes;
use graft_machine::command::{
    BeginAct, BlockTask, Change, Command, CompleteTask, ControlTask, ControlWorkflow, CreateApiToken, EndAct, FailTask, FailureKind,
    FanOut, GrantJoin, Operation, RedriveTask, RevokeApiToken, RevokeJoinGrant, SetLimit, StartWorkflow, UseJoinGrant,
};
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::result::TaskResult;
use graft_machine::session::Limit;
use graft_machine::task::{Exhausted, NewTask, OnExhausted, RetryPolicy};
use graftd::scheduler::Assignment;

use super::rng::Rng;

/// Every node.
pub const NODES: [&str; 9] = ["step", "leaf", "flaky", "hang", "slow", "gate", "opener", "hopeless", "bad"];
/// Longest execution of `hang`, in milliseconds.
const HANG_TIMEOUT: u64 = 1_200;
/// Keys that successors share.
const KEYS: u64 = 3;

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

/// A workflow to start; `time` is the machine's, 0: without deadline and retention of its own.
pub fn workflow(id: &str, time: u64, rng: &mut Rng) -> StartWorkflow {
    let nodes = (0..rng.between(1, 3)).map(|_| task("step", rng.between(1, 5))).collect();
    let state: &'static [u8] = [b"".as_slice(), b"{\"a\":{\"b\":1,\"c\":[1,2]},\"z\":null}", b"{\"list\":[]}"][rng.below(3) as usize];
    let mut start = StartWorkflow {
        namespace: "default".to_owned(),
        id: id.to_owned(),
        state: state.into(),
        nodes,
        labels: (0..rng.below(3)).map(|label| (format!("label-{label}"), format!("{}", rng.below(4)))).collect(),
        ..Default::default()
    };
    if time > 0 && rng.chance(80) {
        start.deadline = time + rng.between(500, 8_000);
    }
    if time > 0 && rng.chance(200) {
        start.retention = rng.between(300, 4_000);
    }
    start
}

/// Something that must be refused, each in its own way.
pub fn nonsense(time: u64, rng: &mut Rng) -> Command {
    let start = workflow("nonsense", 0, rng);
    let control = |id: &str, run| ControlWorkflow { namespace: "default".to_owned(), id: id.to_owned(), run, ..Default::default() };
    let of_task =
        |id: &str, run, task| ControlTask { namespace: "default".to_owned(), id: id.to_owned(), run, task, reason: String::new() };
    let limit = |namespace: &str, max| {
        let (namespace, node) = (namespace.to_owned(), "step".to_owned());
        Command::SetLimit(SetLimit { namespace, node, limit: Some(Limit::of(max)), only_if_absent: false })
    };
    let run = rng.between(1, 6);
    match rng.below(18) {
        0 => Command::Start(StartWorkflow { nodes: vec![], ..start }),
        1 => Command::Start(StartWorkflow { namespace: "no spaces".to_owned(), ..start }),
        2 => Command::Start(StartWorkflow { id: "\u{7}".to_owned(), ..start }),
        3 => Command::Start(StartWorkflow { state: b"[]".as_slice().into(), ..start }),
        4 => Command::Start(StartWorkflow { state: b"{\"deep".as_slice().into(), ..start }),
        5 => Command::Start(StartWorkflow { labels: (0..40).map(|n| (format!("l{n}"), String::new())).collect(), ..start }),
        6 => Command::Start(StartWorkflow { deadline: time.saturating_sub(1).max(1), ..start }),
        7 => {
            let retry = RetryPolicy { max_attempts: 0, initial: 0, max: 0, factor_permille: 0, jitter_permille: 0 };
            Command::Start(StartWorkflow { nodes: vec![NewTask { retry: Some(retry), ..task("step", 0) }], ..start })
        }
        8 => limit("", 3),
        9 => limit("default", 0),
        10 => Command::Pause(control("nobody", 0)),
        11 => Command::Cancel(control("workflow-1", 999_999)),
        12 => Command::Terminate(control(&"x".repeat(300), 0)),
        13 => Command::RetryTask(of_task("workflow-1", 0, 9_999)),
        14 => Command::Discard(of_task(&format!("workflow-{run}"), 0, 1)),
        15 => Command::Redrive(RedriveTask {
            namespace: "default".to_owned(),
            id: format!("workflow-{run}"),
            run: 0,
            task: 1,
            config: Some(b"{".as_slice().into()),
            state_patch: b"7".as_slice().into(),
            reason: String::new(),
        }),
        16 => Command::Start(StartWorkflow { nodes: vec![NewTask { config: b"{".as_slice().into(), ..task("step", 0) }], ..start }),
        _ => Command::Start(StartWorkflow {
            nodes: vec![NewTask { on_exhausted: Some(OnExhausted { then: None }), ..task("step", 0) }],
            ..start
        }),
    }
}

/// Something about who may join: of few grants, so that many ask for the same.
pub fn joining(time: u64, rng: &mut Rng) -> Command {
    let id = format!("grant-{}", rng.below(4));
    let secret = |rng: &mut Rng| if rng.chance(500) { vec![rng.below(2) as u8; 32].into() } else { Bytes::new() };
    let member = |rng: &mut Rng| format!("member-{}", rng.below(2));
    match rng.below(6) {
        0 | 1 => {
            let secret_hash: Bytes = secret(rng);
            let named = secret_hash.is_empty() || rng.chance(500);
            let member = if named { member(rng) } else { String::new() };
            Command::GrantJoin(GrantJoin {
                id,
                member,
                secret_hash,
                expires: time + rng.between(100, 6_000),
                uses: rng.between(1, 3) as u32,
            })
        }
        2 => Command::RevokeJoinGrant(RevokeJoinGrant { id }),
        _ => {
            let (secret_hash, member) = (secret(rng), member(rng));
            Command::UseJoinGrant(UseJoinGrant { id, secret_hash, member, raft_id: rng.between(1, 6) })
        }
    }
}

/// Something that administrators do: few tokens and few acts, so that many concern the same.
pub fn administering(time: u64, rng: &mut Rng) -> Command {
    let id = format!("token-{}", rng.below(2));
    match rng.below(8) {
        0 | 1 => Command::CreateApiToken(CreateApiToken {
            id,
            name: format!("holder-{}", rng.below(2)),
            secret_hash: vec![rng.below(9) as u8; 32].into(),
            grants: vec![["viewer", "operator@default", "worker@default=step,pick-*", "nobody"][rng.below(4) as usize].to_owned()],
            expires: if rng.chance(500) { 0 } else { time + rng.between(100, 6_000) },
        }),
        2 => Command::RevokeApiToken(RevokeApiToken { id }),
        3..6 => Command::BeginAct(BeginAct {
            from: "10.0.0.1".to_owned(),
            method: "LimitService.set".to_owned(),
            object: format!("limit {}", rng.below(9)),
            member: "m1".to_owned(),
        }),
        _ => Command::EndAct(EndAct { number: rng.between(1, 2), outcome: "ok".to_owned() }),
    }
}

/// A task that fails for good, until it is redriven with another config: one that says how many steps may follow. What follows its failure
/// is one of the four policies.
fn doomed(node: &str, rng: &mut Rng) -> NewTask {
    let then = match rng.below(4) {
        0 => Exhausted::Fail(()),
        1 => Exhausted::Pause(()),
        2 => Exhausted::Continue(()),
        _ => Exhausted::ErrorNode("leaf".to_owned()),
    };
    NewTask { config: "\"doomed\"".into(), on_exhausted: Some(OnExhausted { then: Some(then) }), ..task(node, 0) }
}

fn hopeless(rng: &mut Rng) -> NewTask {
    let node = if rng.chance(300) { "bad" } else { "hopeless" };
    let mut task = doomed(node, rng);
    if rng.chance(300) {
        // It may be tried again, and uses up what its policy allows.
        let retry = RetryPolicy { max_attempts: 3, initial: 10, max: 50, factor_permille: 1_000, jitter_permille: 0 };
        (task.config, task.retry) = ("\"tries\"".into(), Some(retry));
    }
    task
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
        "flaky" if task.failures < 2 => Plan { takes: quick, result: flaky(at, lease, rng) },
        "hopeless" if config.is_none() => {
            let kind = if task.config.as_ref() == b"\"tries\"" { FailureKind::Retryable } else { FailureKind::Permanent };
            Plan { takes: quick, result: failed_as(kind, at, lease, "never") }
        }
        "bad" if config.is_none() => Plan { takes: quick, result: bad(task, rng) },
        "hang" if task.failures == 0 => Plan { takes: None, result: failed(at, lease, "never said") },
        "gate" if !is_open(task) => {
            let (wake_on, recheck) = if rng.chance(500) { (vec!["/open".to_owned()], 0) } else { (vec![], 700) };
            let blocked = BlockTask { at, lease, judged_revision: task.revision, wake_on, recheck, worker: String::new() };
            Plan { takes: quick, result: TaskResult::Blocked(blocked) }
        }
        "gate" | "leaf" => Plan { takes: quick, result: completed(task, vec![add("/n")], vec![], vec![], rng) },
        node => {
            let mut operations = vec![add("/n")];
            if node == "opener" {
                operations.push(add("/open"));
            }
            let (next, fan_outs) = if depth == 0 { (vec![], vec![]) } else { follow(depth - 1, rng) };
            let takes = if node == "slow" { Some(rng.between(1_000, 3_500)) } else { quick };
            Plan { takes, result: completed(task, operations, next, fan_outs, rng) }
        }
    }
}

/// A failure that may be tried again, said in one of the ways there are.
fn flaky(at: AttemptRef, lease: Lease, rng: &mut Rng) -> TaskResult {
    let kind = [FailureKind::Retryable, FailureKind::Panic, FailureKind::Timeout][rng.below(3) as usize];
    let retry_after = if rng.chance(300) { rng.between(1, 500) } else { 0 };
    TaskResult::Failed(FailTask { at, lease, kind: kind as i32, message: "not yet".to_owned(), retry_after, ..Default::default() })
}

/// An outcome that cannot be applied.
fn bad(task: &Assignment, rng: &mut Rng) -> TaskResult {
    let (at, lease) = (task.at, task.lease);
    let mut outcome = CompleteTask { at, lease, base_revision: task.revision, ..Default::default() };
    match rng.below(4) {
        0 => outcome.patch = b"[1]".as_slice().into(),
        1 => outcome.operations = vec![Operation { pointer: "no slash".to_owned(), change: Some(Change::Increment(1)) }],
        2 => {
            let most = || Operation { pointer: "/over".to_owned(), change: Some(Change::Increment(i64::MAX)) };
            outcome.operations = vec![most(), most(), most()];
        }
        _ => outcome.next = vec![NewTask { node: "no spaces".to_owned(), ..Default::default() }],
    }
    TaskResult::Completed(outcome)
}

fn follow(depth: u64, rng: &mut Rng) -> (Vec<NewTask>, Vec<FanOut>) {
    if rng.chance(60) {
        return (vec![hopeless(rng), task("step", depth)], vec![]);
    }
    let leaf = |rng: &mut Rng| if rng.chance(60) { hopeless(rng) } else { task("leaf", 0) };
    match rng.below(12) {
        0 => (vec![task("flaky", depth)], vec![]),
        1 => (vec![task("hang", depth)], vec![]),
        2 => (vec![task("slow", depth)], vec![]),
        3 => (vec![task("gate", 0), task("opener", depth)], vec![]),
        4 => (vec![NewTask { delay: rng.between(50, 900), ..task("step", depth) }], vec![]),
        5 | 6 => {
            let tasks = (0..rng.between(1, 6)).map(|_| leaf(rng)).collect();
            (vec![], vec![FanOut { tasks, continuation: Some(task("step", depth)) }])
        }
        7 => {
            // Fan-outs side by side, one of them empty, one without a continuation, and one whose branches fan out again.
            let empty = FanOut { tasks: vec![], continuation: Some(task("leaf", 0)) };
            let silent = FanOut { tasks: vec![leaf(rng)], continuation: None };
            let deep = FanOut { tasks: vec![task("step", depth.min(2)), leaf(rng)], continuation: Some(task("leaf", 0)) };
            (vec![], vec![empty, silent, deep])
        }
        8 => {
            let keyed = |rng: &mut Rng| NewTask { idempotency_key: format!("key-{}", rng.below(KEYS)), ..task("leaf", 0) };
            (vec![keyed(rng), keyed(rng), task("step", depth)], vec![FanOut { tasks: vec![keyed(rng)], continuation: None }])
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

fn completed(task: &Assignment, mut operations: Vec<Operation>, next: Vec<NewTask>, fan_outs: Vec<FanOut>, rng: &mut Rng) -> TaskResult {
    let (at, lease, base_revision) = (task.at, task.lease, task.revision);
    let patch: &'static [u8] = match rng.below(14) {
        0 => b"{\"a\":{\"b\":2}}",
        1 => b"{\"a\":{\"b\":null,\"d\":{\"e\":[1,{\"f\":null}]}}}",
        2 => b"{\"a\":null}",
        3 => b"{\"a\":5}",
        4 => b"{\"list\":[1,2,3]}",
        _ => b"",
    };
    match rng.below(10) {
        0 => operations.push(Operation { pointer: "/deep/sum".to_owned(), change: Some(Change::IncrementFloat(0.5)) }),
        1 => operations.push(Operation { pointer: "/seen".to_owned(), change: Some(Change::Append(cure(at.run).into())) }),
        _ => {}
    }
    TaskResult::Completed(CompleteTask { at, lease, base_revision, patch: patch.into(), operations, next, fan_outs, ..Default::default() })
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
