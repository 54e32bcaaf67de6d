//! What clients do to workflows: pause, cancel, redrive and the rest, without a server.

use std::time::Duration;

use graft_client::proto::WorkflowStatus;
use graft_client::testing::{
    TestEngine, cancelling, completed, discarded, ended, handed_back, late_result_ignored, paused, redriven, resumed, retried,
};
use graft_client::{CancelReason, Failure, Next, NodeContext, OnConflict, Outcome, Redrive, Retry, StartWorkflow};
use serde_json::{Value, json};

use super::{engine, start};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_paused_workflow_waits_until_it_is_resumed() {
    let mut engine = engine();
    start(&mut engine, "a", |next| next);
    engine.pause("a", "lunch").unwrap();
    engine.advance(DAY).await;
    engine.workflow("a").assert_status(WorkflowStatus::Paused).assert_never(completed("step"));
    engine.resume("a", "back").unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_seen([paused().saying("lunch"), resumed().saying("back"), completed("step")]);
    let error = engine.pause("a", "again").unwrap_err();
    assert_eq!(error.code(), "GR0005");
    assert!(error.to_string().contains("has ended (completed) and cannot be paused"), "{error}");
}

/// An engine with a node that stops early, with what it has, when it is told to, and one that does not listen.
fn long_work() -> TestEngine {
    TestEngine::new(|worker| {
        worker
            .node_fn("listens", |cx: NodeContext, _: (), _: ()| async move {
                let reason = tokio::select! {
                    () = cx.cancellation().cancelled() => cx.cancel_reason(),
                    () = tokio::time::sleep(DAY) => None,
                };
                Ok(Outcome::done().merge(&json!({ "stopped": reason == Some(CancelReason::WorkflowCancelled) })))
            })
            .node_fn("deaf", |_, _: (), _: ()| async {
                tokio::time::sleep(DAY).await;
                Ok(Outcome::done().merge(&json!({ "stopped": false })))
            })
    })
}

#[tokio::test]
async fn running_attempts_are_told_of_a_cancellation_and_may_finish() {
    let mut engine = long_work();
    engine.start(StartWorkflow::new("a").node(Next::named("listens", ()))).unwrap();
    engine.advance(Duration::from_secs(60)).await;
    engine.cancel("a", "changed my mind").unwrap();
    engine.run_until_idle().await;
    engine
        .workflow("a")
        .assert_status(WorkflowStatus::Cancelled)
        .assert_seen([cancelling().saying("changed my mind"), ended(WorkflowStatus::Cancelled)])
        .assert_tasks([]);
    assert!(engine.elapsed() < Duration::from_secs(61), "{:?}", engine.elapsed());
}

#[tokio::test]
async fn who_does_not_listen_is_dropped_when_the_grace_is_over() {
    let mut engine = long_work();
    engine.start(StartWorkflow::new("a").node(Next::named("deaf", ()))).unwrap();
    engine.settle().await;
    engine.cancel_within("a", "no longer needed", Duration::from_secs(600)).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_status(WorkflowStatus::Cancelled).assert_never(completed("deaf"));
    assert_eq!(engine.elapsed().as_secs(), 600);
}

