//! The clock: it jumps, it stands still, and nodes see the same one.

use std::time::{Duration, Instant, SystemTime};

use graft_client::proto::WorkflowStatus;
use graft_client::testing::{START, TestEngine, completed, ended, failed};
use graft_client::{CanStart, Failure, Next, Node, NodeContext, NodeOptions, NodeResult, Outcome, Retry, StartWorkflow};
use serde_json::{Value, json};

use super::{engine, start};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn the_clock_begins_at_a_fixed_date_and_stands_still() {
    let mut engine = engine();
    assert_eq!(engine.now(), SystemTime::UNIX_EPOCH + Duration::from_millis(START));
    start(&mut engine, "a", |next| next);
    engine.run_until_idle().await;
    assert_eq!(engine.elapsed(), Duration::ZERO);
    engine.workflow("a").assert_completed();
    assert_eq!(engine.workflow("a").events()[0].time_ms, START);
}

#[tokio::test]
async fn a_delay_of_days_takes_no_time_and_counts_to_the_millisecond() {
    let mut engine = engine();
    start(&mut engine, "a", |next| next.delay(4_000 * DAY));
    engine.advance(4_000 * DAY - Duration::from_millis(1)).await;
    engine.workflow("a").assert_tasks(["step delayed"]);
    engine.advance(Duration::from_millis(1)).await;
    engine.workflow("a").assert_completed();
    assert_eq!(engine.elapsed(), 4_000 * DAY);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_stands_already_is_taken_as_it_is() {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut engine = engine();
    start(&mut engine, "a", |next| next.not_before(SystemTime::UNIX_EPOCH + Duration::from_millis(START) + HOUR));
    engine.run_until_idle().await;
    assert_eq!(engine.elapsed(), HOUR);
}

#[tokio::test]
async fn backoffs_follow_the_policy() {
    let mut engine = engine();
    engine.fail("step", 1..=3, Failure::retryable("not yet"));
    start(&mut engine, "a", |next| next.retry(Retry::exponential().initial(HOUR).max_wait(DAY).jitter(0.0)));
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_state(&json!({ "step": 1 }));
    let times: Vec<u64> = engine.workflow("a").events().iter().map(|event| (event.time_ms - START) / 3_600_000).collect();
    assert_eq!(times, [0, 0, 1, 3, 7, 7], "started, three failures, completed, ended");
}

#[tokio::test]
async fn a_node_that_sleeps_for_days_sleeps_on_the_same_clock() {
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("nap", |cx: NodeContext, _: (), _: ()| async move {
            assert_eq!(cx.deadline(), None);
            tokio::time::sleep(30 * DAY).await;
            Ok(Outcome::done())
        })
    });
    let real = Instant::now();
    engine.start(StartWorkflow::new("a").node(Next::named("nap", ()))).unwrap();
    engine.settle().await;
    engine.workflow("a").assert_tasks(["nap ready"]);
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed();
    assert_eq!(engine.elapsed(), 30 * DAY);
    assert!(real.elapsed() < DAY, "it was a real nap");
}

#[tokio::test]
async fn attempts_time_out_by_the_tasks_wish_and_by_the_nodes() {
    let nap = |_: NodeContext, _: (), _: ()| async {
        tokio::time::sleep(DAY).await;
        Ok(Outcome::done())
    };
    let mut engine = TestEngine::new(|worker| worker.node_fn("nap", nap).node_fn_with("hasty", NodeOptions::new().timeout(2 * HOUR), nap));
    let once = |node: &str| Next::named(node, ()).retry(Retry::none());
    engine.start(StartWorkflow::new("task").node(once("nap").timeout(HOUR))).unwrap();
    engine.start(StartWorkflow::new("node").node(once("hasty"))).unwrap();
    engine.advance(HOUR).await;
    engine.workflow("task").assert_seen([failed("nap").saying("(timeout) the attempt ran longer than its timeout of 3600000 ms")]);
    engine.workflow("node").assert_status(WorkflowStatus::Running);
    engine.advance(HOUR).await;
    engine.workflow("node").assert_failed_with("node \"hasty\" ran longer than its timeout of 7200000 ms");
}

