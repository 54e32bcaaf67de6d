//! Order, credit, limits, refill: which task goes to whom.

use graft_machine::command::{BlockTask, CompleteTask, InitCluster, MACHINE_VERSION, Operation};

use super::*;

#[test]
fn a_ready_task_goes_to_a_worker_with_credit() {
    let mut w = World::new();
    let run = w.start("w", &[a()]);
    assert_eq!(w.tasks().len(), 0, "nobody is there");
    w.worker(1, "one", 1);
    let task = w.task();
    assert_eq!((task.at, task.node.as_str(), task.workflow_id.as_str()), (AttemptRef { run, task: 1, attempt: 1 }, "a", "w"));
    assert_eq!(task.lease, Lease { term: 1, sequence: 1 });
    w.complete(1, &task, &[]);
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)]);
    assert_eq!(w.status(run), StatusKind::Completed);
    assert_eq!(w.core.held_count(), 0);
}

#[test]
fn high_priority_goes_first_then_who_has_waited_longest() {
    let mut w = World::new();
    w.start("first", &[a()]);
    w.pass(5);
    w.start("second", &[a(), NewTask { priority: 7, ..a() }]);
    w.worker(1, "one", 3);
    let order: Vec<(String, u32)> = w.tasks().into_iter().map(|(_, task)| (task.workflow_id, task.at.task)).collect();
    assert_eq!(order, vec![("second".to_owned(), 2), ("first".to_owned(), 1), ("second".to_owned(), 1)]);
}

#[test]
fn what_was_begun_is_finished_before_more_is_begun() {
    let mut w = World::new();
    let machine_version = MACHINE_VERSION;
    let init = InitCluster { cluster_id: "c".to_owned(), cluster_name: "test".to_owned(), epoch: 1, machine_version };
    w.ask(Command::InitCluster(init)).expect("it has no name yet");
    for name in ["first", "second", "third"] {
        w.start(name, &[a()]);
        w.pass(5);
    }
    w.worker(1, "one", 1);
    let mut order = Vec::new();
    for (window, next) in (2..).zip([&[a()][..], &[], &[a()], &[], &[]]) {
        let task = w.task();
        order.push(task.workflow_id.clone());
        w.pass(5);
        w.complete(1, &task, next);
        w.credit(1, "a", window, window);
    }
    assert_eq!(order, ["first", "first", "second", "second", "third"], "a backlog of starts puts off the end of none");
}

#[test]
fn no_more_is_assigned_than_the_window_allows() {
    let mut w = World::new();
    w.start("w", &many(5));
    w.connect(1, "one", &[("a", 10, 0)]);
    w.credit(1, "a", 2, 1);
    let first = w.tasks();
    assert_eq!(first.len(), 2);
    w.complete(1, &first[0].1, &[]);
    assert_eq!(w.tasks().len(), 0, "the window is absolute: a completion alone does not widen it");
    w.credit(1, "a", 3, 2);
    assert_eq!(w.tasks().len(), 1);
}

#[test]
fn an_older_credit_is_ignored() {
    let mut w = World::new();
    w.start("w", &many(5));
    w.connect(1, "one", &[("a", 10, 0)]);
    w.credit(1, "a", 2, 7);
    w.credit(1, "a", 5, 6);
    assert_eq!(w.tasks().len(), 2);
}

#[test]
fn no_more_is_held_by_a_session_than_its_capacity() {
    let mut w = World::new();
    w.start("w", &many(5));
    w.connect(1, "one", &[("a", 2, 0)]);
    w.credit(1, "a", 100, 1);
    let tasks = w.tasks();
    assert_eq!(tasks.len(), 2);
    w.complete(1, &tasks[0].1, &[]);
    assert_eq!(w.tasks().len(), 1, "a place is free again");
}

#[test]
fn sessions_take_turns() {
    let mut w = World::new();
    w.worker(1, "one", 4);
    w.worker(2, "two", 4);
    w.start("w", &many(4));
    let streams: Vec<StreamId> = w.tasks().into_iter().map(|(stream, _)| stream).collect();
    assert_eq!(streams, vec![1, 1, 2, 2], "grouped by stream, two each");
}

#[test]
fn nodes_take_turns() {
    let mut w = World::new();
    w.limit("", 4);
    w.start("w", &[a(), a(), a(), a(), node("b"), node("b")]);
    w.connect(1, "one", &[("a", 9, 0), ("b", 9, 0)]);
    w.leader_lease = None;
    w.credit(1, "a", 9, 1);
    w.credit(1, "b", 9, 1);
    w.leader_lease = Some(u64::MAX);
    w.input(Input::Tick);
    let b = w.tasks().into_iter().filter(|(_, task)| task.node == "b").count();
    assert_eq!(b, 2, "four places: two for each node");
}

