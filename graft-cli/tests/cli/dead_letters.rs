//! What was given up: found, looked at, given another chance, given up for good.

use serde_json::{Value, json};

use crate::here::Here;
use crate::tasks::task_is;

/// Starts workflows whose task is given up.
pub(crate) async fn given_up(here: &Here, ids: &[&str]) {
    for id in ids {
        here.json(&["workflow", "start", id, "--node", "choosy", "--config", &format!("{{\"item\":\"{id}\"}}")]).await;
        task_is(here, &format!("{id}/1"), "dead-lettered").await;
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["dead_letters"].as_array().unwrap().iter().map(|letter| letter["workflow_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dead_letters_are_found_the_oldest_first() {
    let here = Here::start().await;
    let none = here.graft(&["dead-letter", "list"]).await;
    assert_eq!((none.code, none.stderr.as_str()), (0, "No task of namespace \"default\" was given up.\n"));
    given_up(&here, &["b", "a", "c"]).await;
    let found = async |flags: &[&str]| {
        let list = here.json(&[&["dead-letter", "list"], flags].concat()).await;
        names(&list).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(found(&[]).await, ["b", "a", "c"]);
    assert_eq!(found(&["--workflow", "a"]).await, ["a"]);
    assert_eq!(found(&["--node", "choosy", "--error", "\"c\""]).await, ["c"]);
    assert_eq!(found(&["--node", "fail"]).await, [""; 0]);
    assert_eq!(found(&["--since", "1h"]).await.len(), 3);
    assert_eq!(found(&["--until", "1h"]).await, [""; 0]);
    let page = here.json(&["dead-letter", "list", "--limit", "2"]).await;
    assert_eq!(names(&page), ["b", "a"]);
    assert_eq!(found(&["--limit", "2", "--cursor", page["next_cursor"].as_str().unwrap()]).await, ["c"]);
    let lines = here.graft(&["dead-letter", "list", "--all", "--limit", "1", "-o", "jsonl"]).await.stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["workflow_id"].as_str().unwrap()).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(lines[0]["kind"], "DeadLetter");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_letter_shows_its_input_and_what_every_attempt_said() {
    let here = Here::start().await;
    given_up(&here, &["a"]).await;
    let letter = here.json(&["dead-letter", "get", "a/1"]).await;
    assert_eq!((&letter["config"], &letter["workflow_state"]), (&json!({"item": "a"}), &json!({})));
    assert_eq!((&letter["workflow_status"], &letter["resolution"]["type"]), (&"failed".into(), &"task_dead_lettered".into()));
    assert_eq!(letter["failed_attempts"].as_array().unwrap().len(), 1);
    here.json(&["workflow", "start", "b", "--node", "nobody"]).await;
    let ran = here.graft(&["dead-letter", "get", "b/1"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "a task that was not given up: {}", ran.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_letter_is_redriven_with_another_config_or_state() {
    let here = Here::start().await;
    given_up(&here, &["a", "b", "c"]).await;
    let planned = here.graft(&["dead-letter", "redrive", "a/1", "--config", "{\"ok\":true}", "--dry-run"]).await;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert!(planned.stdout.contains("would be redriven") && planned.stderr.contains("Nothing was changed"), "{}", planned.stdout);
    assert_eq!(here.json(&["workflow", "get", "a"]).await["status"], "failed");

    let ran = here.json(&["dead-letter", "redrive", "a/1", "--config", "{\"ok\":true}", "--reason", "restocked", "--wait"]).await;
    assert_eq!((&ran["kind"], &ran["status"]), (&"Workflow".into(), &"completed".into()));
    let history = here.graft(&["workflow", "history", "a", "--all"]).await.stdout;
    assert!(history.contains("with another config") && history.contains("restocked"), "{history}");

    let ran = here.json(&["dead-letter", "redrive", "b/1", "--state-patch", "{\"ok\":true}"]).await;
    assert_eq!((&ran["results"][0]["workflow_id"], &ran["results"][0]["refused"]), (&"b".into(), &Value::Null));
    assert_eq!(here.graft(&["workflow", "watch", "b"]).await.code, 0);
    assert_eq!(here.json(&["workflow", "get", "b"]).await["state"], json!({"ok": true}));

    let ran = here.graft(&["dead-letter", "redrive", "c/1", "--wait"]).await;
    assert_eq!(ran.code, 10, "as it was, it is given up again: {}", ran.stderr);
    let again = here.graft(&["dead-letter", "redrive", "a/1"]).await;
    assert_eq!((again.code, again.stdout.as_str()), (3, ""), "it is done: {}", again.stderr);
    for (flags, why) in [
        (&["c/1", "--config", "{"][..], "no JSON"),
        (&["c/1", "--state-patch", "[]"], "no object"),
        (&["--node", "choosy", "--yes", "--wait"], "name the dead letter"),
        (&[], "--every"),
    ] {
        let ran = here.graft(&[&["dead-letter", "redrive"], flags].concat()).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{flags:?}: {}", ran.stderr);
    }
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_filter_finds_is_redriven_only_if_it_is_agreed_to() {
    let here = Here::start().await;
    given_up(&here, &["a", "b", "c"]).await;
    let redrive = ["dead-letter", "redrive", "--node", "choosy", "--config", "{\"ok\":true}"];
    let refused = here.graft(&redrive).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (4, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("to redrive 3 dead letters, say --yes"), "{}", refused.stderr);
    let error = here.graft(&[&redrive[..], &["-o", "json"]].concat()).await;
    assert_eq!(serde_json::from_str::<Value>(&error.stderr).unwrap()["code"], "GR9106");

    let planned = here.json(&[&redrive[..], &["--dry-run"]].concat()).await;
    assert_eq!((&planned["dry_run"], planned["results"].as_array().unwrap().len()), (&true.into(), 3));
    assert_eq!(here.json(&["workflow", "list", "--counts"]).await["counts"]["failed"], 3);

    let done = here.json(&[&redrive[..], &["--yes", "--limit", "2"]].concat()).await;
    assert_eq!((&done["dry_run"], done["results"].as_array().unwrap().len()), (&false.into(), 2));
    assert!(done["next_cursor"].is_string(), "{done}");
    for id in ["a", "b"] {
        assert_eq!(here.graft(&["workflow", "watch", id]).await.code, 0);
    }
    let rest = here.graft(&["dead-letter", "redrive", "--every", "--config", "{\"ok\":true}", "--yes", "-o", "name"]).await;
    assert_eq!(rest.stdout.split('@').next(), Some("c/1"), "{}", rest.stderr);
    assert_eq!(here.graft(&["workflow", "watch", "c"]).await.code, 0);
    let none = here.graft(&[&redrive[..], &["--yes"]].concat()).await;
    assert!(none.code == 0 && none.stderr.contains("Nothing that was given up matches"), "{}", none.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_that_can_never_be_redriven_do_not_hold_up_the_others() {
    let here = Here::start().await;
    given_up(&here, &["a", "b", "c", "d"]).await;
    for id in ["a", "b"] {
        let again = ["workflow", "start", id, "--node", "nobody", "--on-conflict", "replace-finished"];
        assert_eq!(here.graft(&again).await.code, 0);
    }
    let redrive = ["dead-letter", "redrive", "--every", "--limit", "1", "--config", "{\"ok\":true}"];
    let planned = here.graft(&[&redrive[..], &["--dry-run"]].concat()).await;
    assert_eq!(planned.code, 0, "{}", planned.stderr);
    assert!(planned.stdout.contains("would be refused [GR0005]") && planned.stdout.contains("would be redriven"), "{}", planned.stdout);
    assert!(planned.stderr.contains("1 would be redriven, 2 refused. Nothing was changed."), "{}", planned.stderr);

    // What cannot be done does not count, and the next one goes on behind it.
    let done = here.graft(&[&redrive[..], &["--yes", "-o", "json"]].concat()).await;
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let became = |told: &Value| {
        let became = |it: &Value| (it["workflow_id"].as_str().unwrap().to_owned(), it["refused"].is_null());
        told["results"].as_array().unwrap().iter().map(became).collect::<Vec<_>>()
    };
    assert_eq!(became(&told), [("a".into(), false), ("b".into(), false), ("c".into(), true)]);
    let cursor = told["next_cursor"].as_str().unwrap();
    let rest = here.json(&[&redrive[..], &["--yes", "--cursor", cursor]].concat()).await;
    assert_eq!((became(&rest), &rest["next_cursor"]), (vec![("d".into(), true)], &Value::Null));

    let none = here.graft(&["dead-letter", "redrive", "--every"]).await;
    assert!(none.stdout.contains("would be refused") && none.code == done.code, "there is nothing to agree to: {}", none.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_letter_is_discarded_for_good() {
    let here = Here::start().await;
    given_up(&here, &["a", "b"]).await;
    assert_eq!(here.graft(&["dead-letter", "discard", "a/1", "--dry-run"]).await.code, 0);
    assert_eq!(names(&here.json(&["dead-letter", "list"]).await), ["a", "b"]);
    let ran = here.json(&["dead-letter", "discard", "a/1", "--reason", "withdrawn"]).await;
    assert_eq!((&ran["results"][0]["task"], &ran["results"][0]["refused"]), (&1.into(), &Value::Null));
    assert_eq!(names(&here.json(&["dead-letter", "list"]).await), ["b"]);
    assert_eq!(here.json(&["workflow", "get", "a"]).await["status"], "failed", "one that has failed stays failed");
    let history = here.graft(&["workflow", "history", "a", "--all"]).await.stdout;
    assert!(history.contains("discarded  choosy #1") && history.contains("withdrawn"), "{history}");
    assert_eq!(here.graft(&["dead-letter", "discard", "a/1"]).await.code, 3);
    assert_eq!(here.graft(&["dead-letter", "discard", "--every"]).await.code, 4, "not without --yes");
    let ran = here.graft(&["dead-letter", "discard", "--every", "--yes"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("discarded"), "{}", ran.stderr);
    assert_eq!(names(&here.json(&["dead-letter", "list"]).await), [""; 0]);
    here.stop().await;
}
