//! Pause, stop, dead letters and their redrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use graft_client::proto::event::Happened;
use graft_client::proto::{TaskState, WorkflowStatus};
use graft_client::{DeadLetterFilter, Failure, Next, NodeOptions, OnExhausted, Outcome, Redrive, Retry, TaskFilter};
use graft_tests::in_process::{Gate, InProcess, RunningWorker};
use graft_tests::wait;
use serde_json::{Value, json};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Number of tasks of a workflow in this state.
async fn tasks_in(world: &InProcess, workflow: &str, state: TaskState) -> usize {
    let filter = TaskFilter::new().workflow(workflow).state(state).limit(1000);
    world.client.tasks(filter).await.expect("a list of tasks").tasks.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_01_a_paused_workflow_keeps_its_work_and_ends_as_if_it_had_never_been_paused() {
    const DELAY: Duration = Duration::from_millis(200);
    let world = InProcess::start(|_| {}).await;
    let (gate, began) = (Gate::closed(), Arc::new(AtomicUsize::new(0)));
    let work = {
        let (gate, began) = (gate.clone(), began.clone());
        move |_, _: (), name: String| {
            let (gate, began) = (gate.clone(), began.clone());
            async move {
                began.fetch_add(1, Ordering::SeqCst);
                if name.starts_with("held") {
                    gate.pass().await;
                }
                let outcome = Outcome::done().increment("/done", 1);
                Ok(if name.contains("child") { outcome } else { outcome.next(Next::named("work", format!("child of {name}"))) })
            }
        }
    };
    // One at a time: the first one runs, and the others queue up behind it.
    let worker = world
        .worker()
        .node_fn_with("work", NodeOptions::new().concurrency(1), work)
        .node_fn("delayed", |_, _: (), _: ()| async move { Ok(Outcome::done().increment("/delayed", 1)) });
    let worker = RunningWorker::of(worker);

    let nodes = |first: &'static str| {
        [first, "second", "third"].map(|name| Next::named("work", name)).into_iter().chain([Next::named("delayed", ()).delay(DELAY)])
    };
    let start = nodes("first").fold(world.client.start("unpaused"), |start, node| start.node(node));
    start.await.expect("started");
    let expected: Value = world.client.workflow("unpaused").result().await.expect("it completes");
    assert_eq!(expected, json!({ "done": 6, "delayed": 1 }));

    began.store(0, Ordering::SeqCst);
    let start = nodes("held first").fold(world.client.start("paused"), |start, node| start.node(node));
    start.await.expect("started");
    wait::until("the first attempt", PATIENCE, || async { if began.load(Ordering::SeqCst) == 1 { Ok(()) } else { Err("not yet") } }).await;
    let handle = world.client.workflow("paused");
    handle.pause("for the test").await.expect("paused");
    gate.open();
    // What ran may end, and what is delayed becomes due: a workflow that was started later has had its whole delay.
    world.client.start("clock").node(Next::named("delayed", ()).delay(DELAY)).await.expect("started");
    world.client.workflow("clock").result::<Value>().await.expect("it completes");
    wait::until("the attempt that ran to be resolved, and the delay to be over", PATIENCE, || async {
        let (ready, delayed) = (tasks_in(&world, "paused", TaskState::Ready).await, tasks_in(&world, "paused", TaskState::Delayed).await);
        // Two that were queued, the child of the first, and the delayed one, whether or not it was woken.
        let resolved = handle
            .history(0, "")
            .await
            .expect("a history")
            .events
            .iter()
            .any(|event| matches!(event.happened, Some(Happened::TaskCompleted(_))));
        if resolved && ready + delayed == 4 { Ok(()) } else { Err((resolved, ready, delayed)) }
    })
    .await;
    assert_eq!(began.load(Ordering::SeqCst), 1, "nothing starts while it is paused");
    assert_eq!(handle.get().await.expect("it is there").status(), WorkflowStatus::Paused);
    handle.resume("the test goes on").await.expect("resumed");
    assert_eq!(handle.result::<Value>().await.expect("it completes"), expected);
    assert_eq!(began.load(Ordering::SeqCst), 6, "each once");
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_02_no_node_starts_after_a_stop_was_acknowledged() {
    const SLOTS: u32 = 4;
    let world = InProcess::start(|_| {}).await;
    for stop in ["terminate", "cancel"] {
        let (gate, began) = (Gate::closed(), Arc::new(AtomicUsize::new(0)));
        let work = {
            let (gate, began) = (gate.clone(), began.clone());
            move |_, _: (), _: ()| {
                let (gate, began) = (gate.clone(), began.clone());
                async move {
                    began.fetch_add(1, Ordering::SeqCst);
                    gate.pass().await;
                    Ok(Outcome::done().next(Next::named("work", ())))
                }
            }
        };
        let worker = world.worker().node_fn_with("work", NodeOptions::new().concurrency(SLOTS), work);
        let worker = RunningWorker::of(worker.node_fn("after", |_, _: (), _: ()| async { Ok(Outcome::done()) }));
        // More than there are places: the rest is queued, and each that ends has a successor.
        let id = format!("stopped-by-{stop}");
        (0..20).fold(world.client.start(id.as_str()), |start, _| start.node_named("work", ())).await.expect("started");
        let all = SLOTS as usize;
        wait::until("all places taken", PATIENCE, || async {
            let now = began.load(Ordering::SeqCst);
            if now == all { Ok(()) } else { Err(now) }
        })
        .await;
        let handle = world.client.workflow(&id);
        let ended = match stop {
            "terminate" => handle.terminate("enough").await.map(|_| WorkflowStatus::Terminated),
            _ => handle.cancel_within("enough", Duration::from_secs(30)).await.map(|_| WorkflowStatus::Cancelled),
        };
        gate.open();
        assert_eq!(handle.wait().await.expect("it ends").status(), ended.expect("acknowledged"));
        // The worker still works, and takes what comes later.
        (0..20).fold(world.client.start(format!("after-{stop}")), |start, _| start.node_named("after", ())).await.expect("started");
        world.client.workflow(format!("after-{stop}")).result::<Value>().await.expect("it completes");
        assert_eq!(began.load(Ordering::SeqCst), all, "{stop}: a node started after its workflow was stopped");
        worker.stop().await;
    }
    world.end([]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_03_a_workflow_with_a_dead_letter_is_never_completed() {
    let world = InProcess::start(|_| {}).await;
    let worker = world
        .worker()
        .node_fn("good", |_, _: (), _: ()| async { Ok(Outcome::done().increment("/good", 1)) })
        .node_fn("bad", |_, _: (), _: ()| async { if true { Err(Failure::retryable("no line")) } else { Ok(Outcome::done()) } })
        .node_fn("worse", |_, _: (), _: ()| async { if true { Err(Failure::permanent("declined")) } else { Ok(Outcome::done()) } });
    let worker = RunningWorker::of(worker);
    let twice = Retry::fixed(Duration::from_millis(1)).attempts(2);
    let bad = |policy| Next::named("bad", ()).retry(twice).on_exhausted(policy);
    let cases = [
        ("tries-over", bad(OnExhausted::Fail), WorkflowStatus::Failed),
        ("refused", Next::named("worse", ()), WorkflowStatus::Failed),
        ("for-an-operator", bad(OnExhausted::Pause), WorkflowStatus::Paused),
    ];
    for (id, node, expected) in cases {
        world.client.start(id).node_named("good", ()).node(node).node_named("good", ()).await.expect("started");
        let handle = world.client.workflow(id);
        let events = wait::until(&format!("{id}: {expected:?}"), PATIENCE, || async {
            let found = handle.get().await.expect("it is there");
            let events = handle.history(0, "").await.expect("a history").events;
            if found.status() == expected { Ok(events) } else { Err(found.status()) }
        })
        .await;
        assert!(!events.iter().any(|event| matches!(event.happened, Some(Happened::Completed(_)))), "{id}: {events:?}");
        assert!(events.iter().any(|event| matches!(event.happened, Some(Happened::TaskDeadLettered(_)))), "{id}: {events:?}");
        let letters = world.client.dead_letters(DeadLetterFilter::new().workflow(id), 10, "").await.expect("a list");
        assert_eq!(letters.dead_letters.len(), 1, "{id}");
    }
    world.end([worker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_04_dead_letters_are_redriven_under_load_and_nothing_freezes() {
    const LETTERS: usize = 60;
    const LOAD: usize = 300;
    let world = InProcess::start(|_| {}).await;
    let mended = Arc::new(AtomicUsize::new(0));
    let carry = || {
        let mended = mended.clone();
        move |_, _: (), _: ()| {
            let mended = mended.clone();
            async move {
                if mended.load(Ordering::SeqCst) == 0 {
                    return Err(Failure::permanent("it does not move"));
                }
                Ok(Outcome::done().increment("/carried", 1).next(Next::named("step", 1)))
            }
        }
    };
    let worker = world.worker().node_fn("ship", carry()).node_fn("plane", carry()).node_fn("step", |_, _: (), left: u32| async move {
        let outcome = Outcome::done().increment("/steps", 1);
        Ok(if left == 1 { outcome } else { outcome.next(Next::named("step", left - 1)) })
    });
    let worker = RunningWorker::of(worker);
    for n in 0..LETTERS {
        world.client.start(format!("letter-{n}")).node_named(if n % 2 == 0 { "ship" } else { "plane" }, ()).await.expect("started");
    }
    let letters = async |filter| world.client.dead_letters(filter, 1000, "").await.expect("a list").dead_letters.len();
    wait::until("all dead letters", PATIENCE, || async {
        let now = letters(DeadLetterFilter::new()).await;
        if now == LETTERS { Ok(()) } else { Err(now) }
    })
    .await;
    mended.store(1, Ordering::SeqCst);

    let load = stream::iter(0..LOAD).for_each_concurrent(16, |n| {
        let start = world.client.start(format!("load-{n}")).node_named("step", 5);
        async move {
            start.await.expect("started");
        }
    });
    // Half of them one by one and at once, the others by one request.
    let single = stream::iter((0..LETTERS).step_by(2)).for_each_concurrent(8, |n| {
        let task = world.client.workflow(format!("letter-{n}")).task(1);
        async move {
            task.redrive("it moves").await.expect("redriven");
        }
    });
    let many = async {
        let resolved = world.client.redrive_all(DeadLetterFilter::new().node("plane"), Redrive::new().limit(1000)).await.expect("redriven");
        assert_eq!(resolved.done(), LETTERS / 2);
    };
    futures::join!(load, single, many);
    for n in 0..LETTERS {
        let state: Value = world.client.workflow(format!("letter-{n}")).result().await.expect("it completes");
        assert_eq!(state, json!({ "carried": 1, "steps": 1 }), "letter-{n}");
    }
    for n in 0..LOAD {
        let state: Value = world.client.workflow(format!("load-{n}")).result().await.expect("it completes");
        assert_eq!(state, json!({ "steps": 5 }), "load-{n}");
    }
    assert_eq!(letters(DeadLetterFilter::new()).await, 0);
    assert_eq!(world.metric("graft_tasks_queued"), 0.0, "nothing is left in the queue");
    world.end([worker]).await;
}
