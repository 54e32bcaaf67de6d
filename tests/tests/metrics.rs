//! What a cluster of real members shows in its metrics: every series that the alert rules and the dashboards name; each fact of the whole
//! cluster once; counters that a change of leader does not double; and the same at any number of workflows. `tests/monitoring/run` does it with a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use graft_client::{Client, Next, StartWorkflow};
use graft_tests::cluster::Cluster;
use graft_tests::in_process::InProcess;
use graft_tests::workers::{ChainConfig, WorkerProcess};
use graft_tests::{alone, figure, http, wait};
use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Steps of each workflow that ends well: the last of them is another node's.
const STEPS: u32 = 3;

/// What only the leader may say.
const OF_THE_LEADER: [&str; 17] = [
    "graft_workflows_open",
    "graft_workflows_kept",
    "graft_tasks{",
    "graft_timers ",
    "graft_timer_next_due_timestamp_seconds",
    "graft_tasks_queued",
    "graft_attempts_held",
    "graft_workers_connected",
    "graft_node_tasks_waiting",
    "graft_node_tasks_held_back",
    "graft_node_attempts_held",
    "graft_node_workers",
    "graft_node_slots",
    "graft_node_waiting_since_timestamp_seconds",
    "graft_raft_voters_reachable",
    "graft_raft_member_reachable",
    "graft_raft_member_lag_entries",
];

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("graft_") || word.starts_with("process_")).map(str::to_owned).collect()
}

/// What is asked for by the files in `deploy`.
fn asked_for() -> BTreeSet<String> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the root").join("deploy");
    let files = ["prometheus/graft-rules.yaml", "grafana/overview.json", "grafana/internals.json"];
    let read = |file: &str| std::fs::read_to_string(deploy.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    files.iter().flat_map(|file| named(&read(file))).collect()
}

/// A scrape: series and values.
fn scrape(address: &str) -> BTreeMap<String, f64> {
    let (code, body) = http::get(address, "/metrics").expect("a scrape");
    assert_eq!(code, 200);
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("series and value"))
        .map(|(series, value)| (series.to_owned(), value.parse().expect("a number")))
        .collect()
}

/// The sum of all series of a metric whose labels hold this.
fn sum(scrape: &BTreeMap<String, f64>, metric: &str, labels: &str) -> f64 {
    let of =
        |series: &str| series.strip_prefix(metric).is_some_and(|rest| (rest.is_empty() || rest.starts_with('{')) && rest.contains(labels));
    scrape.iter().filter(|(series, _)| of(series)).map(|(_, value)| value).sum()
}

fn of_all(cluster: &Cluster, metric: &str, labels: &str) -> f64 {
    cluster.members.iter().filter(|member| member.runs()).map(|member| sum(&scrape(&member.client_address), metric, labels)).sum()
}

/// Waits until the members together say this.
async fn says(cluster: &Cluster, metric: &str, labels: &str, wanted: f64) {
    wait::until(&format!("{metric} {labels}"), PATIENCE, || async {
        let seen = of_all(cluster, metric, labels);
        if seen == wanted { Ok(()) } else { Err(seen) }
    })
    .await;
}

