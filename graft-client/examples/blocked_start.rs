//! A blocked start: a parcel is shipped when it is packed and paid for. Until then its task waits, and costs nothing.
//!
//! `cargo run -p graft-client --example blocked_start` starts a server of its own; `--addr URL` takes another one.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use graft_client::{CanStart, Next, Node, NodeContext, NodeResult, Outcome, StartWorkflow, WorkerBuilder};
use serde::{Deserialize, Serialize};
use stage::{Options, Stage};

#[path = "stage/mod.rs"]
mod stage;

/// What the workflow knows.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parcel {
    /// It is packed.
    pub packed: bool,
    /// It is paid for.
    pub paid: bool,
    /// What customers say meanwhile.
    pub calls: u32,
    /// It is on its way.
    pub shipped: bool,
}

struct Ship;

impl Node for Ship {
    const NAME: &'static str = "ship";
    type State = Parcel;
    type Config = ();

    async fn execute(&self, _: NodeContext, parcel: Parcel, (): ()) -> NodeResult<Parcel> {
        Ok(Outcome::state(Parcel { shipped: true, ..parcel }))
    }

    // A no uses up no attempt, and only these two fields wake the task: calls of customers do not.
    fn can_start(&self, _: &NodeContext, parcel: &Parcel, (): &()) -> CanStart {
        if parcel.packed && parcel.paid { CanStart::Yes } else { CanStart::No.wake_on(["/packed", "/paid"]) }
    }
}

/// The nodes of this example.
pub fn nodes(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .node(Ship)
        .node_fn("pack", |_, parcel: Parcel, (): ()| async move { Ok(Outcome::state(Parcel { packed: true, ..parcel })) })
        .node_fn("pay", |_, parcel: Parcel, (): ()| async move { Ok(Outcome::state(Parcel { paid: true, ..parcel })) })
        .node_fn("call", |_, _: (), (): ()| async { Ok(Outcome::done().increment("/calls", 1)) })
}

/// All at once: shipping, packing, paying, and a customer who calls. Packing takes so long, a call half of it, paying twice.
pub fn parcel(packing: Duration) -> StartWorkflow {
    let later = |node: &str, delay| Next::named(node, ()).delay(delay);
    let start = StartWorkflow::new("parcel").node(Ship::with(()));
    start.node(later("call", packing / 2)).node(later("pack", packing)).node(later("pay", 2 * packing))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{:?}", run(Options::parse()).await?);
    Ok(())
}

/// Sends a parcel.
pub async fn run(options: Options) -> Result<Parcel, Box<dyn Error>> {
    let stage = Stage::set(options, nodes).await?;
    stage.client.start(parcel(Duration::from_millis(50))).await?;
    let parcel = stage.client.workflow("parcel").result().await?;
    stage.clear().await?;
    Ok(parcel)
}

#[cfg(test)]
mod tests {
    use graft_client::testing::{TestEngine, blocked, completed};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn the_parcel_waits_for_both_and_is_asked_no_more_often_than_needed() {
        let mut engine = TestEngine::new(nodes);
        engine.start(parcel(DAY)).unwrap();
        engine.advance(DAY / 2).await;
        engine.workflow("parcel").assert_tasks(["ship blocked", "pack delayed", "pay delayed"]);
        assert_eq!(engine.workflow("parcel").count(blocked("ship")), 1, "the call did not wake it");
        engine.run_until_idle().await;
        let parcel = engine.workflow("parcel");
        parcel.assert_completed().assert_seen([blocked("ship"), completed("call"), completed("pack"), completed("pay"), completed("ship")]);
        assert_eq!(parcel.count(blocked("ship")), 2, "at the start, and packed but not paid");
        assert_eq!(engine.elapsed(), 2 * DAY);
    }
}