#[tokio::test]
async fn what_waits_is_cancelled_at_once_and_what_is_terminated_ends_at_once() {
    let mut engine = engine();
    start(&mut engine, "a", |next| next.delay(DAY));
    start(&mut engine, "b", |next| next.delay(DAY));
    engine.cancel("a", "").unwrap();
    engine.terminate("b", "out").unwrap();
    engine.settle().await;
    engine.workflow("a").assert_status(WorkflowStatus::Cancelled);
    engine.workflow("b").assert_status(WorkflowStatus::Terminated).assert_seen([ended(WorkflowStatus::Terminated).saying("out")]);
    assert_eq!(engine.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_dead_letter_is_redriven_with_another_config_and_state() {
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("read", |_, state: Value, file: String| async move {
            if file.ends_with(".bak") && state["allowed"] == true {
                return Ok(Outcome::done().merge(&json!({ "read": file })));
            }
            Err(Failure::permanent(format!("{file} cannot be read")))
        })
    });
    engine.start(StartWorkflow::new("a").node(Next::named("read", "a.txt"))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_failed_with("a.txt cannot be read");
    let task = engine.workflow("a").dead_letters()[0].task;
    engine.redrive("a", task, "once more").unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_failed_with("a.txt cannot be read");
    let changed = Redrive::from("the other file").config("a.bak").unwrap().state_patch(&json!({ "allowed": true })).unwrap();
    engine.redrive("a", task, changed).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_seen([redriven("read").saying("once more"), redriven("read").saying("the other file")]);
    engine.workflow("a").assert_state(&json!({ "allowed": true, "read": "a.bak" }));
    let error = engine.redrive("a", task, "again").unwrap_err();
    assert_eq!(error.code(), "GR0021", "{error}");
}

#[tokio::test]
async fn a_dead_letter_is_discarded_and_a_waiting_task_retried() {
    let mut engine = engine();
    engine.fail("step", 1, Failure::permanent("no"));
    start(&mut engine, "a", |next| next.on_exhausted(graft_client::OnExhausted::Pause));
    start(&mut engine, "b", |next| next.delay(DAY));
    engine.stub("step", |_, _: (), _: ()| async { Ok(Outcome::done()) });
    engine.settle().await;
    engine.discard("a", 1, "not worth it").unwrap();
    engine.fail("step", .., Failure::retryable("later"));
    engine.retry_task("b", 1, "now").unwrap();
    engine.settle().await;
    engine.workflow("a").assert_completed().assert_seen([discarded("step").saying("not worth it")]);
    engine.workflow("b").assert_tasks(["step delayed"]).assert_seen([retried("step").saying("now")]);
    assert_eq!(engine.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn starts_are_checked_and_told_apart_as_a_server_does() {
    let mut engine = engine();
    let a = || StartWorkflow::new("a").node(Next::named("step", ()));
    let first = engine.start(a().request_id("r")).unwrap();
    assert_eq!(engine.start(a().request_id("r")).unwrap(), first, "a repeat is answered with the first answer");
    let code = |result: Result<_, graft_client::ClientError>| result.map(|_: graft_client::Started| ()).unwrap_err().code().to_owned();
    assert_eq!(code(engine.start(StartWorkflow::new("b").request_id("r").node(Next::named("step", ())))), "GR0006");
    assert_eq!(code(engine.start(a())), "GR0004");
    assert!(!engine.start(a().on_conflict(OnConflict::UseExisting)).unwrap().created);
    let error = engine.start(StartWorkflow::new("no\nname").node(Next::named("step", ()))).unwrap_err();
    assert!(error.to_string().contains("holds '\\n' at byte 2"), "{error}");
    assert_eq!(code(engine.start(StartWorkflow::new("c"))), "GR0001");
    assert_eq!(code(engine.start(StartWorkflow::new("c").node(Next::named("x".repeat(200), ())))), "GR0002");
    engine.run_until_idle().await;
    assert_eq!(engine.start(a().on_conflict(OnConflict::ReplaceFinished)).unwrap().run, 2);
    assert_eq!(engine.workflows().len(), 2);
}

#[tokio::test]
async fn workflows_live_in_the_namespace_that_is_asked_for() {
    let mut engine = TestEngine::builder().namespace("team-a").build(|worker| worker.node(super::Idle));
    engine.start(StartWorkflow::new("a").node(Next::named("idle", ()))).unwrap();
    engine.run_until_idle().await;
    assert_eq!(engine.workflow("a").assert_completed().summary().namespace, "team-a");
}

#[tokio::test]
async fn a_result_after_the_end_is_nobodys() {
    let mut engine = long_work();
    engine.start(StartWorkflow::new("a").node(Next::named("deaf", ()).retry(Retry::none()))).unwrap();
    engine.settle().await;
    engine.terminate("a", "out").unwrap();
    engine.advance(2 * DAY).await;
    engine.workflow("a").assert_status(WorkflowStatus::Terminated).assert_never(completed("deaf"));
    engine.workflow("a").assert_never(handed_back("deaf")).assert_never(late_result_ignored("deaf"));
}
