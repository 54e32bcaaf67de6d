//! Leases while they are held: heartbeats, expiry, timeouts, stops.

use graft_machine::command::{FailTask, FailureKind, LostReason, RedriveTask};
use graft_machine::ids::TaskRef;

use super::*;

fn losses(w: &World) -> Vec<(u32, i32)> {
    let lose = |command: &Command| match command {
        Command::Lose(lose) => Some((lose.at.attempt, lose.reason)),
        _ => None,
    };
    w.proposed.iter().filter_map(lose).collect()
}

#[test]
fn heartbeats_renew_all_that_a_session_holds() {
    let mut w = World::new();
    w.start("w", &many(2));
    w.worker(1, "one", 2);
    assert_eq!(w.tasks().len(), 2);
    for _ in 0..10 {
        w.pass(LEASE - 1);
        w.heartbeat(1);
    }
    assert_eq!(losses(&w), vec![]);
    assert_eq!(w.core.held_count(), 2);
    assert!(w.sent.iter().any(|(_, message)| matches!(message, ToWorker::HeartbeatAck { term: 1, leading: true, .. })));
}

#[test]
fn an_assignment_names_the_heartbeat_from_which_its_lease_counts() {
    let mut w = World::new();
    w.worker(1, "one", 1);
    w.pass(77);
    w.heartbeat(1);
    let sent = w.now;
    w.pass(5);
    w.start("w", &[a()]);
    assert_eq!(w.task().echo, sent);
}

#[test]
fn a_silent_worker_loses_its_attempts_and_its_session() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.pass(LEASE);
    assert_eq!(losses(&w), vec![(1, LostReason::LeaseExpired as i32)]);
    assert_eq!(w.cancels(), vec![(1, task.at, StopReason::LeaseLost)]);
    assert_eq!(w.closed.len(), 1, "its stream is closed, so that it comes again");
    assert_eq!(view::sessions(&w.state, None, 10).len(), 0);
    w.worker(2, "two", 1);
    assert_eq!(w.task().at.attempt, 2);
}

#[test]
fn a_broken_stream_costs_nothing_if_the_worker_comes_back_in_time() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.input(Input::Broken(1));
    w.pass(LEASE / 2);
    w.attach(2, "one", &[("a", 1, 0)]);
    w.inventory(2, vec![held(&task)]);
    w.pass(LEASE - 1);
    assert_eq!(losses(&w), vec![]);
    w.complete(2, &task, &[]);
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)]);
}

#[test]
fn a_worker_that_stays_away_is_a_lost_session() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    w.input(Input::Broken(1));
    w.pass(LEASE);
    assert_eq!(losses(&w), vec![(1, LostReason::SessionLost as i32)]);
    assert!(w.proposed.iter().any(|command| matches!(command, Command::CloseSession(_))));
}

#[test]
fn what_a_session_holds_whose_new_record_is_refused_goes_to_somebody_else_in_time() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.attach(2, "one", &[("a", 1, 0), ("no\nnode", 1, 0)]);
    assert_eq!(w.closed.iter().filter(|(stream, _)| *stream == 2).count(), 1, "{:?}", w.closed);
    assert_eq!(losses(&w), vec![], "its process believes in what it holds");
    w.pass(LEASE);
    assert_eq!(losses(&w), vec![(1, LostReason::SessionLost as i32)]);
    assert_eq!(view::sessions(&w.state, None, 10).len(), 0);
    w.worker(3, "two", 1);
    assert_eq!(w.task().at, AttemptRef { attempt: 2, ..task.at });
    // Nobody is shut out who comes again with a good one, in the same process.
    w.attach(4, "four", &[("no\nnode", 1, 0)]);
    w.worker(5, "four", 1);
    w.start("x", &[a()]);
    assert_eq!(w.task().at.attempt, 1);
}

#[test]
fn what_never_arrived_is_handed_back_when_the_worker_says_what_it_holds() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let lost = w.task();
    w.input(Input::Broken(1));
    w.connect(2, "one", &[("a", 1, 0)]);
    assert_eq!(losses(&w), vec![(1, LostReason::HandedBack as i32)]);
    w.credit(2, "a", 1, 1);
    assert_eq!(w.task().at, AttemptRef { attempt: 2, ..lost.at });
}

