//! Middleware: what runs around every attempt of a worker's nodes. For traces, metrics, permissions, budgets.
//!
//! [`WorkerBuilder::layer`](crate::WorkerBuilder::layer) adds one; the first that is added is the outermost. Each is given the [`NodeContext`]
//! and the [`Inner`] way: the layers further in, and at its end the node. It may
//!
//! - go on with [`Inner::run`] and return what came of it, which it sees as [`Executed`];
//! - refuse with a [`Failure`] before or after that: the attempt has failed with it, to be retried or not as it says;
//! - await whatever it needs, before and after.
//!
//! What is inside is the whole attempt: reading state and config, asking `can_start`, executing the node. So a refusal also stands before
//! `can_start`, and [`Verdict::Blocked`] is its no. A panic of the node reaches the layers as a failure; a panic of a layer fails the
//! attempt, too, and not the worker. An attempt that is dropped (its lease is lost, its workflow has ended) is dropped with its layers, at
//! their next `await`. Where [`NodeOptions::timeout`](crate::NodeOptions::timeout) ends the node, the layers see that failure, and have
//! [`TIMEOUT_GRACE`] for what they do then.
//!
//! # Metrics
//!
//! [`Observe`] hands every end to a closure; a counter and a histogram need no more:
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use std::sync::{Arc, Mutex};
//! # use graft_client::testing::TestEngine;
//! # use graft_client::{Next, Outcome, StartWorkflow, WorkerBuilder};
//! use graft_client::middleware::{Observe, Verdict};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! /// By node and verdict: how many, and how long in all.
//! type Figures = Arc<Mutex<BTreeMap<(String, &'static str), (u64, f64)>>>;
//! let figures = Figures::default();
//! let seen = figures.clone();
//! let metrics = Observe::new(move |cx, executed| {
//!     let verdict = match executed.verdict() {
//!         Verdict::Completed => "completed",
//!         Verdict::Blocked => "blocked",
//!         Verdict::Failed(_) => "failed",
//!     };
//!     let mut seen = seen.lock().unwrap();
//!     let (attempts, seconds) = seen.entry((cx.node().to_owned(), verdict)).or_default();
//!     *attempts += 1;
//!     *seconds += executed.duration().as_secs_f64();
//! });
//! let register = |worker: WorkerBuilder| worker.layer(metrics).node_fn("greet", |_, _: (), _: ()| async { Ok(Outcome::done()) });
//! # let mut engine = TestEngine::new(register);
//! # engine.start(StartWorkflow::new("a").node(Next::named("greet", ()))).unwrap();
//! # engine.run_until_idle().await;
//! # assert_eq!(figures.lock().unwrap()[&("greet".to_owned(), "completed")].0, 1);
//! # }
//! ```
//!
//! # Permissions
//!
//! A closure is middleware, too. This one lets a node with payments start only for workflows whose label names a team that may pay:
//!
//! ```
//! # use graft_client::testing::TestEngine;
//! # use graft_client::{Next, Outcome, StartWorkflow, WorkerBuilder};
//! use graft_client::middleware::Inner;
//! use graft_client::{Failure, NodeContext};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let register = |worker: WorkerBuilder| {
//!     worker
//!         .layer(|cx: NodeContext, inner: Inner| async move {
//!             if cx.node().starts_with("pay") && cx.labels().get("team").map(String::as_str) != Some("billing") {
//!                 return Err(Failure::permanent(format!("team {:?} may not pay", cx.labels().get("team"))));
//!             }
//!             Ok(inner.run().await)
//!         })
//!         .node_fn("pay", |_, _: (), _: ()| async { Ok(Outcome::done()) })
//! };
//! # let mut engine = TestEngine::new(register);
//! # for team in ["billing", "kitchen"] {
//! #     engine.start(StartWorkflow::new(team).label("team", team).node(Next::named("pay", ()))).unwrap();
//! # }
//! # engine.run_until_idle().await;
//! # engine.workflow("billing").assert_completed();
//! # engine.workflow("kitchen").assert_failed_with("may not pay");
//! # }
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use graft_proto::v1::result::Outcome as WireOutcome;
use tokio::time::Instant;
use tracing::{Instrument, field};

use crate::RawJson;
use crate::context::{CancelReason, NodeContext};
use crate::failure::Failure;
use crate::worker::Handler;

/// How long layers may take once a node has run longer than its timeout; then the attempt is dropped with them.
pub const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// Something around every attempt of a worker's nodes. See the [module](self).
///
/// A closure `|cx: NodeContext, inner: Inner| async move { .. }` is one.
pub trait Middleware: Send + Sync + 'static {
    /// One attempt: go on with `inner.run()`, and return what came of it; or fail the attempt.
    fn around(&self, cx: NodeContext, inner: Inner) -> impl Future<Output = Result<Executed, Failure>> + Send;
}

impl<F, Fut> Middleware for F
where
    F: Fn(NodeContext, Inner) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Executed, Failure>> + Send,
{
    fn around(&self, cx: NodeContext, inner: Inner) -> impl Future<Output = Result<Executed, Failure>> + Send {
        self(cx, inner)
    }
}

/// Middleware without its type.
pub(crate) trait Layer: Send + Sync {
    fn around(&self, cx: NodeContext, inner: Inner) -> BoxFuture<'_, Result<Executed, Failure>>;
}

impl<M: Middleware> Layer for M {
    fn around(&self, cx: NodeContext, inner: Inner) -> BoxFuture<'_, Result<Executed, Failure>> {
        Box::pin(Middleware::around(self, cx, inner))
    }
}

/// Layers from the outermost to the innermost.
pub(crate) type Layers = Arc<[Arc<dyn Layer>]>;

