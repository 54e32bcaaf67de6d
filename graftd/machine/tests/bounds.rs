//! Bounds that no script can reach in a readable length.

use bytes::Bytes;
use graft_machine::command::{Command, CompleteTask, Envelope, FailTask, FailureKind, FanOut, SetLimit, StartWorkflow};
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::limits::{CONFIG_BYTES_MAX, ERROR_BYTES_MAX, LIMITS_MAX, SCOPE_DEPTH_MAX};
use graft_machine::memory::Memory;
use graft_machine::session::Limit;
use graft_machine::state::StateTx;
use graft_machine::tables::{LimitKey, Limits};
use graft_machine::task::{Exhausted, NewTask, OnExhausted};
use graft_machine::time::Stamp;
use graft_machine::workflow::StatusKind;
use graft_machine::{Applied, apply, invariants, view};

/// A machine with one workflow, run 1.
struct One {
    state: Memory,
    index: u64,
}

impl One {
    fn start(node: NewTask) -> Self {
        let mut one = Self { state: Memory::new(), index: 0 };
        let start = StartWorkflow { namespace: "default".into(), id: "a".into(), nodes: vec![node], ..Default::default() };
        one.apply(Command::Start(start)).reply.expect("a good start");
        one
    }

    fn apply(&mut self, command: Command) -> Applied {
        self.index += 1;
        apply(&mut self.state, Stamp { time: 1_000, index: self.index, ordinal: 0 }, &Envelope::internal("test", command))
    }
}

fn node(name: &str, then: Option<Exhausted>) -> NewTask {
    NewTask { node: name.into(), on_exhausted: then.map(|then| OnExhausted { then: Some(then) }), ..Default::default() }
}

#[test]
fn fan_outs_nest_to_their_bound_and_close_all_at_once() {
    let deeper = |task| CompleteTask {
        at: AttemptRef { run: 1, task, attempt: 1 },
        fan_outs: vec![FanOut { tasks: vec![node("deeper", Some(Exhausted::Continue(())))], continuation: None }],
        ..Default::default()
    };
    let mut one = One::start(node("deeper", None));
    for task in 1..=SCOPE_DEPTH_MAX {
        assert_eq!(one.apply(Command::Complete(deeper(task))).events.len(), 1, "task {task}");
    }
    // One more cannot be applied: its task is passed over, which empties every scope up to the outermost.
    let applied = one.apply(Command::Complete(deeper(SCOPE_DEPTH_MAX + 1)));
    assert_eq!(applied.events.len(), 2 + SCOPE_DEPTH_MAX as usize + 1);
    assert_eq!(view::workflow(&one.state, 1).expect("kept").kind(), StatusKind::Completed);
    invariants::check(&one.state).expect("a sound state");
}

#[test]
fn a_long_error_is_cut_and_a_large_config_left_out_for_the_error_node() {
    let config = Bytes::from(format!("\"{}\"", "x".repeat(CONFIG_BYTES_MAX - 2)));
    let mut one = One::start(NewTask { config, ..node("work", Some(Exhausted::ErrorNode("repair".into()))) });
    let fail = FailTask {
        at: AttemptRef { run: 1, task: 1, attempt: 1 },
        lease: Lease { term: 1, sequence: 1 },
        kind: FailureKind::Permanent as i32,
        message: "ü".repeat(ERROR_BYTES_MAX),
        ..Default::default()
    };
    one.apply(Command::Fail(fail)).reply.expect("an answer");
    let tasks = view::tasks(&one.state, 1, 0, 10);
    assert!(tasks[0].1.last_error.len() <= ERROR_BYTES_MAX && tasks[0].1.last_error.ends_with('…'));
    assert!(tasks[1].1.config.starts_with(b"{\"config\":null,\"error\":\"\xc3\xbc"));
    invariants::check(&one.state).expect("a sound state");
}

#[test]
fn there_are_as_many_limits_as_may_be_and_those_may_still_be_changed() {
    let mut one = One::start(node("work", None));
    let set = |node: String, max| {
        Command::SetLimit(SetLimit { namespace: "default".into(), node, limit: Some(Limit::of(max)), only_if_absent: false })
    };
    for n in 1..LIMITS_MAX {
        one.state.put::<Limits>(LimitKey { namespace: "default".into(), node: format!("n{n}") }, Limit::of(1));
    }
    one.apply(set("last".into(), 1)).reply.expect("as many as may be");
    let refused = one.apply(set("more".into(), 1)).reply.expect_err("one too many");
    assert!(refused.detail.contains("take others away first"), "{refused}");
    one.apply(set("last".into(), 2)).reply.expect("it stands already");
    one.apply(Command::SetLimit(SetLimit { namespace: "default".into(), node: "n1".into(), ..Default::default() }))
        .reply
        .expect("one less");
    one.apply(set("more".into(), 1)).reply.expect("there is room");
}
