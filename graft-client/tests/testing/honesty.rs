//! What a test is told when it is wrong, when its workflow is, and when the engine cannot go on.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use graft_client::testing::{TestEngine, completed, failed, started};
use graft_client::{Failure, Next, NodeContext, Outcome, Retry, StartWorkflow};
use serde_json::{Value, json};

use super::{Idle, engine, start};

/// What the panic of `call` says.
fn said(call: impl FnOnce()) -> String {
    words(std::panic::catch_unwind(AssertUnwindSafe(call)).expect_err("it panics"))
}

fn words(panic: Box<dyn std::any::Any + Send>) -> String {
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[tokio::test]
async fn a_failed_assertion_tells_the_whole_story() {
    let mut engine = TestEngine::builder().seed(7).build(|worker| super::counting(worker, "step"));
    engine.fail("step", 1, Failure::retryable("no answer"));
    let retry = Retry::fixed(Duration::from_secs(90_000));
    engine.start(StartWorkflow::new("a").state(&json!({ "x": 1 })).unwrap().node(Next::named("step", ()).retry(retry))).unwrap();
    engine.start(StartWorkflow::new("b").node(Next::named("missing", ()))).unwrap();
    engine.settle().await;
    let told = said(|| {
        engine.workflow("a").assert_completed();
    });
    assert_eq!(
        told,
        "workflow \"a\": it is running, and should be completed\n\
         workflow \"a\" (run 1) is running, 0s after the engine's start, with seed 7 (repeat it with GRAFT_TEST_SEED=7 or .seed(7))\n  \
         state: {\"x\":1}\n  \
         task 1 of node step: delayed; failed 1 times, last with: no answer\n  \
         history:\n      \
         1              0s  started: client:test; state {\"x\":1}; then step (task 1)\n      \
         2              0s  failed step (task 1, attempt 1): (retryable) no answer; again at 1d 1h"
    );
    let told = said(|| {
        engine.workflow("a").assert_seen([started(), failed("step"), completed("step")]);
    });
    assert!(told.contains("event 3 of those that it should have (completed step) is not there at all"), "{told}");
    let told = said(|| {
        engine.workflow("a").assert_seen([failed("step"), started()]);
    });
    assert!(told.contains("event 2 of those that it should have (started) does not come where it should"), "{told}");
    let told = said(|| {
        engine.workflow("a").assert_state_at("/x", &2);
    });
    assert!(told.contains("its state has 1 at \"/x\", and should have 2"), "{told}");
    let told = said(|| {
        engine.workflow("a").assert_never(failed("step").saying("no answer"));
    });
    assert!(told.contains("its event 2 is one that should never come: failed step saying \"no answer\""), "{told}");
    let told = said(|| {
        engine.workflow("b").assert_tasks([]);
    });
    assert!(told.contains("task 1 of node missing: ready, and no node of that name is in the engine (add it, or stub it)"), "{told}");
    let told = said(|| {
        engine.workflow("c");
    });
    assert_eq!(told, "no workflow is called \"c\" in the engine; there are: \"a\", \"b\"");
}

#[tokio::test]
async fn scripts_for_nodes_that_are_not_there_are_refused() {
    let mut engine = engine();
    let told = said(|| {
        engine.fail("stepp", 1, Failure::retryable("x"));
    });
    assert_eq!(told, "no node is called \"stepp\" here; there are \"idle\", \"step\"");
}

#[tokio::test]
async fn what_goes_round_in_circles_is_named() {
    let mut engine = TestEngine::builder()
        .steps_max(50)
        .build(|worker| worker.node_fn("ping", |_, _: (), (): ()| async { Ok(Outcome::done().next(Next::named("ping", ()))) }).node(Idle));
    engine.start(StartWorkflow::new("a").node(Next::named("ping", ())).node(Next::named("idle", ()))).unwrap();
    let told = words(AssertUnwindSafe(engine.run_until_idle()).catch_unwind().await.unwrap_err());
    assert!(told.starts_with("50 steps and no end, 0s later on the engine's clock: something goes round in circles\n"), "{told}");
    assert!(
        told.contains("  node \"ping\" of workflow \"a\" was executed 50 times\n  node \"idle\" of workflow \"a\" was executed 1 times"),
        "{told}"
    );
}

#[tokio::test]
async fn what_waits_for_something_that_never_comes_is_named() {
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("dreamer", |_, _: (), (): ()| async {
            std::future::pending::<()>().await;
            Ok(Outcome::done())
        })
    });
    engine.start(StartWorkflow::new("a").node(Next::named("dreamer", ()))).unwrap();
    engine.settle().await;
    let told = words(AssertUnwindSafe(engine.run_until_idle()).catch_unwind().await.unwrap_err());
    assert!(told.contains("  node \"dreamer\" of workflow \"a\", task 1, attempt 1\n"), "{told}");
}

#[tokio::test]
async fn a_wish_that_is_never_met_ends_the_wait_with_the_stories() {
    let mut engine = engine();
    start(&mut engine, "a", |next| next);
    let told = words(AssertUnwindSafe(engine.run_until(|engine| engine.find("b").is_some())).catch_unwind().await.unwrap_err());
    assert!(
        told.starts_with("nothing happens any more, and what the test waits for has not come\nworkflow \"a\" (run 1) is completed"),
        "{told}"
    );
}

#[tokio::test]
async fn outcomes_pass_the_checks_of_a_server() {
    let mut engine = TestEngine::new(|worker| {
        worker
            .node_fn("pointer", |_, _: (), (): ()| async { Ok(Outcome::done().increment("no-slash", 1)) })
            .node_fn("name", |_, _: (), (): ()| async { Ok(Outcome::done().next(Next::named("no good", ()))) })
            .node_fn("large", |_, _: (), (): ()| async {
                let chunk = "x".repeat(1 << 20);
                Ok((0..5).fold(Outcome::done(), |outcome, _| outcome.next(Next::named("large", &chunk[8..]))))
            })
            .node_fn("grow", |_, _: (), (): ()| async {
                Ok(Outcome::done().append("/list", &"x".repeat(700_000)).next(Next::named("grow", ())))
            })
            .node_fn("type", |_, _: u32, (): ()| async { Ok(Outcome::done()) })
    });
    for (node, why) in [
        ("pointer", "has to begin with /"),
        ("name", "node \"no good\""),
        ("large", "bytes in all, at most"),
        ("grow", "1048576"),
        ("type", "u32"),
    ] {
        engine.start(StartWorkflow::new(node).node(Next::named(node, ()))).unwrap();
        engine.settle().await;
        engine.workflow(node).assert_failed_with(why);
    }
}

#[tokio::test]
async fn a_node_that_asks_the_server_is_told_that_there_is_none() {
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("asks", |cx: NodeContext, _: Value, (): ()| async move {
            cx.client().workflow("other").get().await.map_err(Failure::permanent)?;
            Ok(Outcome::done())
        })
    });
    engine.start(StartWorkflow::new("a").node(Next::named("asks", ()))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_failed_with("this client belongs to an engine in a test, which has no server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_runtime_whose_clock_cannot_be_stopped_is_refused() {
    let told = said(|| drop(engine()));
    assert!(told.contains("only a current-thread runtime allows: write #[tokio::test], without multi_thread"), "{told}");
}

#[test]
fn outside_of_a_runtime_the_engine_says_what_it_needs() {
    assert!(said(|| drop(engine())).contains("write #[tokio::test]"));
}
