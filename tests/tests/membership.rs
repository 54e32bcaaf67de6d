//! Real members that come and go under load, and one that goes on alone after all others are lost.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use graft_client::Client;
use graft_client::proto::ClusterStatusResponse;
use graft_tests::cluster::Cluster;
use graft_tests::load::{Load, Loading};
use graft_tests::member::Member;
use graft_tests::workers::WorkerProcess;
use graft_tests::{alone, binary, figure, wait};
use graftd::app::{inspect, restore};

/// Keys of members that are in a hurry, as far as tests are. They stand in `[cluster]`, which the configuration ends with.
const QUICK: &str = "join = \"open\"\npromote_after = \"300ms\"\nreplace_after = \"3s\"\n";
/// Longest wait for a change of the membership.
const CHANGED_WITHIN: Duration = Duration::from_secs(60);

/// Waits until the members that vote are these.
async fn voters(client: &Client, names: &[&str]) -> ClusterStatusResponse {
    wait::until(&format!("{names:?} to vote"), CHANGED_WITHIN, || async {
        let status = client.cluster_status().await.map_err(|error| error.to_string())?;
        let voters: Vec<&str> =
            status.members.iter().filter(|member| member.role != "learner").map(|member| member.name.as_str()).collect();
        let told = format!("{:?}", status.members.iter().map(|member| (&member.name, &member.role)).collect::<Vec<_>>());
        if voters == names && status.members.len() == names.len() { Ok(status) } else { Err(told) }
    })
    .await
}

