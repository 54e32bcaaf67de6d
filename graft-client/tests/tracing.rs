//! A workflow with a retry and a join, run by a real worker on a real server that brings its spans to a collector in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::{Collector, attribute, called, hex, links, status};
use graft_client::{Client, ClientError, Failure, Next, NodeContext, NodeOptions, Outcome, Retry, StartWorkflow, Worker, WorkerBuilder};
use graftd::app::Daemon;
use graftd::config::Config;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[path = "../../graftd/tests/fixtures/collector.rs"]
mod collector;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What each attempt was handed: its node and number, and its `traceparent`.
type Handed = Arc<Mutex<BTreeMap<String, Option<String>>>>;

struct World {
    client: Client,
    daemon: Daemon,
    handed: Handed,
    directory: tempfile::TempDir,
}

impl World {
    async fn new(collector: Option<&Collector>) -> Self {
        Self::at(tempfile::tempdir().unwrap(), collector).await
    }

    async fn at(directory: tempfile::TempDir, collector: Option<&Collector>) -> Self {
        let mut config = Config::in_process(directory.path());
        config.tracing.endpoint = collector.map(|collector| format!("http://{}", collector.address));
        let daemon = Daemon::start(config).await.unwrap();
        daemon.ready().await.unwrap();
        let client = Client::connect(format!("http://{}", daemon.client_address())).unwrap();
        Self { client, daemon, handed: Handed::default(), directory }
    }

    fn note(&self) -> impl Fn(&NodeContext) + Clone + Send + Sync + 'static {
        let handed = self.handed.clone();
        move |cx: &NodeContext| {
            let attempt = format!("{}#{}", cx.node(), cx.attempt());
            handed.lock().unwrap().insert(attempt, cx.traceparent().map(str::to_owned));
        }
    }

    /// `split` opens `left` and `right`, of which `right` fails once; `merge` joins them and goes on to `last`.
    fn worker(&self) -> Running {
        let [split, left, right, merge, last] = std::array::from_fn(|_| self.note());
        Running::of(
            Worker::builder(self.client.clone())
                .node_fn("split", move |cx: NodeContext, _: (), _: ()| {
                    split(&cx);
                    async {
                        Ok(Outcome::done().fan_out([Next::named("left", ()), Next::named("right", ())]).join(Next::named("merge", ())))
                    }
                })
                .node_fn("left", move |cx: NodeContext, _: (), _: ()| {
                    left(&cx);
                    async { Ok(Outcome::done()) }
                })
                .node_fn_with(
                    "right",
                    NodeOptions::new().retry(Retry::fixed(Duration::from_millis(1)).attempts(3)),
                    move |cx: NodeContext, _: (), _: ()| {
                        right(&cx);
                        async move { if cx.failures() == 0 { Err(Failure::retryable("not yet")) } else { Ok(Outcome::done()) } }
                    },
                )
                .node_fn("merge", move |cx: NodeContext, _: (), _: ()| {
                    merge(&cx);
                    async { Ok(Outcome::done().next(Next::named("last", ()))) }
                })
                .node_fn("last", move |cx: NodeContext, _: (), _: ()| {
                    last(&cx);
                    async { Ok(Outcome::done()) }
                }),
        )
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

fn split(id: &str) -> StartWorkflow {
    StartWorkflow::new(id).node_named("split", ())
}

fn the<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| called(span) == name).collect();
    let [span] = found[..] else { panic!("{} spans are called {name} in {:?}", found.len(), spans.iter().map(called).collect::<Vec<_>>()) };
    span
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_children_of_their_workflow_linked_by_retries_and_joins_and_nodes_go_on_from_them() {
    let collector = Collector::start(None).await;
    let world = World::new(Some(&collector)).await;
    let worker = world.worker();
    world.client.start(split("order-1").traceparent(CALLER)).await.unwrap();
    let spans = collector.spans(7).await;
    let workflow = the(&spans, "workflow order-1");
    assert_eq!((hex(&workflow.trace_id).as_str(), hex(&workflow.parent_span_id).as_str()), (TRACE, "00f067aa0ba902b7"));
    assert_eq!((attribute(&workflow.attributes, "graft.outcome").as_str(), status(workflow)), ("completed", (1, "")));

    let expected: [(&str, &[&str]); 6] = [
        ("split#1", &[]),
        ("left#1", &["follows split#1"]),
        ("right#1", &["follows split#1"]),
        ("right#2", &["retry right#1"]),
        ("merge#1", &["join left#1", "join right#2"]),
        ("last#1", &["follows merge#1"]),
    ];
    for (name, linked) in expected {
        let span = the(&spans, name);
        assert_eq!((&span.trace_id, &span.parent_span_id), (&workflow.trace_id, &workflow.span_id), "{name}");
        assert_eq!(links(span, &spans), linked, "{name}");
        assert!(workflow.start_time_unix_nano <= span.start_time_unix_nano && span.end_time_unix_nano <= workflow.end_time_unix_nano);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        let told = ["graft.namespace", "graft.workflow.id", "graft.node"].map(|key| attribute(&span.attributes, key));
        assert_eq!(told, ["default", "order-1", name.split('#').next().unwrap()]);
        assert!(!attribute(&span.attributes, "graft.worker").is_empty());
        // The node's own spans go on from exactly this one.
        let handed = world.handed.lock().unwrap()[name].clone();
        assert_eq!(handed, Some(format!("00-{TRACE}-{}-01", hex(&span.span_id))), "{name}");
    }
    let failed = the(&spans, "right#1");
    assert_eq!((attribute(&failed.attributes, "graft.outcome").as_str(), status(failed)), ("failed", (2, "not yet")));
    assert_eq!(attribute(&failed.attributes, "error.type"), "retryable");
    assert_eq!(status(the(&spans, "right#2")), (1, ""));
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), 7, "no id twice");
    worker.stop().await;
    world.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_without_a_caller_has_a_trace_of_its_own() {
    let collector = Collector::start(None).await;
    let world = World::new(Some(&collector)).await;
    let worker = world.worker();
    for id in ["a", "b"] {
        world.client.start(StartWorkflow::new(id).node_named("last", ())).await.unwrap();
    }
    let spans = collector.spans(4).await;
    let (a, b) = (the(&spans, "workflow a"), the(&spans, "workflow b"));
    assert!(a.parent_span_id.is_empty() && b.parent_span_id.is_empty() && a.trace_id != b.trace_id);
    worker.stop().await;
    world.daemon.shutdown().await;
}

