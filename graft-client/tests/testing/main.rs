//! The engine for tests, tested: workflows without a server, on a clock of their own.

mod honesty;
mod mishaps;
mod order;
mod steering;
mod time;
mod waiting;

use graft_client::testing::TestEngine;
use graft_client::{Next, Node, NodeContext, NodeResult, Outcome, StartWorkflow, WorkerBuilder};
use serde_json::Value;

/// A node that does nothing.
struct Idle;

impl Node for Idle {
    const NAME: &'static str = "idle";
    type State = ();
    type Config = ();

    async fn execute(&self, _: NodeContext, (): (), (): ()) -> NodeResult<()> {
        Ok(Outcome::done())
    }
}

/// A node `node` that counts its executions at `/NODE`.
fn counting(worker: WorkerBuilder, node: &'static str) -> WorkerBuilder {
    worker.node_fn(node, move |_, _: (), _: Value| async move { Ok(Outcome::done().increment(format!("/{node}"), 1)) })
}

/// An engine with the node `step`, which counts its executions.
fn engine() -> TestEngine {
    TestEngine::new(|worker| counting(worker, "step").node(Idle))
}

/// Starts workflow `id` with a task of `step`.
fn start(engine: &mut TestEngine, id: &str, how: impl FnOnce(Next) -> Next) {
    engine.start(StartWorkflow::new(id).node(how(Next::named("step", ())))).unwrap();
}
