//! Finding workflows: by node, label and time, and how many there are.

use serde_json::{Value, json};

use crate::here::Here;

/// Ids of a list, in its order.
fn ids(list: &Value) -> Vec<&str> {
    list["workflows"].as_array().unwrap().iter().map(|row| row["workflow_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workflows_are_found_by_node_label_and_time() {
    let here = Here::start().await;
    for (id, node, labels) in [
        ("a", "nobody", &["--label", "team=sales", "--label", "tier=1"][..]),
        ("b", "nobody", &["--label", "team=sales"]),
        ("c", "hold", &["--label", "team=ops"]),
        ("d", "fail", &[]),
    ] {
        here.json(&[&["workflow", "start", id, "--node", node], labels].concat()).await;
    }
    here.holds(1).await;
    here.graft(&["workflow", "watch", "d"]).await;
    let found = async |flags: &[&str]| {
        let list = here.json(&[&["workflow", "list"], flags].concat()).await;
        ids(&list).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(found(&["--node", "nobody"]).await, ["a", "b"]);
    assert_eq!(found(&["--node", "fail"]).await, ["d"], "a dead letter counts as well");
    assert_eq!(found(&["--label", "team=sales"]).await, ["a", "b"]);
    assert_eq!(found(&["--label", "team=sales", "--label", "tier=1"]).await, ["a"]);
    assert_eq!(found(&["--label", "team=sales", "--status", "failed"]).await, [""; 0]);
    assert_eq!(found(&["--since", "1h", "--prefix", "a"]).await, ["a"]);
    assert_eq!(found(&["--since", "2100-01-01T00:00:00Z"]).await, [""; 0]);
    assert_eq!(found(&["--until", "1h"]).await, [""; 0]);
    assert_eq!(found(&["--until", "2100-01-01T00:00:00Z"]).await.len(), 4);
    let refused = here.graft(&["workflow", "list", "--since", "yesterday"]).await;
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("2h, 7d") && refused.stderr.contains("2026-11-24T04:05:06Z"), "{}", refused.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workflows_are_counted_by_status() {
    let here = Here::start().await;
    for (id, node) in [("a", "nobody"), ("b", "nobody"), ("c", "fail")] {
        here.json(&["workflow", "start", id, "--node", node]).await;
    }
    here.graft(&["workflow", "watch", "c"]).await;
    here.json(&["workflow", "pause", "b"]).await;
    let counts = here.json(&["workflow", "list", "--counts"]).await;
    assert_eq!(
        counts,
        json!({
            "apiVersion": "graft/v1", "kind": "WorkflowCounts", "total": 3,
            "counts": {
                "running": 1, "paused": 1, "cancelling": 0, "completed": 0, "failed": 1, "cancelled": 0, "terminated": 0, "timed-out": 0,
            },
        })
    );
    let elsewhere = here.json(&["workflow", "list", "--counts", "-n", "other"]).await;
    assert_eq!(elsewhere["total"], 0);
    let names = here.graft(&["workflow", "list", "--counts", "-o", "name"]).await;
    assert_eq!(names.stdout, "running\npaused\nfailed\n");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dry_run_of_a_termination_changes_nothing() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "nobody"]).await;
    let ran = here.graft(&["workflow", "terminate", "a", "--dry-run"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "It would be terminated. Nothing was changed.\n"));
    assert_eq!(here.json(&["workflow", "get", "a"]).await["status"], "running");
    assert_eq!(here.json(&["workflow", "terminate", "a", "--yes"]).await["status"], "terminated");
    let ran = here.graft(&["workflow", "terminate", "a", "--dry-run"]).await;
    assert!(ran.stderr.contains("has ended already"), "{}", ran.stderr);
    here.stop().await;
}
