//! One real member: starts, restarts, and what it costs. Each test prints its figure.

use std::time::Duration;

use futures::{StreamExt, stream};
use graft_client::{Client, Next, status_name};
use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::wait;
use graft_tests::workers::WorkerProcess;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_ready_soon_after_its_start_and_its_restart() {
    let mut cluster = Cluster::start(1, "").await;
    let member = &mut cluster.members[0];
    assert!(member.terminate().await.success(), "SIGTERM ends with exit code 0");
    member.start();
    println!("start to ready, empty: {} ms", member.ready().await.as_millis());
}

/// Starts workflows with a state of `bytes` each, `count` of them; nobody works on them.
async fn fill(client: &Client, count: u64, bytes: usize) {
    let text = "x".repeat(bytes);
    stream::iter(0..count)
        .for_each_concurrent(32, |number| {
            let start = client
                .start(format!("filler-{number}"))
                .state(&json!({ "text": &text }))
                .expect("text is JSON")
                .node(Next::named("nobody-works-on-this", json!(null)));
            async move {
                start.await.expect("a start of a healthy member is acknowledged");
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_data_is_served_within_five_seconds_of_kill_9() {
    const WORKFLOWS: u64 = 10_500;
    let mut cluster = Cluster::start(1, "").await;
    // The state stands in the workflow and in the event of its start: 2 x 50 kB each.
    fill(&cluster.client(), WORKFLOWS, 50_000).await;
    let member = &mut cluster.members[0];
    member.kill();
    let bytes = member.data_bytes();
    member.start();
    let took = member.ready().await;
    println!("start to ready after kill -9 with {} MB of data files: {} ms", bytes / 1_000_000, took.as_millis());
    assert!(bytes >= 1_000_000_000, "a gigabyte was wanted, {bytes} bytes are there");
    let client = cluster.client();
    for number in [0, 1, WORKFLOWS / 2, WORKFLOWS - 1] {
        let found = client.workflow(format!("filler-{number}")).get().await.expect("an acknowledged start survives");
        assert_eq!(status_name(found.status()), "running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(1, "").await;
    let urls = cluster.urls();
    let _worker = WorkerProcess::start(&urls, "w1");
    let load = std::sync::Arc::new(Load::new(cluster.client(), "crash", 2_000, 3, 10));
    let starting = tokio::spawn({
        let load = load.clone();
        async move { load.start_all().await }
    });
    for round in 1..=4 {
        wait::until("more acknowledged starts", Duration::from_secs(120), || async {
            let seen = load.acknowledged();
            if seen >= 400 * round { Ok(()) } else { Err(seen) }
        })
        .await;
        let member = &mut cluster.members[0];
        member.kill();
        member.start();
        println!("restart {round} under load: ready after {} ms", member.ready().await.as_millis());
    }
    starting.await.expect("all starts are acknowledged in the end");
    load.check_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_overlay_makes_writers_wait_and_memory_stays_bounded() {
    let cluster = Cluster::start(1, "\n[storage]\noverlay = \"4MiB\"\nflush_interval = \"10s\"\n").await;
    fill(&cluster.client(), 2_000, 20_000).await;
    let member = &cluster.members[0];
    let (stalls, overlay, peak) = (
        member.metric("graft_storage_overlay_stalls_total"),
        member.metric("graft_storage_overlay_bytes"),
        member.metric("process_peak_memory_bytes"),
    );
    println!("80 MB through a 4 MiB overlay: {stalls} stalls, {overlay} bytes left in it, peak memory {} MB", peak as u64 / 1_000_000);
    assert!(overlay <= (2 * (4 << 20)) as f64 + 2e6, "the overlay holds {overlay} bytes");
}
