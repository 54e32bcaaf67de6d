//! Cancellation: who wants to stop a long journey is heard, and the traveller comes home in an orderly way.
//!
//! `cargo run -p graft-client --example cancellation` starts a server of its own; `--addr URL` takes another one.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use graft_client::proto::event::Happened;
use graft_client::{Next, Node, NodeContext, NodeResult, Outcome, StartWorkflow, WorkerBuilder, status_name};
use serde_json::{Value, json};
use stage::{Options, Stage};

#[path = "stage/mod.rs"]
mod stage;

/// Legs of the journey.
const LEGS: u64 = 1_000;

struct Travel;

impl Node for Travel {
    const NAME: &'static str = "travel";
    type State = ();
    /// How long a leg takes, in milliseconds.
    type Config = u64;

    async fn execute(&self, cx: NodeContext, (): (), leg_ms: u64) -> NodeResult<()> {
        for leg in 1..=LEGS {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(leg_ms)) => {}
                // Told, and not dropped: there is time to tidy up and to report, as long as the grace lasts.
                () = cx.cancellation().cancelled() => return Ok(Outcome::done().merge(&json!({ "turned_back_on_leg": leg }))),
            }
        }
        // Whoever is cancelled starts nothing more: this is for the journey that is not.
        Ok(Outcome::done().merge(&json!({ "arrived": true })).next(Next::named("unpack", ())))
    }
}

/// The nodes of this example.
pub fn nodes(worker: WorkerBuilder) -> WorkerBuilder {
    worker.node(Travel).node_fn("unpack", |_, _: (), _: ()| async { Ok(Outcome::done()) })
}

/// A journey whose legs take so long, and another task that waits for its return.
pub fn journey(leg: Duration) -> StartWorkflow {
    let leg_ms = u64::try_from(leg.as_millis()).unwrap_or(u64::MAX);
    StartWorkflow::new("journey").node(Travel::with(leg_ms)).node(Next::named("unpack", ()).delay(Duration::from_secs(3_600)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (status, state) = run(Options::parse()).await?;
    println!("the journey is {status}: {state}");
    Ok(())
}

/// Starts the journey and cancels it; its status in the end, and its state.
pub async fn run(options: Options) -> Result<(&'static str, Value), Box<dyn Error>> {
    let stage = Stage::set(options, nodes).await?;
    stage.client.start(journey(Duration::from_millis(20))).await?;
    let workflow = stage.client.workflow("journey");
    let mut events = workflow.watch();
    workflow.cancel("a strike").await?;
    while let Some(event) = events.next().await {
        if let Some(Happened::Cancelled(ended)) = event?.happened {
            println!("cancelled: {}", ended.reason);
        }
    }
    let ended = workflow.wait().await?;
    let told = (status_name(ended.status()), ended.state_as()?);
    stage.clear().await?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use graft_client::proto::WorkflowStatus;
    use graft_client::testing::{TestEngine, cancelling, completed, ended};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn the_traveller_turns_back_on_the_leg_on_which_the_news_comes() {
        let mut engine = TestEngine::new(nodes);
        engine.start(journey(DAY)).unwrap();
        engine.advance(10 * DAY + DAY / 2).await;
        engine.cancel("journey", "a strike").unwrap();
        engine.run_until_idle().await;
        let journey = engine.workflow("journey");
        journey.assert_status(WorkflowStatus::Cancelled).assert_state_at("/turned_back_on_leg", &11);
        journey.assert_seen([cancelling().saying("a strike"), completed("travel"), ended(WorkflowStatus::Cancelled)]).assert_tasks([]);
    }

    #[tokio::test]
    async fn who_is_not_cancelled_arrives_after_a_thousand_days() {
        let mut engine = TestEngine::new(nodes);
        engine.start(journey(DAY)).unwrap();
        engine.run_until_idle().await;
        engine.workflow("journey").assert_completed().assert_state(&json!({ "arrived": true }));
        assert_eq!(engine.elapsed(), 1_000 * DAY);
    }
}
