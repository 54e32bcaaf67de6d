//! `graft bench`.

use std::process::Stdio;
use std::time::Duration;

use graft_client::proto::WorkflowStatus;
use graft_client::{Client, ListFilter};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::here::{Here, Ran, graft, interrupt, within};

const PROMISED_KEYS: [&str; 10] = [
    "workload",
    "workflows_per_s",
    "steps_per_s",
    "latency_us",
    "commands_per_step",
    "entries_per_step",
    "fsyncs_per_s",
    "fdatasync_us_p50",
    "peak_memory_bytes",
    "errors",
];

fn assert_sound(report: &Value) {
    for key in PROMISED_KEYS {
        assert!(report.get(key).is_some_and(|value| !value.is_null()), "{key} is missing in {report}");
    }
    for key in ["p50", "p99", "p999"] {
        assert!(report["latency_us"][key].is_u64(), "{key} is missing in {report}");
    }
    for key in ["errors", "unfinished", "repeated_steps"] {
        assert_eq!(report[key], 0, "{key} in {report}");
    }
    let commands = report["commands_per_step"].as_f64().unwrap();
    assert!((0.9..=1.1).contains(&commands), "a step is one command: {report}");
    assert!(report["steps"].as_u64().unwrap() > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bench_measures_every_workload_on_a_running_server() {
    let here = Here::start().await;
    let directory = tempfile::tempdir().unwrap();
    let fsync_dir = directory.path().to_str().unwrap();
    for workload in ["single", "chain", "fanout"] {
        let bench = ["bench", "--workload", workload, "--duration", "1s", "--warmup", "200ms", "--concurrency", "8", "--write"];
        let report = here.json(&[&bench[..], &["--fsync-dir", fsync_dir]].concat()).await;
        assert_sound(&report);
        assert_eq!((&report["workload"], &report["in_process"]), (&workload.into(), &false.into()));
    }
    here.stop().await;
}

#[tokio::test]
async fn the_bench_brings_its_own_server_if_none_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let fsync_dir = directory.path().to_str().unwrap();
    let bench = ["bench", "--duration", "1s", "--warmup", "100ms", "--concurrency", "4", "-o", "json", "--fsync-dir", fsync_dir];
    let ran = graft(&bench).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_sound(&report);
    assert_eq!(report["in_process"], true);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the bench left data behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn people_read_latencies_to_three_digits() {
    let here = Here::start().await;
    let directory = tempfile::tempdir().unwrap();
    let ran = here.graft(&["bench", "--duration", "500ms", "--warmup", "100ms", "--fsync-dir", directory.path().to_str().unwrap()]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let of =
        |label: &str| ran.stdout.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("no {label} in {}", ran.stdout));
    for figure in of("latency").split_whitespace().chain(of("4 KiB").split_whitespace()).filter(|word| word.ends_with("ms")) {
        assert_eq!(figure.chars().filter(char::is_ascii_digit).count(), 3, "{figure} in {}", ran.stdout);
    }
    assert!(of("errors").ends_with(" 0"), "{}", ran.stdout);
    here.stop().await;
}

/// A bench that runs beside the test.
fn bench(here: &Here, directory: &tempfile::TempDir, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
    // Chains, so that a pause stops them between two steps.
    command.args(["--addr", &here.addr, "bench", "--workload", "chain", "--steps", "30", "--warmup", "100ms", "--concurrency", "4"]);
    command.args(["-o", "json"]).args(words);
    command.arg("--fsync-dir").arg(directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// Pauses one of the workflows that the bench has in flight, so that it does not end by itself; its id.
async fn hang_one(client: &Client) -> String {
    let hung = async {
        loop {
            let filter = ListFilter::new().id_prefix("bench-").status(WorkflowStatus::Running);
            for row in client.list(filter).await.unwrap().workflows {
                if client.workflow(&row.workflow_id).pause("to hang").await.is_err() {
                    continue;
                }
                // One whose last attempt was running completes all the same.
                tokio::time::sleep(Duration::from_millis(100)).await;
                if client.workflow(&row.workflow_id).get().await.unwrap().status() == WorkflowStatus::Paused {
                    return row.workflow_id;
                }
            }
        }
    };
    within("a workflow of the bench to be paused", hung).await
}

/// How many workflows of the bench have not ended.
async fn open(client: &Client) -> usize {
    let filter = ListFilter::new().id_prefix("bench-").status(WorkflowStatus::Running).status(WorkflowStatus::Paused);
    client.list(filter).await.unwrap().workflows.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_workflow_that_hangs_is_an_error_of_the_bench_and_is_terminated() {
    let here = Here::start().await;
    let directory = tempfile::tempdir().unwrap();
    let client = Client::connect(&here.addr).unwrap();
    let bench = bench(&here, &directory, &["--duration", "1s"]);
    let hung = hang_one(&client).await;
    let ran: Ran = within("the end of the bench", bench.wait_with_output()).await.unwrap().into();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["unfinished"], &report["errors"]), (&1.into(), &1.into()), "{report}");
    assert!(ran.stderr.contains(&hung) && ran.stderr.contains("had not ended"), "{}", ran.stderr);
    assert_eq!(client.workflow(&hung).get().await.unwrap().status(), WorkflowStatus::Terminated);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ctrl_c_leaves_no_workflow_and_no_worker_of_the_bench_behind() {
    let here = Here::start().await;
    let directory = tempfile::tempdir().unwrap();
    let client = Client::connect(&here.addr).unwrap();
    let bench = bench(&here, &directory, &["--duration", "10m", "--workers", "3"]);
    let hung = hang_one(&client).await;
    let workers = async |client: &Client| {
        let known = client.workers().await.unwrap().workers;
        known.iter().filter(|worker| worker.worker_id.starts_with("bench-")).count()
    };
    assert_eq!(workers(&client).await, 3);
    interrupt(bench.id().unwrap());
    let ran: Ran = within("the end after Ctrl-C", bench.wait_with_output()).await.unwrap().into();
    assert_eq!((ran.code, ran.stdout.as_str()), (130, ""), "{}", ran.stderr);
    assert_eq!(client.workflow(&hung).get().await.unwrap().status(), WorkflowStatus::Terminated);
    assert_eq!(open(&client).await, 0);
    // They have said goodbye; their records go a moment later.
    let gone = async {
        while workers(&client).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the workers of the bench to be gone", gone).await;
    here.stop().await;
}
