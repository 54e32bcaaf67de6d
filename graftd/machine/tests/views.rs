//! Views page through the state: every record once, in order, whatever the size of the page.

use std::collections::BTreeMap;
use std::sync::Arc;

use graft_machine::command::{
    Command, ControlTask, ControlWorkflow, ENTRY_FORMAT, Envelope, FailTask, FailureKind, LogEntry, MACHINE_VERSION, OnConflict,
    RedriveTask, StartWorkflow,
};
use graft_machine::event::{Event, Happened};
use graft_machine::ids::{AttemptRef, EventPos, TaskRef};
use graft_machine::memory::Memory;
use graft_machine::reply::{Reply, Started};
use graft_machine::tables::CounterName;
use graft_machine::task::NewTask;
use graft_machine::view::{self, LastWorkflow, Queue};
use graft_machine::workflow::StatusKind;
use graft_machine::{apply_entry, invariants};

fn entry(time: u64, commands: Vec<Command>) -> LogEntry {
    let commands = commands.into_iter().map(|command| Envelope::internal("client:ann", command)).collect();
    LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time, commands }
}

fn start(namespace: &str, id: String, nodes: &[&str]) -> Command {
    let nodes = nodes.iter().map(|node| NewTask { node: (*node).into(), ..Default::default() }).collect();
    Command::Start(StartWorkflow { namespace: namespace.into(), id, nodes, labels: BTreeMap::new(), ..Default::default() })
}

/// Twelve workflows, `a-0` to `a-7` and `b-0` to `b-3`, each a second younger than the one before; the even ones of `a` are terminated.
fn state() -> Memory {
    let mut state = Memory::new();
    for n in 0..12u64 {
        let id = if n < 8 { format!("a-{n}") } else { format!("b-{}", n - 8) };
        apply_entry(&mut state, n + 1, &entry(1_000 * (n + 1), vec![start("default", id, &["charge", "ship"])]));
    }
    let terminate = |n: u64| ControlWorkflow { namespace: "default".into(), id: format!("a-{n}"), ..Default::default() };
    let commands = [0, 2, 4, 6].map(|n| Command::Terminate(terminate(n))).to_vec();
    let applied = apply_entry(&mut state, 13, &entry(20_000, [commands, vec![start("other", "a-1".into(), &["charge"])]].concat()));
    assert!(matches!(applied[4].reply, Ok(Reply::Started(Started { run: 13, created: true, time: 20_000 }))));
    invariants::check(&state).expect("a sound state");
    state
}

#[test]
fn the_youngest_workflows_come_first() {
    let state = state();
    assert_eq!(view::youngest(&state, "default", 3), [12, 11, 10]);
    assert_eq!(view::youngest(&state, "default", 100).len(), 12);
    assert!(view::youngest(&state, "nobody", 3).is_empty() && view::youngest(&state, "\u{0}", 3).is_empty());
}

#[test]
fn queues_are_skipped_through_and_their_tasks_paged() {
    let state = state();
    let queue = |namespace: &str, node: &str| Queue { namespace: namespace.into(), node: node.into() };
    let all = [queue("default", "charge"), queue("default", "ship"), queue("other", "charge")];
    assert_eq!(view::queues(&state, None, 100), all);
    assert_eq!(view::queues(&state, Some(&all[0]), 1), all[1..2]);
    assert_eq!(view::queues(&state, Some(&all[2]), 1), []);

    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = view::ready(&state, &all[0], after.as_ref(), 3);
        let last = page.len() < 3;
        after = page.last().map(|offer| offer.key.clone());
        found.extend(page.into_iter().map(|offer| offer.task().run));
        if last {
            break;
        }
    }
    assert_eq!(found, [2, 4, 6, 8, 9, 10, 11, 12], "oldest first, without what has ended");
}

