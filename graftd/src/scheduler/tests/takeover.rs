//! A new term: what it reads, whom it waits for, what it holds back.

use super::*;

/// Two workers of node `a`, one of `b`, each with one attempt; two more tasks of each wait. Then another leader takes over.
fn taken_over() -> (World, Vec<(StreamId, Assignment)>) {
    let mut w = World::new();
    for (stream, name, node) in [(1, "one", "a"), (2, "two", "a"), (3, "three", "b")] {
        w.connect(stream, name, &[(node, 2, 0)]);
        w.credit(stream, node, 1, 1);
    }
    w.start("w", &[a(), a(), a(), a(), node("b"), node("b"), node("b")]);
    let mut tasks = w.tasks();
    tasks.sort_by_key(|(stream, _)| *stream);
    assert_eq!(tasks.len(), 3);
    w.pass(100);
    w.next_term();
    (w, tasks)
}

fn back(w: &mut World, stream: StreamId, name: &str, node: &str, holds: &[&Assignment]) {
    w.attach(stream, name, &[(node, 2, 0)]);
    w.inventory(stream, holds.iter().map(|task| held(task)).collect());
    w.credit(stream, node, 2, 1);
}

#[test]
fn running_attempts_survive_a_change_of_leader() {
    let (mut w, tasks) = taken_over();
    back(&mut w, 11, "one", "a", &[&tasks[0].1]);
    let (at, lease) = (tasks[0].1.at, tasks[0].1.lease);
    assert!(w.core.held().contains(&(at, lease, "one")), "under the lease that it has");
    w.complete(11, &tasks[0].1, &[]);
    assert_eq!(w.acks(), vec![(at, lease, Resolution::Applied)]);
}

#[test]
fn older_tasks_of_the_nodes_of_a_silent_session_wait_and_others_do_not() {
    let (mut w, tasks) = taken_over();
    back(&mut w, 11, "one", "a", &[&tasks[0].1]);
    back(&mut w, 13, "three", "b", &[&tasks[2].1]);
    let dispatched = w.tasks();
    assert_eq!(dispatched.len(), 1, "two is silent: the tasks of a wait");
    assert_eq!(dispatched[0].1.node, "b");
    w.pass(1);
    w.start("new", &[a()]);
    assert_eq!(w.task().workflow_id, "new", "nobody can hold what is younger than the term");
}

#[test]
fn when_all_have_answered_the_rest_goes_out_at_once() {
    let (mut w, tasks) = taken_over();
    back(&mut w, 11, "one", "a", &[&tasks[0].1]);
    assert_eq!(w.tasks().len(), 0);
    back(&mut w, 12, "two", "a", &[&tasks[1].1]);
    assert_eq!(w.tasks().len(), 2);
}

#[test]
fn when_a_session_stays_silent_for_its_lease_time_the_rest_goes_out() {
    let (mut w, tasks) = taken_over();
    back(&mut w, 11, "one", "a", &[&tasks[0].1]);
    w.pass(LEASE - 1);
    w.heartbeat(11);
    assert_eq!(w.tasks().len(), 0);
    w.pass(1);
    assert_eq!(w.tasks().len(), 1, "one place is free at `one`");
    let ids: Vec<String> = view::sessions(&w.state, None, 10).iter().map(|session| session.incarnation.clone()).collect();
    assert_eq!(ids, vec!["one".to_owned()]);
}

#[test]
fn the_whole_capacity_of_a_silent_session_counts_against_the_limits() {
    let mut w = World::new();
    w.limit("", 3);
    w.worker(1, "one", 2);
    w.pass(10);
    w.next_term();
    w.connect(2, "two", &[("b", 9, 0)]);
    w.credit(2, "b", 9, 1);
    w.pass(1);
    w.start("w", &[node("b"), node("b"), node("b")]);
    assert_eq!(w.tasks().len(), 1, "three, less the two that `one` may hold");
    w.attach(3, "one", &[("a", 2, 0)]);
    w.inventory(3, vec![]);
    assert_eq!(w.tasks().len(), 2);
}

#[test]
fn a_heartbeat_renews_nothing_before_the_worker_has_said_what_it_holds() {
    let (mut w, _) = taken_over();
    w.attach(11, "one", &[("a", 2, 0)]);
    w.pass(LEASE / 2);
    w.heartbeat(11);
    assert!(!w.sent.iter().any(|(stream, message)| *stream == 11 && matches!(message, ToWorker::HeartbeatAck { .. })));
    w.pass(LEASE / 2);
    assert_eq!(view::sessions(&w.state, None, 10).len(), 0);
}

