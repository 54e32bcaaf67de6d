//! Results: fenced, proposed, acknowledged once they are durable.

use super::*;

fn unknown() -> ProposeError {
    ProposeError::Unknown { reason: "a test".to_owned() }
}

#[test]
fn a_result_is_acknowledged_only_once_it_is_decided() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.hold = true;
    w.complete(1, &task, &[]);
    assert_eq!(w.acks(), vec![]);
    w.answer_held(Ok(()));
    assert_eq!(w.acks().len(), 1);
}

#[test]
fn results_of_one_turn_are_one_proposal() {
    let mut w = World::new();
    w.start("w", &many(10));
    w.worker(1, "one", 10);
    let results = w.tasks().iter().map(|(_, task)| completed(task, &[])).collect();
    w.hold = true;
    w.says(1, FromWorker::Results(results));
    assert_eq!(w.waiting.iter().map(|(_, commands)| commands.len()).collect::<Vec<_>>(), vec![10]);
}

#[test]
fn a_repeat_is_answered_as_resolved_already() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.complete(1, &task, &[]);
    w.complete(1, &task, &[]);
    let resolutions: Vec<Resolution> = w.acks().into_iter().map(|(_, _, resolution)| resolution).collect();
    assert_eq!(resolutions, vec![Resolution::Applied, Resolution::AlreadyResolved]);
}

#[test]
fn a_repeat_while_the_first_is_being_decided_is_not_proposed_again() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.hold = true;
    w.complete(1, &task, &[]);
    w.input(Input::Broken(1));
    w.attach(2, "one", &[("a", 1, 0)]);
    w.inventory(2, vec![held(&task)]);
    w.complete(2, &task, &[]);
    assert_eq!(w.waiting.len(), 1);
    w.answer_held(Ok(()));
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)], "on the stream that is there now");
}

#[test]
fn a_result_whose_outcome_is_unknown_is_not_acknowledged_and_the_worker_comes_again() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.hold = true;
    w.complete(1, &task, &[]);
    w.answer_held(Err(unknown()));
    assert_eq!(w.acks(), vec![]);
    assert_eq!(w.closed.len(), 1);
    w.attach(2, "one", &[("a", 1, 0)]);
    w.inventory(2, vec![held(&task)]);
    w.complete(2, &task, &[]);
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)]);
}

#[test]
fn a_result_of_a_lost_attempt_is_stale() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let old = w.task();
    w.pass(LEASE);
    w.worker(2, "two", 1);
    let new = w.task();
    w.attach(3, "one", &[("a", 1, 0)]);
    w.inventory(3, vec![held(&old)]);
    assert_eq!(w.cancels().last(), Some(&(3, old.at, StopReason::LeaseLost)));
    w.complete(3, &old, &[]);
    w.complete(2, &new, &[]);
    assert_eq!(w.acks(), vec![(old.at, old.lease, Resolution::Stale), (new.at, new.lease, Resolution::Applied)]);
}

#[test]
fn a_result_under_a_superseded_lease_of_the_same_attempt_is_stale_and_never_proposed() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let old = w.task();
    w.next_term();
    w.pass(LEASE);
    w.worker(2, "two", 1);
    let new = w.task();
    assert_eq!(new.at, old.at, "the session stayed silent; nobody knew of the attempt");
    assert!(new.lease > old.lease);
    w.attach(3, "one", &[("a", 1, 0)]);
    w.inventory(3, vec![held(&old)]);
    assert_eq!(w.cancels(), vec![(3, old.at, StopReason::LeaseLost)]);
    w.proposed.clear();
    w.complete(3, &old, &[]);
    assert_eq!(w.acks(), vec![(old.at, old.lease, Resolution::Stale)]);
    assert_eq!(w.proposed.len(), 0);
    w.complete(2, &new, &[]);
    assert_eq!(w.acks()[0].2, Resolution::Applied);
}

#[test]
fn a_result_of_an_earlier_term_is_accepted_and_its_task_not_handed_out_meanwhile() {
    let mut w = World::new();
    let run = w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.next_term();
    w.attach(2, "one", &[("a", 2, 0)]);
    w.hold = true;
    w.complete(2, &task, &[]);
    w.inventory(2, vec![]);
    w.credit(2, "a", 2, 1);
    assert_eq!(w.tasks().len(), 0);
    w.answer_held(Ok(()));
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)]);
    assert_eq!(w.status(run), StatusKind::Completed);
}

#[test]
fn a_task_whose_unknown_result_came_to_nothing_waits_for_a_worker_again() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.next_term();
    w.attach(2, "one", &[("a", 2, 0)]);
    w.hold = true;
    w.complete(2, &task, &[]);
    w.answer_held(Err(unknown()));
    w.connect(3, "one", &[("a", 2, 0)]);
    w.credit(3, "a", 2, 1);
    assert_eq!(w.task().at, task.at);
}

#[test]
fn what_is_handed_back_is_offered_again_and_costs_no_try() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    w.credit(1, "a", 2, 2);
    w.says(
        1,
        FromWorker::Results(vec![TaskResult::HandedBack {
            at: task.at,
            lease: task.lease,
            reason: "draining".to_owned(),
            progress: String::new(),
        }]),
    );
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)]);
    let again = w.task();
    assert_eq!((again.at.attempt, again.failures), (2, 0));
}

#[test]
fn a_result_that_the_machine_refuses_fails_its_attempt_for_good() {
    use graft_machine::command::BlockTask;
    let mut w = World::new();
    let run = w.start("w", &[a()]);
    w.worker(1, "one", 1);
    let task = w.task();
    let wake_on = vec!["no pointer".to_owned()];
    let blocked = BlockTask { at: task.at, lease: task.lease, judged_revision: task.revision, wake_on, ..Default::default() };
    w.says(1, FromWorker::Results(vec![TaskResult::Blocked(blocked)]));
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)]);
    assert_eq!(w.status(run), StatusKind::Failed);
}

#[test]
fn a_loss_that_could_not_be_proposed_is_proposed_again() {
    let mut w = World::new();
    w.start("w", &[a()]);
    w.worker(1, "one", 1);
    w.task();
    w.hold = true;
    w.pass(LEASE);
    w.answer_held(Err(ProposeError::Overloaded { retry_after_ms: 1 }));
    w.pass(1_000);
    w.worker(2, "two", 1);
    assert_eq!(w.task().at.attempt, 2);
}
