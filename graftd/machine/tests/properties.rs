//! Random logs: commands that mean something in the state they meet, and junk. After each command the invariants hold; and the whole log,
//! replayed, makes the same bytes.
//!
//! A failing case is shrunk, printed and kept in `tests/regressions/`, from where the next run repeats it first:
//! `cargo test -p graft-machine --test properties`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use graft_machine::command::{
    BlockTask, Change, CloseSession, Command, CompleteTask, ControlTask, ControlWorkflow, Due, Envelope, ExpireRequests, FailTask, FanOut,
    LoseTask, Operation, RedriveTask, SetLimit, StartWorkflow, TimerRef,
};
use graft_machine::effect::Effect;
use graft_machine::event::Happened;
use graft_machine::ids::{AttemptRef, Lease, Run, TaskRef};
use graft_machine::limits::SWEEP_STEP;
use graft_machine::memory::Memory;
use graft_machine::reply::{Reply, Resolution};
use graft_machine::session::{Limit, Session, SessionNode};
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{Meta, MetaKey, Prefix, RunKey, TaskKey, Tasks, Workflows};
use graft_machine::task::{Exhausted, NewTask, OnExhausted, RetryPolicy, Task, TaskState};
use graft_machine::time::Stamp;
use graft_machine::trace::TraceParent;
use graft_machine::workflow::StatusKind;
use graft_machine::{Applied, apply, invariants, view};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use serde_json::{Map, Value, json};

/// What a random log asks for. Tasks are picked from those that are there when it is their turn.
#[derive(Clone, Debug)]
enum Ask {
    Start { id: u8, nodes: Vec<NewTask>, conflict: i32, request: Option<u8>, deadline: Option<u16>, state: usize },
    Complete { pick: Pick, patch: usize, operations: Vec<(usize, usize)>, next: Vec<NewTask>, fan_outs: Vec<FanOut> },
    Fail { pick: Pick, kind: i32, retry_after: u16 },
    Block { pick: Pick, behind: u8, wake_on: Vec<usize>, recheck: u16 },
    Lose { pick: Pick, reason: i32 },
    Due,
    Pass { millis: u16 },
    Control { verb: u8, id: u8, idle: bool, request: Option<u8> },
    OfTask { verb: u8, pick: Pick, config: Option<usize>, patch: usize, request: Option<u8> },
    Session { id: u8, open: bool },
    Limit { node: u8, max: Option<u8> },
    Repeat { back: u8 },
}

/// One of the open tasks and dead letters, now and then under an attempt or a lease that is not its own.
#[derive(Clone, Copy, Debug)]
struct Pick {
    task: u16,
    older: bool,
    lease: u64,
}

const DOCUMENTS: &[&str] = &[
    "",
    "{}",
    r#"{"a":1}"#,
    r#"{"a":{"b":2,"c":[1,2]}}"#,
    r#"{"a":null}"#,
    r#"{"a":{"b":null,"d":{"e":null}}}"#,
    r#"{"list":[],"n":3}"#,
    r#"{"n":1.5,"x/y":{"~":true}}"#,
    r#"{"n":9223372036854775807}"#,
    r#"{"s":"ü\u0000\n"}"#,
    // From here on: junk.
    "[1]",
    "null",
    "{nope",
    "{\"a\":1e999}",
    "\u{0}",
];
const GOOD_DOCUMENTS: usize = 10;
const POINTERS: &[&str] = &["", "/a", "/a/b", "/a/b/c", "/list", "/list/0", "/n", "/x~1y/~0", "/new/deep/er", "bad", "/~"];
const GOOD_POINTERS: usize = 9;
const GOOD_CHANGES: usize = 3;

/// Mostly one of the good ones.
fn document() -> impl Strategy<Value = usize> {
    prop_oneof![30 => 0..GOOD_DOCUMENTS, 1 => GOOD_DOCUMENTS..DOCUMENTS.len()]
}

