//! One attempt as whoever hands out work begins it: the shell for the cluster, the engine of tests for itself. Layers around the node,
//! timeout, panics, and what the worker adds to an outcome are the same for both.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use graft_proto::v1::result::Outcome;
use graft_proto::v1::{AttemptRef, Payload, Task};
use tokio::time::{Instant, timeout_at};

use super::attempt::{Handler, cannot_be_sent, words_of};
use super::registry::Registry;
use crate::client::Client;
use crate::codec::Broken;
use crate::context::NodeContext;
use crate::failure::Failure;
use crate::limits;
use crate::middleware::{Executed, Inner, Innermost, TIMEOUT_GRACE, ran_too_long};

/// An attempt that has not begun yet.
pub(crate) struct Execution {
    /// What its node is told.
    pub(crate) cx: NodeContext,
    /// Runs it to its end. Does not panic.
    pub(crate) outcome: BoxFuture<'static, Outcome>,
}

impl Registry {
    /// The attempt of a task; `None` if its node is not here.
    pub(crate) fn execute(self: &Arc<Self>, mut task: Task, at: AttemptRef, client: Client) -> Option<Execution> {
        let entry = self.get(&task.node)?.clone();
        let (state, config) = (task.state.take(), task.config.take());
        let cx = NodeContext::new(task, at, entry.timeout, client);
        let (registry, context) = (self.clone(), cx.clone());
        let outcome = async move {
            // A time too far to be told is none.
            let limit = entry.timeout.and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout)));
            registry
                .decoded(&context, entry.handler, state, config, limit)
                .await
                .unwrap_or_else(|failure| Outcome::Failed(failure.into_wire(context.last_progress())))
        };
        Some(Execution { cx, outcome: Box::pin(outcome) })
    }

    /// The attempt on what the client's codec makes of its payload. Layers and node see it plain; what goes out is encoded again.
    async fn decoded(
        &self,
        cx: &NodeContext,
        handler: Arc<dyn Handler>,
        state: Option<Payload>,
        config: Option<Payload>,
        limit: Option<(Instant, Duration)>,
    ) -> Result<Outcome, Failure> {
        let payloads = cx.client().payloads(cx.workflow_id());
        let (state, config) =
            (payloads.state(state).map_err(Broken::into_failure)?, payloads.config(config).map_err(Broken::into_failure)?);
        let node = Innermost { handler, cx: cx.clone(), state: state.clone(), config, limit };
        let mut outcome = whole(cx, Inner::new(self.layers(), node), limit).await?;
        if let Outcome::Completed(completed) = &mut outcome {
            self.complete(completed);
            payloads.encode_outcome(completed, &state).map_err(Broken::into_failure)?;
            if cx.client().has_codec() {
                // Encoded it is larger than when the attempt looked at it.
                limits::check_completed(completed).map_err(|reason| cannot_be_sent(cx, &reason))?;
            }
        }
        Ok(outcome)
    }
}

/// The attempt with all its layers, none of which may panic or take for ever.
async fn whole(cx: &NodeContext, inner: Inner, limit: Option<(Instant, Duration)>) -> Result<Outcome, Failure> {
    let run = AssertUnwindSafe(inner.run()).catch_unwind();
    let ended = match limit.and_then(|(at, timeout)| Some((at.checked_add(TIMEOUT_GRACE)?, timeout))) {
        None => run.await,
        Some((at, timeout)) => timeout_at(at, run).await.map_err(|_| ran_too_long(cx, timeout))?,
    };
    ended.map_err(|panic: Box<dyn Any + Send>| panicked(cx, &*panic)).and_then(Executed::into_verdict)
}

