//! Starting, finding, following and steering workflows.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::here::{Here, Ran, graft_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_workflow_is_started_found_and_looked_at() {
    let here = Here::start().await;

    let ran = here.graft(&["workflow", "start", "a", "--node", "fan", "--state", "{\"n\":5}", "--label", "team=sales", "--wait"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("completed") && ran.stdout.contains("\"n\":9") && ran.stdout.contains("team=sales"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");

    let got = here.json(&["workflow", "get", "a"]).await;
    assert_eq!((&got["status"], &got["state"]["n"], &got["labels"]["team"]), (&"completed".into(), &9.into(), &"sales".into()));
    assert!(got["ended_at"].as_str().unwrap().ends_with('Z'), "{got}");

    let watched = here.graft(&["workflow", "watch", "a", "-o", "json"]).await;
    let types: Vec<String> =
        watched.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!((types.first().unwrap().as_str(), types.last().unwrap().as_str()), ("started", "completed"));
    assert_eq!(types.iter().filter(|name| *name == "task_completed").count(), 5, "{types:?}");
    assert_eq!(types.iter().filter(|name| *name == "scope_closed").count(), 1, "{types:?}");

    let history = here.json(&["workflow", "history", "a", "--limit", "2"]).await;
    assert_eq!(history["events"].as_array().unwrap().len(), 2);
    assert!(history["next_cursor"].is_string(), "{history}");
    let all = here.json(&["workflow", "history", "a", "--all"]).await;
    assert_eq!((all["events"].as_array().unwrap().len(), &all["next_cursor"]), (types.len(), &Value::Null));
    let in_pages = here.json(&["workflow", "history", "a", "--all", "--limit", "2"]).await;
    assert_eq!(in_pages, all, "in pages or at once, the history is the same");

    let watched = here.graft(&["workflow", "watch", "a"]).await.stdout;
    let told = here.graft(&["workflow", "history", "a"]).await.stdout;
    assert_eq!(watched, told, "a watch that is no terminal and the history tell the same lines");
    let in_pages = here.graft(&["workflow", "history", "a", "--all", "--limit", "3"]).await;
    assert_eq!((in_pages.stdout.as_str(), in_pages.stderr.as_str()), (told.as_str(), ""));
    assert!(told.contains("done       fan #1") && told.contains("joined") && !told.contains('\u{1b}'), "{told}");

    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_list_is_filtered_and_goes_page_by_page() {
    let here = Here::start().await;
    for id in ["x-1", "x-2", "x-3", "y-1"] {
        let started = here.json(&["workflow", "start", id, "--node", "nobody"]).await;
        assert_eq!((&started["workflow_id"], &started["created"]), (&id.into(), &true.into()));
        assert!(started["warnings"][0].as_str().unwrap().contains("nobody"), "{started}");
    }
    here.json(&["workflow", "pause", "x-2"]).await;
    let ids = |list: &Value| {
        let mut ids: Vec<String> =
            list["workflows"].as_array().unwrap().iter().map(|row| row["workflow_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&here.json(&["workflow", "list"]).await), ["x-1", "x-2", "x-3", "y-1"]);
    assert_eq!(ids(&here.json(&["workflow", "list", "--prefix", "x-"]).await), ["x-1", "x-2", "x-3"]);
    assert_eq!(ids(&here.json(&["workflow", "list", "--status", "paused"]).await), ["x-2"]);
    assert_eq!(ids(&here.json(&["workflow", "list", "--all", "-n", "other"]).await), Vec::<String>::new());
    let page = here.json(&["workflow", "list", "--limit", "3"]).await;
    let rest = here.json(&["workflow", "list", "--cursor", page["next_cursor"].as_str().unwrap()]).await;
    assert_eq!((ids(&page).len(), ids(&rest).len()), (3, 1));
    assert_eq!(ids(&here.json(&["workflow", "list", "--all", "--limit", "3"]).await).len(), 4);
    let ran = here.graft(&["workflow", "list", "--limit", "3"]).await;
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    assert!(ran.stderr.contains("--cursor"), "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_workflow_is_steered() {
    let here = Here::start().await;
    let ran = here.graft(&["workflow", "start", "a", "--node", "cuont"]).await;
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("warning: ") && ran.stderr.contains("\"count\""), "{}", ran.stderr);
    for (verb, status) in [("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")] {
        let ran = here.graft(&["workflow", verb, "a", "--reason", "because"]).await;
        assert_eq!(ran.code, 0, "{verb}: {}", ran.stderr);
        assert!(ran.stdout.contains(status) || (verb == "cancel" && ran.stdout.contains("cancelling")), "{verb}: {}", ran.stdout);
    }
    here.graft(&["workflow", "start", "b", "--node", "nobody"]).await;
    let ended = here.json(&["workflow", "terminate", "b", "--reason", "stuck"]).await;
    assert_eq!((&ended["status"], &ended["reason"]), (&"terminated".into(), &"stuck".into()));
    // What has ended cannot be paused.
    let ran = here.graft(&["workflow", "pause", "b"]).await;
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_and_members_are_shown() {
    let here = Here::start().await;
    let workers = here.json(&["worker", "list"]).await;
    assert_eq!((&workers["live"], &workers["workers"][0]["worker_id"]), (&true.into(), &"counter".into()));
    assert_eq!(workers["workers"][0]["nodes"].as_array().unwrap().len(), 11);
    let table = here.graft(&["worker", "list", "--all-namespaces"]).await.stdout;
    assert!(table.contains("counter") && table.contains("connected") && table.contains("fan"), "{table}");

    let cluster = here.json(&["cluster", "status"]).await;
    assert_eq!((&cluster["ready"], &cluster["members"][0]["role"]), (&true.into(), &"leader".into()));
    assert_eq!(cluster["leader"], cluster["answered_by"]);
    assert!(cluster["leader"].is_string(), "an id of 64 bits is no number that every reader keeps: {cluster}");
    let table = here.graft(&["cluster", "status"]).await.stdout;
    assert!(table.contains("leader") && table.contains("APPLIED"), "{table}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_goes_away_is_no_error() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "fan", "--wait"]).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(["--addr", &here.addr, "workflow", "watch", "a"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran: Ran = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap().into()
    })
    .await
    .unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_earlier_run_is_looked_at_by_its_number() {
    let here = Here::start().await;
    let first = here.json(&["workflow", "start", "a", "--node", "count", "--state", "{\"n\":10}", "--wait"]).await;
    let again = ["workflow", "start", "a", "--node", "count", "--state", "{\"n\":20}", "--on-conflict", "replace-finished", "--wait"];
    let second = here.json(&again).await;
    assert_ne!(first["run"], second["run"]);
    for (ended, n) in [(&first, 11), (&second, 21)] {
        let run = ended["run"].to_string();
        let got = here.json(&["workflow", "get", "a", "--run", &run]).await;
        assert_eq!((&got["run"], &got["state"]["n"]), (&ended["run"], &n.into()));
        let history = here.json(&["workflow", "history", "a", "--run", &run]).await;
        assert_eq!((&history["run"], &history["events"][0]["state"]["n"]), (&ended["run"], &(n - 1).into()));
        let watched = here.graft(&["workflow", "watch", "a", "--run", &run, "-o", "json"]).await.stdout;
        assert!(watched.contains(&format!("\"n\":{}", n - 1)), "{watched}");
    }
    assert_eq!(here.json(&["workflow", "get", "a"]).await["run"], second["run"]);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_waits_for_running_attempts_as_long_as_its_grace() {
    let here = Here::start().await;
    for id in ["patient", "hasty"] {
        here.json(&["workflow", "start", id, "--node", "hold"]).await;
    }
    here.holds(2).await;
    let patient = here.json(&["workflow", "cancel", "patient", "--grace", "1h"]).await;
    let hasty = here.json(&["workflow", "cancel", "hasty", "--grace", "50ms"]).await;
    assert_eq!((&patient["status"], &hasty["status"]), (&"cancelling".into(), &"cancelling".into()));
    let ended = here.graft(&["workflow", "watch", "hasty"]).await;
    assert_eq!(ended.code, 11, "{}", ended.stdout);
    assert_eq!(here.json(&["workflow", "get", "patient"]).await["status"], "cancelling");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_environment_names_server_and_namespace_and_flags_win() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "nobody", "-n", "sales"]).await;
    let get = |words: &'static [&str], addr: String, namespace: &'static str| async move {
        let variables = [("GRAFT_ADDR", Some(addr.as_str())), ("GRAFT_NAMESPACE", Some(namespace))];
        graft_with(&[words, &["workflow", "get", "a"]].concat(), &variables).await.code
    };
    let here_addr = || here.addr.clone();
    assert_eq!(get(&[], here_addr(), "sales").await, 0);
    assert_eq!(get(&[], here_addr(), "other").await, 3);
    assert_eq!(get(&["-n", "sales"], here_addr(), "other").await, 0);
    assert_eq!(get(&["-n", "other"], here_addr(), "sales").await, 3);
    let nowhere = "http://127.0.0.1:1".to_owned();
    assert_eq!(get(&["--timeout", "50ms"], nowhere.clone(), "sales").await, 6);
    let flag = graft_with(&["--addr", &here.addr, "workflow", "get", "a", "-n", "sales"], &[("GRAFT_ADDR", Some(&nowhere))]).await;
    assert_eq!(flag.code, 0, "{}", flag.stderr);
    let flag = graft_with(&["--addr", &here.addr, "workflow", "get", "a", "-n", "sales"], &[("GRAFT_ADDR", Some(""))]).await;
    assert_eq!(flag.code, 0, "a flag wins over a variable that makes no sense: {}", flag.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_is_tried_with_a_workflow_and_a_worker_of_its_own() {
    let here = Here::start().await;
    let tried = here.json(&["cluster", "try"]).await;
    assert_eq!(tried["status"], "completed", "{tried}");
    // Nobody takes a task while the limit is 1 and somebody else holds it: then it is not done in time, and nothing of it stays.
    here.json(&["limit", "set", "--cluster", "--max", "1"]).await;
    here.json(&["workflow", "start", "held", "--node", "hold"]).await;
    here.holds(1).await;
    let late = here.graft(&["cluster", "try", "--wait", "200ms"]).await;
    assert_eq!(late.code, 7, "{}", late.stderr);
    let listed = here.json(&["workflow", "list", "--prefix", "try-"]).await;
    let mut states: Vec<&str> = listed["workflows"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["completed", "terminated"], "{listed}");
    here.stop().await;
}
