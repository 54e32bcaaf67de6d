//! REST for tasks and dead letters: list, look, try now, redrive, discard.

use graft_proto::v1;
use graft_proto::v1::result::Outcome;
use serde_json::{Value, json};

use crate::member::{Member, start};
use crate::worker::Worker;

const NAMESPACE: &str = "/api/v1/namespaces/default";

/// Starts workflows of one node `charge` whose only task fails for good.
async fn doomed(member: &Member, worker: &mut Worker, ids: &[(&str, &str)]) {
    let mut client = member.workflows().await;
    for (id, error) in ids {
        client.start(start(id, "charge")).await.expect("started");
        let task = worker.task().await;
        let failed = v1::Failed { kind: v1::FailureKind::Permanent as i32, message: (*error).into(), ..Default::default() };
        worker.resolve(&task, Outcome::Failed(failed)).await;
        worker.ack().await;
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|row| row["workflow_id"].as_str().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_listed_shown_and_tried_now() {
    let member = Member::start().await;
    let delayed = json!({ "workflow_id": "late", "nodes": [{ "node": "pick", "delay_ms": 3_600_000 }, { "node": "pack" }] });
    assert_eq!(member.send_json("POST", &format!("{NAMESPACE}/workflows"), &delayed).await.status, 201);
    let list = member.fetch(&format!("{NAMESPACE}/tasks?workflow_id=late")).await.json();
    assert_eq!((&list["kind"], list["tasks"].as_array().map(Vec::len)), (&json!("TaskList"), Some(2)));
    let list = member.fetch(&format!("{NAMESPACE}/tasks?node=pick&state=delayed&state=blocked")).await.json();
    assert_eq!((ids(&list["tasks"]), &list["tasks"][0]["state"]), (vec!["late"], &json!("delayed")));
    let path = format!("{NAMESPACE}/workflows/late/tasks/1");
    let task = member.fetch(&path).await.json();
    assert_eq!((&task["kind"], &task["task"], &task["workflow_status"]), (&json!("TaskDetail"), &json!(1), &json!("running")));
    assert!(task["not_before_at"].is_string(), "{task}");
    let retried = member.send_json("POST", &format!("{path}/retry"), &json!({ "reason": "now" })).await.json();
    assert_eq!((&retried["kind"], &retried["run"], &retried["task"]), (&json!("RetriedTask"), &task["run"], &json!(1)));
    assert_eq!(member.fetch(&path).await.json()["state"], json!("ready"));
    member.fetch(&format!("{NAMESPACE}/workflows/late/tasks/9")).await.problem(404, "GR0021");
    let problem = member.fetch(&format!("{NAMESPACE}/workflows/late/tasks/first")).await.problem(400, "GR0001");
    assert_eq!(problem["detail"], json!("the task in the path is \"first\", but has to be a number"));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_redriven_and_discarded_one_or_all_that_a_filter_finds() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    let doom = [("a", "card declined"), ("b", "no stock"), ("c", "card expired"), ("d", "card declined")];
    doomed(&member, &mut worker, &doom).await;
    let list = member.fetch(&format!("{NAMESPACE}/dead-letters?error_contains=card&limit=2")).await.json();
    assert_eq!((&list["kind"], ids(&list["dead_letters"])), (&json!("DeadLetterList"), vec!["a", "c"]));
    let cursor = list["next_cursor"].as_str().expect("more");
    let list = member.fetch(&format!("{NAMESPACE}/dead-letters?error_contains=card&limit=2&cursor={cursor}")).await.json();
    assert_eq!(ids(&list["dead_letters"]), ["d"]);
    let list = member.fetch(&format!("{NAMESPACE}/dead-letters?since=2100-01-01T00:00:00Z")).await.json();
    assert_eq!(list["dead_letters"], json!([]));

    let of = |id: &str| format!("{NAMESPACE}/workflows/{id}/dead-letters/1");
    let letter = member.fetch(&of("a")).await.json();
    assert_eq!((&letter["state"], &letter["failed_attempts"][0]["message"]), (&json!("dead-lettered"), &json!("card declined")));
    assert_eq!(letter["resolution"]["type"], json!("task_dead_lettered"));

    // By a filter: first what it would be, then done.
    let many = json!({ "filter": { "error_contains": "declined" }, "dry_run": true, "reason": "the bank is back" });
    let would = member.send_json("POST", &format!("{NAMESPACE}/dead-letters/redrive"), &many).await.json();
    assert_eq!((&would["kind"], &would["dry_run"], ids(&would["results"])), (&json!("DeadLetterResults"), &json!(true), vec!["a", "d"]));
    assert_eq!(member.fetch(&of("a")).await.status, 200, "nothing has changed");
    let many = json!({ "filter": { "error_contains": "declined" }, "config": { "again": true }, "state_patch": { "n": 2 } });
    let done = member.send_json("POST", &format!("{NAMESPACE}/dead-letters/redrive"), &many).await.json();
    assert_eq!((&done["dry_run"], ids(&done["results"]), &done["results"][0]["refused"]), (&json!(false), vec!["a", "d"], &json!(null)));
    let task = worker.task().await;
    assert_eq!(task.config.as_ref().map(|config| &config.data[..]), Some(&b"{\"again\":true}"[..]));
    assert_eq!(task.state.as_ref().map(|state| &state.data[..]), Some(&b"{\"n\":2}"[..]));
    member.fetch(&of("a")).await.problem(409, "GR0022");

    // One by its number.
    let discarded = member.send_json("POST", &format!("{}/discard", of("b")), &json!({ "reason": "never" })).await.json();
    assert_eq!((ids(&discarded["results"]), &discarded["results"][0]["refused"]), (vec!["b"], &json!(null)));
    let redriven = member.send_json("POST", &format!("{}/redrive", of("c")), &json!({})).await.json();
    assert_eq!(ids(&redriven["results"]), ["c"]);
    let list = member.fetch(&format!("{NAMESPACE}/dead-letters")).await.json();
    assert_eq!(list["dead_letters"], json!([]));

    // A page after the other, or some by name; first what was redriven is out of the way.
    for _ in ["d", "c"] {
        let task = worker.task().await;
        worker.complete(&task, "{}", vec![]).await;
        worker.ack().await;
    }
    let doom = [("e", "no"), ("f", "no"), ("g", "no")];
    doomed(&member, &mut worker, &doom).await;
    let page = json!({ "filter": {}, "limit": 1 });
    let first = member.send_json("POST", &format!("{NAMESPACE}/dead-letters/discard"), &page).await.json();
    assert_eq!(ids(&first["results"]), ["e"]);
    let page = json!({ "filter": {}, "limit": 1, "cursor": first["next_cursor"] });
    let second = member.send_json("POST", &format!("{NAMESPACE}/dead-letters/discard"), &page).await.json();
    assert_eq!(ids(&second["results"]), ["f"]);
    let named = json!({ "dead_letters": [{ "workflow_id": "g", "task": 1 }, { "workflow_id": "f", "run": 6, "task": 1 }] });
    let named = member.send_json("POST", &format!("{NAMESPACE}/dead-letters/discard"), &named).await.json();
    assert_eq!((ids(&named["results"]), &named["next_cursor"]), (vec!["g", "f"], &json!(null)));
    assert_eq!((&named["results"][0]["refused"], &named["results"][1]["refused"]["code"]), (&json!(null), &json!("GR0021")));
    let none = member.send_json("POST", &format!("{NAMESPACE}/dead-letters/discard"), &json!({ "filter": {} })).await.json();
    assert_eq!(none["results"], json!([]));
    for nothing in [json!({}), json!({ "filter": {}, "dead_letters": [] })] {
        for verb in ["redrive", "discard"] {
            let problem = member.send_json("POST", &format!("{NAMESPACE}/dead-letters/{verb}"), &nothing).await.problem(400, "GR0001");
            assert!(problem["detail"].as_str().expect("words").contains("`filter` or `dead_letters`"), "{problem}");
        }
    }
    member.stop().await;
}