fn panicked(cx: &NodeContext, panic: &(dyn Any + Send)) -> Failure {
    Failure::panic(format!("middleware around node \"{}\" panicked: {}", cx.node(), words_of(panic)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use graft_proto::v1::FailureKind;

    use super::*;
    use crate::middleware::{Layer, Observe, Tracing, Verdict};
    use crate::node::node_fn;
    use crate::outcome::Outcome as NodeOutcome;
    use crate::worker::NodeOptions;

    type Log = Arc<Mutex<Vec<String>>>;

    /// A layer that writes down when it is entered and left.
    fn noting(log: &Log, name: &'static str) -> Arc<dyn Layer> {
        let log = log.clone();
        Arc::new(move |_: NodeContext, inner: Inner| {
            let log = log.clone();
            async move {
                log.lock().unwrap().push(format!("into {name}"));
                let executed = inner.run().await;
                log.lock().unwrap().push(format!("out of {name}: {:?}", executed.failure().map(Failure::message)));
                Ok(executed)
            }
        })
    }

    async fn outcome_of(layers: Vec<Arc<dyn Layer>>, options: NodeOptions, node: &'static str) -> Outcome {
        let node = node_fn("n", move |_, _: (), config: Option<u32>| async move {
            match node {
                "fails" => return Err(Failure::permanent("no")),
                "panics" => panic!("ouch"),
                "sleeps" => tokio::time::sleep(Duration::from_secs(3_600)).await,
                _ => {}
            }
            Ok(NodeOutcome::done().increment("/n", i64::from(config.unwrap_or(1))))
        });
        let registry = Registry::new(vec![("n".into(), Arc::new(node), options)], 1, layers).unwrap();
        let task = Task { node: "n".into(), traceparent: "00-4bf92f35-00f067aa-01".into(), ..Task::default() };
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        Arc::new(registry).execute(task, AttemptRef::default(), client).expect("it is here").outcome.await
    }

    fn failed(outcome: Outcome) -> (FailureKind, String) {
        match outcome {
            Outcome::Failed(failed) => (failed.kind(), failed.message),
            other => panic!("not failed: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_first_layer_is_the_outermost_and_each_sees_what_came_of_it() {
        let log = Log::default();
        let outcome = outcome_of(vec![noting(&log, "a"), noting(&log, "b")], NodeOptions::new(), "works").await;
        assert!(matches!(outcome, Outcome::Completed(_)), "{outcome:?}");
        assert_eq!(*log.lock().unwrap(), ["into a", "into b", "out of b: None", "out of a: None"]);
        let log = Log::default();
        failed(outcome_of(vec![noting(&log, "a")], NodeOptions::new(), "panics").await);
        assert_eq!(log.lock().unwrap()[1], "out of a: Some(\"node \\\"n\\\" panicked: ouch\")");
    }

    #[tokio::test]
    async fn a_layer_can_refuse_before_the_node_and_after_it() {
        let log = Log::default();
        let early = |_: NodeContext, _: Inner| async move { Err(Failure::permanent("not today")) };
        let outcome = outcome_of(vec![noting(&log, "a"), Arc::new(early), noting(&log, "never")], NodeOptions::new(), "works").await;
        assert_eq!(failed(outcome), (FailureKind::Permanent, "not today".to_owned()));
        assert_eq!(*log.lock().unwrap(), ["into a", "out of a: Some(\"not today\")"]);
        let late = |_: NodeContext, inner: Inner| async move {
            let _done = inner.run().await;
            Err(Failure::retryable("its result is not wanted"))
        };
        let outcome = outcome_of(vec![Arc::new(late)], NodeOptions::new(), "works").await;
        assert_eq!(failed(outcome), (FailureKind::Retryable, "its result is not wanted".to_owned()));
    }

    #[tokio::test]
    async fn a_layer_that_panics_fails_the_attempt() {
        let layer = |cx: NodeContext, inner: Inner| async move {
            assert!(cx.node() != "n", "no {} here", inner.config());
            Ok(inner.run().await)
        };
        let outcome = outcome_of(vec![Arc::new(layer)], NodeOptions::new(), "works").await;
        assert_eq!(failed(outcome), (FailureKind::Panic, "middleware around node \"n\" panicked: no null here".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn layers_see_a_timeout_and_cannot_hold_it_up() {
        let seen = Arc::new(Mutex::new(None));
        let told = seen.clone();
        let observe = Observe::new(move |_: &NodeContext, executed: &Executed| {
            let Verdict::Failed(failure) = executed.verdict() else { panic!("it did not fail") };
            *told.lock().unwrap() = Some((failure.message().to_owned(), executed.duration()));
        });
        let options = NodeOptions::new().timeout(Duration::from_secs(5));
        let expected = "node \"n\" ran longer than its timeout of 5000 ms";
        assert_eq!(failed(outcome_of(vec![Arc::new(observe)], options.clone(), "sleeps").await).1, expected);
        assert_eq!(*seen.lock().unwrap(), Some((expected.to_owned(), Duration::from_secs(5))));

        let sleepy = |_: NodeContext, inner: Inner| async move {
            let executed = inner.run().await;
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            Ok(executed)
        };
        let began = Instant::now();
        assert_eq!(failed(outcome_of(vec![Arc::new(sleepy)], options, "sleeps").await).1, expected);
        assert_eq!(began.elapsed(), Duration::from_secs(6), "the timeout, and the grace of the layers");
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The one test that has [`Tracing`]: an event that first happens on a thread without a subscriber is off in the whole process from then
    /// on (`tracing` remembers that nobody wants it), and tests run side by side.
    #[tokio::test]
    async fn spans_name_the_attempt_and_failures_are_warnings_in_them() {
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .without_time()
            .with_writer(move || written.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        outcome_of(vec![Arc::new(Tracing)], NodeOptions::new(), "works").await;
        outcome_of(vec![Arc::new(Tracing)], NodeOptions::new(), "fails").await;
        drop(guard);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("attempt{")).collect();
        let [good, bad] = lines[..] else { panic!("{text}") };
        let span = "attempt{node=\"n\" workflow=\"\" run=0 task=0 attempt=0 trace_id=\"4bf92f35\" span_id=\"00f067aa\"}";
        assert!(good.trim_start().starts_with(&format!("DEBUG {span}")), "{good}");
        assert!(good.contains("completed ms="), "{good}");
        assert!(bad.trim_start().starts_with("WARN attempt{node=\"n\"") && bad.contains("retryable=false"), "{bad}");
        assert!(bad.contains("failure=no"), "{bad}");
    }
}