/// A pointer and a change, by number.
fn operation() -> impl Strategy<Value = (usize, usize)> {
    (prop_oneof![20 => 1..GOOD_POINTERS, 1 => 0..POINTERS.len()], prop_oneof![20 => 0..GOOD_CHANGES, 1 => 0..changes().len()])
}

fn changes() -> [Change; 6] {
    [
        Change::Append(Bytes::from_static(b"{\"k\":null}")),
        Change::Increment(1),
        Change::IncrementFloat(0.25),
        Change::Append(Bytes::from_static(b"nope")),
        Change::Increment(i64::MIN),
        Change::IncrementFloat(f64::INFINITY),
    ]
}

fn new_task() -> impl Strategy<Value = NewTask> {
    let node = prop_oneof![100 => "[ab]", 1 => Just("n!".to_owned()), 1 => Just(String::new())];
    let delay = prop_oneof![4 => Just(0u64), 1 => 1..2_000u64, 1 => Just(u64::MAX)];
    let key = prop_oneof![70 => Just(String::new()), 30 => "k[12]", 1 => Just("\u{7}".to_owned())];
    let retry = prop_oneof![
        33 => Just(None),
        66 => (1..3u32).prop_map(|max_attempts| Some(RetryPolicy { max_attempts, ..RetryPolicy::standard() })),
        1 => Just(Some(RetryPolicy::default())),
    ];
    let exhausted = prop_oneof![
        20 => Just(None),
        10 => Just(Some(Some(Exhausted::Fail(())))),
        15 => Just(Some(Some(Exhausted::Pause(())))),
        30 => Just(Some(Some(Exhausted::Continue(())))),
        30 => Just(Some(Some(Exhausted::ErrorNode("e".into())))),
        1 => Just(Some(None)),
    ];
    (node, delay, key, retry, exhausted, -2..3i32, document()).prop_map(|(node, delay, key, retry, exhausted, priority, config)| NewTask {
        node,
        config: DOCUMENTS[config].into(),
        priority,
        delay,
        idempotency_key: key,
        retry,
        on_exhausted: exhausted.map(|then| OnExhausted { then }),
        ..Default::default()
    })
}

/// A few tasks, or more than one clean-up step takes.
fn new_tasks() -> impl Strategy<Value = Vec<NewTask>> {
    let wide = NewTask { node: "w".into(), ..Default::default() };
    prop_oneof![15 => vec(new_task(), 0..4), 1 => Just(vec![wide; SWEEP_STEP + 20])]
}

fn fan_out() -> impl Strategy<Value = FanOut> {
    (new_tasks(), prop::option::of(new_task())).prop_map(|(tasks, continuation)| FanOut { tasks, continuation })
}

fn pick() -> impl Strategy<Value = Pick> {
    (any::<u16>(), prop::bool::weighted(0.1), 1..3u64).prop_map(|(task, older, lease)| Pick { task, older, lease })
}

fn ask() -> impl Strategy<Value = Ask> {
    let request = || prop::option::weighted(0.3, 0..3u8);
    prop_oneof![
        6 => (0..3u8, new_tasks(), 0..3i32, request(), prop::option::weighted(0.2, any::<u16>()), document())
            .prop_map(|(id, nodes, conflict, request, deadline, state)| Ask::Start { id, nodes, conflict, request, deadline, state }),
        16 => (
            pick(),
            document(),
            vec(operation(), 0..2),
            vec(new_task(), 0..3),
            prop_oneof![2 => Just(Vec::new()), 1 => vec(fan_out(), 0..3)],
        )
            .prop_map(|(pick, patch, operations, next, fan_outs)| Ask::Complete { pick, patch, operations, next, fan_outs }),
        5 => (pick(), 0..6i32, any::<u16>()).prop_map(|(pick, kind, retry_after)| Ask::Fail { pick, kind, retry_after }),
        5 => (pick(), 0..2u8, vec(operation().prop_map(|(pointer, _)| pointer), 0..3), prop_oneof![Just(0u16), any::<u16>()])
            .prop_map(|(pick, behind, wake_on, recheck)| Ask::Block { pick, behind, wake_on, recheck }),
        3 => (pick(), 0..4i32).prop_map(|(pick, reason)| Ask::Lose { pick, reason }),
        8 => Just(Ask::Due),
        4 => any::<u16>().prop_map(|millis| Ask::Pass { millis }),
        8 => (prop_oneof![3 => 0..2u8, 1 => 2..4u8], 0..4u8, any::<bool>(), request()).prop_map(|(verb, id, idle, request)| Ask::Control { verb, id, idle, request }),
        10 => (0..3u8, pick(), prop::option::weighted(0.2, document()), document(), request())
            .prop_map(|(verb, pick, config, patch, request)| Ask::OfTask { verb, pick, config, patch, request }),
        1 => (0..3u8, any::<bool>()).prop_map(|(id, open)| Ask::Session { id, open }),
        1 => (0..3u8, prop::option::of(any::<u8>())).prop_map(|(node, max)| Ask::Limit { node, max }),
        2 => any::<u8>().prop_map(|back| Ask::Repeat { back }),
    ]
}