#[test]
fn only_a_current_attempt_of_a_running_workflow_is_assigned() {
    let mut state = state();
    let at = |run, attempt| AttemptRef { run, task: 1, attempt };
    let (workflow, task) = view::assignment(&state, at(2, 1)).expect("it is ready");
    assert_eq!((workflow.id.as_str(), task.node.as_str()), ("a-1", "charge"));
    assert!(view::assignment(&state, at(2, 2)).is_none());
    assert!(view::assignment(&state, at(1, 1)).is_none());
    let pause = ControlWorkflow { namespace: "default".into(), id: "a-1".into(), ..Default::default() };
    apply_entry(&mut state, 14, &entry(20_000, vec![Command::Pause(pause)]));
    assert!(view::assignment(&state, at(2, 1)).is_none());
    assert!(view::task(&state, TaskRef { run: 2, task: 1 }).is_some());
}

#[test]
fn a_run_is_found_by_its_name_and_its_history_read_on() {
    let state = state();
    assert_eq!(view::find(&state, "default", "a-0", 0).expect("there").run, 1);
    assert!(view::find(&state, "default", "a-0", 2).is_none());
    assert!(view::find(&state, "default", "a\u{0}", 0).is_none());
    let first = view::events(&state, 1, None, 1);
    let rest = view::events(&state, 1, Some(first[0].0), 10);
    assert_eq!(first.iter().chain(&rest).map(|(_, event)| event.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(view::tasks(&state, 2, 1, 10).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2]);
    assert_eq!(view::runs_started(&state), 13);
    assert_eq!(view::timers_due(&state, 20_000, None, 10), []);
    assert_eq!(view::timers(&state, None, 10).len(), 4);
}

#[test]
fn tasks_are_listed_by_node_on_pages_of_any_size() {
    let state = state();
    let all = |node: Option<&str>, limit: usize| {
        let (mut found, mut after, mut workflows) = (Vec::new(), None, LastWorkflow::default());
        loop {
            let page = view::tasks_by_node(&state, "default", node, after.as_ref(), limit);
            let last = page.len() < limit;
            after = page.last().cloned();
            found.extend(page.into_iter().map(|key| {
                let task = view::task(&state, TaskRef { run: key.run, task: key.task }).expect("listed");
                assert_eq!(task.node, key.node);
                (key.node, workflows.of(&state, key.run).id.clone())
            }));
            if last {
                return found;
            }
        }
    };
    for limit in [1, 3, 8, 16, 100] {
        let found = all(None, limit);
        assert_eq!(found.len(), 16, "two of each of the eight that go on");
        assert!(found.is_sorted_by_key(|(node, _)| node));
        let ids: Vec<_> = all(Some("ship"), limit).into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids, ["a-1", "a-3", "a-5", "a-7", "b-0", "b-1", "b-2", "b-3"]);
        assert!(all(Some("shi"), limit).is_empty());
        assert!(all(Some("\u{0}"), limit).is_empty());
    }
    assert_eq!(view::tasks_by_node(&state, "other", None, None, 10).len(), 1);
    assert!(view::tasks_by_node(&state, "othe", None, None, 10).is_empty());
}

