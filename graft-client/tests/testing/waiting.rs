//! Blocked starts, and what runs beside them.

use graft_client::testing::{TestEngine, blocked, completed, handed_back};
use graft_client::{CanStart, Next, Node, NodeContext, NodeResult, Outcome, StartWorkflow};
use serde_json::{Value, json};

struct Ship;

impl Node for Ship {
    const NAME: &'static str = "ship";
    type State = Value;
    type Config = ();

    async fn execute(&self, _: NodeContext, _: Value, (): ()) -> NodeResult<Value> {
        Ok(Outcome::done().increment("/shipped", 1))
    }

    fn can_start(&self, _: &NodeContext, state: &Value, (): &()) -> CanStart {
        if state["approved"] == true { CanStart::Yes } else { CanStart::No.wake_on(["/approved"]) }
    }
}

fn engine() -> TestEngine {
    TestEngine::new(|worker| {
        worker
            .node(Ship)
            .node_fn("approve", |_, _: (), (): ()| async { Ok(Outcome::done().merge(&json!({ "approved": true }))) })
            .node_fn("chat", |_, _: (), (): ()| async { Ok(Outcome::done().increment("/words", 1)) })
    })
}

#[tokio::test]
async fn a_task_that_cannot_start_waits_for_what_it_named_and_for_nothing_else() {
    let mut engine = engine();
    let later = |node: &str, seconds| Next::named(node, ()).delay(std::time::Duration::from_secs(seconds));
    engine.start(StartWorkflow::new("a").node(Ship::with(())).node(later("chat", 60)).node(later("approve", 3_600))).unwrap();
    engine.settle().await;
    engine.workflow("a").assert_tasks(["ship blocked", "chat delayed", "approve delayed"]);
    engine.run_until_idle().await;
    engine
        .workflow("a")
        .assert_completed()
        .assert_seen([blocked("ship").saying("/approved"), completed("chat"), completed("approve"), completed("ship")])
        .assert_state(&json!({ "approved": true, "words": 1, "shipped": 1 }));
    assert_eq!(engine.workflow("a").count(blocked("ship")), 1, "chatter does not wake it");
}

#[tokio::test]
async fn a_state_that_moves_while_it_is_judged_has_the_task_asked_again() {
    let mut engine = engine();
    // Both begin with the same state; the approval is stored first.
    engine.start(StartWorkflow::new("a").node(Next::named("approve", ())).node(Ship::with(()))).unwrap();
    engine.run_until_idle().await;
    engine.workflow("a").assert_completed().assert_never(blocked("ship")).assert_seen([handed_back("ship"), completed("ship")]);
}