/// A machine, the log that made it, and what an independent observer of its answers knows.
#[derive(Clone, Default)]
struct Observed {
    state: Memory,
    time: u64,
    log: Vec<(Stamp, Envelope)>,
    documents: BTreeMap<Run, Value>,
    completed: BTreeSet<(Run, u32)>,
    attempts: BTreeMap<TaskKey, u32>,
    statuses: BTreeMap<Run, StatusKind>,
    joins: BTreeSet<(Run, u32)>,
    /// The attempt of each task that was offered last.
    offered: BTreeMap<TaskRef, u32>,
    /// What was offered of each task before its workflow was reopened: somebody may execute that still.
    before_the_end: BTreeMap<TaskRef, u32>,
}

impl Observed {
    fn attempt(&self, pick: Pick) -> (AttemptRef, Lease) {
        let tasks = self.state.scan::<Tasks>(Prefix::new().as_bytes(), None, usize::MAX);
        let lease = Lease { term: 1, sequence: pick.lease };
        if tasks.is_empty() {
            return (AttemptRef { run: 1, task: 1, attempt: 1 }, lease);
        }
        let (key, task) = &tasks[pick.task as usize % tasks.len()];
        (AttemptRef { run: key.run, task: key.task, attempt: task.attempt - u32::from(pick.older) }, lease)
    }