#[test]
fn dead_letters_are_listed_by_age_with_all_that_their_attempts_said() {
    let mut state = state();
    let fail =
        |run, attempt, message: String| Command::Fail(FailTask { at: AttemptRef { run, task: 1, attempt }, message, ..Default::default() });
    let retry = |run: u64, id: &str| {
        let (namespace, id) = ("default".into(), id.into());
        Command::RetryTask(ControlTask { namespace, id, run, task: 1, reason: String::new() })
    };
    // Two of the same entry, and one of a later entry for a smaller run.
    for (index, runs) in [(20, &[(8, "a-7"), (6, "a-5")][..]), (40, &[(4, "a-3")])] {
        for attempt in 1..=5 {
            let each = runs.iter().flat_map(|(run, id)| [fail(*run, attempt, format!("{id} {attempt}")), retry(*run, id)]);
            apply_entry(&mut state, index + u64::from(attempt), &entry(1_000 * index, each.collect()));
        }
    }
    invariants::check(&state).expect("a sound state");
    for limit in [1, 2, 3, 10] {
        let (mut found, mut after) = (Vec::new(), None);
        while let page = view::dead_letters(&state, "default", after.as_ref(), limit)
            && !page.is_empty()
        {
            after = page.last().cloned();
            found.extend(page.into_iter().map(|key| {
                let task = view::task(&state, TaskRef { run: key.run, task: key.task }).expect("listed");
                (view::workflow(&state, key.run).expect("there").id.clone(), key.at, task.last_error.clone())
            }));
        }
        let row = |id: &str, at| (id.to_owned(), at, format!("{id} 5"));
        assert_eq!(found, [row("a-5", 20_000), row("a-7", 20_000), row("a-3", 40_000)]);
    }
    assert!(view::dead_letters(&state, "other", None, 10).is_empty());

    let task = TaskRef { run: 8, task: 1 };
    let said = |page: &[(EventPos, Arc<Event>)]| -> Vec<String> {
        let message = |event: &Event| match event.happened.as_ref() {
            Some(Happened::Failed(failed)) => failed.message.clone(),
            other => panic!("no failed attempt: {other:?}"),
        };
        page.iter().map(|(_, event)| message(event)).collect()
    };
    let youngest = view::failed_attempts(&state, task, None, 2);
    assert_eq!(said(&youngest), ["a-7 5", "a-7 4"]);
    let rest = view::failed_attempts(&state, task, Some(youngest[1].0), 10);
    assert_eq!(said(&rest), ["a-7 3", "a-7 2", "a-7 1"]);
    assert!(view::failed_attempts(&state, TaskRef { run: 8, task: 2 }, None, 10).is_empty());
}

#[test]
fn what_would_be_answered_is_what_is_answered() {
    let mut state = state();
    // One that failed can be redriven; one that a later run has replaced cannot; both can be discarded, until their retention is over.
    let fail = |run| {
        let at = AttemptRef { run, task: 1, attempt: 1 };
        Command::Fail(FailTask { at, kind: FailureKind::Permanent as i32, message: "no".into(), ..Default::default() })
    };
    let again = StartWorkflow {
        namespace: "default".into(),
        id: "a-3".into(),
        nodes: vec![NewTask { node: "charge".into(), ..Default::default() }],
        on_conflict: OnConflict::ReplaceFinished as i32,
        ..Default::default()
    };
    let applied = apply_entry(&mut state, 20, &entry(30_000, vec![fail(2), fail(4), Command::Start(again)]));
    assert!(applied.iter().all(|applied| applied.reply.is_ok()), "{applied:?}");
    let named = |id: &str, run, task, patch: &'static str| RedriveTask {
        namespace: "default".into(),
        id: id.into(),
        run,
        task,
        state_patch: patch.as_bytes().into(),
        ..Default::default()
    };
    let config = |config: &'static str| RedriveTask { config: Some(config.as_bytes().into()), ..named("a-1", 2, 1, "") };
    let asked = [
        named("a-1", 2, 1, ""),
        named("a-1", 0, 1, r#"{"n":1}"#),
        named("a-1", 2, 1, "[]"),
        named("a-1", 2, 2, ""),
        named("a-1", 2, 9, ""),
        named("a-3", 4, 1, ""),
        named("nobody", 0, 1, ""),
        named("a\u{0}", 0, 1, ""),
        config("{"),
        config("5"),
    ];
    for now in [30_000, u64::MAX] {
        for asked in &asked {
            let would = view::would_redrive(&state, now, asked).map(|(run, task)| (run, task.node.clone()));
            let did = apply_entry(&mut state.clone(), 21, &entry(now, vec![Command::Redrive(asked.clone())])).remove(0).reply;
            assert_eq!(would.as_ref().err(), did.as_ref().err(), "redrive {asked:?} at {now}");
            let RedriveTask { namespace, id, run, task, .. } = asked.clone();
            let asked = ControlTask { namespace, id, run, task, reason: String::new() };
            let would = view::would_discard(&state, now, &asked).map(|(run, task)| (run, task.node.clone()));
            let did = apply_entry(&mut state.clone(), 21, &entry(now, vec![Command::Discard(asked.clone())])).remove(0).reply;
            assert_eq!(would.err(), did.err(), "discard {asked:?} at {now}");
        }
    }
    let (run, task) = view::would_redrive(&state, 30_000, &asked[0]).expect("it can");
    assert_eq!((run, task.node.as_str()), (2, "charge"));
    view::would_redrive(&state, 30_000, &asked[5]).expect_err("replaced");
    view::would_redrive(&state, u64::MAX, &asked[0]).expect_err("its retention is over");
}

