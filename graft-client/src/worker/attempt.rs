//! One attempt, from the bytes that came to the outcome that goes.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use graft_proto::v1::result::Outcome as WireOutcome;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reading::{Reader, Role, is_unit};
use crate::RawJson;
use crate::context::NodeContext;
use crate::failure::Failure;
use crate::limits;
use crate::node::{CanStart, Node, NodeFn, NodeResult};

/// A node without its types.
pub(crate) trait Handler: Send + Sync {
    /// Runs one attempt to its end: completed, blocked, or failed. Does not panic.
    fn run(self: Arc<Self>, cx: NodeContext, state: RawJson, config: RawJson) -> BoxFuture<'static, Result<WireOutcome, Failure>>;
}

/// A type that implements [`Node`].
pub(crate) struct Typed<N>(pub(crate) N);

impl<N: Node> Handler for Typed<N> {
    fn run(self: Arc<Self>, cx: NodeContext, state: RawJson, config: RawJson) -> BoxFuture<'static, Result<WireOutcome, Failure>> {
        Box::pin(async move {
            let can_start = |state: &N::State, config: &N::Config| self.0.can_start(&cx, state, config);
            let execute = |state, config| self.0.execute(cx.clone(), state, config);
            run(&cx, state, config, can_start, execute).await
        })
    }
}

impl<F, Fut, S, C> Handler for NodeFn<F, S, C>
where
    F: Fn(NodeContext, S, C) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<S>> + Send,
    S: Serialize + DeserializeOwned + Send + 'static,
    C: DeserializeOwned + Send + 'static,
{
    fn run(self: Arc<Self>, cx: NodeContext, state: RawJson, config: RawJson) -> BoxFuture<'static, Result<WireOutcome, Failure>> {
        Box::pin(async move {
            let execute = |state, config| (self.call)(cx.clone(), state, config);
            run(&cx, state, config, |_, _| CanStart::Yes, execute).await
        })
    }
}

async fn run<S, C, Fut>(
    cx: &NodeContext,
    state: RawJson,
    config: RawJson,
    can_start: impl FnOnce(&S, &C) -> CanStart,
    execute: impl FnOnce(S, C) -> Fut,
) -> Result<WireOutcome, Failure>
where
    S: Serialize + DeserializeOwned + 'static,
    C: DeserializeOwned + 'static,
    Fut: Future<Output = NodeResult<S>>,
{
    let body = async {
        let reader = Reader::of(cx);
        let config = reader.read::<C>(&config, Role::Config)?;
        let given = reader.read::<S>(&state, Role::State)?;
        if let Some(blocked) = can_start(&given, &config).into_wire(cx.state_revision()) {
            return Ok(WireOutcome::Blocked(blocked));
        }
        let (written, rest) = execute(given, config).await?.into_parts();
        let states = match written {
            Some(written) => states(&state, written, reader)?,
            None => None,
        };
        rest.into_wire(cx.state_revision(), &state, states)
            .and_then(|completed| limits::check_completed(&completed).map(|()| WireOutcome::Completed(completed)))
            .map_err(|reason| cannot_be_sent(cx, &reason))
    };
    let verdict = AssertUnwindSafe(body).catch_unwind().await;
    verdict.unwrap_or_else(|panic| Err(Failure::panic(format!("node \"{}\" panicked: {}", cx.node(), words_of(&*panic)))))
}

pub(super) fn cannot_be_sent(cx: &NodeContext, reason: &str) -> Failure {
    Failure::permanent(format!("node \"{}\" returned an outcome that cannot be sent: {reason}", cx.node()))
}

