//! Three real members under load, the leader killed again and again, workers killed too: nothing acknowledged is lost, nothing happens twice.

use std::time::{Duration, Instant};

use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::wait;
use graft_tests::workers::WorkerProcess;

const WORKFLOWS: u64 = 10_000;

/// Steps that any running member has applied.
fn steps_applied(cluster: &Cluster) -> u64 {
    let applied = cluster.members.iter().filter(|m| m.runs()).map(|m| m.metric("graft_commands_total{kind=\"step\"}") as u64);
    applied.max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_workflows_survive_three_dead_leaders_and_two_dead_workers() {
    let mut cluster = Cluster::start(3, "").await;
    let urls = cluster.urls();
    let mut workers: Vec<WorkerProcess> = (1..=2).map(|i| WorkerProcess::start(&urls, &format!("w{i}"))).collect();
    let load = std::sync::Arc::new(Load::new(cluster.client(), "failover", WORKFLOWS, 3, 10));
    let begun = Instant::now();
    let starting = tokio::spawn({
        let load = load.clone();
        async move { load.start_all().await }
    });

    for round in 1..=3u64 {
        // In the middle of it: some of the starts of this round are acknowledged, the rest is under way.
        let goal = WORKFLOWS * round / 5;
        wait::until(&format!("{goal} acknowledged starts"), Duration::from_secs(300), || async {
            let seen = load.acknowledged();
            if seen >= goal { Ok(()) } else { Err(seen) }
        })
        .await;
        let leader = cluster.leader().await;
        let before = steps_applied(&cluster);
        cluster.members[leader].kill();
        let killed = Instant::now();
        // The members that are left count on from where they were; progress is a step that the new leader has applied.
        let floor = steps_applied(&cluster).max(before);
        wait::until("a step after the leader's death", Duration::from_secs(60), || async {
            let seen = steps_applied(&cluster);
            if seen > floor { Ok(()) } else { Err(seen) }
        })
        .await;
        println!("leader m{} killed (round {round}): {} ms without progress", leader + 1, killed.elapsed().as_millis());
        if round <= 2 {
            workers.remove(0).kill();
            workers.push(WorkerProcess::start(&urls, &format!("w{}", round + 2)));
        }
        cluster.members[leader].start();
        cluster.members[leader].ready().await;
    }

    let repeats = starting.await.expect("all starts are acknowledged in the end");
    load.check_all().await;
    println!("{WORKFLOWS} workflows completed in {:.1} s, {repeats} starts had to be repeated", begun.elapsed().as_secs_f64());
}