/// The daemon that sees the join is another one than that which saw what was joined.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_has_not_seen_the_beginning_reads_it_for_the_links() {
    let collector = Collector::start(None).await;
    let world = World::new(Some(&collector)).await;
    let builder = |world: &World| Worker::builder(world.client.clone());
    let begun = Running::of(
        builder(&world)
            .node_fn("split", |_, _: (), _: ()| async {
                let tasks = [Next::named("left", ()), Next::named("right", ())];
                Ok(Outcome::done().fan_out(tasks).join(Next::named("merge", ())))
            })
            .node_fn("left", |_, _: (), _: ()| async { Ok(Outcome::done()) })
            .node_fn("right", |_, _: (), _: ()| async { Ok(Outcome::done()) }),
    );
    world.client.start(split("long").traceparent(CALLER)).await.unwrap();
    collector.spans(3).await;
    begun.stop().await;
    let World { daemon, directory, .. } = world;
    daemon.shutdown().await;

    let world = World::at(directory, Some(&collector)).await;
    let ended = Running::of(builder(&world).node_fn("merge", |_, _: (), _: ()| async { Ok(Outcome::done()) }));
    let spans = collector.spans(5).await;
    assert_eq!(links(the(&spans, "merge#1"), &spans), ["join left#1", "join right#1"]);
    assert_eq!(the(&spans, "merge#1").parent_span_id, the(&spans, "workflow long").span_id);
    ended.stop().await;
    world.daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_redriven_gives_its_workflow_another_span() {
    let collector = Collector::start(None).await;
    let world = World::new(Some(&collector)).await;
    let fails = Running::of(
        Worker::builder(world.client.clone())
            .node_fn("pay", |_, _: (), _: ()| async { Err::<Outcome<()>, _>(Failure::permanent("no money")) }),
    );
    world.client.start(StartWorkflow::new("w").node_named("pay", ()).traceparent(CALLER)).await.unwrap();
    let spans = collector.spans(2).await;
    assert_eq!(status(the(&spans, "workflow w")), (2, "no money"));
    fails.stop().await;
    let pays = Running::of(Worker::builder(world.client.clone()).node_fn("pay", |_, _: (), _: ()| async { Ok(Outcome::done()) }));
    world.client.workflow("w").task(1).redrive("there is money").await.unwrap();
    let spans = collector.spans(4).await;
    let lives: Vec<&Span> = spans.iter().filter(|span| called(span) == "workflow w").collect();
    let [first, second] = lives[..] else { panic!("{lives:?}") };
    assert!(first.span_id != second.span_id && first.end_time_unix_nano <= second.start_time_unix_nano);
    assert_eq!((&second.links[0].span_id, attribute(&second.links[0].attributes, "graft.link").as_str()), (&first.span_id, "reopened"));
    let again = the(&spans, "pay#2");
    assert_eq!((&again.parent_span_id, links(again, &spans)), (&second.span_id, vec!["retry pay#1".to_owned()]));
    pays.stop().await;
    world.daemon.shutdown().await;
}

/// Without a collector nobody would see the spans of attempts: nodes go on from the caller's.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_spans_are_exported_nodes_are_handed_the_callers() {
    let world = World::new(None).await;
    let worker = world.worker();
    let last = |id: &str| StartWorkflow::new(id).node_named("last", ());
    world.client.start(last("called").traceparent(CALLER)).await.unwrap();
    world.client.workflow("called").result::<serde_json::Value>().await.unwrap();
    assert_eq!(world.handed.lock().unwrap()["last#1"].as_deref(), Some(CALLER));
    world.client.start(last("of-nobody")).await.unwrap();
    world.client.workflow("of-nobody").result::<serde_json::Value>().await.unwrap();
    assert_eq!(world.handed.lock().unwrap()["last#1"], None);
    worker.stop().await;
    world.daemon.shutdown().await;
}
