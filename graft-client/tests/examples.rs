//! Every example runs, as a program would run it: what its `main` calls is called here, with a server in this process.

#![allow(clippy::duplicate_mod, reason = "two of the examples carry the same server with them")]

use std::process::{Command, Stdio};

use graft_client::Client;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[path = "../examples/document-pipeline/main.rs"]
#[expect(dead_code, reason = "its main and its options are for the program")]
mod document_pipeline;
#[path = "../examples/hello_worker.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod hello_worker;
#[path = "../examples/simple-validation.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod simple_validation;

use document_pipeline::{server::Server, text};

fn path_of(state: &Value) -> Vec<&str> {
    // What runs side by side may come in either order.
    let mut path: Vec<&str> = state["path"].as_array().unwrap().iter().map(|node| node.as_str().unwrap()).collect();
    if let Some(at) = path.iter().position(|node| *node == "process").filter(|at| path[at + 1] == "analyse") {
        path.swap(at, at + 1);
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn six_documents_go_through_the_pipeline_each_on_its_own_way() {
    let finals = document_pipeline::run(document_pipeline::Options::default()).await.unwrap();
    let paths = [
        ("letter", "ingest validate analyse process language nlp quality notify finalise"),
        ("minutes", "ingest validate repair validate analyse process language nlp quality finalise"),
        ("note", "ingest validate analyse process language nlp quality enhance nlp quality finalise"),
        ("report", "ingest validate analyse process language nlp quality finalise"),
        ("scan", "ingest validate analyse process language ocr nlp quality finalise"),
        ("urgent", "ingest validate analyse process language nlp quality prioritise notify finalise"),
    ];
    assert_eq!(finals.keys().map(String::as_str).collect::<Vec<_>>(), paths.map(|(name, _)| name));
    for (name, path) in paths {
        assert_eq!(path_of(&finals[name]).join(" "), path, "{name}");
    }
    assert_eq!(finals["letter"]["language"]["code"], "de");
    assert_eq!(finals["urgent"]["due"], json!(["18:00", "14 June"]));
    assert_eq!(finals["minutes"]["statistics"]["repeated"], 1);
    let scan = finals["scan"]["text"].as_str().unwrap();
    assert!(scan.contains("The mill at the river was built by the family of a miller") && scan.contains("café"), "{scan}");
    assert_eq!(finals["scan"]["language"]["code"], "en");
    assert_eq!(finals["scan"]["statistics"]["words"], text::words(scan).len(), "counted again after its words were mended");
    let note = finals["note"]["text"].as_str().unwrap();
    assert!(note.starts_with("Meeting with the roof guy tomorrow") && text::sentences(note).len() == 6, "{note}");
}

/// By cargo, as the README has it: whatever stands in the build folder, it runs the program of these sources.
#[test]
fn the_program_of_the_readme_ends_well_and_says_so_last() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "-p", env!("CARGO_PKG_NAME"), "--example", "document-pipeline"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.stdin(Stdio::null()).output().expect("cargo runs");
    let (said, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}\n{complaints}");
    assert_eq!(said.lines().last(), Some("6 workflows completed"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours where there is no terminal: {said}");
    assert!(said.contains("joined → language"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_mistakes_comes_out_right() {
    let order = simple_validation::run(simple_validation::Options::default()).await.unwrap();
    assert_eq!((order.email.as_str(), order.quantity, order.rounds, order.valid), ("ada@example.org", 3, 2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_of_the_readme_greets_and_waves() {
    let server = Server::at(None).await.unwrap();
    let stop = CancellationToken::new();
    let options = hello_worker::Options { addr: server.url.clone() };
    let worker = tokio::spawn(hello_worker::run(options, stop.clone().cancelled_owned()));
    let client = Client::connect(&server.url).unwrap();
    client.start("hello-1").node_named("greet", ()).await.unwrap();
    let state: Value = client.workflow("hello-1").result().await.unwrap();
    assert_eq!(state, json!({ "greeting": "Hello, hello-1!", "waves": 1 }));
    stop.cancel();
    worker.await.unwrap().unwrap();
    server.stop().await;
}
