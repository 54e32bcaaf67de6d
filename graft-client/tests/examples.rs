//! Every example runs, as a program would run it: what its `main` calls is called here, with a server in this process.

#![allow(clippy::duplicate_mod, reason = "the examples carry the same server with them")]

use std::process::{Command, Stdio};

use graft_client::Client;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[path = "../examples/blocked_start.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod blocked_start;
#[path = "../examples/cancellation.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod cancellation;
#[path = "../examples/dead_letter.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod dead_letter;
#[path = "../examples/document-pipeline/main.rs"]
#[expect(dead_code, reason = "its main and its options are for the program")]
mod document_pipeline;
#[path = "../examples/fan_out.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod fan_out;
#[path = "../examples/hello_worker.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod hello_worker;
#[path = "../examples/long_running.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod long_running;
#[path = "../examples/retry.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod retry;
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

/// Built by cargo first: whatever stands in the build folder, it is the program of these sources. The whole workspace is named, so that every crate
/// has the features that it has here, and nothing is compiled again for it.
#[test]
fn the_program_of_the_readme_ends_well_and_says_so_last() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--example", "document-pipeline"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.stdin(Stdio::null()).status().expect("cargo runs").success());
    let here = std::env::current_exe().expect("it runs");
    let built = here.ancestors().nth(2).expect("deps is in the build folder").join("examples/document-pipeline");
    let output = Command::new(built).stdin(Stdio::null()).output().expect("it is built");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_up_answers_the_third_time_and_a_city_that_is_none_has_no_weather() {
    let [oslo, atlantis] = retry::run(Default::default()).await.unwrap();
    assert_eq!(oslo, json!({ "weather": "sunny", "asked": 3 }));
    assert_eq!(atlantis, json!({ "unknown": "there is no such city" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_twenty_chapters_are_added_up() {
    assert_eq!(fan_out::run(Default::default()).await.unwrap().total, Some(210));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_found_corrected_and_redriven() {
    let (error, state) = dead_letter::run(Default::default()).await.unwrap();
    assert_eq!(error, "\"2026-27-02\" is no date");
    assert_eq!(state, json!({ "imported": ["2026-02-27", "2026-02-27"], "thanked": true }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_waits_until_it_is_packed_and_paid_for() {
    let parcel = blocked_start::run(Default::default()).await.unwrap();
    assert_eq!(parcel, blocked_start::Parcel { packed: true, paid: true, calls: 1, shipped: true });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journey_that_is_cancelled_ends_early() {
    let (status, state) = cancellation::run(Default::default()).await.unwrap();
    assert_eq!(status, "cancelled");
    assert_eq!(state["arrived"], Value::Null, "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_where_it_broke_off() {
    let (progress, copied) = long_running::run(Default::default()).await.unwrap();
    assert_eq!(progress, "6");
    assert_eq!(copied, long_running::Copied { files: 10, in_the_last_attempt: 4 });
}
