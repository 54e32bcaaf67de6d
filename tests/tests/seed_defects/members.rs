//! Processes that die, members that must agree, clusters that must stay apart: real `graftd` processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use graft_client::{Client, ListFilter, Next, TaskFilter, Workflow};
use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::loop_sim::rng::Rng;
use graft_tests::member::{Member, Trust, free_port};
use graft_tests::workers::{ChainConfig, FanConfig, WorkerProcess};
use graft_tests::{alone, figure, wait};
use graftd::storage::{StateOptions, StateStore};
use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// Position of the last applied entry.
const APPLIED: &str = "graft_raft_log_index{position=\"applied\"}";

/// All records of a member's state, as it sends them in a snapshot: without the mark before them, and the checksum behind.
fn records(data: &Path) -> Vec<u8> {
    let options = StateOptions { cache_bytes: 8 << 20, overlay_bytes: 8 << 20, flush_interval_ms: 1_000 };
    let store = StateStore::open(&data.join("state.redb"), options, None).expect("the state of a member that has ended");
    let mut snapshot = store.snapshot();
    let mut bytes = Vec::new();
    while let Some(chunk) = snapshot.next_chunk().expect("it can be read") {
        bytes.extend_from_slice(&chunk);
    }
    let mark = u32::from_be_bytes(bytes[12..16].try_into().expect("four bytes")) as usize;
    bytes[16 + mark..bytes.len() - 8].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_11_members_hold_the_same_bytes_after_things_have_run_out() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3, "\n[workflow]\nretention = \"1s\"\n").await;
    let worker = WorkerProcess::start(&cluster.urls(), "w1");
    let client = cluster.client();
    // One is kept, so that there is something to compare.
    client.start("kept").node_named("nobody", ()).retention(Duration::from_secs(3_600)).await.expect("started");
    let load = Load::new(cluster.clients(), "ttl", 150, 3, 5);
    load.start_all().await;
    wait::until("all but one to be gone", PATIENCE, || async {
        let left = client.list(ListFilter::new().limit(10)).await.map_err(|error| error.to_string())?.workflows;
        if left.len() == 1 { Ok(()) } else { Err(format!("{} and perhaps more", left.len())) }
    })
    .await;
    assert!(worker.terminate().await.success());
    wait::until("all members at one index", PATIENCE, || async {
        let seen = [0, 1, 2].map(|at: usize| cluster.members[at].metric(APPLIED));
        if seen.iter().all(|index| *index == seen[0]) { Ok(()) } else { Err(seen) }
    })
    .await;
    let ended: Vec<_> = cluster.members.iter_mut().map(Member::terminate).collect();
    for ended in ended {
        assert!(ended.await.success());
    }
    let states: Vec<Vec<u8>> = cluster.members.iter().map(|member| records(&member.data_dir())).collect();
    figure(format_args!("{} bytes of records on each of three members", states[0].len()));
    assert!(
        states[0].len() > 500 && states.iter().all(|state| *state == states[0]),
        "{:?}",
        states.iter().map(Vec::len).collect::<Vec<_>>()
    );
}