    fn envelope(&self, ask: &Ask) -> Envelope {
        let worker = String::from("w1");
        let mut request_id = None;
        let command = match ask.clone() {
            Ask::Start { id, nodes, conflict, request, deadline, state } => {
                request_id = request;
                Command::Start(StartWorkflow {
                    namespace: "default".into(),
                    id: format!("wf{id}"),
                    state: DOCUMENTS[state].into(),
                    nodes,
                    labels: BTreeMap::from([("tier".to_owned(), id.to_string())]),
                    deadline: deadline.map_or(0, |ahead| self.time + u64::from(ahead)),
                    retention: 20_000,
                    on_conflict: conflict,
                    // Also one that is none, and what no member of the first version would keep.
                    traceparent: Some(TraceParent::of(u128::from(id) << 60, u64::from(id), true)),
                })
            }
            Ask::Complete { pick, patch, operations, next, fan_outs } => {
                let (at, lease) = self.attempt(pick);
                let operations = operations
                    .into_iter()
                    .map(|(pointer, change)| Operation { pointer: POINTERS[pointer].into(), change: Some(changes()[change].clone()) })
                    .collect();
                let patch = DOCUMENTS[patch].into();
                Command::Complete(CompleteTask { at, lease, patch, operations, next, fan_outs, worker, ..Default::default() })
            }
            Ask::Fail { pick, kind, retry_after } => {
                let (at, lease) = self.attempt(pick);
                let message = "broke ".repeat(usize::from(retry_after) / 16);
                Command::Fail(FailTask { at, lease, kind, message, retry_after: retry_after.into(), worker, ..Default::default() })
            }
            Ask::Block { pick, behind, wake_on, recheck } => {
                let (at, lease) = self.attempt(pick);
                let revision = view::workflow(&self.state, at.run).map_or(0, |workflow| workflow.revision);
                let wake_on = wake_on.into_iter().map(|pointer| POINTERS[pointer].to_owned()).collect();
                let judged_revision = revision.saturating_sub(behind.into());
                Command::Block(BlockTask { at, lease, judged_revision, wake_on, recheck: recheck.into(), worker })
            }
            Ask::Lose { pick, reason } => {
                let (at, lease) = self.attempt(pick);
                Command::Lose(LoseTask { at, lease, reason, progress: "half".into(), worker, detail: "drained".into(), held_us: 7 })
            }
            Ask::Due | Ask::Pass { .. } => {
                let timers = view::timers_due(&self.state, self.time, None, 500);
                let timers = timers.into_iter().map(|t| TimerRef { due: t.due, kind: t.kind.into(), run: t.run, task: t.task });
                Command::Due(Due { timers: timers.collect() })
            }
            Ask::Control { verb, id, idle, request } => {
                request_id = request;
                let control = ControlWorkflow { namespace: "default".into(), id: format!("wf{id}"), idle, ..Default::default() };
                match verb {
                    0 => Command::Pause(control),
                    1 => Command::Resume(control),
                    2 => Command::Cancel(control),
                    _ => Command::Terminate(control),
                }
            }
            Ask::OfTask { verb, pick, config, patch, request } => {
                request_id = request;
                // Of a replaced run too; and now and then of one that is not there.
                let wanted = |task: &Task| match verb {
                    0 => !matches!(task.state(), TaskState::DeadLettered(_)),
                    _ => matches!(task.state(), TaskState::DeadLettered(_)),
                };
                let tasks = self.state.scan::<Tasks>(Prefix::new().as_bytes(), None, usize::MAX);
                let fitting: Vec<_> = tasks.iter().filter(|(_, task)| pick.older || wanted(task)).map(|(key, _)| key.clone()).collect();
                let TaskKey { run, task } =
                    fitting.get(usize::from(pick.task) % fitting.len().max(1)).cloned().unwrap_or(TaskKey { run: 1, task: 1 });
                let id = view::workflow(&self.state, run).map_or_else(|| "wf0".to_owned(), |workflow| workflow.id.clone());
                let (namespace, reason) = (String::from("default"), String::from("why not"));
                match verb {
                    0 => Command::RetryTask(ControlTask { namespace, id, run, task, reason }),
                    1 => Command::Discard(ControlTask { namespace, id, run, task, reason }),
                    _ => {
                        let config = config.map(|config| DOCUMENTS[config].into());
                        Command::Redrive(RedriveTask { namespace, id, run, task, config, state_patch: DOCUMENTS[patch].into(), reason })
                    }
                }
            }
            Ask::Session { id, open } => {
                let incarnation = format!("s{id}");
                if open {
                    let nodes = vec![SessionNode { node: "a".into(), capacity: u32::from(id), limit: 0 }];
                    let (worker, namespace, lease_time) = (worker, "default".into(), 10_000);
                    Command::OpenSession(Session { incarnation, worker, namespace, nodes, lease_time, ..Default::default() })
                } else {
                    Command::CloseSession(CloseSession { incarnation, reason: String::new() })
                }
            }
            Ask::Limit { node, max } => {
                let node = format!("n{node}");
                let limit = max.map(|max| Limit::of(max.into()));
                Command::SetLimit(SetLimit { namespace: "default".into(), node, limit, only_if_absent: false })
            }
            Ask::Repeat { back } => match self.log.len().checked_sub(1 + usize::from(back)) {
                Some(at) => return self.log[at].1.clone(),
                None => Command::ExpireRequests(ExpireRequests {}),
            },
        };
        let mut envelope = Envelope::internal("client:ann", command);
        if let Some(request) = request_id {
            envelope.request_id = format!("r{request}");
            envelope.payload_hash = u64::from(matches!(ask, Ask::Start { .. })) + 2 * u64::from(matches!(ask, Ask::OfTask { .. }));
            // The last of them always comes too late.
            envelope.not_after = if request == 2 { self.time - 1 } else { self.time + 5_000 };
        }
        envelope
    }

