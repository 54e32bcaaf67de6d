//! How many attempts are held at once.

use serde_json::{Value, json};

use crate::here::{Here, within};

fn of<'a>(list: &'a Value, node: &Value) -> Option<&'a Value> {
    list["limits"].as_array().unwrap().iter().find(|limit| limit["node"] == *node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_is_set_seen_and_taken_away() {
    let here = Here::start().await;
    let set = here.json(&["limit", "set", "hold", "--max", "1"]).await;
    assert_eq!((&set["before"], &set["now"]["node"], &set["now"]["max"]), (&Value::Null, &"hold".into(), &1.into()));
    for id in ["a", "b"] {
        here.json(&["workflow", "start", id, "--node", "hold"]).await;
    }
    here.holds(1).await;
    let full = async {
        loop {
            let list = here.json(&["limit", "list"]).await;
            if of(&list, &"hold".into()).is_some_and(|limit| limit["held"] == 1 && limit["waiting"] == 1) {
                return list;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let list = within("one attempt of `hold` to be held and one to wait", full).await;
    assert_eq!((&list["live"], &of(&list, &"hold".into()).unwrap()["namespace"]), (&true.into(), &"default".into()));

    let set = here.json(&["limit", "set", "hold", "--max", "5"]).await;
    assert_eq!((&set["before"]["max"], &set["now"]["max"]), (&1.into(), &5.into()));
    here.holds(2).await;
    let unset = here.json(&["limit", "unset", "hold"]).await;
    assert_eq!((&unset["before"]["max"], &unset["now"]), (&5.into(), &Value::Null));
    let again = here.graft(&["limit", "unset", "hold"]).await;
    assert_eq!((again.code, again.stderr.as_str()), (0, "There was no such limit; nothing was changed.\n"));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_whole_cluster_has_a_limit_of_its_own() {
    let here = Here::start().await;
    let set = here.json(&["limit", "set", "--cluster", "--max", "500"]).await;
    assert_eq!((&set["now"]["node"], &set["now"]["namespace"], &set["now"]["max"]), (&Value::Null, &Value::Null, &500.into()));
    here.json(&["limit", "set", "count", "--max", "3", "-n", "other"]).await;
    let list = here.json(&["limit", "list"]).await;
    assert_eq!(of(&list, &Value::Null).unwrap()["max"], 500);
    assert_eq!(of(&list, &"count".into()), None, "that of another namespace is not shown");
    let all = here.json(&["limit", "list", "--all-namespaces"]).await;
    assert_eq!(of(&all, &"count".into()).unwrap()["namespace"], "other");
    let names = here.graft(&["limit", "list", "--all-namespaces", "-o", "name"]).await;
    assert_eq!(names.stdout, "count\n");
    let unset = here.json(&["limit", "unset", "--cluster"]).await;
    assert_eq!(unset["before"]["max"], json!(500));
    let refused = here.graft(&["limit", "set", "", "--max", "1"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "a node without a name is not the cluster: {}", refused.stderr);
    here.stop().await;
}
