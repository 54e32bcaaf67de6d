//! What a step does to the state: RFC 7396, whatever the values.

use std::time::Duration;

use graft_client::{Failure, Next, NodeContext, Outcome, RawJson, Retry};
use graft_tests::in_process::{InProcess, RunningWorker};
use graft_tests::loop_sim::rng::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The pseudo-code of RFC 7396, section 2, word for word.
fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let old = target.remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), merge_patch(old, value));
        }
    }
    Value::Object(target)
}

/// A value with few names and many zero values, so that two of them often meet.
fn any_value(rng: &mut Rng, depth: u32) -> Value {
    match rng.below(if depth == 0 { 7 } else { 11 }) {
        0 => Value::Null,
        1 => json!(false),
        2 => json!(0),
        3 => json!(""),
        4 => json!(true),
        5 => json!(rng.below(1_000)),
        6 => json!("text"),
        7 => Value::Array((0..rng.below(4)).map(|_| any_value(rng, depth - 1)).collect()),
        _ => any_object(rng, depth - 1),
    }
}

fn any_object(rng: &mut Rng, depth: u32) -> Value {
    let names = ["a", "b", "c", "d", ""];
    Value::Object((0..rng.below(5)).map(|_| (names[rng.below(5) as usize].to_owned(), any_value(rng, depth))).collect())
}

#[derive(Serialize, Deserialize)]
struct Account {
    active: bool,
    balance: i64,
    note: String,
    owner: Option<String>,
    tags: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_12_a_step_can_set_false_zero_empty_and_null_and_a_retry_appends_nothing_twice() {
    let world = InProcess::start(|_| {}).await;
    let worker = world
        .worker()
        .node_fn("clear", |cx: NodeContext, mut account: Account, _: ()| async move {
            account.tags.push("cleared".to_owned());
            if cx.failures() < 2 {
                return Err(Failure::retryable("try that again"));
            }
            Ok(Outcome::state(Account { active: false, balance: 0, note: String::new(), owner: None, ..account }))
        })
        .node_fn("shorten", |_, account: Account, _: ()| async move { Ok(Outcome::state(Account { tags: Vec::new(), ..account })) });
    let worker = RunningWorker::of(worker);
    let account = Account { active: true, balance: 7, note: "n".into(), owner: Some("ada".into()), tags: vec!["new".into()] };
    let clear = Next::named("clear", ()).retry(Retry::fixed(Duration::from_millis(1)).attempts(3));
    world.client.start("cleared").state(&account).expect("JSON").node(clear).await.expect("started");
    let state: Value = world.client.workflow("cleared").result().await.expect("it completes");
    assert_eq!(state, json!({ "active": false, "balance": 0, "note": "", "tags": ["new", "cleared"] }));
    world.client.start("shortened").state(&account).expect("JSON").node_named("shorten", ()).await.expect("started");
    let state: Value = world.client.workflow("shortened").result().await.expect("it completes");
    assert_eq!(state["tags"], json!([]), "an array is replaced, not added to");
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_12_merges_are_those_of_rfc_7396() {
    const CASES: u64 = 400;
    let world = InProcess::start(|_| {}).await;
    // The first half merge a patch, the second half return a whole state, from which the client makes a patch.
    let worker = world
        .worker()
        .node_fn("merge", |_, _: (), patch: RawJson| async move {
            let patch: Value = serde_json::from_slice(patch.as_bytes())?;
            Ok(Outcome::done().merge(&patch))
        })
        .node_fn("replace", |_, _: Value, state: RawJson| async move { Ok(Outcome::state(serde_json::from_slice(state.as_bytes())?)) });
    let worker = RunningWorker::of(worker);
    for seed in 0..CASES {
        let rng = &mut Rng::new(seed);
        let (state, given) = (any_object(rng, 3), any_object(rng, 3));
        let node = if seed % 2 == 0 { "merge" } else { "replace" };
        let id = format!("case-{seed}");
        world.client.start(id.as_str()).state(&state).expect("JSON").node_named(node, &given).await.expect("started");
        let found: Value = world.client.workflow(&id).result().await.expect("it completes");
        // Null means absent: also in a first state, and in a state that a node returns.
        let first = merge_patch(json!({}), &state);
        let expected = if node == "merge" { merge_patch(first, &given) } else { merge_patch(json!({}), &given) };
        assert_eq!(found, expected, "seed {seed}: {node} of {given} into {state}");
    }
    world.end([worker]).await;
}
