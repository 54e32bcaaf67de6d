//! How tasks are handed out: blocked ones, order, keys, ids, claims, what a step costs, overload.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, stream};
use graft_client::proto::TaskState;
use graft_client::{CanStart, DeadLetterFilter, Next, Node, NodeContext, NodeOptions, NodeResult, OnConflict, Outcome, TaskFilter};
use graft_machine::limits::SWEEP_STEP;
use graft_tests::in_process::{Gate, InProcess, RunningWorker};
use graft_tests::{figure, wait};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);
/// Log entries with commands so far.
const ENTRIES: &str = "graft_raft_entries_total";

/// Cannot start before the state says so, and counts how often it was asked.
struct Door(Arc<AtomicUsize>);

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct House {
    open: bool,
    steps: u32,
}

impl Node for Door {
    const NAME: &'static str = "door";
    type State = House;
    type Config = ();

    async fn execute(&self, _: NodeContext, _: House, (): ()) -> NodeResult<House> {
        Ok(Outcome::done().increment("/through", 1))
    }

    fn can_start(&self, _: &NodeContext, house: &House, (): &()) -> CanStart {
        self.0.fetch_add(1, Ordering::SeqCst);
        if house.open { CanStart::Yes } else { CanStart::No.wake_on(["/open"]) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_05_a_thousand_blocked_nodes_are_asked_once_and_cost_nothing() {
    const DOORS: usize = 1_000;
    const STEPS: u32 = 300;
    let world = InProcess::start(|_| {}).await;
    let (asked, walk, unlock) = (Arc::new(AtomicUsize::new(0)), Gate::closed(), Gate::closed());
    let worker = world
        .worker()
        .concurrency(64)
        .node(Door(asked.clone()))
        .node_fn("split", |_, _: (), _: ()| async {
            Ok(Outcome::done().next(Next::named("step", STEPS)).fan_out((0..DOORS).map(|_| Door::with(()))).without_join())
        })
        .node_fn("elsewhere", |_, _: (), left: u32| async move {
            let outcome = Outcome::done().increment("/steps", 1);
            Ok(if left == 1 { outcome } else { outcome.next(Next::named("elsewhere", left - 1)) })
        })
        // Changes the state of the same workflow, but not where the doors look.
        .node_fn("step", {
            let walk = walk.clone();
            move |_, _: (), left: u32| {
                let walk = walk.clone();
                async move {
                    walk.pass().await;
                    let next = if left == 1 { Next::named("unlock", ()) } else { Next::named("step", left - 1) };
                    Ok(Outcome::done().increment("/steps", 1).next(next))
                }
            }
        })
        .node_fn("unlock", {
            let unlock = unlock.clone();
            move |_, house: House, _: ()| {
                let unlock = unlock.clone();
                async move {
                    unlock.pass().await;
                    Ok(Outcome::state(House { open: true, ..house }))
                }
            }
        });
    let worker = RunningWorker::of(worker);
    let house = world.client.workflow("house");
    world.client.start("house").node_named("split", ()).await.expect("started");
    wait::until("all doors to be blocked", PATIENCE, || async {
        let filter = TaskFilter::new().workflow("house").state(TaskState::Blocked).limit(1000);
        let blocked = world.client.tasks(filter).await.expect("a list").tasks.len();
        if blocked == DOORS { Ok(()) } else { Err(blocked) }
    })
    .await;
    assert_eq!(asked.load(Ordering::SeqCst), DOORS, "each is asked once");

    // Work elsewhere: an entry for each step, with room for housekeeping.
    let before = world.metric(ENTRIES);
    world.client.start("elsewhere").node_named("elsewhere", STEPS).await.expect("started");
    world.client.workflow("elsewhere").result::<Value>().await.expect("it completes");
    let entries = world.metric(ENTRIES) - before;
    figure(format_args!("{entries} log entries for {STEPS} steps beside {DOORS} blocked tasks"));
    assert!(entries <= f64::from(STEPS) + 20.0, "{entries} entries");

    // Work in the same workflow: the machine looks through the blocked tasks, a bounded number in one command, and asks none of them.
    let before = world.metric(ENTRIES);
    walk.open();
    wait::until("all steps", PATIENCE, || async {
        let state: Value = house.get().await.expect("it is there").state_as().expect("JSON");
        if state["steps"] == STEPS { Ok(()) } else { Err(state) }
    })
    .await;
    let entries = world.metric(ENTRIES) - before;
    figure(format_args!("{entries} log entries for {STEPS} steps of a workflow with {DOORS} blocked tasks"));
    assert_eq!(asked.load(Ordering::SeqCst), DOORS, "nobody is asked while nothing changes where they look");
    let looks = DOORS.div_ceil(SWEEP_STEP) + 1;
    assert!(entries <= f64::from(STEPS) * (1 + looks) as f64, "{entries} entries");

    unlock.open();
    let state: Value = house.result().await.expect("it completes");
    assert_eq!(state["through"], DOORS);
    assert_eq!(asked.load(Ordering::SeqCst), 2 * DOORS, "once more each, when it could have changed");
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_06_a_higher_priority_goes_first_and_equals_go_in_their_order() {
    let world = InProcess::start(|_| {}).await;
    let (gate, order) = (Gate::closed(), Arc::new(Mutex::new(Vec::new())));
    let began = Arc::new(AtomicUsize::new(0));
    let work = {
        let (gate, order, began) = (gate.clone(), order.clone(), began.clone());
        move |_, _: (), name: String| {
            let (gate, order, began) = (gate.clone(), order.clone(), began.clone());
            async move {
                began.fetch_add(1, Ordering::SeqCst);
                if name == "first" {
                    gate.pass().await;
                } else {
                    order.lock().expect("no panic").push(name);
                }
                Ok(Outcome::done())
            }
        }
    };
    let worker = RunningWorker::of(world.worker().node_fn_with("work", NodeOptions::new().concurrency(1), work));
    world.client.start("first").node_named("work", "first").await.expect("started");
    wait::until("the only place to be taken", PATIENCE, || async { if began.load(Ordering::SeqCst) == 1 { Ok(()) } else { Err(()) } })
        .await;
    let queued = [("low-1", -5), ("normal-1", 0), ("high-1", 5), ("low-2", -5), ("high-2", 5), ("highest", 9), ("normal-2", 0)];
    for (name, priority) in queued {
        world.client.start(name).node(Next::named("work", name).priority(priority)).await.expect("started");
    }
    // All of them are there to choose from.
    wait::until("the queue", PATIENCE, || async {
        let now = world.metric("graft_tasks_queued");
        if now == queued.len() as f64 { Ok(()) } else { Err(now) }
    })
    .await;
    gate.open();
    for (name, _) in queued {
        world.client.workflow(name).result::<Value>().await.expect("it completes");
    }
    let expected = ["highest", "high-1", "high-2", "normal-1", "normal-2", "low-1", "low-2"];
    assert_eq!(*order.lock().expect("no panic"), expected);
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_07_an_idempotency_key_that_is_used_again_in_a_run_executes_nothing() {
    let world = InProcess::start(|_| {}).await;
    let worker = world
        .worker()
        .node_fn("split", |_, _: (), _: ()| async {
            let pay = || Next::named("pay", ()).idempotency_key("order-7");
            let other = Next::named("pay", ()).idempotency_key("order-8");
            Ok(Outcome::done().next(pay()).next(pay()).next(other).next(Next::named("again", ())))
        })
        .node_fn("again", |_, _: (), _: ()| async { Ok(Outcome::done().next(Next::named("pay", ()).idempotency_key("order-7"))) })
        .node_fn("pay", |_, _: (), _: ()| async { Ok(Outcome::done().increment("/paid", 1)) });
    let worker = RunningWorker::of(worker);
    world.client.start("order").node_named("split", ()).await.expect("started");
    let state: Value = world.client.workflow("order").result().await.expect("it completes");
    assert_eq!(state, json!({ "paid": 2 }), "once for each key");
    // The key is one of the run: another workflow pays too.
    world.client.start("another").node_named("split", ()).await.expect("started");
    assert_eq!(world.client.workflow("another").result::<Value>().await.expect("it completes"), json!({ "paid": 2 }));
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_08_a_start_never_overwrites_a_running_workflow_of_its_id() {
    let world = InProcess::start(|_| {}).await;
    let gate = Gate::closed();
    let worker = world.worker().node_fn("work", {
        let gate = gate.clone();
        move |_, _: (), _: ()| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(Outcome::done().increment("/done", 1))
            }
        }
    });
    let worker = RunningWorker::of(worker);
    let start = |owner: &str| {
        let start = world.client.start("order").state(&json!({ "owner": owner })).expect("JSON");
        start.node_named("work", ())
    };
    let first = start("first").await.expect("started");
    let second = start("second").await.expect_err("there is one");
    assert!(second.is_already_exists(), "{second}");
    let third = start("third").on_conflict(OnConflict::UseExisting).await.expect("the one that runs");
    assert_eq!((third.run, third.workflow_id.as_str()), (first.run, "order"));
    let fourth = start("fourth").on_conflict(OnConflict::ReplaceFinished).await.expect_err("it has not finished");
    assert!(fourth.is_already_exists(), "{fourth}");
    gate.open();
    let state: Value = world.client.workflow("order").result().await.expect("it completes");
    assert_eq!(state, json!({ "owner": "first", "done": 1 }), "nobody has touched it");
    let fifth = start("fifth").on_conflict(OnConflict::ReplaceFinished).await.expect("it has finished");
    assert!(fifth.run > first.run);
    assert_eq!(world.client.workflow("order").result::<Value>().await.expect("it completes")["owner"], "fifth");
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_09_many_claimers_get_every_task_exactly_once() {
    const TASKS: usize = 1_500;
    const WORKERS: usize = 6;
    let world = InProcess::start(|_| {}).await;
    // How often each task was handed out, by the key that all attempts of a task share.
    let given = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let worker = || {
        let given = given.clone();
        let work = move |cx: NodeContext, _: (), _: ()| {
            let given = given.clone();
            async move {
                *given.lock().expect("no panic").entry(cx.idempotency_key().to_owned()).or_default() += 1;
                tokio::task::yield_now().await;
                Ok(Outcome::done().increment("/done", 1))
            }
        };
        RunningWorker::of(world.worker().concurrency(16).node_fn("work", work))
    };
    let workers: Vec<RunningWorker> = (0..WORKERS).map(|_| worker()).collect();
    stream::iter(0..TASKS / 5)
        .for_each_concurrent(32, |n| {
            let start = (0..5).fold(world.client.start(format!("claim-{n}")), |start, _| start.node_named("work", ()));
            async move {
                start.await.expect("started");
            }
        })
        .await;
    for n in 0..TASKS / 5 {
        // None is left with a claimer that never heard of it.
        let ended = world.client.workflow(format!("claim-{n}")).wait_for(PATIENCE).await.expect("an answer");
        let state: Value = ended.unwrap_or_else(|| panic!("claim-{n} hangs")).state_as().expect("JSON");
        assert_eq!(state, json!({ "done": 5 }), "claim-{n}");
    }
    let given = given.lock().expect("no panic").clone();
    let twice: Vec<_> = given.iter().filter(|(_, times)| **times != 1).collect();
    assert_eq!(given.len(), TASKS);
    assert!(twice.is_empty(), "handed out more than once: {twice:?}");
    assert_eq!(world.metric("graft_attempts_held"), 0.0, "no claim without an owner");
    world.end(workers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_10_a_step_is_one_log_entry_and_never_more_than_two() {
    const STEPS: u32 = 300;
    let world = InProcess::start(|_| {}).await;
    let worker = world.worker().node_fn("step", |_, _: (), left: u32| async move {
        let outcome = Outcome::done().increment("/steps", 1);
        Ok(if left == 1 { outcome } else { outcome.next(Next::named("step", left - 1)) })
    });
    let worker = RunningWorker::of(worker);
    world.client.start("warm-up").node_named("step", 1).await.expect("started");
    world.client.workflow("warm-up").result::<Value>().await.expect("it completes");
    // One after the other: nothing can share an entry.
    let before = world.metric(ENTRIES);
    world.client.start("chain").node_named("step", STEPS).await.expect("started");
    assert_eq!(world.client.workflow("chain").result::<Value>().await.expect("it completes"), json!({ "steps": STEPS }));
    let entries = world.metric(ENTRIES) - before;
    figure(format_args!("{entries} log entries for a chain of {STEPS} steps and its start"));
    assert!(entries <= f64::from(2 * STEPS), "{entries} entries");
    // What can share an entry does.
    let before = world.metric(ENTRIES);
    (0..STEPS).fold(world.client.start("wide"), |start, _| start.node_named("step", 1)).await.expect("started");
    world.client.workflow("wide").result::<Value>().await.expect("it completes");
    let entries = world.metric(ENTRIES) - before;
    figure(format_args!("{entries} log entries for {STEPS} steps at once and their start"));
    assert!(entries <= f64::from(STEPS), "{entries} entries");
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_14_overload_never_ends_in_dead_letters() {
    const WORKFLOWS: usize = 200;
    // Room for so few commands that starts and results are refused all the time.
    let world = InProcess::start(|config| (config.raft.batch_commands, config.raft.pending_commands) = (1, 2)).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let worker = || {
        let work = |cx: NodeContext, _: (), left: u32| async move {
            assert_eq!((cx.attempt(), cx.failures()), (1, 0), "being busy is no failure");
            let outcome = Outcome::done().increment("/steps", 1);
            Ok(if left == 1 { outcome } else { outcome.next(Next::named("work", left - 1)) })
        };
        RunningWorker::of(world.worker().concurrency(64).node_fn("work", work))
    };
    let workers = [worker(), worker()];
    stream::iter(0..WORKFLOWS)
        .for_each_concurrent(64, |n| {
            let refused = &refused;
            let world = &world;
            async move {
                wait::until("a start", PATIENCE, || async {
                    let start = world.client.start(format!("busy-{n}")).node_named("work", 3).request_id(format!("busy-{n}"));
                    start.await.map_err(|error| {
                        refused.fetch_add(1, Ordering::SeqCst);
                        error.to_string()
                    })
                })
                .await;
            }
        })
        .await;
    for n in 0..WORKFLOWS {
        let state: Value = world.client.workflow(format!("busy-{n}")).result().await.expect("it completes");
        assert_eq!(state, json!({ "steps": 3 }), "busy-{n}");
    }
    let letters = world.client.dead_letters(DeadLetterFilter::new(), 10, "").await.expect("a list").dead_letters;
    assert!(letters.is_empty(), "{letters:?}");
    let busy = world.metric("graft_grpc_requests_total{code=\"RESOURCE_EXHAUSTED\",method=\"graft.v1.WorkflowService/Start\"}");
    figure(format_args!("{busy} refusals on the way, {} seen by callers", refused.load(Ordering::SeqCst)));
    assert!(busy > 0.0, "nobody was refused: that was no overload");
    world.end(workers).await;
}
