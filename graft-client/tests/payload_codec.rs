//! Payload that members cannot read, against a real daemon: what stands in its files, who reads what, and what is told when a key is missing.

#![allow(clippy::duplicate_mod, reason = "the examples carry the same server with them")]

use std::path::Path;

use encryption::{Application, Keys, Options};
use futures::StreamExt;
use graft_client::proto::event::Happened;
use graft_client::testing::TestEngine;
use graft_client::{
    Client, CodecError, DeadLetterFilter, EncodedPayload, EventFilter, Next, Outcome, PayloadCodec, PayloadPlace, Redrive, Retry,
    StartWorkflow, Worker, WorkerBuilder,
};
use graftd::app::Daemon;
use graftd::config::Config;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[path = "../examples/encryption.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod encryption;

const OLD: [u8; 32] = [1; 32];
const NEW: [u8; 32] = [2; 32];

async fn daemon(directory: &Path) -> (Daemon, String) {
    let daemon = Daemon::start(Config::in_process(directory)).await.unwrap();
    daemon.ready().await.unwrap();
    let url = format!("http://{}", daemon.client_address());
    (daemon, url)
}

fn with(url: &str, codec: impl PayloadCodec) -> Client {
    Client::builder(url).payload_codec(codec).build().unwrap()
}

/// Whether these bytes stand in any file below.
fn holds(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            holds(&path, text)
        } else {
            std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes())
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_and_their_files_hold_nothing_of_what_was_encrypted() {
    let directory = tempfile::tempdir().unwrap();
    let (daemon, url) = daemon(directory.path()).await;
    let told = encryption::run(Options { addr: Some(url) }).await.unwrap();
    daemon.shutdown().await;

    // Both branches' answers are there.
    assert_eq!((told.with_key.answers.len(), told.with_key.asked, told.with_key.granted), (2, 2, Some(true)));
    assert_eq!(told.with_key, told.with_new_key);
    assert_eq!(told.at_members["asked"], 2, "left plain, so that members add it up");
    for leaf in [&told.at_members["name"], &told.at_members["income"], &told.at_members["answers"]["bank"], &told.at_members["granted"]] {
        assert!(leaf.as_str().unwrap().starts_with("graft+codec:2025:"), "{leaf}");
    }
    for said in ["[GR9015]", "\"loan-1\"", "its state at /", "key \"2025\"", "this process does not have the key"] {
        assert!(told.without_key.contains(said), "{said}: {}", told.without_key);
    }

    assert!(holds(directory.path(), "loan-1") && holds(directory.path(), "graft+codec:2025:"), "the files are read where payload would be");
    for secret in ["Ada Lovelace", "4815162", "DE02 1203 0000", "other loans"] {
        assert!(!holds(directory.path(), secret), "{secret}");
    }
}

/// A node that writes its word down.
fn counting(worker: WorkerBuilder) -> WorkerBuilder {
    worker.node_fn("count", |_, state: Value, word: String| async move {
        let outcome = Outcome::done().merge(&json!({ "last": word, "was": state["last"] })).append("/words", &word);
        Ok(if word == "one" { outcome.next(Next::named("count", "another one")) } else { outcome })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_key_reads_everything_that_is_told_of_a_workflow() {
    let directory = tempfile::tempdir().unwrap();
    let (daemon, url) = daemon(directory.path()).await;
    let (client, bare) = (with(&url, Keys::new("k", OLD)), Client::connect(url.as_str()).unwrap());
    let stop = CancellationToken::new();
    let worker = counting(Worker::builder(client.clone())).node_fn("fails", |_, _: (), config: Value| async move {
        if config["then"] == "fine" { Ok(Outcome::done()) } else { Err(graft_client::Failure::permanent("it is not fine")) }
    });
    let worker = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));

    client.start("a").state(&json!({ "last": "none", "list": [{ "deep": [1, null] }] })).unwrap().node_named("count", "one").await.unwrap();
    let state: Value = client.workflow("a").result().await.unwrap();
    assert_eq!(state, json!({ "last": "another one", "was": "one", "list": [{ "deep": [1, null] }], "words": ["one", "another one"] }));
    assert_eq!(client.workflow("a").get().await.unwrap().state.parse::<Value>().unwrap(), state);

    // History, watch and subscription tell the same.
    let history = client.workflow("a").history(0, "").await.unwrap().events;
    let watched: Vec<_> = client.workflow("a").watch().map(Result::unwrap).collect().await;
    assert_eq!(history, watched);
    let mut events = client.events(EventFilter::new().from_earliest().event_type("started"));
    let batch = loop {
        let batch = events.next().await.unwrap().unwrap();
        if !batch.events.is_empty() {
            break batch;
        }
    };
    assert_eq!(batch.events[0].event.as_ref(), history.first());
    let Some(Happened::Started(started)) = &history[0].happened else { panic!("{history:?}") };
    assert_eq!(serde_json::from_slice::<Value>(&started.state.as_ref().unwrap().data).unwrap()["last"], "none");
    let text = format!("{history:?}");
    assert!(!text.contains("graft+codec:") && text.contains("another one"), "{text}");
    let text = format!("{:?}", bare.workflow("a").history(0, "").await.unwrap().events);
    assert!(text.contains("graft+codec:k:") && !text.contains("another one"), "{text}");

    // A dead letter is looked at, corrected and redriven.
    client.start("b").node(Next::named("fails", json!({ "then": "wrong" }))).await.unwrap();
    client.workflow("b").wait().await.unwrap();
    let letter = client.dead_letters(DeadLetterFilter::new().workflow("b"), 1, "").await.unwrap().dead_letters[0].task;
    let task = client.workflow("b").task(letter);
    let config = task.get_dead_letter().await.unwrap().task.config.unwrap();
    assert_eq!(&config.data[..], br#"{"then":"wrong"}"#);
    let seen = bare.workflow("b").task(letter).get().await.unwrap().task.config.unwrap();
    assert!(seen.data.starts_with(b"\"graft+codec:k:"), "{seen:?}");
    let redrive =
        Redrive::from("corrected").config(&json!({ "then": "fine" })).unwrap().state_patch(&json!({ "note": "by hand" })).unwrap();
    task.redrive(redrive).await.unwrap();
    assert_eq!(client.workflow("b").result::<Value>().await.unwrap(), json!({ "note": "by hand" }));
    assert!(bare.workflow("b").result::<Value>().await.unwrap()["note"].as_str().unwrap().starts_with("graft+codec:k:"));

    stop.cancel();
    worker.await.unwrap().unwrap();
    daemon.shutdown().await;
}

/// A worker that has not got the key yet fails attempts, and says which key; nothing is lost by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_key_is_missing_waits_as_a_dead_letter_for_a_worker_that_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let (daemon, url) = daemon(directory.path()).await;
    let client = with(&url, Keys::new("new", NEW));
    let once = Next::named("count", "first").retry(Retry::none());
    client.start("a").state(&json!({ "last": "none" })).unwrap().node(once).await.unwrap();

    for (other, said) in [
        (with(&url, Keys::new("old", OLD)), "its state at /last cannot be decoded"),
        (Client::connect(url.as_str()).unwrap(), "no payload codec"),
    ] {
        let stop = CancellationToken::new();
        let worker = tokio::spawn(counting(Worker::builder(other)).run_until(stop.clone().cancelled_owned()));
        let ended = client.workflow("a").wait().await.unwrap();
        assert!(ended.summary.reason.contains(said), "{}", ended.summary.reason);
        stop.cancel();
        worker.await.unwrap().unwrap();
        let letter = client.dead_letters(DeadLetterFilter::new(), 1, "").await.unwrap().dead_letters[0].task;
        client.workflow("a").task(letter).redrive("another worker").await.unwrap();
    }

    let stop = CancellationToken::new();
    let worker = tokio::spawn(counting(Worker::builder(client.clone())).run_until(stop.clone().cancelled_owned()));
    let state: Value = client.workflow("a").result().await.unwrap();
    assert_eq!(state, json!({ "last": "first", "was": "none", "words": ["first"] }));
    stop.cancel();
    worker.await.unwrap().unwrap();
    daemon.shutdown().await;
}

/// A namespace is moved over while its workflows run: what was there is read as it stands.
#[tokio::test]
async fn plain_values_are_read_and_encoded_when_they_are_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (daemon, url) = daemon(directory.path()).await;
    let (client, bare) = (with(&url, Keys::new("k", OLD)), Client::connect(url.as_str()).unwrap());
    bare.start("a").state(&json!({ "last": "plain", "stays": "plain" })).unwrap().node_named("count", "end").await.unwrap();
    let stop = CancellationToken::new();
    let worker = tokio::spawn(counting(Worker::builder(client.clone())).run_until(stop.clone().cancelled_owned()));
    let state: Value = client.workflow("a").result().await.unwrap();
    assert_eq!(state, json!({ "last": "end", "was": "plain", "stays": "plain", "words": ["end"] }));
    let seen: Value = bare.workflow("a").result().await.unwrap();
    assert!(seen["stays"] == "plain" && seen["last"] != "end" && seen["words"][0] != "end", "{seen}");
    stop.cancel();
    worker.await.unwrap().unwrap();
    daemon.shutdown().await;
}

/// Encodes nothing, or not now.
struct Stubborn;

impl PayloadCodec for Stubborn {
    fn encode(&self, _: &PayloadPlace<'_>, _: &[u8]) -> Result<EncodedPayload, CodecError> {
        Err("the keys are locked away".into())
    }

    fn decode(&self, _: &PayloadPlace<'_>, _: &str, _: &[u8]) -> Result<Vec<u8>, CodecError> {
        unreachable!("nothing was encoded")
    }
}

#[tokio::test]
async fn what_cannot_be_encoded_is_not_sent() {
    let client = with("http://127.0.0.1:1", Stubborn);
    let error = client.start("a").state(&json!({ "list": [1] })).unwrap().node_named("n", ()).await.unwrap_err();
    assert!(error.code() == "GR9015" && error.has_no_side_effects() && !error.is_retryable(), "{error}");
    assert!(
        error
            .to_string()
            .contains("workflow \"a\" in namespace \"default\": its state at /list/0 cannot be encoded: the keys are locked away"),
        "{error}"
    );
    let error = client.workflow("b").task(1).redrive(Redrive::new().config(&5).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("a config cannot be encoded"), "{error}");
    let refused = client.start_many([StartWorkflow::new("c").node_named("n", 1)]).await.unwrap();
    assert_eq!(refused[0].as_ref().unwrap_err().code(), "GR9015");
}

#[tokio::test]
async fn a_node_whose_outcome_cannot_be_encoded_is_tried_again_and_adding_to_what_is_encoded_is_told_at_once() {
    let register = |worker: WorkerBuilder| {
        worker
            .node_fn("says", |_, _: (), _: ()| async { Ok(Outcome::done().merge(&json!({ "said": "yes" }))) })
            .node_fn("adds", |_, _: (), _: ()| async { Ok(Outcome::done().increment("/list/0/n", 1)) })
    };
    let mut engine = TestEngine::builder().payload_codec(Stubborn).build(register);
    engine.start(StartWorkflow::new("a").node(Next::named("says", ()).retry(Retry::exponential().attempts(3)))).unwrap();
    engine.start(StartWorkflow::new("b").node(Next::named("adds", ()))).unwrap();
    engine.run_until_idle().await;
    let said = engine.workflow("a");
    said.assert_failed_with("its state at /said cannot be encoded: the keys are locked away");
    assert_eq!(said.count(graft_client::testing::failed("says")), 3);
    let added = engine.workflow("b");
    added.assert_failed_with("members cannot add to the value at /list/0/n, which the payload codec covers");
    assert_eq!(added.count(graft_client::testing::failed("adds")), 1);
}

/// What the SDK says of its own of a value that does not fit goes to members in the clear.
#[tokio::test]
async fn a_failure_quotes_nothing_of_what_was_encoded() {
    let register = |worker: WorkerBuilder| worker.node_fn("reads", |_, _: Application, _: ()| async { Ok(Outcome::done()) });
    let mut engine = TestEngine::builder().payload_codec(Keys::new("k", OLD)).build(register);
    engine.start(StartWorkflow::new("a").state(&json!({ "name": "Ada", "income": "a secret" })).unwrap().node_named("reads", ())).unwrap();
    engine.run_until_idle().await;
    let failed = engine.workflow("a");
    failed.assert_failed_with("the state does not fit Application, which node \"reads\" expects at /income");
    assert!(!failed.summary().reason.contains("secret"), "{}", failed.summary().reason);
}