#[test]
fn a_newer_stream_of_the_same_process_replaces_the_older() {
    let mut w = World::new();
    w.worker(1, "one", 1);
    w.worker(2, "one", 1);
    assert_eq!(w.closed.iter().map(|(stream, _)| *stream).collect::<Vec<_>>(), vec![1]);
    w.start("w", &[a()]);
    assert_eq!(w.tasks()[0].0, 2);
}

#[test]
fn an_attempt_that_runs_too_long_is_lost_and_its_worker_told() {
    let mut w = World::new();
    w.start("w", &[NewTask { timeout: 2_000, ..a() }]);
    w.worker(1, "one", 1);
    let task = w.task();
    assert_eq!(task.timeout_ms, 2_000);
    w.pass(1_999);
    assert_eq!(losses(&w), vec![]);
    w.pass(1);
    assert_eq!(losses(&w), vec![(1, LostReason::TimedOut as i32)]);
    assert_eq!(w.cancels(), vec![(1, task.at, StopReason::TimedOut)]);
}

#[test]
fn a_result_that_is_being_decided_is_not_overtaken_by_a_timeout_or_a_lost_lease() {
    let mut w = World::new();
    let run = w.start("w", &[NewTask { timeout: 2_000, ..a() }]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.hold = true;
    w.complete(1, &task, &[]);
    w.pass(LEASE + 1);
    assert_eq!(losses(&w), vec![]);
    w.answer_held(Ok(()));
    assert_eq!(w.status(run), StatusKind::Completed);
}

#[test]
fn a_worker_that_says_goodbye_leaves_no_session() {
    let mut w = World::new();
    w.worker(1, "one", 1);
    w.says(1, FromWorker::Goodbye { reason: "drained".to_owned() });
    assert_eq!(view::sessions(&w.state, None, 10).len(), 0);
    w.start("w", &[a()]);
    assert_eq!(w.tasks().len(), 0);
}

#[test]
fn what_was_on_its_way_to_a_worker_that_said_goodbye_goes_to_another_at_once() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    w.task();
    w.worker(2, "two", 1);
    w.says(1, FromWorker::Goodbye { reason: String::new() });
    assert_eq!(losses(&w), vec![(1, LostReason::HandedBack as i32)]);
    assert_eq!(w.tasks()[0].0, 2);
}

#[test]
fn a_process_that_connects_while_its_session_is_closing_begins_anew() {
    let mut w = World::new();
    w.worker(1, "one", 1);
    w.hold = true;
    w.says(1, FromWorker::Goodbye { reason: String::new() });
    // Quick as it is, it has said everything on this stream before its earlier session is closed.
    w.worker(2, "one", 1);
    w.answer_held(Ok(()));
    assert_eq!(w.closed.last().map(|(stream, _)| *stream), Some(2), "so it is asked to say it again");
    w.worker(3, "one", 1);
    w.start("w", &[a()]);
    assert_eq!(w.tasks()[0].0, 3);
    assert_eq!(view::sessions(&w.state, None, 10).len(), 1);
}

#[test]
fn a_leader_without_its_lease_decides_nothing_about_attempts() {
    let mut w = World::new();
    w.start("w", &[NewTask { timeout: 2_000, ..a() }]);
    w.worker(1, "one", 1);
    let task = w.task();
    // Stopped and woken, deposed or not: it cannot know whom the worker follows by now.
    w.leader_lease = None;
    w.pass(3 * LEASE);
    assert_eq!((losses(&w), w.cancels(), w.closed.len()), (vec![], vec![], 0));
    assert_eq!(w.core.held_count(), 1);
    // It was not deposed. What is over is over now, and heartbeats that came meanwhile count.
    w.heartbeat(1);
    w.leader_lease = Some(u64::MAX);
    w.pass(1);
    assert_eq!(losses(&w), vec![(1, LostReason::TimedOut as i32)]);
    assert_eq!(w.cancels(), vec![(1, task.at, StopReason::TimedOut)]);
    assert_eq!(w.closed.len(), 0, "its session lives");
}

