//! A disk that is nearly full, full to the last byte, or read-only: real members on small file systems of their own. Making those needs root
//! (CAP_SYS_ADMIN): without it these tests say so, and pass.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use graft_client::{Client, ClientError, ErrorCode, Next, NodeContext, Outcome, status_name};
use graft_tests::cluster::Cluster;
use graft_tests::in_process::{Gate, RunningWorker};
use graft_tests::member::{Member, Trust, free_port};
use graft_tests::small_disk::SmallDisk;
use graft_tests::{alone, figure, http, wait};
use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is documented: soon after there is room again, starts are taken.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);
/// Exit codes of `graftd/ARCHITECTURE.md`.
const FATAL: i32 = 70;
const DISK: i32 = 74;
/// Small files, so that a small disk does.
const SMALL: &str =
    "\n[storage]\ncache = \"8MiB\"\nlog_cache = \"8MiB\"\noverlay = \"1MiB\"\nflush_interval = \"100ms\"\ndisk_reserve = \"32MiB\"\n";

/// `None`, and a word, where this user may not mount.
fn mount(path: PathBuf, mebibytes: u32) -> Option<SmallDisk> {
    SmallDisk::mount(path, mebibytes).inspect_err(|why| figure(format_args!("SKIPPED: {why}"))).ok()
}

/// A member whose data lie on a disk of their own.
fn member_on_a_small_disk(root: &Path, mebibytes: u32) -> Option<(Member, SmallDisk)> {
    let member = Member::prepare(root, "m1", &[], &Trust::new(), (free_port(), free_port()), SMALL);
    let disk = mount(member.data_dir(), mebibytes)?;
    Some((member, disk))
}

async fn start(client: &Client, id: &str, node: &str) -> Result<(), ClientError> {
    client.start(id).state(&json!({ "id": id })).expect("JSON").node(Next::named(node, ())).await.map(|_| ())
}

