//! Workers that name attempts which they were not given: nothing comes of it, for whoever has them and for the attempt.

use super::*;

/// Attempts in turn, whoever is asked: of the worker `one` of node `a` of the default namespace, and one that waits. `eve` is another worker,
/// of the namespace and node given.
fn beside_eve(namespace: &str, node: &str) -> (World, Assignment, AttemptRef) {
    let mut w = World::new();
    w.next_term();
    w.worker(1, "one", 1);
    let run = w.start("w", &[a()]);
    let held = w.task();
    let waits = w.start("later", &[a()]);
    assert_eq!((run, w.tasks().len()), (held.at.run, 0), "there is room for one");
    w.attach_in(namespace, 2, "eve", &[(node, 9, 0)]);
    let waits = AttemptRef { run: waits, ..held.at };
    (w, held, waits)
}

fn leases(w: &World) -> [Lease; 4] {
    [(0, 1), (w.term - 1, u64::MAX), (w.term, u64::MAX), (u64::MAX, u64::MAX)].map(|(term, sequence)| Lease { term, sequence })
}

#[test]
fn a_result_for_what_is_of_another_namespace_or_node_comes_too_late() {
    for (namespace, node) in [("other", "a"), ("default", "b")] {
        let (mut w, task, waits) = beside_eve(namespace, node);
        w.inventory(2, vec![]);
        let proposed = w.proposed.len();
        let to_come = AttemptRef { run: task.at.run, task: 7, attempt: 1 };
        let nowhere = AttemptRef { run: 9_999, ..task.at };
        for at in [task.at, waits, to_come, nowhere] {
            for lease in leases(&w) {
                let forged = Assignment { at, lease, ..task.clone() };
                w.complete(2, &forged, &[]);
                assert_eq!(w.acks(), vec![(at, lease, Resolution::Stale)], "{namespace} {node} {at} {lease:?}");
            }
        }
        assert_eq!(w.proposed.len(), proposed, "nothing was decided: {:?}", w.proposed.last());
        assert_eq!((w.status(task.at.run), w.status(waits.run)), (StatusKind::Running, StatusKind::Running));
        // Whoever has it completes it, and then gets the next.
        w.complete(1, &task, &[]);
        assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)]);
        w.credit(1, "a", 2, 2);
        assert_eq!(w.task().at, waits);
    }
}

#[test]
fn what_is_of_another_namespace_or_node_is_nobody_s_because_somebody_claims_to_hold_it() {
    for (namespace, node) in [("other", "a"), ("default", "b")] {
        for said in ["a", "b"] {
            let (mut w, task, waits) = beside_eve(namespace, node);
            let claims = [task.at, waits].into_iter().flat_map(|at| leases(&w).map(|lease| (at, lease)));
            let claims: Vec<Held> = claims.map(|(at, lease)| Held { at, lease, node: said.to_owned(), progress: String::new() }).collect();
            let claimed = claims.len();
            w.inventory(2, claims);
            let cancels = w.cancels();
            assert_eq!(cancels.len(), claimed, "{namespace} {node} {said}: {cancels:?}");
            assert!(cancels.iter().all(|(stream, _, reason)| (*stream, *reason) == (2, StopReason::LeaseLost)), "{cancels:?}");
            assert_eq!(w.core.held(), vec![(task.at, task.lease, "one")]);
            w.complete(1, &task, &[]);
            w.credit(1, "a", 2, 2);
            assert_eq!(w.task().at, waits, "it has waited in its place");
        }
    }
}

#[test]
fn a_lease_that_nobody_has_given_out_takes_nothing_from_whoever_has_one() {
    let (mut w, task, _) = beside_eve("default", "a");
    let claims = leases(&w).map(|lease| Held { at: task.at, lease, node: "a".to_owned(), progress: String::new() });
    w.inventory(2, claims.to_vec());
    assert!(w.cancels().iter().all(|(stream, ..)| *stream == 2));
    assert_eq!(w.core.held(), vec![(task.at, task.lease, "one")]);
    for lease in leases(&w) {
        w.complete(2, &Assignment { lease, ..task.clone() }, &[]);
        assert_eq!(w.acks(), vec![(task.at, lease, Resolution::Stale)]);
    }
    assert_eq!(w.status(task.at.run), StatusKind::Running);
}

#[test]
fn a_session_is_of_the_process_that_opened_it() {
    let (mut w, task, _) = beside_eve("other", "a");
    w.attach_in("other", 3, "one", &[("a", 1, 0)]);
    assert_eq!(w.closed.iter().filter(|(stream, _)| *stream == 3).count(), 1, "{:?}", w.closed);
    w.complete(1, &task, &[]);
    assert_eq!(w.acks(), vec![(task.at, task.lease, Resolution::Applied)], "its own stream goes on");
    // Nor is it of one that serves other nodes: it would report results of what it may not serve.
    w.closed.clear();
    w.attach(6, "one", &[("b", 1, 0)]);
    assert_eq!(w.closed.iter().filter(|(stream, _)| *stream == 6).count(), 1, "{:?}", w.closed);
    // Before it has said what it holds, its record says what it is given: the greeting has to name all of that.
    w.next_term();
    for (namespace, node) in [("other", "a"), ("default", "b")] {
        w.closed.clear();
        w.attach_in(namespace, 4, "one", &[(node, 1, 0)]);
        assert_eq!(w.closed.len(), 1, "{namespace} {node}");
    }
    w.attach(5, "one", &[("a", 1, 0), ("b", 1, 0)]);
    w.inventory(5, vec![]);
    w.credit(5, "a", 1, 1);
    assert_eq!(w.tasks().len(), 1);
}