/// What must be true of a chain of `total` steps at any moment: each step done is counted, and exactly the next one is open.
fn check_chain(found: &Workflow, total: u64) -> u64 {
    let state: Value = found.state_as().expect("JSON");
    let count = state["count"].as_u64().unwrap_or(0);
    let open: Vec<_> = found.tasks.iter().map(|task| (task.node.as_str(), &task.config)).collect();
    assert_eq!((found.summary.open_tasks, open.len()), (1, 1), "{state} with {open:?}");
    let config = open[0].1.as_ref().map(|config| config.data.clone()).unwrap_or_default();
    let left = serde_json::from_slice::<Value>(&config).expect("JSON")["left"].as_u64().expect("a number");
    assert_eq!(count + left, total, "{state} with {open:?}: half a step is visible");
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_13_no_kill_leaves_a_state_without_its_next_nodes_or_nodes_without_their_state() {
    const KILLS: u64 = 12;
    const TOTAL: u64 = 4_000_000;
    const WIDTH: u64 = 2_000;
    let _alone = alone().await;
    let mut cluster = Cluster::start(1, "").await;
    let (urls, client) = (cluster.urls(), cluster.client());
    client.start("chain").node(Next::named("chain", ChainConfig { left: TOTAL as u32 })).await.expect("started");
    let rng = &mut Rng::new(13);
    let mut done = 0;
    for kill in 1..=KILLS {
        let worker = WorkerProcess::start(&urls, "w1");
        let fan = format!("fan-{kill}");
        client.start(fan.as_str()).node(Next::named("fan", FanConfig { width: WIDTH as u32 })).await.expect("started");
        // Killed at another moment each time, while steps of both are under way; and looked at meanwhile.
        let until = done + 20 + rng.below(300);
        wait::until("more steps", PATIENCE, || async {
            let now = check_chain(&client.workflow("chain").get().await.map_err(|error| error.to_string())?, TOTAL);
            if now >= until { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
        cluster.members[0].kill();
        worker.kill();
        cluster.members[0].start();
        cluster.members[0].ready().await;
        // Nobody works now: several reads see one state.
        let found = client.workflow("chain").get().await.expect("an acknowledged start survives");
        let now = check_chain(&found, TOTAL);
        assert!(now >= done, "steps that were seen are gone");
        done = now;
        check_fan(&client, &fan, WIDTH).await;
    }
    figure(format_args!("{done} steps of a chain over {KILLS} kills"));
    let _worker = WorkerProcess::start(&urls, "w2");
    for kill in 1..=KILLS {
        let state: Value = client.workflow(format!("fan-{kill}")).result().await.expect("it completes");
        assert_eq!((&state["fans"], &state["leaves"], &state["joins"]), (&json!(1), &json!(WIDTH), &json!(1)), "fan-{kill}");
    }
}

/// Leaves that are done are counted and listed once, all others are open; and the join is there exactly when none is.
async fn check_fan(client: &Client, id: &str, width: u64) {
    let mut open = BTreeMap::<String, u64>::new();
    let mut cursor = String::new();
    loop {
        let page = client.tasks(TaskFilter::new().workflow(id).limit(1000).cursor(cursor)).await.expect("a list");
        for task in page.tasks.into_iter().filter_map(|row| row.task) {
            *open.entry(task.node).or_default() += 1;
        }
        match page.next_cursor {
            Some(next) => cursor = next,
            None => break,
        }
    }
    let found = client.workflow(id).get().await.expect("an acknowledged start survives");
    let state: Value = found.state_as().expect("JSON");
    let number = |name: &str| state[name].as_u64().unwrap_or(0);
    let (fans, leaves, joins) = (number("fans"), number("leaves"), number("joins"));
    let seen = state["seen"].as_array().map_or(0, Vec::len) as u64;
    let of = |node: &str| open.get(node).copied().unwrap_or(0);
    let right = match (fans, leaves) {
        (0, 0) => open == BTreeMap::from([("fan".to_owned(), 1)]),
        (1, done) if done < width => of("leaf") == width - done && of("join") == 0 && of("fan") == 0,
        (1, _) => of("leaf") == 0 && of("join") + joins == 1,
        _ => false,
    };
    assert!(right && seen == leaves, "{id}: {fans} fans, {leaves} leaves ({seen} seen), {joins} joins, open: {open:?}");
}

/// A single member of a cluster of this name, not started.
fn single(root: &Path, name: &str, cluster: &str) -> Member {
    Member::prepare(root, name, &[], &Trust::new(), (free_port(), free_port()), &format!("\n[cluster]\nname = {cluster:?}\n"))
}

async fn stopped(member: &mut Member) {
    assert!(member.terminate().await.success());
}

/// The small files of a data directory.
fn small_files(member: &Member) -> Vec<Vec<u8>> {
    ["identity", "promise.json", "cluster.json"].map(|file| fs::read(member.data_dir().join(file)).unwrap_or_default()).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_15_the_id_of_a_foreign_cluster_is_refused_with_a_remedy_and_never_adopted() {
    let _alone = alone().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (mut east, mut west) = (single(dir.path(), "e1", "east"), single(dir.path(), "w1", "west"));
    for member in [&mut east, &mut west] {
        member.start();
        member.ready().await;
        let client = Client::connect(member.url()).expect("an address");
        client.start(format!("of-{}", member.name)).node_named("nobody", ()).await.expect("started");
    }
    let ids = [&east, &west].map(|member| fs::read_to_string(member.data_dir().join("cluster.json")).expect("the marker"));
    assert_ne!(ids[0], ids[1]);
    stopped(&mut west).await;
    let before = small_files(&west);

    // Told to be of the other cluster.
    west.reconfigure(|text| text.replace("west", "east"));
    let (code, said) = west.run_to_its_end().await;
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("belongs to cluster `west`") && said.contains("`east`") && said.contains("→"), "{said}");
    assert_eq!(small_files(&west), before, "a refusal changes nothing");

    // Handed the other cluster's marker.
    fs::copy(east.data_dir().join("cluster.json"), west.data_dir().join("cluster.json")).expect("a copy");
    let (code, said) = west.run_to_its_end().await;
    assert_eq!(code, Some(65), "{said}");
    assert!(said.contains("cluster.json") && said.contains("→"), "{said}");

    // With its own again it goes on as it was, with its own data, and the other one never heard of it.
    fs::write(west.data_dir().join("cluster.json"), &before[2]).expect("the marker");
    west.reconfigure(|text| text.replace("east", "west"));
    west.start();
    west.ready().await;
    assert_eq!(small_files(&west), before);
    for (member, theirs) in [(&east, "of-w1"), (&west, "of-e1")] {
        let client = Client::connect(member.url()).expect("an address");
        client.workflow(format!("of-{}", member.name)).get().await.expect("its own is there");
        assert!(client.workflow(theirs).get().await.expect_err("that one is the other's").is_not_found());
    }
}