#[test]
fn a_session_of_an_earlier_term_takes_the_lease_time_of_this_one() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.options.lease_ms = 3 * LEASE;
    w.next_term();
    w.attach(2, "one", &[("a", 1, 0)]);
    w.inventory(2, vec![held(&task)]);
    assert_eq!(view::sessions(&w.state, None, 10)[0].lease_time, 3 * LEASE, "for whoever leads next");
    w.pass(3 * LEASE - 1);
    assert_eq!(losses(&w), vec![]);
    w.pass(1);
    assert_eq!(losses(&w), vec![(1, LostReason::LeaseExpired as i32)]);
}

#[test]
fn progress_outlives_an_attempt_that_is_handed_back() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    let sent_ms = w.now;
    w.says(1, FromWorker::Heartbeat { sent_ms, progress: vec![(task.at, task.lease, "half".to_owned())] });
    let (at, lease, reason) = (task.at, task.lease, "leaving".to_owned());
    w.says(1, FromWorker::Results(vec![TaskResult::HandedBack { at, lease, reason, progress: String::new() }]));
    w.credit(1, "a", 2, 2);
    assert_eq!(w.task().progress, "half");
}

#[test]
fn a_cancelled_workflow_ends_when_its_last_attempt_has_ended() {
    let mut w = World::new();
    let run = w.start("w", &[a(), node("unserved")]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.control(Command::Cancel, "w");
    assert_eq!(w.cancels(), vec![(1, task.at, StopReason::WorkflowCancelled)]);
    assert_eq!(w.status(run), StatusKind::Cancelling);
    w.complete(1, &task, &[a()]);
    assert_eq!(w.status(run), StatusKind::Cancelled, "a task is open still, but nobody holds it");
}

#[test]
fn a_cancelled_workflow_that_nobody_works_on_ends_at_once() {
    let mut w = World::new();
    let run = w.start("w", &[a()]);
    w.control(Command::Cancel, "w");
    assert_eq!(w.status(run), StatusKind::Cancelled);
}

#[test]
fn a_cancelled_workflow_ends_under_a_new_leader_too_once_everybody_has_been_heard() {
    let mut w = World::new();
    let run = w.start("w", &[a(), a()]);
    w.worker(1, "one", 1);
    w.task();
    w.hold = true;
    w.control(Command::Cancel, "w");
    w.hold = false;
    w.next_term();
    assert_eq!(w.status(run), StatusKind::Cancelling);
    w.attach(2, "one", &[("a", 1, 0)]);
    assert_eq!(w.status(run), StatusKind::Cancelling, "the worker may hold an attempt");
    w.inventory(2, vec![]);
    assert_eq!(w.status(run), StatusKind::Cancelled);
}

#[test]
fn attempts_of_a_workflow_that_was_terminated_are_told_and_let_go_in_the_end() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.control(Command::Terminate, "w");
    assert_eq!(w.cancels(), vec![(1, task.at, StopReason::WorkflowEnded)]);
    assert_eq!(w.core.held_count(), 1, "it may still be running: it counts against the limits");
    for _ in 0..4 {
        w.pass(LEASE / 2);
        w.heartbeat(1);
    }
    assert_eq!(w.core.held_count(), 0);
}