/// Starts until one is refused for want of room.
async fn refused(client: &Client) -> ClientError {
    wait::until("a refusal", PATIENCE, || async {
        match start(client, "one-too-many", "nobody").await {
            Err(error) if error.kind() == Some(ErrorCode::NoRoom) => Ok(error),
            other => {
                let _ = client.workflow("one-too-many").terminate("not yet").await;
                Err(format!("{other:?}"))
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_full_disk_starts_nothing_and_lets_everything_end() {
    let _alone = alone().await;
    let dir = tempfile::tempdir().expect("a directory");
    let Some((mut member, disk)) = member_on_a_small_disk(dir.path(), 128) else { return };
    member.start();
    member.ready().await;
    let client = Client::builder(member.url()).request_timeout(Duration::from_secs(1)).build().expect("an address");
    let gate = Gate::closed();
    let passing = gate.clone();
    let worker = graft_client::Worker::builder(client.clone()).node_fn("held", move |_: NodeContext, (): (), (): ()| {
        let gate = passing.clone();
        async move {
            gate.pass().await;
            Ok(Outcome::done().increment("/done", 1))
        }
    });
    let worker = RunningWorker::of(worker);
    for n in 0..20 {
        start(&client, &format!("before-{n}"), "held").await.expect("started");
    }
    start(&client, "unwanted", "nobody").await.expect("started");

    disk.fill(16 << 20);
    let error = refused(&client).await;
    let words = error.to_string();
    assert!(words.contains("the disk of") && words.contains("MiB free") && words.contains("storage.disk_reserve"), "{words}");
    assert!(error.is_retryable() && error.has_no_side_effects(), "{error:?}");
    // Health and metrics say it, and readiness does not take the member out of service.
    let (status, body) = http::get(&member.client_address, "/healthz").expect("it answers");
    let health: Value = serde_json::from_str(&body).expect("JSON");
    assert!(status == 200 && health["starts_refused"].as_str().is_some_and(|why| why.contains("MiB free")), "{health}");
    assert!(http::get(&member.client_address, "/readyz?verbose").expect("it answers").1.contains("[-]the disk of"));
    assert_eq!(member.metric("graft_storage_starts_refused"), 1.0);
    assert!(member.metric("graft_storage_disk_free_bytes") < member.metric("graft_storage_disk_reserve_bytes"));

    // Results, control and reads go on.
    gate.open();
    for n in 0..20 {
        let state: Value = client.workflow(format!("before-{n}")).result().await.expect("it completes");
        assert_eq!(state["done"], 1);
    }
    client.workflow("unwanted").terminate("make room").await.expect("terminated");
    assert_eq!(status_name(client.workflow("unwanted").get().await.expect("read").status()), "terminated");

    disk.free();
    let freed = Instant::now();
    wait::until("a start", AGAIN_WITHIN, || async { start(&client, "after", "held").await.map_err(|error| error.to_string()) }).await;
    figure(format_args!("started {} ms after there was room again", freed.elapsed().as_millis()));
    client.workflow("after").result::<Value>().await.expect("it completes");
    worker.stop().await;
    assert!(member.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_a_free_byte_ends_the_member_clearly_and_damages_nothing() {
    let _alone = alone().await;
    let dir = tempfile::tempdir().expect("a directory");
    let Some((mut member, disk)) = member_on_a_small_disk(dir.path(), 64) else { return };
    // Nothing is kept, so that it really comes to the end.
    member.reconfigure(|text| text.replace("disk_reserve = \"32MiB\"", "disk_reserve = \"0B\""));
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        member.start();
        member.ready().await;
        let client = Client::builder(member.url()).request_timeout(Duration::from_secs(1)).build().expect("an address");
        for id in &acknowledged {
            let found = client.workflow(id).get().await.unwrap_or_else(|error| panic!("{id} was acknowledged: {error}"));
            assert_eq!(found.state_as::<Value>().expect("JSON")["id"], json!(id));
        }
        // Under load, until it is full.
        for n in 0.. {
            let id = format!("round-{round}-{n}");
            if n == 20 {
                disk.fill(0);
            }
            let text = "x".repeat(100_000);
            let asked = client.start(id.as_str()).state(&json!({ "id": &id, "text": text })).expect("JSON");
            match asked.node(Next::named("nobody", ())).await {
                Ok(_) => acknowledged.push(id),
                Err(_) if n >= 20 => break,
                Err(error) => panic!("{id} with room: {error}"),
            }
            assert!(n < 2_000, "the disk is never full");
        }
        let (code, said) = member.ended().await;
        assert_eq!(code, Some(FATAL), "{said}");
        assert!(said.contains(".redb") && said.contains("No space left"), "{said}");
        // As it is, it does not start again, or only to end again: with the code and the words of a full disk.
        let (code, said) = member.run_to_its_end_or_stop(Duration::from_secs(3)).await;
        assert!(code.is_none() || code == Some(DISK) || code == Some(FATAL), "{code:?} {said}");
        assert!(code.is_none() || said.contains("No space left") && said.contains("redb"), "{said}");
        disk.free();
    }
    member.start();
    member.ready().await;
    let client = Client::connect(member.url()).expect("an address");
    for id in &acknowledged {
        client.workflow(id).get().await.unwrap_or_else(|error| panic!("{id} was acknowledged: {error}"));
    }
    figure(format_args!("{} acknowledged starts are there after three full disks", acknowledged.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_refused_at_the_start_and_nothing_is_lost() {
    let _alone = alone().await;
    let dir = tempfile::tempdir().expect("a directory");
    let Some((mut member, disk)) = member_on_a_small_disk(dir.path(), 128) else { return };
    member.start();
    member.ready().await;
    let client = Client::connect(member.url()).expect("an address");
    start(&client, "order-1", "nobody").await.expect("started");
    assert!(member.terminate().await.success());
    disk.remount("ro");
    let (code, said) = member.run_to_its_end().await;
    assert_eq!(code, Some(DISK), "{said}");
    assert!(said.contains("Read-only file system") && said.contains("data") && said.contains('→'), "{said}");
    disk.remount("rw");
    member.start();
    member.ready().await;
    client.workflow("order-1").get().await.expect("it is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_full_member_of_three_does_not_stop_the_others() {
    let _alone = alone().await;
    let mut disks = Vec::new();
    let mut mountable = true;
    let mut cluster = Cluster::start_with(3, "\n[storage]\ndisk_reserve = \"0B\"\n", |member| {
        if let Some(disk) = mount(member.data_dir(), 96) {
            disks.push(disk);
        } else {
            mountable = false;
        }
    })
    .await;
    if !mountable {
        return;
    }
    let leader = cluster.leader().await;
    let full = (leader + 1) % 3;
    let client = cluster.client();
    disks[full].fill(0);
    let text = "x".repeat(100_000);
    let mut acknowledged = 0;
    // It ends, for it cannot keep what it is sent; the others go on.
    wait::until("the full member to end", PATIENCE, || {
        let id = format!("order-{acknowledged}");
        acknowledged += 1;
        let asked = client.start(id.as_str()).state(&json!({ "text": &text })).expect("JSON").node(Next::named("nobody", ()));
        let ended = cluster.members[full].has_ended();
        async move {
            asked.await.unwrap_or_else(|error| panic!("two of three have room: {error}"));
            if ended { Ok(()) } else { Err("it runs") }
        }
    })
    .await;
    let (code, said) = cluster.members[full].ended().await;
    assert!(code == Some(FATAL) && said.contains("No space left"), "{code:?} {said}");
    for _ in 0..50 {
        start(&client, &format!("order-{acknowledged}"), "nobody").await.unwrap_or_else(|error| panic!("two of three have room: {error}"));
        acknowledged += 1;
    }
    disks[full].free();
    cluster.members[full].start();
    cluster.members[full].ready().await;
    for n in 0..acknowledged {
        client.workflow(format!("order-{n}")).get().await.expect("an acknowledged start is there");
    }
    figure(format_args!("{acknowledged} starts around a full member, none failed"));
    drop(cluster);
}

/// It is behind what the others' logs hold, and has no room for their snapshot: it says so and stays, and takes the snapshot once there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_does_not_fit_leaves_a_follower_as_it_is() {
    const STARTS: usize = 240;
    let _alone = alone().await;
    let mut disks = Vec::new();
    let mut mountable = true;
    let settings = "\n[storage]\ndisk_reserve = \"0B\"\n\n[raft]\nentries_in_flight = 4\nsnapshot_every = 50\nlog_keep = 64\nlog_keep_bytes = \"1MiB\"\n";
    let mut cluster = Cluster::start_with(3, settings, |member| match mount(member.data_dir(), 512) {
        Some(disk) => disks.push(disk),
        None => mountable = false,
    })
    .await;
    if !mountable {
        return;
    }
    let small = (cluster.leader().await + 1) % 3;
    let client = cluster.client();
    start(&client, "before", "nobody").await.expect("started");
    assert!(cluster.members[small].terminate().await.success());
    let [applied, purged] = ["applied", "purged"].map(|position| format!("graft_raft_log_index{{position=\"{position}\"}}"));
    let reached = cluster.members[cluster.leader().await].metric(&applied);

    let text = "x".repeat(300_000);
    for n in 0..STARTS {
        let asked = client.start(format!("order-{n}")).state(&json!({ "text": &text })).expect("JSON");
        asked.node(Next::named("nobody", ())).await.expect("two of three take it");
    }
    let leader = cluster.leader().await;
    wait::until("a log that begins later", PATIENCE, || {
        let purged = cluster.members[leader].metric(&purged);
        async move { if purged > reached { Ok(()) } else { Err(format!("{purged} of {reached}")) } }
    })
    .await;

    disks[small].fill(24 << 20);
    cluster.members[small].start();
    wait::until("three snapshots that did not fit", PATIENCE, || {
        assert!(!cluster.members[small].has_ended(), "{}", cluster.members[small].log());
        let refused = cluster.members[small].metric("graft_raft_snapshot_errors_total{op=\"install\"}");
        async move { if refused >= 3.0 { Ok(()) } else { Err(refused.to_string()) } }
    })
    .await;
    assert_eq!(http::get(&cluster.members[small].client_address, "/livez").expect("it answers").0, 200);
    let said = cluster.members[small].log();
    assert!(said.contains("No space left"), "{said}");
    start(&client, "meanwhile", "nobody").await.expect("the others go on");

    disks[small].free();
    cluster.members[small].ready().await;
    let alone_there = Client::connect(cluster.members[small].url()).expect("an address");
    for id in ["before".to_owned(), format!("order-{}", STARTS - 1), "meanwhile".to_owned()] {
        alone_there.workflow(&id).get().await.unwrap_or_else(|error| panic!("{id}: {error}"));
    }
    drop(cluster);
}
