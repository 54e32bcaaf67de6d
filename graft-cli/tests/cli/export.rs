//! `graft workflow export`.

use serde_json::Value;

use crate::here::Here;
use crate::schemas::hold;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_workflow_that_has_ended_is_one_document() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "wide", "--state", "{\"n\":1}", "--label", "team=sales", "--wait"]).await;
    let ran = here.graft(&["workflow", "export", "a"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(hold(&document), "WorkflowExport");
    let got = here.json(&["workflow", "get", "a"]).await;
    assert_eq!((&document["workflow"]["workflow_id"], &document["state"]), (&"a".into(), &got["state"]));
    let history = here.json(&["workflow", "history", "a", "--all"]).await;
    assert_eq!(document["events"], history["events"], "its events are those of its history");

    let yaml = here.graft(&["workflow", "export", "a", "-o", "yaml"]).await.stdout;
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), document);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_export_to_a_file_is_there_as_a_whole_or_not_at_all() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "fail"]).await;
    here.graft(&["workflow", "watch", "a"]).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    let file = path.to_str().unwrap();
    let ran = here.graft(&["workflow", "export", "a", "--file", file]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains(file), "{}", ran.stderr);
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept, here.graft(&["workflow", "export", "a"]).await.stdout);
    let document: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(document["dead_letters"][0]["last_error"], "no stock");

    here.json(&["workflow", "start", "b", "--node", "nobody"]).await;
    let running = here.graft(&["workflow", "export", "b", "--file", file]).await;
    assert_eq!(running.code, 4, "{}", running.stderr);
    assert!(running.stderr.contains("[GR0025]"), "{}", running.stderr);
    assert_eq!(here.graft(&["workflow", "export", "nowhere"]).await.code, 3);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), kept, "what was there stays");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
    let refused = here.graft(&["workflow", "export", "a", "--file", "/nonexistent/a.json"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("/nonexistent/a.json"), "{}", refused.stderr);
    here.stop().await;
}
