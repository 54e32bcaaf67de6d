//! A dead letter and its redrive: an import fails on a bad date, somebody looks why, corrects it, and the workflow goes on where it stood.
//!
//! `cargo run -p graft-client --example dead_letter` starts a server of its own; `--addr URL` takes another one.

use std::error::Error;

use clap::Parser;
use graft_client::{DeadLetterFilter, Failure, Next, Node, NodeContext, NodeResult, Outcome, Redrive, StartWorkflow, WorkerBuilder};
use serde_json::{Value, json};
use stage::{Options, Stage};

#[path = "stage/mod.rs"]
mod stage;

struct Import;

impl Node for Import {
    const NAME: &'static str = "import";
    type State = ();
    type Config = String;

    async fn execute(&self, _: NodeContext, (): (), date: String) -> NodeResult<()> {
        let parts: Vec<u16> = date.split('-').filter_map(|part| part.parse().ok()).collect();
        let [_, 1..=12, 1..=31] = parts[..] else {
            return Err(Failure::permanent(format!("{date:?} is no date"))); // no further attempt: a dead letter
        };
        Ok(Outcome::done().append("/imported", &date).next(Next::named("thank", ())))
    }
}

/// The nodes of this example.
pub fn nodes(worker: WorkerBuilder) -> WorkerBuilder {
    worker.node(Import).node_fn("thank", |_, _: (), _: ()| async { Ok(Outcome::done().merge(&json!({ "thanked": true }))) })
}

/// Two imports side by side, one of which cannot work.
pub fn imports() -> StartWorkflow {
    StartWorkflow::new("imports").node(Import::with("2026-02-27".to_owned())).node(Import::with("2026-27-02".to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (error, state) = run(Options::parse()).await?;
    println!("it failed with: {error}\nand after the redrive: {state}");
    Ok(())
}

/// Lets the import fail, redrives it corrected; what the dead letter said, and the state in the end.
pub async fn run(options: Options) -> Result<(String, Value), Box<dyn Error>> {
    let stage = Stage::set(options, nodes).await?;
    stage.client.start(imports()).await?;
    let workflow = stage.client.workflow("imports");
    workflow.wait().await?; // it fails: that is what a dead letter means, unless its task says otherwise

    let found = stage.client.dead_letters(DeadLetterFilter::new().workflow("imports"), 10, "").await?;
    let letter = found.dead_letters.first().ok_or("there should be a dead letter")?;
    let task = workflow.task(letter.task);
    let details = task.get_dead_letter().await?;
    let error = details.failed_attempts.last().map(|attempt| attempt.message.clone()).unwrap_or_default();

    task.redrive(Redrive::from("day and month were swapped").config("2026-02-27")?).await?;
    let state = workflow.result().await?;
    stage.clear().await?;
    Ok((error, state))
}

#[cfg(test)]
mod tests {
    use graft_client::testing::{TestEngine, completed, dead_lettered, redriven};

    use super::*;

    #[tokio::test]
    async fn a_corrected_import_goes_on_where_it_stood() {
        let mut engine = TestEngine::new(nodes);
        engine.start(imports()).unwrap();
        engine.run_until_idle().await;
        engine.workflow("imports").assert_failed_with("\"2026-27-02\" is no date");
        let letter = engine.workflow("imports").dead_letters()[0].task;

        engine.redrive("imports", letter, Redrive::from("swapped").config("2026-02-27").unwrap()).unwrap();
        engine.run_until_idle().await;
        let imports = engine.workflow("imports");
        imports.assert_completed().assert_seen([dead_lettered("import"), redriven("import").saying("swapped"), completed("import")]);
        imports.assert_state(&json!({ "imported": ["2026-02-27", "2026-02-27"], "thanked": true }));
        assert_eq!(imports.count(completed("import")), 2, "what had been done is not done again");
    }
}