#[tokio::test]
async fn a_deadline_ends_what_waits_for_ever() {
    let mut engine = engine();
    let deadline = engine.now() + 10 * DAY;
    engine.start(StartWorkflow::new("a").deadline(deadline).node(Next::named("nobody", ()))).unwrap();
    engine.advance(10 * DAY - HOUR).await;
    engine.workflow("a").assert_tasks(["nobody ready"]);
    engine.run_until_idle().await;
    engine.workflow("a").assert_status(WorkflowStatus::TimedOut).assert_seen([ended(WorkflowStatus::TimedOut)]);
    assert_eq!(engine.elapsed(), 10 * DAY);
}

#[tokio::test]
async fn what_has_ended_is_kept_until_its_retention_is_over_and_idling_does_not_bring_that_about() {
    let mut engine = engine();
    engine.start(StartWorkflow::new("a").retention(DAY).node(Next::named("step", ()))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed();
    engine.advance(DAY).await;
    assert!(engine.find("a").is_none());
}

struct Patient;

impl Node for Patient {
    const NAME: &'static str = "patient";
    type State = Value;
    type Config = ();

    async fn execute(&self, _: NodeContext, _: Value, (): ()) -> NodeResult<Value> {
        Ok(Outcome::done())
    }

    fn can_start(&self, cx: &NodeContext, _: &Value, (): &()) -> CanStart {
        if cx.attempt() > 3 { CanStart::Yes } else { CanStart::No.recheck(HOUR) }
    }
}

#[tokio::test]
async fn rechecks_come_when_they_are_due_and_can_be_run_until() {
    let mut engine = TestEngine::new(|worker| worker.node(Patient));
    engine.start(StartWorkflow::new("a").node(Patient::with(()))).unwrap();
    engine.settle().await;
    engine.workflow("a").assert_tasks(["patient blocked"]);
    engine.run_until(|engine| engine.workflow("a").tasks()[0].attempt == 3).await;
    assert_eq!(engine.elapsed(), HOUR);
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_seen([completed("patient")]);
    assert_eq!(engine.elapsed(), 3 * HOUR);
}

#[tokio::test]
async fn the_clock_stands_while_something_really_blocks() {
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("disk", |_, _: (), _: ()| async {
            let read = tokio::task::spawn_blocking(|| {
                std::thread::sleep(Duration::from_millis(20));
                7
            });
            Ok(Outcome::done().increment("/read", read.await?))
        })
    });
    engine.start(StartWorkflow::new("a").node(Next::named("disk", ()))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_state(&json!({ "read": 7 }));
    assert_eq!(engine.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn what_a_node_waits_for_can_be_brought_by_the_test() {
    let (bring, brought) = tokio::sync::watch::channel(false);
    let mut engine = TestEngine::new(|worker| {
        worker.node_fn("waits", move |_, _: (), _: ()| {
            let mut brought = brought.clone();
            async move {
                brought.wait_for(|brought| *brought).await?;
                Ok(Outcome::done())
            }
        })
    });
    engine.start(StartWorkflow::new("a").node(Next::named("waits", ()))).unwrap();
    engine.advance(DAY).await;
    engine.workflow("a").assert_tasks(["waits ready"]);
    bring.send(true).unwrap();
    engine.settle().await;
    engine.workflow("a").assert_completed();
}

/// The figure that the README names, printed and not asserted: what a test with retries over days costs.
#[tokio::test]
async fn what_a_typical_test_costs() {
    let began = Instant::now();
    let mut engine = engine();
    engine.fail("step", 1..=4, Failure::retryable("no answer"));
    start(&mut engine, "a", |next| next.retry(Retry::fixed(DAY)));
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed();
    println!("a workflow that is retried for {} days of its clock: {:?}", engine.elapsed().as_secs() / 86_400, began.elapsed());

    let began = Instant::now();
    let mut engine = super::engine();
    let tasks = (0..1_000).map(|number| Next::named("step", number));
    let wide = tasks.fold(StartWorkflow::new("wide"), StartWorkflow::node);
    engine.start(wide).unwrap();
    engine.run_until_idle().await;
    engine.workflow("wide").assert_completed().assert_state(&json!({ "step": 1_000 }));
    println!("a workflow of 1,000 tasks: {:?}", began.elapsed());
}
