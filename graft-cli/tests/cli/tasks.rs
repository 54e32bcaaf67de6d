//! Looking at tasks, and helping those that wait.

use serde_json::{Value, json};

use crate::here::{Here, within};

/// Waits until a task is in this state.
pub(crate) async fn task_is(here: &Here, task: &str, state: &str) {
    let it_is = async {
        while here.json(&["task", "get", task]).await["state"] != state {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within(&format!("task {task} to be {state}"), it_is).await;
}

fn names(list: &Value) -> Vec<String> {
    let name = |task: &Value| format!("{}/{}", task["workflow_id"].as_str().unwrap(), task["task"]);
    list["tasks"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_first_task_has_the_delay_and_the_priority_that_it_was_started_with() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "count", "--delay", "1h", "--priority", "-7"]).await;
    let task = here.json(&["task", "get", "a/1"]).await;
    assert_eq!((&task["state"], &task["priority"]), (&json!("delayed"), &json!(-7)));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_are_found_by_workflow_node_and_state() {
    let here = Here::start().await;
    for (id, node) in [("a", "nobody"), ("b", "nobody"), ("c", "later"), ("d", "fail")] {
        here.json(&["workflow", "start", id, "--node", node]).await;
    }
    task_is(&here, "c/1", "delayed").await;
    task_is(&here, "d/1", "dead-lettered").await;
    let found = async |flags: &[&str]| names(&here.json(&[&["task", "list"], flags].concat()).await);
    assert_eq!(found(&["--workflow", "a"]).await, ["a/1"]);
    assert_eq!(found(&["--node", "nobody"]).await, ["a/1", "b/1"]);
    assert_eq!(found(&["--state", "delayed"]).await, ["c/1"]);
    assert_eq!(found(&["--state", "delayed", "--state", "dead-lettered"]).await, ["d/1", "c/1"], "by node");
    assert_eq!(found(&["--node", "later", "--state", "ready"]).await, [""; 0]);
    assert_eq!(found(&[]).await, ["d/1", "c/1", "a/1", "b/1"], "by node, run and number");
    let page = here.json(&["task", "list", "--limit", "3"]).await;
    assert_eq!(names(&page), ["d/1", "c/1", "a/1"]);
    let next = found(&["--cursor", page["next_cursor"].as_str().unwrap()]).await;
    assert_eq!(next, ["b/1"]);
    let all = here.graft(&["task", "list", "--all", "--limit", "1", "-o", "name"]).await;
    let shown: Vec<&str> = all.stdout.lines().map(|line| line.split_once('@').unwrap().0).collect();
    assert_eq!(shown, ["d/1", "c/1", "a/1", "b/1"]);
    for name in all.stdout.lines() {
        assert_eq!(here.graft(&["task", "get", name]).await.code, 0, "{name} is taken by other verbs");
    }
    let empty = here.graft(&["task", "list", "--node", "nothing"]).await;
    assert_eq!((empty.code, empty.stderr.as_str()), (0, "No open task matches.\n"));
    let nowhere = here.graft(&["task", "list", "--workflow", "nowhere"]).await;
    assert_eq!(nowhere.code, 3, "{}", nowhere.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_waits_is_tried_now() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "later", "--config", "null", "--state", "{\"n\":1}"]).await;
    task_is(&here, "a/1", "delayed").await;
    let task = here.json(&["task", "get", "a/1"]).await;
    assert_eq!((&task["node"], &task["attempt"], &task["workflow_status"]), (&"later".into(), &2.into(), &"running".into()));
    assert_eq!((&task["workflow_state"], &task["on_exhausted"]), (&json!({"n": 1}), &"fail".into()));
    let failed = &task["failed_attempts"][0];
    assert_eq!((&failed["error_kind"], &failed["message"]), (&"retryable".into(), &"gateway is down".into()));
    assert!(failed["retry_at"].as_str() > failed["at"].as_str(), "{task}");

    let retried = here.graft(&["task", "retry", "a/1", "--reason", "gateway is back"]).await;
    assert_eq!(retried.code, 0, "{}", retried.stderr);
    assert!(retried.stderr.contains("is ready now"), "{}", retried.stderr);
    let watched = here.graft(&["workflow", "watch", "a"]).await;
    assert_eq!(watched.code, 0, "it ends, and not in an hour: {}", watched.stderr);
    assert!(watched.stdout.contains("retried    later #1") && watched.stdout.contains("gateway is back"), "{}", watched.stdout);

    let task = here.json(&["task", "get", "a/1"]).await;
    assert_eq!((&task["state"], &task["resolution"]["type"]), (&"resolved".into(), &"task_completed".into()));
    let again = here.graft(&["task", "retry", "a/1"]).await;
    assert_eq!(again.code, 4, "{}", again.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_is_none_is_told_from_a_name_that_is_none() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "nobody"]).await;
    for (name, code) in [("a/9", 3), ("nowhere/1", 3), ("a/1@77", 3), ("a", 2), ("a/0", 2), ("a/1@0", 2)] {
        for verb in ["get", "retry"] {
            let ran = here.graft(&["task", verb, name]).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{verb} {name}: {}", ran.stderr);
            assert!(ran.stderr.contains(if code == 2 { "order-1042/7" } else { "graft explain GR00" }), "{}", ran.stderr);
        }
    }
    here.stop().await;
}
