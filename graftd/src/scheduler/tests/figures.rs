//! What the core tells: how things stand, and what has happened since it was asked.

use super::*;
use crate::observability::metrics::QueueRow;

fn row(world: &World) -> QueueRow {
    let mut rows = world.core.queue_rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

#[test]
fn a_node_says_what_waits_and_since_when_what_is_held_and_who_serves_it() {
    let mut w = World::new();
    w.start("first", &[a()]);
    w.pass(4_000);
    w.start("urgent", &[NewTask { priority: 7, ..a() }]);
    let waits =
        QueueRow { namespace: "default".into(), node: "a".into(), waiting: 2, waiting_since: Some(EPOCH + 1), ..QueueRow::default() };
    assert_eq!(row(&w), waits, "the one that waits longest is not the one that goes first");
    w.pass(1_000);
    w.worker(1, "one", 1);
    assert_eq!(w.task().workflow_id, "urgent");
    assert_eq!(row(&w), QueueRow { waiting: 1, held: 1, workers: 1, slots: 1, ..waits.clone() });
    let tally = w.core.take_tally();
    assert_eq!(tally.dispatched, [(0, 1_000)], "it has waited for a second");
    assert_eq!(w.core.take_tally().dispatched, [], "and is told once");
    w.says(1, FromWorker::Goodbye { reason: "done".into() });
    assert_eq!(row(&w), QueueRow { waiting: 2, ..waits }, "a worker that leaves hands back what it holds");
}

#[test]
fn what_a_limit_keeps_from_a_worker_is_told_apart_from_what_waits_for_one() {
    let mut w = World::new();
    w.limit("a", 1);
    w.start("first", &[a()]);
    w.start("second", &[a()]);
    w.start("third", &[a()]);
    assert_eq!((row(&w).waiting, row(&w).held_back), (3, 0), "no worker is there");
    w.worker(1, "one", 2);
    assert_eq!((row(&w).waiting, row(&w).held, row(&w).held_back), (2, 1, 2), "it would take one more");
    w.limit("a", 2);
    assert_eq!((row(&w).waiting, row(&w).held, row(&w).held_back), (1, 2, 0), "it is full");
    w.limit("a", 0);
    w.limit("", 2);
    w.worker(2, "two", 1);
    assert_eq!((row(&w).waiting, row(&w).held_back), (1, 1), "a limit of the whole cluster counts as well");
}

#[test]
fn sessions_end_with_a_goodbye_or_because_they_are_silent() {
    let mut w = World::new();
    w.worker(1, "one", 1);
    w.worker(2, "two", 1);
    w.says(1, FromWorker::Goodbye { reason: "done".into() });
    assert_eq!(w.core.take_tally().sessions_ended, [1, 0, 0]);
    w.pass(LEASE + 1);
    assert_eq!(w.core.take_tally().sessions_ended, [0, 1, 0]);
}

#[test]
fn the_next_timer_is_told_in_the_machines_time() {
    let mut w = World::new();
    assert_eq!(w.core.next_timer(), None);
    w.start("later", &[NewTask { delay: 9_000, ..a() }]);
    w.start("sooner", &[NewTask { delay: 3_000, ..a() }]);
    assert_eq!(w.core.next_timer(), Some(EPOCH + w.now + 3_000));
}