    fn ask(&mut self, ask: &Ask) -> Result<(), TestCaseError> {
        if let Ask::Pass { millis } = ask {
            self.time += u64::from(*millis);
        }
        let envelope = self.envelope(ask);
        let stamp = Stamp { time: self.time, index: self.log.len() as u64 + 1, ordinal: 0 };
        let mut before = self.state.clone();
        let applied = apply(&mut self.state, stamp, &envelope);
        if let (Some(at), Ok(Reply::Resolved(resolved))) = (attempt_of(&envelope), &applied.reply) {
            let task = before.get::<Tasks>(&TaskKey { run: at.run, task: at.task });
            let current = task.is_some_and(|task| task.attempt == at.attempt && matches!(task.state(), TaskState::Ready(_)));
            let running = before.get::<Workflows>(&RunKey { run: at.run }).is_some_and(|workflow| !workflow.kind().is_final());
            let took_effect = resolved.resolution() == Resolution::Applied;
            prop_assert_eq!(took_effect, current && running, "the fence let {} through, or kept it out", at);
        }
        self.log.push((stamp, envelope));

        prop_assert_eq!(invariants::check(&self.state), Ok(()), "after {:?}", ask);
        if applied.reply.is_err() {
            before.put::<Meta>(MetaKey {}, (*view::meta(&self.state)).clone());
            prop_assert!(before == self.state, "a rejected command has written something: {:?}", ask);
        }
        self.observe(&applied)
    }

    /// Compares the state with what the events alone say.
    fn observe(&mut self, applied: &Applied) -> Result<(), TestCaseError> {
        let mut reopened = BTreeSet::new();
        for event in &applied.events {
            match event.happened.as_ref().expect("an event") {
                Happened::Started(e) => {
                    self.documents.insert(event.run, serde_json::from_slice(&e.state).expect("JSON"));
                }
                Happened::Completed(e) => {
                    prop_assert!(self.completed.insert((event.run, e.task)), "task {}/{} was completed twice", event.run, e.task);
                    let document = self.documents.get_mut(&event.run).expect("a run starts with its first event");
                    if !e.patch.is_empty() {
                        *document = merged(document, &serde_json::from_slice(&e.patch).expect("an accepted patch is JSON"));
                    }
                    for operation in &e.operations {
                        operated(document, &operation.pointer, operation.change.as_ref().expect("a change"));
                    }
                }
                Happened::ScopeClosed(e) => {
                    prop_assert!(self.joins.insert((event.run, e.scope)), "the join of scope {}/{} fired twice", event.run, e.scope);
                }
                Happened::DeadLetterRedriven(e) => {
                    if !e.state_patch.is_empty() {
                        let document = self.documents.get_mut(&event.run).expect("a run starts with its first event");
                        *document = merged(document, &serde_json::from_slice(&e.state_patch).expect("an accepted patch is JSON"));
                    }
                    reopened.extend(e.reopened.then_some(event.run));
                    let task = view::task(&self.state, TaskRef { run: event.run, task: e.task }).expect("it is a task again");
                    prop_assert!(matches!(task.state(), TaskState::Ready(_)) && task.failures == 0);
                    prop_assert_eq!((task.attempt, task.scope), (e.attempt, e.scope));
                    prop_assert!(e.config.as_ref().is_none_or(|config| *config == task.config));
                }
                _ => {}
            }
        }
        let of_reopened = self.offered.iter().filter(|(task, _)| reopened.contains(&task.run));
        self.before_the_end.extend(of_reopened.map(|(task, attempt)| (*task, *attempt)));
        for effect in &applied.effects {
            let Effect::Offer(offer) = effect else { continue };
            let AttemptRef { attempt, .. } = offer.at();
            let before = self.before_the_end.get(&offer.task()).copied().unwrap_or(0);
            prop_assert!(attempt > before, "{} was offered before its workflow ended, and again", offer.at());
            self.offered.insert(offer.task(), attempt);
        }
        for (key, workflow) in self.state.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX) {
            let stored: Value = serde_json::from_slice(&workflow.state).expect("JSON");
            prop_assert_eq!(&stored, &self.documents[&key.run], "run {} is not the fold of its patches", key.run);
            let now = workflow.kind();
            let before = self.statuses.insert(key.run, now).unwrap_or(now);
            prop_assert!(
                before == now || !before.is_final() || reopened.contains(&key.run),
                "run {} went from {:?} to {:?}",
                key.run,
                before,
                now
            );
            prop_assert!(before != StatusKind::Cancelling || now.is_final() || now == before, "run {} came back", key.run);
        }
        for (key, task) in self.state.scan::<Tasks>(Prefix::new().as_bytes(), None, usize::MAX) {
            let before = self.attempts.insert(key.clone(), task.attempt).unwrap_or(0);
            prop_assert!(before <= task.attempt, "the attempt of {:?} fell from {} to {}", key, before, task.attempt);
        }
        Ok(())
    }
}

