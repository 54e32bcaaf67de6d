//! Order, concurrency, seeds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use graft_client::testing::{SEED_VARIABLE, TestEngine, joined};
use graft_client::{Next, NodeContext, NodeOptions, Outcome, StartWorkflow, WorkerBuilder};
use serde_json::json;

/// Executes 20 tasks side by side and says in which order they began.
async fn order(seed: Option<u64>) -> Vec<u32> {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let seen = begun.clone();
    let register = move |worker: WorkerBuilder| {
        worker
            .node_fn("wide", |_, _: (), _: ()| async {
                Ok(Outcome::done().fan_out((1..=20).map(|number| Next::named("leaf", number))).join(Next::named("end", ())))
            })
            .node_fn("leaf", move |_, _: (), number: u32| {
                let seen = seen.clone();
                async move {
                    seen.lock().unwrap().push(number);
                    Ok(Outcome::done().increment("/leaves", 1))
                }
            })
            .node_fn("end", |_, _: (), _: ()| async { Ok(Outcome::done()) })
    };
    let builder = TestEngine::builder();
    let mut engine = if let Some(seed) = seed { builder.seed(seed) } else { builder }.build(register);
    engine.start(StartWorkflow::new("a").node(Next::named("wide", ()))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_seen([joined("end")]).assert_state(&json!({ "leaves": 20 }));
    let begun = begun.lock().unwrap();
    begun.clone()
}

#[tokio::test]
async fn tasks_begin_in_their_order_or_in_that_of_a_seed() {
    let straight: Vec<u32> = (1..=20).collect();
    assert_eq!(order(None).await, straight);
    let seven = order(Some(7)).await;
    assert_ne!(seven, straight);
    assert_eq!(order(Some(7)).await, seven, "the same seed, the same order");
    assert_ne!(order(Some(8)).await, seven);
    let mut sorted = seven;
    sorted.sort_unstable();
    assert_eq!(sorted, straight);
}

#[tokio::test]
async fn higher_priority_goes_first() {
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn_with("leaf", NodeOptions::new().concurrency(1), |_, _: (), number: u32| async move {
            Ok(Outcome::done().append("/order", &number))
        })
    });
    let start = StartWorkflow::new("a");
    let tasks = [(1, 0), (2, -5), (3, 9)].map(|(number, priority)| Next::named("leaf", number).priority(priority));
    engine.start(tasks.into_iter().fold(start, StartWorkflow::node)).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_state(&json!({ "order": [3, 1, 2] }));
}

#[tokio::test]
async fn as_many_attempts_run_at_once_as_the_options_allow() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (now, most.clone());
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn_with("leaf", NodeOptions::new().concurrency(5).cluster_limit(3), move |_: NodeContext, _: (), _: u32| {
            let (now, most) = seen.clone();
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(3_600)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok(Outcome::done())
            }
        })
    });
    let tasks = (0..10).map(|number| Next::named("leaf", number));
    engine.start(tasks.fold(StartWorkflow::new("a"), StartWorkflow::node)).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed();
    assert_eq!(most.load(Ordering::Relaxed), 3);
    assert_eq!(engine.elapsed().as_secs(), 4 * 3_600, "ten tasks of an hour, three at once");
}

#[tokio::test]
async fn any_seed_is_another_one_each_time_and_can_be_repeated() {
    if std::env::var_os(SEED_VARIABLE).is_some() {
        return; // somebody repeats a run of another test
    }
    let told = |engine: &TestEngine| format!("{engine:?}");
    let one = TestEngine::builder().any_seed().build(|worker| worker.node(super::Idle));
    let two = TestEngine::builder().any_seed().build(|worker| worker.node(super::Idle));
    assert_ne!(told(&one), told(&two));
}
