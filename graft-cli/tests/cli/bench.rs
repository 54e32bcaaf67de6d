//! `graft bench`.

use serde_json::Value;

use crate::here::{Here, graft};

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
    assert_eq!((&report["errors"], &report["repeated_steps"]), (&0.into(), &0.into()), "{report}");
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