#[test]
fn a_successor_goes_back_to_the_stream_of_the_step_before() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 2);
    let mut task = w.task();
    w.worker(2, "two", 2);
    for window in 3..10 {
        w.credit(1, "a", window, window);
        w.complete(1, &task, &[a()]);
        let mut tasks = w.tasks();
        let (stream, next) = tasks.remove(0);
        assert_eq!(stream, 1);
        task = next;
    }
}

#[test]
fn a_session_is_committed_before_its_first_lease() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.hold = true;
    w.worker(1, "one", 1);
    assert!(matches!(w.proposed.as_slice(), [Command::OpenSession(session)] if session.incarnation == "one"));
    assert_eq!(w.tasks().len(), 0);
    w.answer_held(Ok(()));
    assert_eq!(w.tasks().len(), 1);
}

#[test]
fn a_limit_of_a_node_holds_across_sessions() {
    let mut w = World::new();
    w.limit("a", 3);
    w.start("w", &many(10));
    w.worker(1, "one", 5);
    w.worker(2, "two", 5);
    let tasks = w.tasks();
    assert_eq!(tasks.len(), 3);
    let (stream, task) = &tasks[0];
    w.complete(*stream, task, &[]);
    assert_eq!(w.tasks().len(), 1);
}

#[test]
fn the_smallest_declaration_and_the_record_count() {
    let mut w = World::new();
    w.limit("a", 6);
    w.start("w", &many(20));
    w.connect(1, "one", &[("a", 9, 4)]);
    w.connect(2, "two", &[("a", 9, 5)]);
    w.credit(1, "a", 9, 1);
    w.credit(2, "a", 9, 1);
    assert_eq!(w.tasks().len(), 4);
    w.says(1, FromWorker::Goodbye { reason: String::new() });
    let held_by_two = w.core.held().iter().filter(|(_, _, holder)| *holder == "two").count();
    assert_eq!(held_by_two, 5, "who declared 4 is gone: now 5 counts");
}

#[test]
fn the_total_limit_counts_all_nodes() {
    let mut w = World::new();
    w.limit("", 3);
    w.start("w", &[a(), a(), node("b"), node("b")]);
    w.connect(1, "one", &[("a", 9, 0), ("b", 9, 0)]);
    w.credit(1, "a", 9, 1);
    w.credit(1, "b", 9, 1);
    assert_eq!(w.tasks().len(), 3);
    w.limit("", 4);
    assert_eq!(w.tasks().len(), 1, "raised live");
}

#[test]
fn limits_of_the_configuration_are_set_once() {
    let seed_limits = SeedLimits { total: Some(9), nodes: vec![("default".to_owned(), "a".to_owned(), 2)] };
    let mut w = World::with(SchedulerOptions { lease_ms: LEASE, seed_limits, ..Default::default() });
    let seeds = |w: &World| w.proposed.iter().filter(|command| matches!(command, Command::SetLimit(_))).count();
    assert_eq!(seeds(&w), 2);
    w.limit("a", 5);
    w.limit("", 0);
    w.next_term();
    assert_eq!(seeds(&w), 2, "what was set or taken away since stands: nothing is proposed");
    w.start("w", &[many(9), (0..9).map(|_| node("b")).collect()].concat());
    w.connect(1, "one", &[("a", 20, 0), ("b", 20, 0)]);
    w.credit(1, "a", 20, 1);
    w.credit(1, "b", 20, 1);
    let tasks = w.tasks();
    let of = |node: &str| tasks.iter().filter(|(_, task)| task.node == node).count();
    assert_eq!((of("a"), of("b")), (5, 9));
}

#[test]
fn a_backlog_larger_than_the_window_is_read_from_the_table_as_it_shrinks() {
    let mut w = World::with(SchedulerOptions { lease_ms: LEASE, ready_window: 8, ..Default::default() });
    let run = w.start("w", &many(100));
    assert_eq!(w.core.queued(), 8, "memory holds the head");
    w.worker(1, "one", 1);
    let mut seen = Vec::new();
    for window in 2.. {
        let Some((_, task)) = w.tasks().pop() else { break };
        seen.push(task.at.task);
        w.complete(1, &task, &[]);
        w.credit(1, "a", window, window);
        assert!(w.core.queued() <= 8);
    }
    assert_eq!(seen, (1..=100).collect::<Vec<u32>>(), "all of them, in order, once");
    assert!(w.pages > 0);
    assert_eq!(w.status(run), StatusKind::Completed);
}

#[test]
fn a_task_that_is_more_urgent_than_a_full_window_still_goes_first() {
    let mut w = World::with(SchedulerOptions { lease_ms: LEASE, ready_window: 8, ..Default::default() });
    w.start("backlog", &many(50));
    w.start("urgent", &[NewTask { priority: 1, ..a() }]);
    w.worker(1, "one", 1);
    assert_eq!(w.task().workflow_id, "urgent");
}