#[test]
fn the_longest_timeout_that_can_be_said_is_none() {
    let mut w = World::new();
    w.start("w", &[NewTask { timeout: u64::MAX, ..a() }]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.pass(1);
    w.next_term();
    w.attach(2, "one", &[("a", 1, 0)]);
    w.inventory(2, vec![held(&task)]);
    assert_eq!((losses(&w), w.core.held_count()), (vec![], 1));
}

#[test]
fn a_notice_to_stop_that_went_down_with_its_stream_is_repeated_on_the_next() {
    let mut w = World::new();
    w.start("slow", &[NewTask { timeout: 2_000, ..a() }]);
    w.start("doomed", &[a()]);
    w.worker(1, "one", 2);
    let tasks: Vec<Assignment> = w.tasks().into_iter().map(|(_, task)| task).collect();
    let (slow, doomed) = (&tasks[0], &tasks[1]);
    // Nothing of this reaches the worker: its stream is gone.
    w.input(Input::Broken(1));
    w.control(Command::Terminate, "doomed");
    w.hold = true;
    w.pass(2_000);
    w.attach(2, "one", &[("a", 2, 0)]);
    w.inventory(2, vec![held(slow), held(doomed)]);
    assert_eq!(w.cancels(), vec![(2, slow.at, StopReason::TimedOut), (2, doomed.at, StopReason::WorkflowEnded)]);
}

/// Workflow `w`, whose node `charge` cannot work, and whose node `a` a worker executes.
fn failed_while_another_executes(w: &mut World) -> Assignment {
    w.start("w", &[a(), node("charge")]);
    w.worker(1, "one", 2);
    let task = w.task();
    let at = AttemptRef { run: task.at.run, task: 2, attempt: 1 };
    let kind = FailureKind::Permanent as i32;
    w.ask(Command::Fail(FailTask { at, kind, message: "no".to_owned(), ..Default::default() })).expect("it is its turn");
    assert_eq!(w.status(task.at.run), StatusKind::Failed);
    assert_eq!(w.cancels(), vec![(1, task.at, StopReason::WorkflowEnded)]);
    task
}

fn redrive(w: &mut World) {
    let redrive = RedriveTask { namespace: "default".to_owned(), id: "w".to_owned(), task: 2, ..Default::default() };
    w.ask(Command::Redrive(redrive)).expect("a dead letter");
}

#[test]
fn what_froze_with_its_workflow_is_handed_out_under_another_number_when_that_is_reopened() {
    let mut w = World::new();
    let task = failed_while_another_executes(&mut w);
    // Its worker does not look: the attempt is let go, and nobody here knows any more that it is executed.
    for _ in 0..4 {
        w.pass(LEASE / 2);
        w.heartbeat(1);
    }
    assert_eq!(w.core.held_count(), 0);
    redrive(&mut w);
    let again = w.task();
    assert_eq!(again.at, AttemptRef { attempt: task.at.attempt + 1, ..task.at });
    w.complete(1, &task, &[]);
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Stale)]);
    w.complete(1, &again, &[]);
    assert_eq!(w.acks(), vec![(again.at, again.lease, Resolution::Applied)]);
}

#[test]
fn an_attempt_that_its_worker_has_not_ended_yet_counts_against_the_limits_of_its_reopened_workflow() {
    let mut w = World::new();
    w.limit("a", 1);
    let task = failed_while_another_executes(&mut w);
    redrive(&mut w);
    assert_eq!((w.tasks(), w.core.held_count()), (vec![], 1));
    assert_eq!(w.cancels(), vec![(1, task.at, StopReason::WorkflowEnded)], "it is told once more");
    w.complete(1, &task, &[]);
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Stale)]);
    assert_eq!(w.task().at.attempt, task.at.attempt + 1);
}

#[test]
fn a_workflow_that_ends_again_and_again_does_not_prolong_what_is_to_be_let_go() {
    let mut w = World::new();
    let task = failed_while_another_executes(&mut w);
    // Its worker has dropped it and has nothing to say. What the workflow does meanwhile is no reason to wait longer for it.
    for _ in 0..3 {
        w.pass(LEASE / 3 + 1);
        w.heartbeat(1);
        redrive(&mut w);
        let charge = TaskRef { run: task.at.run, task: 2 };
        let charge = AttemptRef { task: 2, attempt: view::task(&w.state, charge).expect("it is there").attempt, ..task.at };
        let kind = FailureKind::Permanent as i32;
        w.ask(Command::Fail(FailTask { at: charge, kind, message: "no".to_owned(), ..Default::default() })).expect("it is its turn");
    }
    assert_eq!(w.core.held().into_iter().filter(|(at, _, _)| *at == task.at).count(), 0);
}
