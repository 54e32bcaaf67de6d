//! Retries: a service that answers only the third time, and one that never will.
//!
//! `cargo run -p graft-client --example retry` starts a server of its own; `--addr URL` takes another one.

use std::error::Error;
use std::io;
use std::time::Duration;

use clap::Parser;
use graft_client::{Failure, Next, Node, NodeContext, NodeResult, OnExhausted, Outcome, Retry, StartWorkflow, WorkerBuilder};
use serde_json::{Value, json};
use stage::{Options, Stage};

#[path = "stage/mod.rs"]
mod stage;

/// The weather service, on a bad day: it answers every third time.
fn ask(city: &str, time: u32) -> io::Result<&'static str> {
    match time {
        1 | 2 => Err(io::Error::new(io::ErrorKind::ConnectionReset, format!("{city}: the service hung up"))),
        _ => Ok("sunny"),
    }
}

struct Forecast;

impl Node for Forecast {
    const NAME: &'static str = "forecast";
    type State = ();
    type Config = String;

    async fn execute(&self, cx: NodeContext, (): (), city: String) -> NodeResult<()> {
        if city == "Atlantis" {
            return Err(Failure::permanent("there is no such city")); // asking again would not help
        }
        let weather = ask(&city, cx.attempt())?; // any standard error: tried again, as the retry policy says
        Ok(Outcome::done().merge(&json!({ "weather": weather, "asked": cx.attempt() })))
    }
}

/// The nodes of this example.
pub fn nodes(worker: WorkerBuilder) -> WorkerBuilder {
    // What takes the place of a forecast that nobody can give.
    let shrug = |_: NodeContext, _: (), failed: Value| async move { Ok(Outcome::done().merge(&json!({ "unknown": failed["error"] }))) };
    worker.node(Forecast).node_fn("shrug", shrug)
}

/// A workflow that asks for the weather of a city, up to five times.
pub fn forecast(city: &str, first_wait: Duration) -> StartWorkflow {
    let policy = Retry::exponential().initial(first_wait).max_wait(100 * first_wait);
    let ask: Next = Forecast::with(city.to_owned()).retry(policy).on_exhausted(OnExhausted::ErrorNode("shrug".to_owned()));
    StartWorkflow::new(format!("weather-of-{city}")).node(ask)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    for state in run(Options::parse()).await? {
        println!("{state}");
    }
    Ok(())
}

/// Asks for a city and for one that is none; the states that came of it.
pub async fn run(options: Options) -> Result<[Value; 2], Box<dyn Error>> {
    let stage = Stage::set(options, nodes).await?;
    stage.client.start(forecast("Oslo", Duration::from_millis(10))).await?;
    stage.client.start(forecast("Atlantis", Duration::from_millis(10))).await?;
    let states = [stage.client.workflow("weather-of-Oslo").result().await?, stage.client.workflow("weather-of-Atlantis").result().await?];
    stage.clear().await?;
    Ok(states)
}

#[cfg(test)]
mod tests {
    use graft_client::testing::{TestEngine, completed, dead_lettered, failed};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test]
    async fn a_service_that_hangs_up_is_asked_again_after_days_if_need_be() {
        let mut engine = TestEngine::new(nodes);
        engine.start(forecast("Oslo", DAY)).unwrap();
        engine.run_until_idle().await;
        engine.workflow("weather-of-Oslo").assert_completed().assert_state_at("/asked", &3).assert_seen([
            failed("forecast").saying("hung up"),
            failed("forecast"),
            completed("forecast"),
        ]);
        assert!(engine.elapsed() > 2 * DAY, "{:?}", engine.elapsed());
    }

    #[tokio::test]
    async fn what_will_never_work_is_tried_once() {
        let mut engine = TestEngine::new(nodes);
        engine.start(forecast("Atlantis", DAY)).unwrap();
        engine.run_until_idle().await;
        let atlantis = engine.workflow("weather-of-Atlantis");
        atlantis.assert_completed().assert_seen([failed("forecast"), dead_lettered("forecast"), completed("shrug")]);
        assert_eq!(atlantis.count(failed("forecast")), 1);
        assert_eq!(engine.elapsed(), Duration::ZERO);
    }
}
