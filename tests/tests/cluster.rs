//! Three real members: a follower that was away, and a member that is told to stop. Each test shows its figures.

use std::time::{Duration, Instant};

use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::workers::WorkerProcess;
use graft_tests::{alone, figure, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_catches_up_by_snapshot_under_load_and_the_log_is_purged() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3, "\n[raft]\nsnapshot_every = 200\nlog_keep = 100\n").await;
    let urls = cluster.urls();
    let _worker = WorkerProcess::start(&urls, "w1");
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.members[away].kill();
    let load = std::sync::Arc::new(Load::new(cluster.client(), "away", 4_000, 3, 10));
    let starting = tokio::spawn({
        let load = load.clone();
        async move { load.start_all().await }
    });
    wait::until("a purge of the leader's log", Duration::from_secs(120), || async {
        let purged = cluster.members[leader].metric("graft_raft_log_index{position=\"purged\"}");
        if purged > 200.0 { Ok(()) } else { Err(purged) }
    })
    .await;
    cluster.members[away].start();
    let back = Instant::now();
    cluster.members[away].ready().await;
    wait::until("the follower to install a snapshot", Duration::from_secs(60), || async {
        let installed = cluster.members[away].metric("graft_raft_snapshots_total{op=\"install\"}");
        if installed >= 1.0 { Ok(()) } else { Err(installed) }
    })
    .await;
    figure(format_args!("the follower was ready with a snapshot {} ms after its start", back.elapsed().as_millis()));
    starting.await.expect("all starts are acknowledged");
    load.check_all().await;
    let leader = cluster.leader().await;
    let applied = |i: usize| cluster.members[i].metric("graft_raft_log_index{position=\"applied\"}");
    wait::until("all members at one index", Duration::from_secs(30), || async {
        let seen = [applied(0), applied(1), applied(2)];
        if seen.iter().all(|index| *index == seen[0]) { Ok(()) } else { Err(seen) }
    })
    .await;
    let purged = cluster.members[leader].metric("graft_raft_log_index{position=\"purged\"}");
    figure(format_args!("all members at index {}, log purged up to {purged}", applied(leader)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_fails_no_request_and_loses_no_task() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3, "").await;
    let urls = cluster.urls();
    let _worker = WorkerProcess::start(&urls, "w1");
    let load = std::sync::Arc::new(Load::new(cluster.client(), "drain", 3_000, 3, 10));
    let starting = tokio::spawn({
        let load = load.clone();
        async move { load.start_all().await }
    });
    for round in 1..=2 {
        wait::until("load", Duration::from_secs(120), || async {
            let seen = load.acknowledged();
            if seen >= 700 * round { Ok(()) } else { Err(seen) }
        })
        .await;
        let leader = cluster.leader().await;
        let asked = Instant::now();
        let status = cluster.members[leader].terminate().await;
        figure(format_args!("m{} drained and ended with {status} after {} ms", leader + 1, asked.elapsed().as_millis()));
        assert!(status.success(), "a drained member exits 0");
        cluster.members[leader].start();
        cluster.members[leader].ready().await;
    }
    let repeats = starting.await.expect("all starts are acknowledged");
    load.check_all().await;
    figure(format_args!("{repeats} starts reached the caller as failed"));
    assert_eq!(repeats, 0, "the client carries every request across a drain by itself");
}