/// What the type read and what it wrote. What it read is read once more: most outcomes without a state never need it.
fn states<S>(raw: &RawJson, written: S, reader: Reader<'_>) -> Result<Option<(Value, Value)>, Failure>
where
    S: Serialize + DeserializeOwned + 'static,
{
    let node = reader.node;
    if is_unit::<S>() {
        return Ok(None);
    }
    if let Some(json) = (&written as &dyn Any).downcast_ref::<RawJson>() {
        if json == raw {
            return Ok(None);
        }
        let before = if raw.is_empty() { Value::Null } else { reader.read(raw, Role::State)? };
        let after =
            json.parse().map_err(|error| Failure::permanent(format!("the state that node \"{node}\" returned is no JSON: {error}")))?;
        return Ok(Some((before, after)));
    }
    let value = |state: S| {
        serde_json::to_value(state)
            .map_err(|error| Failure::permanent(format!("the state that node \"{node}\" returned cannot be written as JSON: {error}")))
    };
    let before = value(reader.read(raw, Role::State)?)?;
    Ok(Some((before, value(written)?)))
}

pub(super) fn words_of(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use graft_proto::v1::{self as proto, Completed, FailureKind};
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::client::Client;
    use crate::node::node_fn;
    use crate::outcome::Outcome;

    #[derive(Serialize, Deserialize)]
    struct Counted {
        count: u32,
        note: Option<String>,
    }

    async fn outcome_of(handler: impl Handler + 'static, state: Value) -> Result<WireOutcome, Failure> {
        let client = Client::connect("http://127.0.0.1:1").unwrap();
        let task = proto::Task { node: "n".into(), state_revision: 3, ..proto::Task::default() };
        let cx = NodeContext::new(task, proto::AttemptRef::default(), None, client);
        Arc::new(handler).run(cx, RawJson::from(state), RawJson::default()).await
    }

    fn completed(outcome: Result<WireOutcome, Failure>) -> Completed {
        match outcome {
            Ok(WireOutcome::Completed(completed)) => completed,
            other => panic!("not completed: {other:?}"),
        }
    }

    fn failed(outcome: Result<WireOutcome, Failure>) -> proto::Failed {
        outcome.expect_err("a failure").into_wire(String::new())
    }

    #[tokio::test]
    async fn only_what_the_type_changed_is_sent() {
        let node =
            node_fn("n", |_, state: Counted, _: ()| async move { Ok(Outcome::state(Counted { count: state.count + 1, note: None })) });
        let sent = completed(outcome_of(node, json!({"count": 1, "note": "x", "unknown": [1]})).await);
        assert_eq!(serde_json::from_slice::<Value>(&sent.patch.unwrap().data).unwrap(), json!({"count": 2, "note": null}));
        assert_eq!(sent.base_revision, 3);
    }

    #[tokio::test]
    async fn raw_json_that_is_returned_as_it_came_sends_nothing() {
        let node = node_fn("n", |_, state: RawJson, _: ()| async move { Ok(Outcome::state(state)) });
        assert_eq!(completed(outcome_of(node, json!({"a": 1})).await).patch, None);
    }

    #[tokio::test]
    async fn raw_json_that_changed_sends_the_difference() {
        let node = node_fn("n", |_, _: RawJson, _: ()| async move { Ok(Outcome::state(RawJson::from_bytes(r#"{"a": 1, "b": 2}"#))) });
        let sent = completed(outcome_of(node, json!({"a": 1})).await);
        assert_eq!(&sent.patch.unwrap().data[..], br#"{"b":2}"#);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_its_own_kind() {
        let node = node_fn("n", |_, _: (), _: ()| async move {
            if true {
                panic!("the {} is empty", "shelf");
            }
            Ok(Outcome::done())
        });
        let sent = failed(outcome_of(node, json!({})).await);
        assert_eq!((sent.kind(), sent.message.as_str()), (FailureKind::Panic, "node \"n\" panicked: the shelf is empty"));
    }

    #[tokio::test]
    async fn a_state_that_does_not_fit_fails_for_good() {
        let node = node_fn("n", |_, _: Counted, _: ()| async move { Ok(Outcome::done()) });
        let sent = failed(outcome_of(node, json!({"count": "many"})).await);
        assert_eq!(sent.kind(), FailureKind::Permanent);
        assert!(sent.message.contains("Counted") && sent.message.contains("/count") && sent.message.contains("\"n\""), "{}", sent.message);
    }

    #[tokio::test]
    async fn a_config_that_cannot_be_written_fails_the_attempt_for_good() {
        let node = node_fn("n", |_, _: (), _: ()| async move {
            let config = std::collections::BTreeMap::from([((1, 2), 3)]);
            Ok(Outcome::done().next(crate::next::Next::named("ship", config)))
        });
        assert_eq!(failed(outcome_of(node, json!({})).await).kind(), FailureKind::Permanent);
    }

    struct Gate;
    impl Node for Gate {
        const NAME: &'static str = "gate";
        type State = Value;
        type Config = ();
        async fn execute(&self, _: NodeContext, _: Value, (): ()) -> NodeResult<Value> {
            Ok(Outcome::done())
        }
        fn can_start(&self, _: &NodeContext, state: &Value, (): &()) -> CanStart {
            if state["approved"] == true { CanStart::Yes } else { CanStart::No.wake_on(["/approved"]) }
        }
    }

    #[tokio::test]
    async fn a_node_that_cannot_start_says_what_it_waits_for() {
        let Ok(WireOutcome::Blocked(blocked)) = outcome_of(Typed(Gate), json!({})).await else { panic!("started") };
        assert_eq!((blocked.judged_revision, blocked.wake_on), (3, vec!["/approved".to_owned()]));
        completed(outcome_of(Typed(Gate), json!({"approved": true})).await);
    }
}
