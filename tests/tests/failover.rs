//! Three real members under load, the leader killed again and again, workers killed too: nothing acknowledged is lost, nothing happens twice.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::workers::WorkerProcess;
use graft_tests::{figure, wait};

const WORKFLOWS: u64 = 10_000;
/// Workflows that are started meanwhile.
const MORE: u64 = 1_000;
/// Longest wait for the next moment to kill somebody.
const LOAD_WITHIN: Duration = Duration::from_secs(120);

/// Steps that have been applied so far: the count of a member that was not restarted yet.
fn steps_applied(cluster: &Cluster) -> u64 {
    let applied = cluster.members.iter().filter(|m| m.runs()).map(|m| m.metric("graft_commands_total{kind=\"step\"}") as u64);
    applied.max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_workflows_survive_three_dead_leaders_and_two_dead_workers() {
    let mut cluster = Cluster::start(3, "").await;
    let urls = cluster.urls();
    let begun = Instant::now();
    // All are open before anybody works on them, and none can end before the third leader leads: until then no worker serves the last node
    // of a chain, or what a fan-out joins in.
    let load = Load::new(cluster.clients(), "failover", WORKFLOWS, 3, 10);
    let mut repeats = load.start_all().await;
    figure(format_args!("{WORKFLOWS} workflows started in {:.1} s", begun.elapsed().as_secs_f64()));
    let more = Arc::new(Load::new(cluster.clients(), "more", MORE, 3, 10));
    let mut starting = None;
    let mut workers: Vec<WorkerProcess> = (1..=2).map(|i| WorkerProcess::start_without_ends(&urls, &format!("w{i}"))).collect();

    let mut kills = Vec::new();
    for round in 1..=3u64 {
        let goal = load.steps_in_all() * round / 5;
        wait::until(&format!("{goal} steps"), LOAD_WITHIN, || async {
            let seen = steps_applied(&cluster);
            if seen >= goal { Ok(()) } else { Err(seen) }
        })
        .await;
        // The second leader dies while workflows are being started.
        if round == 2 {
            let more = more.clone();
            starting = Some(tokio::spawn({
                let more = more.clone();
                async move { more.start_all().await }
            }));
            wait::until("some of the later starts", LOAD_WITHIN, || async {
                let seen = more.acknowledged();
                if seen >= MORE / 10 { Ok(()) } else { Err(seen) }
            })
            .await;
            assert!(more.acknowledged() < MORE, "starts are under way");
        }
        let leader = cluster.leader().await;
        let mark = cluster.mark();
        let killed = (SystemTime::now(), Instant::now());
        cluster.members[leader].kill();
        kills.push((leader, killed.0, cluster.progress_after(&mark, killed.1).await));
        match round {
            1 => {
                workers.remove(0).kill();
                workers.push(WorkerProcess::start_without_ends(&urls, "w3"));
            }
            2 => {
                workers.remove(0).kill();
                workers.push(WorkerProcess::start(&urls, "w4"));
            }
            _ => {}
        }
        cluster.members[leader].start();
        cluster.members[leader].ready().await;
    }

    repeats += starting.expect("begun in the second round").await.expect("all starts are acknowledged in the end");
    load.check_all().await;
    more.check_all().await;

    let mut longest = Duration::ZERO;
    for (number, (leader, killed, taken_over)) in kills.into_iter().enumerate() {
        let (open, more_open) = (load.open_at(killed).await, more.open_at(killed).await);
        figure(format_args!(
            "m{}, leading, killed with {open} of {WORKFLOWS} and {more_open} more workflows open: m{} led after {} ms; {} ms without progress",
            leader + 1,
            taken_over.leader + 1,
            taken_over.led_after.as_millis(),
            taken_over.progress_after.as_millis(),
        ));
        longest = longest.max(taken_over.progress_after);
        if number < 2 {
            assert_eq!(open, WORKFLOWS, "all were in flight when the first two leaders were killed");
        }
    }
    figure(format_args!(
        "{} workflows, {} steps completed {:.1} s after the first start; {repeats} starts had to be repeated; at most {} ms without progress",
        WORKFLOWS + MORE,
        load.steps_in_all() + more.steps_in_all(),
        begun.elapsed().as_secs_f64(),
        longest.as_millis(),
    ));
}
