//! What goes wrong on purpose: scripted failures, lost workers, panics, stubs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use graft_client::proto::WorkflowStatus;
use graft_client::testing::{TestEngine, completed, dead_lettered, ended, failed};
use graft_client::{Failure, Next, NodeContext, OnExhausted, Outcome, Retry, StartWorkflow};
use serde_json::{Value, json};

use super::{counting, engine, start};

#[tokio::test]
async fn attempts_fail_by_number_range_or_closure() {
    let mut engine = engine();
    engine.fail("step", 1, Failure::retryable("first"));
    engine.fail("step", |cx: &NodeContext| cx.workflow_id() == "b" && cx.attempt() == 2, Failure::permanent("second of b"));
    start(&mut engine, "a", |next| next);
    start(&mut engine, "b", |next| next);
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_seen([failed("step").saying("(retryable) first"), completed("step")]);
    engine.workflow("b").assert_failed_with("second of b").assert_never(completed("step"));
    assert_eq!(engine.workflow("b").count(failed("step")), 2);
}

#[tokio::test]
async fn the_last_failure_makes_a_dead_letter_and_what_is_to_follow_follows() {
    let mut engine = TestEngine::new(|worker| counting(counting(worker, "step"), "sorry"));
    engine.fail("step", .., Failure::retryable("never"));
    start(&mut engine, "fails", |next| next.retry(Retry::fixed(Duration::from_secs(60)).attempts(3)));
    start(&mut engine, "goes on", |next| next.retry(Retry::none()).on_exhausted(OnExhausted::ErrorNode("sorry".into())));
    start(&mut engine, "pauses", |next| next.retry(Retry::none()).on_exhausted(OnExhausted::Pause));
    engine.run_until_idle().await;
    engine.workflow("fails").assert_failed_with("never").assert_tasks(["step dead-lettered"]);
    assert_eq!(engine.workflow("fails").dead_letters()[0].failures, 3);
    engine.workflow("goes on").assert_completed().assert_state(&json!({ "sorry": 1 }));
    engine.workflow("pauses").assert_status(WorkflowStatus::Paused).assert_seen([dead_lettered("step").saying("never")]);
}

#[tokio::test]
async fn a_lost_worker_has_done_the_work_and_nobody_knows() {
    let done = Arc::new(AtomicU32::new(0));
    let work = done.clone();
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("charge", move |cx: NodeContext, _: (), _: ()| {
            let work = work.clone();
            async move {
                assert!(!cx.idempotency_key().is_empty());
                work.fetch_add(1, Ordering::Relaxed);
                cx.progress(format!("charged in attempt {}", cx.attempt()));
                Ok(Outcome::done().merge(&json!({ "earlier": cx.earlier_progress() })))
            }
        })
    });
    engine.lose("charge", 1);
    engine.start(StartWorkflow::new("a").node(Next::named("charge", ()))).unwrap();
    engine.run_until_idle().await;
    assert_eq!(done.load(Ordering::Relaxed), 2, "the work is done twice");
    engine
        .workflow("a")
        .assert_completed()
        .assert_seen([failed("charge").saying("(lost)"), completed("charge"), ended(WorkflowStatus::Completed)])
        .assert_state(&json!({ "earlier": "charged in attempt 1" }));
    assert_eq!(engine.elapsed(), Duration::from_secs(10), "the lease has to be over before anybody notices");
}

#[tokio::test]
async fn a_stub_takes_the_place_of_a_node_here_or_elsewhere() {
    let mut engine = engine();
    engine.stub("step", |_, _: (), _: ()| async { Ok(Outcome::done().next(Next::named("elsewhere", 7))) });
    engine.stub(
        "elsewhere",
        |_, state: Value, config: u32| async move { Ok(Outcome::done().merge(&json!({ "seen": config, "was": state }))) },
    );
    engine.start(StartWorkflow::new("a").state(&json!({ "x": 1 })).unwrap().node(Next::named("step", ()))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_state(&json!({ "x": 1, "seen": 7, "was": { "x": 1 } }));
}

#[tokio::test]
async fn a_stub_can_fail_as_scripted_too() {
    let mut engine = engine();
    engine.stub("elsewhere", |_, _: (), _: ()| async { Ok(Outcome::done()) });
    engine.fail("elsewhere", 1, Failure::retry_after(Duration::from_secs(90), "busy"));
    engine.start(StartWorkflow::new("a").node(Next::named("elsewhere", ()))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed();
    assert_eq!(engine.elapsed(), Duration::from_secs(90));
}

#[tokio::test]
async fn a_panic_fails_the_attempt_and_the_engine_goes_on() {
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("brittle", |cx: NodeContext, _: (), _: ()| async move {
            assert!(cx.attempt() > 1, "the first one breaks");
            Ok(Outcome::done())
        })
    });
    engine.start(StartWorkflow::new("a").node(Next::named("brittle", ()))).unwrap();
    engine.run_until_idle().await;
    engine
        .workflow("a")
        .assert_completed()
        .assert_seen([failed("brittle").saying("(panic) node \"brittle\" panicked: the first one breaks")]);
}