/// The attempt that a worker's result is about.
fn attempt_of(envelope: &Envelope) -> Option<AttemptRef> {
    match envelope.command.as_ref()? {
        Command::Complete(command) => Some(command.at),
        Command::Fail(command) => Some(command.at),
        Command::Block(command) => Some(command.at),
        Command::Lose(command) => Some(command.at),
        _ => None,
    }
}

/// RFC 7396, written down a second time: a new value from two.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let empty = Map::new();
    let target = target.as_object().unwrap_or(&empty);
    let untouched = target.iter().filter(|(key, _)| !patch.contains_key(*key)).map(|(key, value)| (key.clone(), value.clone()));
    let changed = patch.iter().filter(|(_, value)| !value.is_null());
    let changed = changed.map(|(key, value)| (key.clone(), merged(target.get(key).unwrap_or(&Value::Null), value)));
    Value::Object(untouched.chain(changed).collect())
}

/// An operation that was accepted, written down a second time: rebuilds the path from its end.
fn operated(document: &mut Value, pointer: &str, change: &Change) {
    if document.pointer(pointer).is_none() {
        let mut patch = match change {
            Change::Append(_) => json!([]),
            Change::Increment(_) => json!(0),
            Change::IncrementFloat(_) => json!(0.0),
        };
        for token in pointer.rsplit('/').filter(|token| !token.is_empty()) {
            patch = json!({ token.replace("~1", "/").replace("~0", "~"): patch });
        }
        *document = merged(document, &patch);
    }
    let place = document.pointer_mut(pointer).expect("made above");
    match change {
        Change::Append(item) => place.as_array_mut().expect("an array").push(serde_json::from_slice(item).expect("JSON")),
        Change::Increment(by) => {
            let sum = place.as_number().and_then(|n| n.as_i128()).expect("an integer") + i128::from(*by);
            *place = i64::try_from(sum).map(Value::from).unwrap_or_else(|_| json!(u64::try_from(sum).expect("no overflow was accepted")));
        }
        Change::IncrementFloat(by) => *place = json!(place.as_f64().expect("a number") + by),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        max_shrink_iters: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/regressions/properties.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_log_keeps_the_invariants_and_replays_to_the_same_bytes(asks in vec(ask(), 1..80), cut in any::<prop::sample::Index>()) {
        let mut machine = Observed { time: 1_000, ..Default::default() };
        let cut = cut.index(asks.len());
        let mut snapshot = Memory::new();
        for (at, ask) in asks.iter().enumerate() {
            if at == cut {
                snapshot = machine.state.clone();
            }
            machine.ask(ask)?;
        }

        let mut replayed = Memory::new();
        for (at, (stamp, envelope)) in machine.log.iter().enumerate() {
            apply(&mut replayed, *stamp, envelope);
            if at >= cut {
                apply(&mut snapshot, *stamp, envelope);
            }
        }
        prop_assert!(replayed.encode() == machine.state.encode(), "the same log made other bytes");
        prop_assert!(snapshot.encode() == machine.state.encode(), "snapshot and tail made other bytes than the whole log");
    }

    #[test]
    fn whatever_is_left_alone_is_deleted_in_the_end(asks in vec(ask(), 1..40)) {
        let mut machine = Observed { time: 1_000, ..Default::default() };
        for ask in &asks {
            machine.ask(ask)?;
        }
        for id in 0..4 {
            machine.ask(&Ask::Control { verb: 3, id, idle: false, request: None })?;
        }
        for _ in 0..150 {
            machine.ask(&Ask::Pass { millis: 1_000 })?;
        }
        let left = machine.state.scan::<Workflows>(Prefix::new().as_bytes(), None, 1);
        prop_assert!(left.is_empty(), "still there: {:?}", left);
        prop_assert!(view::timers(&machine.state, None, 1).is_empty());
    }
}

/// A property that never meets what it speaks of shows nothing.
#[test]
fn random_logs_meet_every_event_status_and_answer() {
    let mut runner = TestRunner::deterministic();
    let asks = vec(ask(), 1..80);
    let mut met = BTreeSet::new();
    for _ in 0..400 {
        let asks = asks.new_tree(&mut runner).expect("the strategy filters nothing").current();
        let mut machine = Observed { time: 1_000, ..Default::default() };
        for ask in &asks {
            machine.ask(ask).expect("shown by the property above");
            for (_, workflow) in machine.state.scan::<Workflows>(Prefix::new().as_bytes(), None, usize::MAX) {
                met.insert(format!("{} sweeping {}", workflow.kind().as_str(), workflow.sweep_due != 0));
                met.insert(format!("blocked {}", workflow.blocked_tasks.min(1)));
                met.insert(format!("reopened {} sweeping {}", workflow.reopened.min(2), workflow.sweep_due != 0));
            }
        }
        let mut replayed = Memory::new();
        for (stamp, envelope) in &machine.log {
            let applied = apply(&mut replayed, *stamp, envelope);
            met.extend(applied.events.iter().map(|event| word(&event.happened)));
            met.extend(applied.effects.iter().map(|effect| word(&Some(effect))));
            met.insert(match applied.reply {
                Ok(Reply::Resolved(resolved)) => format!("{:?}", resolved.resolution()),
                Ok(Reply::Started(started)) => format!("started {}", started.created),
                Ok(Reply::Done(_)) => "done".to_owned(),
                Err(rejection) => format!("{:?}", rejection.code()),
            });
        }
    }
    let wanted = "Started Completed Failed Blocked ScopeClosed DeadLettered HandedBack Paused Resumed Cancelling WorkflowCompleted \
                  WorkflowFailed WorkflowCancelled WorkflowTerminated WorkflowTimedOut LateResultIgnored DeadLetterRedriven \
                  DeadLetterDiscarded TaskRetried TaskNotFound TaskState Offer Withdraw StopRun TimerSet \
                  LimitSet SessionOpened SessionClosed Applied AlreadyResolved Stale done Invalid WorkflowNotFound WorkflowExists \
                  WrongStatus RequestConflict RequestExpired";
    let missed: Vec<_> = wanted.split_whitespace().filter(|word| !met.contains(*word)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
    let statuses = ["started true", "started false", "blocked 1", "running sweeping true", "paused sweeping true", "failed sweeping true"];
    let more = [
        "reopened 1 sweeping true",
        "reopened 2 sweeping false",
        "cancelling sweeping true",
        "cancelled sweeping true",
        "terminated sweeping false",
        "timed-out sweeping false",
    ];
    let missed: Vec<_> = statuses.iter().chain(&more).filter(|word| !met.contains(**word)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}; met {met:?}");
}

/// The name of a variant.
fn word<T: std::fmt::Debug>(value: &Option<T>) -> String {
    let shown = format!("{:?}", value.as_ref().expect("known"));
    shown.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