/// The rest of an attempt: the layers further in, and the node.
#[must_use = "the node is not executed before this is run"]
pub struct Inner {
    layers: Layers,
    next: usize,
    node: Innermost,
}

/// The node, and what it is given.
pub(crate) struct Innermost {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) cx: NodeContext,
    pub(crate) state: RawJson,
    pub(crate) config: RawJson,
    /// When the node is to be dropped, and how long that is from its start.
    pub(crate) limit: Option<(Instant, Duration)>,
}

impl Inner {
    pub(crate) fn new(layers: Layers, node: Innermost) -> Self {
        Self { layers, next: 0, node }
    }

    /// The workflow's state as the node will get it.
    pub fn state(&self) -> &RawJson {
        &self.node.state
    }

    /// The task's config as the node will get it.
    pub fn config(&self) -> &RawJson {
        &self.node.config
    }

    /// Goes on, to the end of the attempt.
    pub fn run(mut self) -> BoxFuture<'static, Executed> {
        Box::pin(async move {
            let began = Instant::now();
            let verdict = match self.layers.get(self.next).cloned() {
                Some(layer) => {
                    self.next += 1;
                    let cx = self.node.cx.clone();
                    layer.around(cx, self).await.and_then(|executed| executed.verdict)
                }
                None => self.node.execute().await,
            };
            Executed { verdict, duration: began.elapsed() }
        })
    }
}

impl Innermost {
    async fn execute(self) -> Result<WireOutcome, Failure> {
        let Self { handler, cx, state, config, limit } = self;
        let run = handler.run(cx.clone(), state, config);
        match limit {
            None => run.await,
            Some((at, timeout)) => tokio::time::timeout_at(at, run).await.unwrap_or_else(|_| Err(ran_too_long(&cx, timeout))),
        }
    }
}

pub(crate) fn ran_too_long(cx: &NodeContext, timeout: Duration) -> Failure {
    cx.cancel(CancelReason::TimedOut);
    Failure::retryable(format!("node \"{}\" ran longer than its timeout of {} ms", cx.node(), timeout.as_millis()))
}

/// What came of an attempt, as layers see it and hand it on.
#[derive(Debug)]
#[must_use = "return it, or the attempt has no result"]
pub struct Executed {
    verdict: Result<WireOutcome, Failure>,
    duration: Duration,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The node returned an outcome.
    Completed,
    /// Its `can_start` said no.
    Blocked,
    /// The node, or a layer further in, failed; panics and the node's timeout count.
    Failed(&'a Failure),
}

impl Executed {
    /// How it ended.
    pub fn verdict(&self) -> Verdict<'_> {
        match &self.verdict {
            Ok(WireOutcome::Blocked(_)) => Verdict::Blocked,
            Ok(_) => Verdict::Completed,
            Err(failure) => Verdict::Failed(failure),
        }
    }

    /// The failure, if it failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.verdict.as_ref().err()
    }

    /// How long it took, the layers further in included.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    pub(crate) fn into_verdict(self) -> Result<WireOutcome, Failure> {
        self.verdict
    }
}

/// A span (`attempt`, of this crate's target) around every attempt, with node, workflow, run, task and attempt, and with `trace_id` and `span_id` where
/// there is a [`NodeContext::traceparent`]; and an event at its end: a warning for a failure, otherwise for debugging.
///
/// What the node logs lies in the span. Where spans go is the subscriber's matter: a worker that exports its own sets the parent of its spans from
/// [`NodeContext::traceparent`], with the propagator of OpenTelemetry that it uses anyway.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing;

impl Middleware for Tracing {
    async fn around(&self, cx: NodeContext, inner: Inner) -> Result<Executed, Failure> {
        let span = tracing::info_span!(
            "attempt",
            node = cx.node(),
            workflow = cx.workflow_id(),
            run = cx.run(),
            task = cx.task(),
            attempt = cx.attempt(),
            trace_id = field::Empty,
            span_id = field::Empty
        );
        if let Some((trace, of_attempt)) = cx.traceparent().and_then(ids) {
            span.record("trace_id", trace).record("span_id", of_attempt);
        }
        async move {
            let executed = inner.run().await;
            let ms = u64::try_from(executed.duration().as_millis()).unwrap_or(u64::MAX);
            match executed.verdict() {
                Verdict::Completed => tracing::debug!(ms, "completed"),
                Verdict::Blocked => tracing::debug!(ms, "cannot start yet"),
                Verdict::Failed(failure) => tracing::warn!(ms, %failure, retryable = failure.is_retryable(), "failed"),
            }
            Ok(executed)
        }
        .instrument(span)
        .await
    }
}

/// The trace's id and the span's id of a `traceparent`.
fn ids(traceparent: &str) -> Option<(&str, &str)> {
    let mut fields = traceparent.split('-').skip(1);
    Some((fields.next()?, fields.next()?))
}

/// Hands the end of every attempt to a closure: for counters and histograms. See [the example](self#metrics).
#[derive(Clone, Copy, Debug)]
pub struct Observe<F>(F);

impl<F: Fn(&NodeContext, &Executed) + Send + Sync + 'static> Observe<F> {
    /// Calls `seen` at the end of every attempt that is not dropped.
    pub fn new(seen: F) -> Self {
        Self(seen)
    }
}

impl<F: Fn(&NodeContext, &Executed) + Send + Sync + 'static> Middleware for Observe<F> {
    async fn around(&self, cx: NodeContext, inner: Inner) -> Result<Executed, Failure> {
        let executed = inner.run().await;
        (self.0)(&cx, &executed);
        Ok(executed)
    }
}