/// Makes a member one that joins.
fn joins(member: &Member, expect: usize) {
    member.reconfigure(|text| text.replace(&format!("expect = {expect}\n"), "bootstrap = \"manual\"\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_becomes_five_and_five_become_one_under_load() {
    let _turn = alone().await;
    let mut cluster = Cluster::prepare(5, QUICK);
    cluster.members[0].reconfigure(|text| text.replace("expect = 5\n", "expect = 1\n"));
    cluster.members[0].start();
    cluster.members[0].ready().await;
    let urls = cluster.urls();
    let workers: Vec<WorkerProcess> = (1..=2).map(|i| WorkerProcess::start(&urls, &format!("w{i}"))).collect();

    // Load all the time, through clients that begin with different members; who is not there yet, or not any more, is no excuse.
    let loading = Loading::begin(cluster.clients(), "scale");
    let operator = cluster.client();
    for (from, to) in [(1, 3), (3, 5)] {
        for member in &mut cluster.members[from..to] {
            joins(member, 5);
            member.start();
        }
        let names: Vec<String> = cluster.members[..to].iter().map(|member| member.name.clone()).collect();
        voters(&operator, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        figure(format_args!("{to} members vote"));
    }
    // Whoever leads is among those that go.
    for (goes, left) in [(0, &["m2", "m3", "m4", "m5"][..]), (3, &["m2", "m3", "m5"]), (1, &["m3", "m5"]), (4, &["m3"])] {
        let name = cluster.members[goes].name.clone();
        operator.remove_member(&name, false).await.unwrap_or_else(|error| panic!("{name} may go: {error}"));
        let (code, said) = cluster.members[goes].ended().await;
        assert_eq!(code, Some(76), "{name}: {said}");
        voters(&operator, left).await;
        figure(format_args!("{name} is out"));
    }
    let workflows = loading.end_and_check().await;
    figure(format_args!("{workflows} workflows were started meanwhile, and completed; no start failed"));
    drop(workers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_told_of_one_member_serves_those_that_came_later_when_that_one_is_gone() {
    let _turn = alone().await;
    let mut cluster = Cluster::prepare(3, QUICK);
    cluster.members[0].reconfigure(|text| text.replace("expect = 3\n", "expect = 1\n"));
    cluster.members[0].start();
    cluster.members[0].ready().await;
    let worker = WorkerProcess::start(&cluster.members[0].url(), "w1");
    let before = Load::new(vec![cluster.client()], "before", 10, 3, 5);
    before.start_all().await;
    before.check_all().await;
    for member in &mut cluster.members[1..] {
        joins(member, 3);
        member.start();
    }
    voters(&cluster.client(), &["m1", "m2", "m3"]).await;
    for member in &cluster.members[1..] {
        wait::until("the worker to find the member", CHANGED_WITHIN, || async {
            let opened = member.metric("graft_grpc_request_seconds_count{method=\"graft.v1.WorkerService/Work\"}");
            if opened > 0.0 { Ok(()) } else { Err("it has no stream here") }
        })
        .await;
    }
    cluster.members[0].kill();
    let after = Load::new(cluster.clients()[1..].to_vec(), "after", 10, 3, 5);
    after.start_all().await;
    after.check_all().await;
    drop(worker);
}

/// Runs `graftd recover` on a member's data.
fn recover(member: &Member, flag: &str) -> (Option<i32>, String) {
    let mut command = Command::new(binary("graftd-under-test"));
    let ran = command.args(["recover", flag, "--config"]).arg(member.config_path()).output().expect("it runs");
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

/// Term and index of its last entry, as `recover --dry-run` tells them.
fn last(member: &Member) -> (u64, u64) {
    let (code, said) = recover(member, "--dry-run");
    assert!(code == Some(0) && said.contains("Nothing was changed."), "{said}");
    let line = said.lines().find(|line| line.starts_with("last ")).unwrap_or_else(|| panic!("{said}"));
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
    (numbers.next().expect("a term"), numbers.next().expect("an index"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_goes_on_alone_and_the_others_join_it_anew() {
    let _turn = alone().await;
    let mut cluster = Cluster::start(3, QUICK).await;
    let urls = cluster.urls();
    let worker = WorkerProcess::start(&urls, "w1");
    let load = Load::new(cluster.clients(), "before", 300, 3, 5);
    load.start_all().await;
    let refused = recover(&cluster.members[0], "--yes");
    assert_eq!(refused.0, Some(75), "it runs: {}", refused.1);
    for member in &mut cluster.members {
        member.kill();
    }
    // Two disks are lost. What is left is the one that is furthest, so that nothing acknowledged is missing.
    let furthest = (0..3).max_by_key(|i| last(&cluster.members[*i])).expect("three members");
    let (code, said) = recover(&cluster.members[furthest], "--yes");
    assert!(code == Some(0) && said.contains("This member is the only one now, in epoch 2"), "{said}");
    cluster.members[furthest].start();
    cluster.members[furthest].ready().await;
    let client = Client::connect(cluster.members[furthest].url().as_str()).expect("an address");
    let status = voters(&client, &[&cluster.members[furthest].name]).await;
    wait::until("the epoch to be raised", CHANGED_WITHIN, || async {
        match client.cluster_status().await.map(|status| status.epoch) {
            Ok(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(status.members.len(), 1);

    // With what it had, one that was left behind is sent away; with an empty directory, each of them joins.
    let others: Vec<usize> = (0..3).filter(|i| *i != furthest).collect();
    cluster.members[others[0]].start();
    let (code, said) = cluster.members[others[0]].ended().await;
    assert_eq!(code, Some(76), "{said}");
    for other in others {
        std::fs::remove_dir_all(cluster.members[other].data_dir()).expect("its disk is lost");
        cluster.members[other].start();
    }
    voters(&client, &["m1", "m2", "m3"]).await;
    load.check_all().await;
    let after = Load::new(cluster.clients(), "after", 100, 3, 5);
    assert_eq!(after.start_all().await, 0);
    after.check_all().await;
    drop(worker);
}

/// Saves the state through this client.
async fn save(client: &Client, file: &Path) {
    let mut out = std::fs::File::create(file).expect("a file");
    let mut pieces = client.snapshot();
    while let Some(piece) = pieces.next().await {
        out.write_all(&piece.expect("a piece")).expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_taken_under_load_becomes_a_cluster_of_its_own() {
    let _turn = alone().await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("graft.snapshot");
    let (before, old_id) = {
        let cluster = Cluster::start(3, QUICK).await;
        let worker = WorkerProcess::start(&cluster.urls(), "w1");
        let before = Load::new(cluster.clients(), "before", 500, 3, 5);
        before.start_all().await;
        // Work goes on, and more is started, while the state is read from a member that follows.
        let during = Arc::new(Load::new(cluster.clients(), "during", 2_000, 3, 5));
        let starting = tokio::spawn({
            let during = during.clone();
            async move { during.start_all().await }
        });
        wait::until("load", CHANGED_WITHIN, || async { if during.acknowledged() > 200 { Ok(()) } else { Err(during.acknowledged()) } })
            .await;
        let follower = (cluster.leader().await + 1) % 3;
        save(&Client::connect(cluster.members[follower].url().as_str()).expect("an address"), &file).await;
        assert!(during.acknowledged() < during.count(), "it was taken while workflows were started");
        assert_eq!(starting.await.expect("no panic"), 0, "a backup fails no start");
        drop(worker);
        (before, cluster.client().cluster_status().await.expect("an answer").cluster_id)
    };
    let found = inspect(&file).unwrap_or_else(|error| panic!("{error}"));
    figure(format_args!("a backup of {} records, {} bytes", found.records.values().sum::<u64>(), found.bytes));

    // The first member of a new cluster, and two that join it.
    let mut cluster = Cluster::prepare(3, QUICK);
    let restored = restore(&file, &cluster.members[0].data_dir(), "m1", None).unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(restored.cluster_id, old_id);
    for member in &mut cluster.members {
        member.start();
    }
    let client = Client::connect(cluster.members[0].url().as_str()).expect("an address");
    let status = voters(&client, &["m1", "m2", "m3"]).await;
    assert_eq!(status.cluster_id, restored.cluster_id);
    // What was acknowledged before is all there, and what was under way is brought to its end.
    let _worker = WorkerProcess::start(&cluster.urls(), "w2");
    before.through(cluster.clients()).check_all().await;
    let after = Load::new(cluster.clients(), "after", 100, 3, 5);
    assert_eq!(after.start_all().await, 0);
    after.check_all().await;
}