#[test]
fn an_inventory_for_another_term_is_not_heard() {
    let (mut w, tasks) = taken_over();
    w.attach(11, "one", &[("a", 2, 0)]);
    w.says(11, FromWorker::Inventory { term: 1, held: vec![held(&tasks[0].1)] });
    assert_eq!(w.core.held_count(), 0);
}

#[test]
fn of_two_claims_the_higher_lease_wins_and_the_other_is_cancelled() {
    let (mut w, tasks) = taken_over();
    let low = &tasks[0].1;
    let high = Assignment { lease: Lease { sequence: low.lease.sequence + 9, ..low.lease }, ..low.clone() };
    back(&mut w, 11, "one", "a", &[low]);
    back(&mut w, 12, "two", "a", &[&high]);
    assert_eq!(w.cancels(), vec![(11, low.at, StopReason::LeaseLost)]);
    assert!(w.core.held().contains(&(high.at, high.lease, "two")));
    assert_eq!(w.core.held().iter().filter(|(at, _, _)| *at == low.at).count(), 1);
}

#[test]
fn a_worker_hears_that_what_it_holds_is_not_wanted_any_more() {
    let mut w = World::new();
    w.start("cancelled", &[a()]);
    w.start("ended", &[a()]);
    w.worker(1, "one", 2);
    let tasks: Vec<Assignment> = w.tasks().into_iter().map(|(_, task)| task).collect();
    w.hold = true;
    w.control(Command::Cancel, "cancelled");
    w.control(Command::Terminate, "ended");
    w.hold = false;
    w.cancels();
    w.next_term();
    w.attach(2, "one", &[("a", 2, 0)]);
    w.inventory(2, tasks.iter().map(held).collect());
    let reasons: Vec<StopReason> = w.cancels().into_iter().map(|(_, _, reason)| reason).collect();
    assert_eq!(reasons, vec![StopReason::WorkflowCancelled, StopReason::WorkflowEnded]);
}

#[test]
fn an_adopted_attempt_keeps_a_timeout() {
    let mut w = World::new();
    w.start("w", &[NewTask { timeout: 3_000, ..a() }]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.next_term();
    w.attach(2, "one", &[("a", 1, 0)]);
    w.inventory(2, vec![held(&task)]);
    w.pass(3_000);
    assert_eq!(w.cancels(), vec![(2, task.at, StopReason::TimedOut)]);
}

#[test]
fn credit_of_an_earlier_term_is_not_used() {
    let (mut w, tasks) = taken_over();
    w.attach(11, "one", &[("a", 2, 0)]);
    w.credit(11, "a", 500, 99);
    w.inventory(11, vec![held(&tasks[0].1)]);
    w.pass(1);
    w.start("new", &[a()]);
    assert_eq!(w.tasks().len(), 0);
    w.credit(11, "a", 1, 1);
    assert_eq!(w.tasks().len(), 1);
}

#[test]
fn a_claim_beyond_what_waits_does_not_lose_what_waits() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.next_term();
    w.attach(1, "one", &[("a", 1, 0)]);
    // An attempt that the state knows nothing of (it was restored, say).
    let at = AttemptRef { run: 1, task: 1, attempt: 3 };
    let claimed = Held { at, lease: Lease { term: 1, sequence: 9 }, node: "a".to_owned(), progress: String::new() };
    w.inventory(1, vec![claimed]);
    assert_eq!(w.cancels(), vec![(1, at, StopReason::LeaseLost)]);
    w.credit(1, "a", 1, 1);
    assert_eq!(w.task().at.attempt, 1);
}

#[test]
fn a_result_under_another_lease_that_is_being_decided_does_not_bind_an_attempt_that_is_taken_over() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let old = w.task();
    w.next_term();
    w.attach(2, "two", &[("a", 1, 0)]);
    w.inventory(2, vec![]);
    w.pass(LEASE);
    w.credit(2, "a", 1, 1);
    w.next_term();
    w.hold = true;
    // The first worker repeats its result, and while that is decided the second says that it holds the attempt, under a higher lease.
    w.attach(1, "one", &[("a", 1, 0)]);
    w.inventory(1, vec![]);
    w.complete(1, &old, &[]);
    let newer = Lease { term: 2, sequence: 1 };
    w.attach(2, "two", &[("a", 1, 0)]);
    w.inventory(2, vec![Held { lease: newer, ..held(&old) }]);
    w.answer_held(Err(ProposeError::Unknown { reason: "a test".to_owned() }));
    let result = Assignment { lease: newer, ..old.clone() };
    w.complete(2, &result, &[]);
    assert_eq!(w.acks().last(), Some(&(old.at, newer, Resolution::Applied)), "its result is heard");
}
