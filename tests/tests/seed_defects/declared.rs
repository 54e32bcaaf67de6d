//! What is declared is wired, and what is shown is true.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use graft_client::middleware::{Inner, Middleware};
use graft_client::{EventFilter, LimitOf, Next, NodeContext, NodeOptions, Outcome};
use graft_tests::in_process::{InProcess, RunningWorker};
use graft_tests::wait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The README's worker.
#[path = "../../../graft-client/examples/hello_worker.rs"]
#[allow(dead_code, reason = "an example has a main")]
mod hello_worker;

fn read(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("below the root").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn seed_defect_16_every_key_of_the_configuration_has_a_test_that_shows_what_it_changes() {
    // The table of `graftd/tests/keys`, whose own test looks whether the tests that it names are there.
    let table = read("graftd/tests/keys/main.rs");
    let rows = table.split_once("const SHOWN").and_then(|(_, rest)| rest.split_once("];")).expect("the table").0;
    let shown: BTreeSet<&str> = rows.split('"').skip(1).step_by(2).filter(|text| text.contains('.') && !text.contains('/')).collect();
    let keys = graftd::config::all_keys();
    let silent: Vec<_> = keys.iter().filter(|key| !shown.contains(key.as_str())).collect();
    assert!(silent.is_empty() && keys.len() > 20, "keys without a test that shows what they change: {silent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_16_events_reach_their_subscriber() {
    let world = InProcess::start(|_| {}).await;
    let worker = RunningWorker::of(world.worker().node_fn("work", |_, _: (), _: ()| async { Ok(Outcome::done()) }));
    let mut events = world.client.events(EventFilter::new().from_earliest());
    world.client.start("told").node_named("work", ()).await.expect("started");
    let told = async {
        let mut told = Vec::new();
        while told.len() < 3 {
            let batch = events.next().await.expect("without end").expect("a batch");
            let happened = batch.events.into_iter().filter_map(|event| event.event?.happened);
            told.extend(happened.map(|happened| format!("{happened:?}").split('(').next().unwrap_or_default().to_owned()));
        }
        told
    };
    let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("events come");
    assert_eq!(told, ["Started", "TaskCompleted", "Completed"]);
    drop(events);
    world.end([worker]).await;
}

/// How many attempts of a wide workflow run at once, at most.
async fn most_at_once(world: &InProcess, id: &str, options: NodeOptions, middleware: impl Middleware) -> usize {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (now, most) = (now.clone(), most.clone());
        move |_, _: (), _: ()| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Long enough for all that may to be here together.
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Outcome::done())
            }
        }
    };
    let worker = RunningWorker::of(world.worker().concurrency(32).layer(middleware).node_fn_with("work", options, work));
    (0..60).fold(world.client.start(id), |start, _| start.node(Next::named("work", ()))).await.expect("started");
    world.client.workflow(id).result::<Value>().await.expect("it completes");
    worker.stop().await;
    most.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_16_limits_and_middleware_are_asked_by_the_engine() {
    let world = InProcess::start(|config| {
        config.scheduler.node_limits = [("work".to_owned(), 5)].into();
    })
    .await;
    let passed = Arc::new(AtomicUsize::new(0));
    let trace = || {
        let passed = passed.clone();
        move |_: NodeContext, inner: Inner| {
            passed.fetch_add(1, Ordering::SeqCst);
            async move { Ok(inner.run().await) }
        }
    };
    assert!(most_at_once(&world, "by-configuration", NodeOptions::new(), trace()).await <= 5);
    world.client.set_limit("work", 3).await.expect("set");
    assert!(most_at_once(&world, "by-request", NodeOptions::new(), trace()).await <= 3);
    world.client.set_limit("work", 30).await.expect("set");
    world.client.set_limit(LimitOf::Cluster, 2).await.expect("set");
    assert!(most_at_once(&world, "by-cluster", NodeOptions::new(), trace()).await <= 2);
    world.client.unset_limit(LimitOf::Cluster).await.expect("unset");
    // And where none is, there is none.
    let free = most_at_once(&world, "free", NodeOptions::new(), trace()).await;
    assert!(free > 5, "{free} at once without a limit");
    assert_eq!(passed.load(Ordering::SeqCst), 4 * 60, "every attempt passes the middleware");
    assert_eq!(world.metric("graft_tasks_dispatched_total"), 4.0 * 60.0);
    world.end([]).await;
}

#[test]
#[ignore = "waits for rate limits, and for pausing a key: neither is declared yet, so neither can be without effect"]
fn seed_defect_16_rate_limits_and_breakers_are_asked_by_the_engine() {
    let declared = ["proto/graft/v1/cluster.proto", "proto/graft/v1/workflow.proto", "proto/graft/v1/worker.proto"].map(read).concat();
    assert!(declared.contains("rate_limit"), "no rate limit is declared yet");
    panic!("rate limits are declared now: show here that they hold, and take the `ignore` away");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_17_the_first_program_of_the_readme_compiles_and_does_what_is_said() {
    let readme = read("README.md");
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program in the README");
    // This file compiles that one.
    assert_eq!(shown.trim(), read("graft-client/examples/hello_worker.rs").trim(), "README.md shows another program than the example");
    let world = InProcess::start(|_| {}).await;
    let stop = CancellationToken::new();
    let options = hello_worker::Options { addr: world.url() };
    let worker = tokio::spawn(hello_worker::run(options, stop.clone().cancelled_owned()));
    assert!(readme.contains("graft workflow start hello-1 --node greet --config '\"Ada\"' --wait"));
    world.client.start("hello-1").node_named("greet", "Ada").await.expect("started");
    let state: Value = world.client.workflow("hello-1").result().await.expect("it completes");
    assert_eq!(state, serde_json::json!({ "greeting": "Hello, Ada!", "waves": 1 }));
    stop.cancel();
    worker.await.expect("no panic").expect("a good end");
    wait::until("the worker to be gone", Duration::from_secs(30), || async {
        let connected = world.metric("graft_workers_connected");
        if connected == 0.0 { Ok(()) } else { Err(connected) }
    })
    .await;
    world.end([]).await;
}
