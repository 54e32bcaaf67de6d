//! Six documents go through a pipeline of thirteen nodes, each on a way of its own.
//!
//! ```text
//! ingest → validate ⇄ repair
//!             ↓
//!     (analyse ∥ process) → language → nlp → quality → prioritise → notify → finalise
//!                               ↓    ↗  ↑       ↓
//!                              ocr       enhance
//! ```
//!
//! `cargo run --release -p graft-client --example document-pipeline` starts a server of its own; `--addr URL` takes another one.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Parser;
use futures::stream::{SelectAll, StreamExt};
use graft_client::proto::WorkflowStatus;
use graft_client::{Client, Node, NodeOptions, Retry, Worker, status_name};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

mod board;
mod nodes;
#[path = "../server/mod.rs"]
pub mod server;
pub mod text;

use board::Board;
use nodes::{
    Analyse, DetectLanguage, Document, Enhance, Finalise, Ingest, Nlp, Notify, Ocr, Prioritise, Process, QualityGate, Repair, Validate,
};
use server::Server;

const DOCUMENTS: [(&str, &str); 6] = [
    ("report", include_str!("documents/report.txt")),
    ("letter", include_str!("documents/letter.txt")),
    ("scan", include_str!("documents/scan.txt")),
    ("urgent", include_str!("documents/urgent.txt")),
    ("note", include_str!("documents/note.txt")),
    ("minutes", include_str!("documents/minutes.txt")),
];

/// Six documents go through a pipeline of thirteen nodes.
#[derive(Debug, Default, Parser)]
pub struct Options {
    /// Server to use; otherwise one is started in this process, on a free port, with a temporary directory.
    #[arg(long)]
    pub addr: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let completed = run(Options::parse()).await?.len();
    if completed < DOCUMENTS.len() {
        return Err(format!("only {completed} of {} workflows completed", DOCUMENTS.len()).into());
    }
    Ok(())
}

/// Runs everything, and returns the final states of the workflows that completed, by document.
pub async fn run(options: Options) -> Result<BTreeMap<String, Value>, Box<dyn std::error::Error>> {
    let server = Server::at(options.addr).await?;
    let client = Client::connect(&server.url)?;
    let stop = CancellationToken::new();
    let worker = tokio::spawn(worker(client.clone()).run_until(stop.clone().cancelled_owned()));

    // A suffix, so that a server that is there already can be used again and again.
    let suffix = std::process::id();
    let ids: BTreeMap<String, &str> = DOCUMENTS.iter().map(|(name, _)| (format!("{name}-{suffix}"), *name)).collect();
    let mut events = SelectAll::new();
    for (name, text) in DOCUMENTS {
        let id = format!("{name}-{suffix}");
        let document = Document { name: format!("{name}.txt"), text: text.to_owned(), ..Document::default() };
        client.start(id.as_str()).state(&document)?.node(Ingest::with(())).label("example", "document-pipeline").await?;
        events.push(client.workflow(id.clone()).watch().map(move |event| (id.clone(), event)));
    }
    let mut board = Board::new(DOCUMENTS.map(|(name, _)| name.to_owned()));
    while let Some((id, event)) = events.next().await {
        board.event(ids[&id], &event?);
    }

    let mut finals = BTreeMap::new();
    for (id, name) in &ids {
        let workflow = client.workflow(id).wait().await?;
        let state: Value = workflow.state_as()?;
        print_final(name, status_name(workflow.status()), &state);
        if workflow.status() == WorkflowStatus::Completed {
            finals.insert((*name).to_owned(), state);
        }
    }
    stop.cancel();
    worker.await??;
    server.stop().await;
    println!("\n{} workflows completed", finals.len());
    Ok(finals)
}

fn worker(client: Client) -> graft_client::WorkerBuilder {
    // Language work is the heavy part: few at a time, and a slow one is tried again.
    let heavy = || NodeOptions::new().concurrency(4).timeout(Duration::from_secs(30)).retry(Retry::exponential().attempts(3));
    Worker::builder(client)
        .name("document-pipeline")
        .build_id(env!("CARGO_PKG_VERSION"))
        .node(Ingest)
        .node(Validate)
        .node(Repair)
        .node(Analyse)
        .node_with(Ocr, heavy())
        .node(Process)
        .node(DetectLanguage)
        .node_with(Nlp, heavy())
        .node(QualityGate)
        .node(Enhance)
        .node(Prioritise)
        .node(Notify)
        .node(Finalise)
}

fn print_final(name: &str, status: &str, state: &Value) {
    let path: Vec<&str> = state["path"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    println!("\n{name}: {status}\n  path     {}", path.join(" → "));
    for key in ["report", "keywords", "summary", "due", "messages"] {
        if let Some(value) = state.get(key).filter(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
            println!("  {key:<8} {}", shortened(&value.to_string()));
        }
    }
}

fn shortened(text: &str) -> String {
    const WIDTH: usize = 120;
    if text.chars().count() <= WIDTH { text.to_owned() } else { text.chars().take(WIDTH - 1).chain(['…']).collect() }
}
