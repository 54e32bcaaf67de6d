//! A real worker process that is asked to end under load: what it holds is finished or handed back, and nobody waits for it afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use graft_client::{Client, Next};
use graft_proto::v1::Event;
use graft_proto::v1::event::Happened;
use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::workers::{DRAIN_GRACE, HeldConfig, WorkerProcess};
use graft_tests::{figure, wait};
use serde_json::Value;

/// Workflows of each kind that are in flight at the worker when it is asked to end.
const IN_FLIGHT: u32 = 10;
/// Longest time from its end until nobody counts on it any more: the time of a commit under load, far less than the lease of 10 s.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait for anything else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Incarnation of the worker of this name, and how many attempts of a node it holds.
async fn holds(client: &Client, name: &str, node: &str) -> Option<(String, u32)> {
    let workers = client.workers().await.expect("the cluster answers").workers;
    let worker = workers.into_iter().find(|worker| worker.worker_id == name)?;
    let held = worker.nodes.iter().find(|served| served.node == node)?.held;
    Some((worker.incarnation, held))
}

/// Starts workflows of one `node` and waits until the worker `w1` holds so many of them; returns its incarnation.
async fn in_flight(client: &Client, node: &str, count: u32, wanted: u32) -> String {
    let start = |number| async move {
        let config = HeldConfig { by: "w1".to_owned() };
        client.start(format!("{node}-{number}")).node(Next::named(node, config)).await.expect("a start of a healthy cluster");
    };
    join_all((0..count).map(start)).await;
    wait::until(&format!("w1 to hold {node}"), PATIENCE, || async {
        match holds(client, "w1", node).await {
            Some((incarnation, held)) if held >= wanted => Ok(incarnation),
            other => Err(other),
        }
    })
    .await
}

/// The history of a workflow that has completed with every step counted once.
async fn history(client: &Client, id: String) -> Vec<Event> {
    let result = client.workflow(&id).result::<Value>().await.unwrap_or_else(|error| panic!("{id}: {error}"));
    assert_eq!(result["count"], 1, "{id}");
    client.workflow(&id).history(100, "").await.expect("the cluster answers").events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_end_finishes_or_hands_back_what_it_holds_and_is_gone() {
    let cluster = Cluster::start(3, "").await;
    let (urls, client) = (cluster.urls(), cluster.client());
    let leaving = WorkerProcess::start(&urls, "w1");
    // Alone, so that it gets them; they never end there.
    in_flight(&client, "held", IN_FLIGHT, IN_FLIGHT).await;
    let staying = WorkerProcess::start(&urls, "w2");
    let load = Arc::new(Load::new(cluster.clients(), "leave", 3_000, 3, 10));
    let starting = tokio::spawn({
        let load = load.clone();
        async move { load.start_all().await }
    });
    wait::until("load", PATIENCE, || async {
        let seen = load.acknowledged();
        if seen >= load.count() / 4 { Ok(()) } else { Err(seen) }
    })
    .await;
    // Those that it gets of these are finished.
    let incarnation = in_flight(&client, "slow", 4 * IN_FLIGHT, 1).await;

    assert!(load.acknowledged() < load.count(), "it leaves under load");
    let (asked, asked_at) = (Instant::now(), SystemTime::now());
    let status = leaving.terminate().await;
    let took = asked.elapsed();
    // It said goodbye: nobody waits for its lease to run out.
    wait::until("its session to be gone", GONE_WITHIN, || async {
        let workers = client.workers().await.expect("the cluster answers").workers;
        let names: Vec<String> = workers.into_iter().map(|worker| worker.worker_id).collect();
        if names == ["w2"] { Ok(()) } else { Err(names) }
    })
    .await;
    let gone = asked.elapsed() - took;
    assert!(status.success(), "a worker that is asked to end exits 0: {status}");
    assert!(took >= DRAIN_GRACE, "what it held until its grace was over: {took:?}");

    starting.await.expect("all starts are acknowledged");
    load.check_all().await;
    let asked_ms = asked_at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    let (mut finished, mut handed_back) = (0, 0);
    for (node, count) in [("held", IN_FLIGHT), ("slow", 4 * IN_FLIGHT)] {
        for number in 0..count {
            let events = history(&client, format!("{node}-{number}")).await;
            for event in &events {
                match event.happened.as_ref().expect("an event says what happened") {
                    Happened::TaskFailed(failed) => panic!("an attempt of {node}-{number} counts as failed: {failed:?}"),
                    Happened::TaskHandedBack(_) => handed_back += 1,
                    Happened::TaskCompleted(done) if done.worker == incarnation && event.time_ms > asked_ms => finished += 1,
                    _ => {}
                }
            }
        }
    }
    figure(format_args!(
        "SIGTERM to a worker under load: it ended after {} ms (grace {} ms), its session {} ms later; it finished {finished} slow attempts and handed back {handed_back}",
        took.as_millis(),
        DRAIN_GRACE.as_millis(),
        gone.as_millis(),
    ));
    assert!(finished > 0, "what could be finished was");
    assert!(handed_back >= IN_FLIGHT, "what could not be finished was handed back");
    for reason in ["lease_expired", "session_lost", "timed_out"] {
        let lost: f64 = cluster.members.iter().map(|m| m.metric(&format!("graft_attempts_lost_total{{reason={reason:?}}}"))).sum();
        assert_eq!(lost, 0.0, "attempts lost: {reason}");
    }
    assert!(staying.terminate().await.success());
}