async fn start(client: &Client, id: String, node: Next) {
    client.start(id).state(&json!({})).expect("JSON").node(node).await.expect("it is started");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_dashboards_name_what_is_there_and_each_fact_is_told_once() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3, "").await;
    let client = cluster.client();
    let _worker = WorkerProcess::start(&cluster.urls(), "w1");
    for at in 0..10 {
        start(&client, format!("done-{at}"), Next::named("chain", ChainConfig { left: STEPS - 1 })).await;
    }
    // The config is none of this node's: given up at once, and its workflow fails.
    start(&client, "failed".to_owned(), Next::named("chain", "no number")).await;
    start(&client, "unserved".to_owned(), Next::named("nobody", Value::Null)).await;
    start(&client, "later".to_owned(), Next::named("chain", ChainConfig { left: 0 }).delay(Duration::from_secs(3_600))).await;

    says(&cluster, "graft_workflows_finished_total", "outcome=\"completed\"", 10.0).await;
    says(&cluster, "graft_workflows_finished_total", "outcome=\"failed\"", 1.0).await;
    says(&cluster, "graft_workflows_started_total", "namespace=\"default\"", 13.0).await;
    says(&cluster, "graft_tasks_finished_total", "node=\"chain\",outcome=\"completed\"", 20.0).await;
    says(&cluster, "graft_tasks_finished_total", "node=\"last\",outcome=\"completed\"", 10.0).await;
    says(&cluster, "graft_tasks_finished_total", "outcome=\"dead_lettered\"", 1.0).await;
    says(&cluster, "graft_task_execution_seconds_count", "node=\"last\"", 10.0).await;
    says(&cluster, "graft_task_schedule_to_start_seconds_count", "", 31.0).await;
    says(&cluster, "graft_workflow_seconds_count", "", 11.0).await;
    let standing = [
        ("graft_workflows_open", "status=\"running\"", 2.0),
        ("graft_workflows_kept", "", 11.0),
        ("graft_tasks", "state=\"ready\"", 1.0),
        ("graft_tasks", "state=\"delayed\"", 1.0),
        ("graft_tasks", "state=\"dead_lettered\"", 1.0),
        ("graft_node_tasks_waiting", "node=\"nobody\"", 1.0),
        ("graft_node_workers", "node=\"chain\"", 1.0),
        ("graft_workers_connected", "", 1.0),
        // The retention of what has ended, and the delay.
        ("graft_timers", "", 12.0),
        ("graft_raft_voters_reachable", "", 3.0),
    ];
    for (metric, labels, value) in standing {
        says(&cluster, metric, labels, value).await;
    }

    let leader = cluster.leader().await;
    let asked_for = asked_for();
    assert!(asked_for.len() > 80, "{}", asked_for.len());
    let seen = scrape(&cluster.members[leader].client_address);
    let there: BTreeSet<&str> = seen.keys().map(|series| series.split('{').next().expect("a name")).collect();
    let missing: Vec<&String> = asked_for.iter().filter(|name| !there.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "named in deploy, and not shown by the leader: {missing:?}");
    for follower in (0..3).filter(|member| *member != leader) {
        let seen = scrape(&cluster.members[follower].client_address);
        let told: Vec<&String> =
            seen.keys().filter(|series| OF_THE_LEADER.iter().any(|name| format!("{series} ").starts_with(name))).collect();
        assert!(told.is_empty(), "a follower tells what only the leader knows: {told:?}");
    }

    // Another leader says the same of the cluster, and what was counted stays counted once.
    let next = cluster.members[(leader + 1) % 3].name.clone();
    client.transfer_leader(Some(next)).await.expect("leadership is handed over");
    for (metric, labels, value) in standing {
        says(&cluster, metric, labels, value).await;
    }
    for at in 0..5 {
        start(&client, format!("after-{at}"), Next::named("chain", ChainConfig { left: STEPS - 1 })).await;
    }
    says(&cluster, "graft_workflows_finished_total", "outcome=\"completed\"", 15.0).await;
    says(&cluster, "graft_workflows_started_total", "namespace=\"default\"", 18.0).await;

    // Who was killed and is back counts nothing of what its log makes it apply again.
    let leader = cluster.leader().await;
    let counted = sum(&scrape(&cluster.members[leader].client_address), "graft_workflows_finished_total", "");
    cluster.members[leader].kill();
    cluster.members[leader].start();
    cluster.members[leader].ready().await;
    says(&cluster, "graft_workflows_finished_total", "", 16.0 - counted).await;
    says(&cluster, "graft_workflows_kept", "", 16.0).await;
}

#[test]
fn every_alert_has_its_page_in_the_runbook() {
    let prometheus = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the root").join("deploy/prometheus");
    let read = |file: &str| std::fs::read_to_string(prometheus.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (rules, book) = (read("graft-rules.yaml"), read("runbook.md"));
    let pages: BTreeSet<&str> = book.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let links: Vec<&str> = rules.split("runbook.md#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(alerts.len() > 20 && alerts.len() == links.len(), "{alerts:?}, {links:?}");
    for (alert, link) in alerts.iter().zip(links) {
        assert!(pages.contains(alert) && link == alert.to_lowercase(), "{alert} points to #{link}");
    }
}

/// The series of a scrape, and how long it took.
fn cost(address: &str) -> (BTreeSet<String>, Duration) {
    let began = Instant::now();
    let seen = scrape(address);
    (seen.into_keys().collect(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_is_the_same_work_with_any_number_of_open_workflows() {
    const MANY: usize = 3_000;
    let _alone = alone().await;
    let daemon = InProcess::start(|_| {}).await;
    let address = daemon.url().trim_start_matches("http://").to_owned();
    let client = daemon.client.clone();
    let open = async |numbers: std::ops::Range<usize>| {
        let starts = numbers.map(|at| {
            let delayed = Next::named("nobody", at).delay(Duration::from_secs(3_600));
            StartWorkflow::<()>::new(format!("w{at}")).node(Next::named("nobody", at)).node(delayed)
        });
        for answer in client.start_many(starts).await.expect("they are taken") {
            answer.expect("it is started");
        }
    };
    open(0..1).await;
    let shows = |count: usize| {
        let address = address.clone();
        async move {
            let seen = scrape(&address);
            let count = count as f64;
            let right = sum(&seen, "graft_workflows_open", "running") == count
                && sum(&seen, "graft_tasks", "delayed") == count
                && sum(&seen, "graft_node_tasks_waiting", "nobody") == count
                && sum(&seen, "graft_workflows_started_total", "") == count;
            if right { Ok(()) } else { Err(seen) }
        }
    };
    wait::until("one open workflow", PATIENCE, || shows(1)).await;
    let (few, few_took) = cost(&address);
    open(1..MANY).await;
    wait::until("all open workflows", PATIENCE, || shows(MANY)).await;
    let (many, many_took) = cost(&address);
    figure(format_args!(
        "a scrape has {} series and took {few_took:?} at 1 open workflow, {} and {many_took:?} at {MANY}",
        few.len(),
        many.len()
    ));
    assert_eq!(few, many, "the same series, and so the same work");
    daemon.end([]).await;
}