#[test]
fn a_paused_workflow_is_not_offered_until_it_is_resumed() {
    let mut w = World::new();
    w.start("w", &many(3));
    w.control(Command::Pause, "w");
    w.worker(1, "one", 3);
    assert_eq!(w.tasks().len(), 0);
    w.control(Command::Resume, "w");
    assert_eq!(w.tasks().len(), 3);
}

#[test]
fn what_runs_while_a_workflow_is_paused_may_finish_and_is_not_handed_out_twice() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.worker(2, "two", 1);
    w.control(Command::Pause, "w");
    assert_eq!(w.cancels(), vec![]);
    w.control(Command::Resume, "w");
    assert_eq!(w.tasks().len(), 0, "it is held already");
    w.complete(1, &task, &[]);
    assert_eq!(w.acks()[0].2, Resolution::Applied);
}

#[test]
fn a_blocked_task_costs_nothing_until_the_state_changes() {
    let mut w = World::new();
    w.start("w", &[a(), node("b")]);
    w.connect(1, "one", &[("a", 1, 0), ("b", 1, 0)]);
    w.credit(1, "a", 9, 1);
    w.credit(1, "b", 9, 1);
    let tasks = w.tasks();
    let task = |node: &str| tasks.iter().find(|(_, task)| task.node == node).expect("both were assigned").1.clone();
    let b = task("b");
    let blocked = BlockTask { at: b.at, lease: b.lease, judged_revision: b.revision, ..Default::default() };
    w.says(1, FromWorker::Results(vec![TaskResult::Blocked(blocked)]));
    assert_eq!(w.acks().len(), 1);
    let outputs = w.outputs;
    w.now += 5_000;
    w.input(Input::Tick);
    assert_eq!(w.outputs, outputs, "nothing is done for it");
    let a = task("a");
    let operation = Operation { pointer: "/n".to_owned(), change: Some(graft_machine::command::Change::Increment(1)) };
    let complete = CompleteTask { at: a.at, lease: a.lease, base_revision: a.revision, operations: vec![operation], ..Default::default() };
    w.says(1, FromWorker::Results(vec![TaskResult::Completed(complete)]));
    let again = w.task();
    assert_eq!((again.node.as_str(), again.at.attempt), ("b", 2));
}

#[test]
fn nothing_new_is_assigned_after_dispatch_is_stopped() {
    let mut w = World::new();
    w.start("w", &many(2));
    w.worker(1, "one", 1);
    let task = w.task();
    w.input(Input::StopDispatch);
    w.complete(1, &task, &[]);
    assert_eq!(w.acks().len(), 1, "what runs may finish");
    assert_eq!(w.tasks().len(), 0);
}

#[test]
fn no_lease_is_minted_while_the_leader_lease_does_not_hold() {
    let mut w = World::new();
    w.leader_lease = Some(0);
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    assert_eq!(w.tasks().len(), 0);
    assert!(w.core.poll_timeout().is_some_and(|at| at <= w.now + 20), "it looks again soon");
    w.leader_lease = Some(u64::MAX);
    w.input(Input::Tick);
    assert_eq!(w.tasks().len(), 1);
}

#[test]
fn a_timer_fires_when_it_is_due_and_not_before() {
    let mut w = World::new();
    w.worker(1, "one", 1);
    w.start("w", &[NewTask { delay: 3_000, ..a() }]);
    w.pass(2_999);
    assert_eq!(w.tasks().len(), 0);
    w.pass(1);
    assert_eq!(w.tasks().len(), 1);
}

#[test]
fn more_timers_than_the_window_all_fire_in_the_end() {
    let mut w = World::with(SchedulerOptions { lease_ms: 1_000_000, timers_window: 8, ..Default::default() });
    w.worker(1, "one", 100);
    let later: Vec<NewTask> = (0..100).map(|i| NewTask { delay: 1_000 + i * 10, ..a() }).collect();
    w.start("w", &later);
    w.pass(1_500);
    assert_eq!(w.tasks().len(), 51);
    w.pass(1_000);
    assert_eq!(w.tasks().len(), 49);
}

#[test]
fn a_burst_of_timers_is_proposed_in_bounded_batches() {
    let mut w = World::new();
    w.worker(1, "one", 5_000);
    w.start("w", &(0..3_000).map(|_| NewTask { delay: 1_000, ..a() }).collect::<Vec<_>>());
    w.pass(1_000);
    assert_eq!(w.tasks().len(), 3_000);
    assert!(w.proposed.iter().all(|command| !matches!(command, Command::Due(due) if due.timers.len() > 512)));
}
