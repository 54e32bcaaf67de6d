//! Client and worker against a real server in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use graft_client::proto::{WorkflowStatus, event::Happened};
use graft_client::{
    CanStart, CancelReason, Client, ClientError, ErrorCode, Failure, ListFilter, Next, Node, NodeContext, NodeOptions, NodeResult,
    OnConflict, OnExhausted, Outcome, RawJson, Retry, Worker, WorkerBuilder,
};
use graftd::app::Daemon;
use graftd::config::Config;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct World {
    client: Client,
    daemon: Daemon,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(Config::in_process(directory.path())).await.unwrap();
        daemon.ready().await.unwrap();
        let client = Client::connect(format!("http://{}", daemon.client_address())).unwrap();
        Self { client, daemon, _directory: directory }
    }

    fn worker(&self) -> WorkerBuilder {
        Worker::builder(self.client.clone())
    }

    async fn end(self, workers: impl IntoIterator<Item = Running>) {
        for worker in workers {
            worker.stop().await;
        }
        self.daemon.shutdown().await;
    }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ClientError>>,
}

impl Running {
    fn of(worker: WorkerBuilder) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(worker.run_until(stop.clone().cancelled_owned())), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A retry policy that does not make the test wait.
fn quick(attempts: u32) -> Retry {
    Retry::fixed(Duration::from_millis(1)).attempts(attempts)
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Basket {
    items: Vec<String>,
    packed: Vec<String>,
    total: i64,
    shipped: Option<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_joins_once_after_all_of_its_tasks_and_what_they_started() {
    let world = World::new().await;
    let worker = world
        .worker()
        .node_fn("charge", |_, basket: Basket, _: ()| async move {
            let packs: Vec<Next> = basket.items.iter().map(|item| Next::named("pack", item)).collect();
            Ok(Outcome::done().fan_out(packs).join(Next::named("ship", "dhl")))
        })
        .node_fn(
            "pack",
            |_, _: (), item: String| async move { Ok(Outcome::done().append("/packed", &item).next(Next::named("count", ()))) },
        )
        .node_fn("count", |_, _: RawJson, _: ()| async move { Ok(Outcome::done().increment("/total", 1)) })
        .node_fn("ship", |_, basket: Basket, by: String| async move {
            let shipped = Some(format!("{} by {by}", basket.total));
            Ok(Outcome::state(Basket { shipped, ..basket }).increment("/ships", 1))
        });
    let worker = Running::of(worker);
    let items: Vec<String> = (0..20).map(|n| format!("item-{n:02}")).collect();
    let state = json!({ "items": items, "note": { "kept": true } });
    world.client.start("w").state(&state).unwrap().node_named("charge", ()).await.unwrap();
    let mut state: Value = world.client.workflow("w").result().await.unwrap();
    let mut packed: Vec<String> = serde_json::from_value(state["packed"].take()).unwrap();
    packed.sort();
    assert_eq!(packed, items);
    assert_eq!((&state["shipped"], &state["ships"], &state["note"]), (&json!("20 by dhl"), &json!(1), &json!({ "kept": true })));
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_is_tried_again_with_the_same_idempotency_key_and_its_progress() {
    let world = World::new().await;
    let worker = world.worker().node_fn("flaky", |cx: NodeContext, _: (), _: ()| async move {
        cx.progress(format!("reached {}", cx.attempt()));
        let seen = json!({ "key": cx.idempotency_key(), "earlier": cx.earlier_progress() });
        match cx.failures() {
            0 => Err(std::io::Error::other("the line is busy"))?,
            1 => Err(Failure::retry_after(Duration::from_millis(2), "still busy")),
            _ => Ok(Outcome::done().merge(&seen)),
        }
    });
    let worker = Running::of(worker);
    world.client.start("w").node(Next::named("flaky", ()).retry(quick(3))).await.unwrap();
    let state: Value = world.client.workflow("w").result().await.unwrap();
    assert_eq!(state["earlier"], "reached 2");
    assert!(!state["key"].as_str().unwrap().is_empty());
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_failure_fails_the_workflow_at_once_and_the_result_says_why() {
    let world = World::new().await;
    let worker = world.worker().node_fn("charge", |_, _: (), _: ()| async move {
        if true {
            return Err(Failure::permanent("the card was declined"));
        }
        Ok(Outcome::done())
    });
    let worker = Running::of(worker);
    world.client.start("w").node(Next::named("charge", ()).retry(quick(5))).await.unwrap();
    let error = world.client.workflow("w").result::<Value>().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotCompleted.name());
    assert!(error.to_string().contains("failed") && error.to_string().contains("the card was declined"), "{error}");
    let history = world.client.workflow("w").history(0, "").await.unwrap().events;
    let failures = history.iter().filter(|event| matches!(event.happened, Some(Happened::TaskFailed(_)))).count();
    assert_eq!(failures, 1);
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_node_takes_the_place_of_a_task_that_was_given_up() {
    let world = World::new().await;
    let worker = world
        .worker()
        .node_fn("charge", |_, _: (), _: ()| async move { if true { Err(Failure::retryable("no line")) } else { Ok(Outcome::done()) } })
        .node_fn("refund", |_, _: (), _: RawJson| async move { Ok(Outcome::done().increment("/refunds", 1)) });
    let worker = Running::of(worker);
    let charge = Next::named("charge", ()).retry(quick(2)).on_exhausted(OnExhausted::ErrorNode("refund".to_owned()));
    world.client.start("w").node(charge).await.unwrap();
    let state: Value = world.client.workflow("w").result().await.unwrap();
    assert_eq!(state["refunds"], 1);
    world.end([worker]).await;
}

/// Opens when the state says so; tells when it was asked and said no.
struct Gate(Arc<Notify>);

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Approval {
    approved: bool,
    opened: bool,
}

impl Node for Gate {
    const NAME: &'static str = "gate";
    type State = Approval;
    type Config = ();

    async fn execute(&self, cx: NodeContext, approval: Approval, (): ()) -> NodeResult<Approval> {
        assert_eq!(cx.failures(), 0, "a no is no failure");
        Ok(Outcome::state(Approval { opened: true, ..approval }))
    }

    fn can_start(&self, _: &NodeContext, approval: &Approval, (): &()) -> CanStart {
        if approval.approved {
            return CanStart::Yes;
        }
        self.0.notify_one();
        CanStart::No.wake_on(["/approved"])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_start_waits_until_the_state_lets_it() {
    let world = World::new().await;
    let asked = Arc::new(Notify::new());
    let waits = asked.clone();
    let worker = world.worker().node(Gate(asked)).node_fn("approve", move |_, approval: Approval, _: ()| {
        let waits = waits.clone();
        async move {
            waits.notified().await;
            Ok(Outcome::state(Approval { approved: true, ..approval }))
        }
    });
    let worker = Running::of(worker);
    world.client.start("w").node(Gate::with(())).node_named("approve", ()).await.unwrap();
    let state: Value = world.client.workflow("w").result().await.unwrap();
    assert_eq!(state, json!({ "approved": true, "opened": true }));
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_the_attempt_and_not_the_worker() {
    let world = World::new().await;
    let worker = world.worker().node_fn("shelf", |cx: NodeContext, _: (), _: ()| async move {
        assert!(cx.failures() > 0, "the shelf is empty");
        Ok(Outcome::done().increment("/found", 1))
    });
    let worker = Running::of(worker);
    world.client.start("w").node(Next::named("shelf", ()).retry(quick(2))).await.unwrap();
    let state: Value = world.client.workflow("w").result().await.unwrap();
    assert_eq!(state["found"], 1);
    let history = world.client.workflow("w").history(0, "").await.unwrap().events;
    let failed = history.iter().find_map(|event| match &event.happened {
        Some(Happened::TaskFailed(failed)) => Some(failed),
        _ => None,
    });
    let failed = failed.expect("the panic is in the history");
    assert_eq!((failed.kind.as_str(), failed.message.contains("the shelf is empty")), ("panic", true), "{}", failed.message);
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_does_not_fit_the_type_fails_for_good_and_names_the_place() {
    let world = World::new().await;
    let worker = Running::of(world.worker().node_fn("pack", |_, _: Basket, _: ()| async move { Ok(Outcome::done()) }));
    world.client.start("w").state(&json!({ "items": ["a", 7] })).unwrap().node_named("pack", ()).await.unwrap();
    let error = world.client.workflow("w").result::<Value>().await.unwrap_err().to_string();
    assert!(error.contains("Basket") && error.contains("/items/1") && error.contains("node \"pack\""), "{error}");
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_is_told_that_its_workflow_is_being_cancelled_and_may_still_report() {
    let world = World::new().await;
    let (began, mut begun) = mpsc::unbounded_channel();
    let worker = world.worker().node_fn("long", move |cx: NodeContext, _: (), _: ()| {
        began.send(()).unwrap();
        async move {
            cx.cancellation().cancelled().await;
            assert_eq!(cx.cancel_reason(), Some(CancelReason::WorkflowCancelled));
            Ok(Outcome::done().increment("/stopped", 1))
        }
    });
    let worker = Running::of(worker);
    let handle = world.client.workflow("w");
    world.client.start("w").node_named("long", ()).await.unwrap();
    begun.recv().await.unwrap();
    handle.cancel("not needed any more").await.unwrap();
    let workflow = handle.wait().await.unwrap();
    assert_eq!(workflow.status(), WorkflowStatus::Cancelled);
    assert_eq!(workflow.state_as::<Value>().unwrap(), json!({ "stopped": 1 }));
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drains_hands_back_what_does_not_end_and_another_takes_it_over() {
    let world = World::new().await;
    let (began, mut begun) = mpsc::unbounded_channel();
    let stuck = world.worker().drain_grace(Duration::from_millis(1)).node_fn("long", move |_, _: (), _: ()| {
        began.send(()).unwrap();
        std::future::pending::<NodeResult<()>>()
    });
    let stuck = Running::of(stuck);
    world.client.start("w").node_named("long", ()).await.unwrap();
    begun.recv().await.unwrap();
    stuck.stop().await;
    let fresh = world.worker().node_fn("long", |cx: NodeContext, _: (), _: ()| async move {
        assert_eq!(cx.failures(), 0, "a hand-back is no failure");
        Ok(Outcome::done().increment("/done", 1))
    });
    let fresh = Running::of(fresh);
    let state: Value = world.client.workflow("w").result().await.unwrap();
    assert_eq!(state["done"], 1);
    let history = world.client.workflow("w").history(0, "").await.unwrap().events;
    assert!(history.iter().any(|event| matches!(event.happened, Some(Happened::TaskHandedBack(_)))));
    world.end([fresh]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_branches_that_return_whole_states_do_not_overwrite_each_other() {
    #[derive(Serialize, Deserialize, Default)]
    #[serde(default)]
    struct Both {
        left: u32,
        right: u32,
        old: Option<String>,
    }
    let world = World::new().await;
    // Each begins only when the other has read the state too.
    let (left, right) = (Arc::new(tokio::sync::Barrier::new(2)), ());
    let other = left.clone();
    let worker = world
        .worker()
        .node_fn("left", move |_, both: Both, _: ()| {
            let barrier = left.clone();
            async move {
                barrier.wait().await;
                Ok(Outcome::state(Both { left: 1, ..both }))
            }
        })
        .node_fn("right", move |_, both: Both, _: ()| {
            let barrier = other.clone();
            async move {
                barrier.wait().await;
                Ok(Outcome::state(Both { right: 1, old: None, ..both }))
            }
        });
    let ((), worker) = (right, Running::of(worker));
    let state = json!({ "old": "x", "unknown": [1] });
    world.client.start("w").state(&state).unwrap().node_named("left", ()).node_named("right", ()).await.unwrap();
    let state: Value = world.client.workflow("w").result().await.unwrap();
    assert_eq!(state, json!({ "left": 1, "right": 1, "unknown": [1] }));
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_sees_every_event_and_ends_with_the_workflow() {
    let world = World::new().await;
    let worker = world
        .worker()
        .node_fn("a", |_, _: (), _: ()| async move { Ok(Outcome::done().next(Next::named("b", ()))) })
        .node_fn("b", |_, _: (), _: ()| async move { Ok(Outcome::done()) });
    let worker = Running::of(worker);
    world.client.start("w").node_named("a", ()).await.unwrap();
    let events: Vec<_> = world.client.workflow("w").watch().map(|event| event.unwrap()).collect().await;
    assert_eq!(events.iter().map(|event| event.number).collect::<Vec<_>>(), (1..=events.len() as u64).collect::<Vec<_>>());
    assert!(matches!(events.last().unwrap().happened, Some(Happened::Completed(_))));
    // Behind the last event there is nothing to wait for.
    let rest: Vec<_> = world.client.workflow("w").watch_from(events.len() as u64 + 1).collect().await;
    assert!(rest.is_empty());
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_can_be_repeated_found_paused_and_ended() {
    let world = World::new().await;
    let client = &world.client;
    let start = || client.start("w-1").node_named("nobody-serves-this", ()).request_id("r-1");
    let first = start().await.unwrap();
    assert_eq!(start().await.unwrap().run, first.run);
    let error = client.start("w-1").node_named("n", ()).await.unwrap_err();
    assert!(error.is_already_exists() && error.to_string().contains("w-1"), "{error}");
    assert!(!client.start("w-1").node_named("n", ()).on_conflict(OnConflict::UseExisting).await.unwrap().created);
    assert!(client.workflow("w-2").get().await.unwrap_err().is_not_found());

    let handle = client.workflow("w-1");
    handle.pause("to look at it").await.unwrap();
    let page = client.list(ListFilter::new().status(WorkflowStatus::Paused).id_prefix("w-").limit(10)).await.unwrap();
    assert_eq!(page.workflows.iter().map(|workflow| workflow.workflow_id.as_str()).collect::<Vec<_>>(), ["w-1"]);
    handle.resume("looked at").await.unwrap();
    assert_eq!(handle.get().await.unwrap().tasks.len(), 1);
    assert!(handle.wait_for(Duration::from_millis(1)).await.unwrap().is_none());
    handle.terminate("enough").await.unwrap();
    assert_eq!(handle.wait().await.unwrap().status(), WorkflowStatus::Terminated);

    let status = client.cluster_status().await.unwrap();
    assert_eq!(status.members.len(), 1);
    assert!(client.stale().workflow("w-1").get().await.unwrap().has_ended());
    client.stats().await.unwrap();
    assert!(client.workers().await.unwrap().workers.is_empty());
    world.end([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_builders_say_arrives() {
    let world = World::new().await;
    let client = world.client.in_namespace("shop");
    let (seen, mut saw) = mpsc::unbounded_channel();
    let options = NodeOptions::new().cluster_limit(3).timeout(Duration::from_secs(60));
    let worker = Worker::builder(client.clone())
        .node_fn("split", |_, _: (), _: ()| async move {
            let parts = [Next::named("part", ()), Next::named("part", ())];
            Ok(Outcome::done().increment_float("/sum", 0.5).fan_out(parts).without_join())
        })
        .node_fn_with("part", options, move |cx: NodeContext, _: (), _: ()| {
            let left = cx.deadline().map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()));
            seen.send((cx.labels().clone(), left)).unwrap();
            async move { Ok(Outcome::done().increment_float("/sum", 0.25)) }
        });
    let worker = Running::of(worker);
    let start = client.start("w").node_named("split", ()).label("customer", "ada").retention(Duration::from_secs(3_600));
    assert_eq!(start.await.unwrap().namespace, "shop");
    let workflow = client.workflow("w").wait().await.unwrap();
    assert_eq!(workflow.state_as::<Value>().unwrap(), json!({ "sum": 1.0 }));
    for _ in 0..2 {
        let (labels, left) = saw.recv().await.unwrap();
        assert_eq!(labels["customer"], "ada");
        let left = left.expect("the node has a timeout");
        assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(60), "{left:?}");
    }
    assert!(world.client.workflow("w").get().await.unwrap_err().is_not_found(), "it is in another namespace");
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_a_node_declares_holds_for_all_workers_and_its_timeout_ends_an_attempt() {
    let world = World::new().await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let worker = || {
        let (now, most) = (now.clone(), most.clone());
        let press = move |_: NodeContext, _: (), _: ()| {
            let (now, most) = (now.clone(), most.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Outcome::done().increment("/pressed", 1))
            }
        };
        let slow = |cx: NodeContext, _: (), _: ()| async move {
            if cx.failures() == 0 {
                std::future::pending::<()>().await;
            }
            Ok(Outcome::done().increment("/slow", 1))
        };
        let timed = NodeOptions::new().timeout(Duration::from_millis(20)).retry(quick(10));
        let split = |_: NodeContext, _: (), _: ()| async move {
            let tasks = (0..10).map(|_| Next::named("press", ())).chain([Next::named("slow", ())]);
            Ok(Outcome::done().fan_out(tasks).without_join())
        };
        let worker = world.worker().node_fn_with("press", NodeOptions::new().concurrency(10).cluster_limit(2), press);
        Running::of(worker.node_fn_with("slow", timed, slow).node_fn("split", split))
    };
    let workers = [worker(), worker()];
    world.client.start("w").node_named("split", ()).await.unwrap();
    let state: Value = world.client.workflow("w").result().await.unwrap();
    assert_eq!(state, json!({ "pressed": 10, "slow": 1 }));
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)), "{most:?} at once");
    let history = world.client.workflow("w").history(0, "").await.unwrap().events;
    let failed = history.iter().find_map(|event| match &event.happened {
        Some(Happened::TaskFailed(failed)) => Some(failed),
        _ => None,
    });
    assert!(failed.unwrap().message.contains("ran longer than its timeout of 20 ms"), "{failed:?}");
    world.end(workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_known_by_its_request_id_and_by_who_asked() {
    let world = World::new().await;
    let client = Client::builder(format!("http://{}", world.daemon.client_address())).identity("till-3").build().unwrap();
    let start = || client.start("").node_named("nobody-serves-this", ()).request_id("r-1");
    let first = start().await.unwrap();
    let again = start().await.unwrap();
    assert_eq!((&again.workflow_id, again.run), (&first.workflow_id, first.run));
    let history = client.workflow(&first.workflow_id).history(1, "").await.unwrap().events;
    let Some(Happened::Started(started)) = &history[0].happened else { panic!("not a start: {history:?}") };
    assert_eq!(started.principal, "client:till-3");
    world.end([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_holds_for_small_enough_is_so_for_the_server() {
    let world = World::new().await;
    let text = |bytes: usize| "x".repeat(bytes - 2);
    let start = |bytes: usize| {
        let start = world.client.start(format!("w-{bytes}")).node_named("nobody-serves-this", text(bytes));
        start.state_json(RawJson::from_bytes(format!("{{\"a\":{}}}", json!(text(bytes - 6)))))
    };
    start(1 << 20).await.unwrap();
    assert_eq!(start((1 << 20) + 1).await.unwrap_err().code(), ErrorCode::RequestTooLarge.name());
    world.end([]).await;
}