#[test]
fn what_a_request_has_done_is_found_by_the_beginning_of_its_id() {
    let mut state = Memory::new();
    let start = |n: u64, request: &str| {
        let command = start("default", format!("w-{n}"), &["charge"]);
        Envelope { request_id: request.into(), ..Envelope::internal("client:ann", command) }
    };
    let commands = ["a/1", "a/2", "a/3", "b/1"].iter().enumerate().map(|(n, id)| start(n as u64, id)).collect();
    apply_entry(&mut state, 1, &LogEntry { commands, ..entry(1_000, Vec::new()) });
    let found = |start: &str, limit| {
        let page = view::answered(&state, "default", start, None, limit);
        page.into_iter().map(|(key, _)| key.id).collect::<Vec<_>>()
    };
    assert_eq!(found("a/", 10), ["a/1", "a/2", "a/3"]);
    assert_eq!(found("a/", 2), ["a/1", "a/2"]);
    assert!(found("c/", 10).is_empty() && found("", 10).is_empty());
    assert!(view::answered(&state, "other", "a/", None, 10).is_empty());
}

#[test]
fn workflows_are_counted_by_status() {
    let state = state();
    assert_eq!(view::status_counts(&state, "default"), BTreeMap::from([(StatusKind::Running, 8), (StatusKind::Terminated, 4)]));
    assert_eq!(view::status_counts(&state, "other"), BTreeMap::from([(StatusKind::Running, 1)]));
    assert!(view::status_counts(&state, "nobody").is_empty());
    assert!(view::status_counts(&state, "\u{0}").is_empty());
    let all = [("default", StatusKind::Running, 8), ("default", StatusKind::Terminated, 4), ("other", StatusKind::Running, 1)];
    let all = all.map(|(namespace, status, count)| (namespace.to_owned(), status, count));
    assert_eq!(view::all_status_counts(&state, 10), all);
    assert_eq!(view::all_status_counts(&state, 2), all[..2]);
}

#[test]
fn what_the_whole_cluster_has_is_counted() {
    let mut state = state();
    let counted = |state: &Memory| CounterName::DERIVED.map(|name| view::counted(state, name));
    // Eight workflows of two tasks and one of one; those that were terminated have a retention to come.
    assert_eq!(counted(&state), [17, 0, 0, 0, 4]);
    let at = AttemptRef { run: 2, task: 1, attempt: 1 };
    let fail = |kind: FailureKind, at| Command::Fail(FailTask { at, kind: kind as i32, ..Default::default() });
    apply_entry(
        &mut state,
        20,
        &entry(21_000, vec![fail(FailureKind::Retryable, at), fail(FailureKind::Permanent, AttemptRef { task: 2, ..at })]),
    );
    // The one that is tried again waits for its time; the other is a dead letter, and its workflow has failed.
    assert_eq!(counted(&state)[..4], [15, 1, 0, 1]);
    invariants::check(&state).expect("the timers are counted as well");
}

#[test]
#[should_panic(expected = "install a newer one")]
fn an_entry_of_a_newer_version_stops_the_member() {
    apply_entry(&mut Memory::new(), 1, &LogEntry { format: ENTRY_FORMAT + 1, ..entry(1, Vec::new()) });
}

#[test]
#[should_panic(expected = "a newer version wrote the log")]
fn an_unknown_command_stops_the_member() {
    let mut entry = entry(1, vec![start("default", "a".into(), &["charge"])]);
    entry.commands[0].command = None;
    apply_entry(&mut Memory::new(), 1, &entry);
}
