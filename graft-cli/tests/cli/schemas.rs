//! What `-o json` promises: every kind of document has a schema, the schemas are kept in `schemas/`, and every document that these tests read is
//! held against the one of its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use boon::{Compiler, Schemas};
use graftd::app::Daemon;
use graftd::config::{Bootstrap, Config, HostPort};
use serde_json::Value;

use crate::here::{Here, graft};

/// The schema of every kind, as the command writes it.
static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let graft = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_graft")).args(words).output().unwrap();
        assert!(output.status.success(), "graft {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let kinds = graft(&["schema", "-o", "name"]);
    kinds.lines().map(|kind| (kind.to_owned(), serde_json::from_str(&graft(&["schema", kind])).unwrap())).collect()
});

/// Holds a document against the schema of its kind, and answers with the kind.
pub(crate) fn hold(document: &Value) -> String {
    let kind = document["kind"].as_str().unwrap_or_else(|| panic!("a document without a kind: {document}"));
    let schema = SCHEMAS.get(kind).unwrap_or_else(|| panic!("{kind} has no schema: {document}"));
    let (mut compiler, mut schemas, at) = (Compiler::new(), Schemas::new(), "mem:///kind.json");
    compiler.add_resource(at, schema.clone()).unwrap();
    let index = compiler.compile(at, &mut schemas).unwrap_or_else(|error| panic!("the schema of {kind} is none: {error:#}"));
    schemas.validate(document, index).unwrap_or_else(|error| panic!("{kind} is not as its schema says: {error:#}: {document}"));
    kind.to_owned()
}

#[test]
fn the_schema_of_every_kind_is_the_one_that_is_kept() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/schemas");
    for (kind, schema) in SCHEMAS.iter() {
        let shape = without_words(schema);
        let (path, text) = (folder.join(format!("{kind}.json")), serde_json::to_string_pretty(&shape).unwrap() + "\n");
        if std::env::var_os("UPDATE_SCREENS").is_some() {
            std::fs::write(&path, text).unwrap();
            continue;
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; UPDATE_SCREENS=1 writes it", path.display()));
        let before: Value = serde_json::from_str(&kept).unwrap();
        let now = keys(schema);
        for key in keys(&before) {
            assert!(now.contains(&key), "{kind} has lost its key {key}: a promise is broken");
        }
        assert_eq!(text, kept, "the schema of {kind} is another; if keys were added to it, UPDATE_SCREENS=1 writes it anew");
    }
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(SCHEMAS.contains_key(name.trim_end_matches(".json")), "{name} is the schema of no kind: a promise is broken");
    }
}

/// The keys of a document, and of each of its types where it has some.
fn keys(schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys().cloned());
    let types = schema["oneOf"].as_array().into_iter().flatten();
    own.chain(types.flat_map(|each| keys(each).into_iter().map(|key| format!("{}/{key}", each["properties"]["type"]["const"])))).collect()
}

/// A schema without descriptions: its shape is the promise, not its words.
fn without_words(schema: &Value) -> Value {
    match schema {
        Value::Object(object) => {
            let words = |key: &str, value: &Value| key == "description" && value.is_string();
            object.iter().filter(|(key, value)| !words(key, value)).map(|(key, value)| (key.clone(), without_words(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_words).collect(),
        other => other.clone(),
    }
}

#[test]
fn a_document_that_is_not_as_it_should_be_is_found() {
    let document =
        |more: &str| -> Value { serde_json::from_str(&format!(r#"{{"apiVersion":"graft/v1","kind":"MemberList"{more}}}"#)).unwrap() };
    assert_eq!(hold(&document(r#","members":[]"#)), "MemberList");
    for wrong in ["", r#","members":null"#, r#","members":[{"name":"a"}]"#] {
        assert!(std::panic::catch_unwind(|| hold(&document(wrong))).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_kind_is_found_however_it_is_written() {
    let schema = graft(&["schema", "WorkflowList"]).await;
    assert_eq!((schema.code, schema.stderr.as_str()), (0, ""));
    assert_eq!(graft(&["schema", "workflowlist"]).await.stdout, schema.stdout);
    let yaml: Value = serde_saphyr::from_str(&graft(&["schema", "WorkflowList", "-o", "yaml"]).await.stdout).unwrap();
    assert_eq!(yaml, serde_json::from_str::<Value>(&schema.stdout).unwrap());
    let unknown = graft(&["schema", "WorkflowLst"]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (3, ""));
    assert!(unknown.stderr.contains("Did you mean WorkflowList?"), "{}", unknown.stderr);
}

/// Every document that the command can write, each held against its schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_kind_is_written_as_its_schema_says() {
    let here = Here::start().await;
    let home = tempfile::tempdir().unwrap();
    let disk = tempfile::tempdir().unwrap();
    let (home, disk) = (home.path().to_str().unwrap(), disk.path().to_str().unwrap());
    let starts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(starts.path(), "{\"workflow_id\":\"c\",\"node\":\"count\"}\n").unwrap();
    here.json(&["workflow", "start", "failed", "--node", "fail"]).await;
    here.graft(&["workflow", "watch", "failed"]).await;
    let debug_dir = format!("{disk}/debug");
    let saved = format!("{disk}/graft.snapshot");
    let (saved, profile) = (saved.as_str(), format!("{disk}/graft.pprof"));
    let bench = ["bench", "--duration", "200ms", "--warmup", "50ms", "--concurrency", "2", "--fsync-dir", disk];
    let commands: &[&[&str]] = &[
        &["workflow", "start", "a", "--node", "wide"],
        &["workflow", "watch", "a"],
        &["workflow", "list"],
        &["workflow", "get", "a"],
        &["workflow", "get", "nowhere"],
        &["workflow", "history", "a"],
        &["workflow", "graph", "a"],
        // A config over three lines, with a break that is part of a text.
        &["workflow", "start", "b", "--node", "nobody", "--config", "{\n\"a\": \"x\\ny\"\r\n}"],
        &["workflow", "pause", "b"],
        &["workflow", "list", "--counts"],
        &["workflow", "export", "failed"],
        &["workflow", "start", "--many", starts.path().to_str().unwrap()],
        &["task", "list"],
        &["task", "get", "b/1"],
        &["dead-letter", "list"],
        &["dead-letter", "redrive", "failed/1", "--dry-run"],
        &["events", "--after", "earliest", "--limit", "2"],
        &["limit", "set", "count", "--max", "7"],
        &["limit", "list"],
        &["worker", "list"],
        &["cluster", "status"],
        &["cluster", "members"],
        &["cluster", "log-level"],
        &["cluster", "profile", "--seconds", "1", "--file", &profile],
        &["cluster", "upgrade", "--dry-run"],
        &["cluster", "join-token", "create"],
        &["cluster", "join-token", "list"],
        &["cluster", "snapshot", "save", saved],
        &["debug-bundle", &debug_dir],
        &["token", "create", "billing", "--grant", "operator@billing"],
        &["token", "list"],
        &["whoami"],
        &["audit"],
        &["context", "add", "here"],
        &["context", "list"],
        &["context", "test"],
        &["explain"],
        &["explain", "GR0003"],
        &["schema"],
        &bench,
    ];
    // What only a member without a cluster makes anybody write.
    let (waiting, name) = waiting().await;
    let at_waiting: &[&[&str]] = &[&["cluster", "bootstrap", "--members", &name, "--dry-run"], &["cluster", "doctor"]];
    let waiting_addr = format!("http://{}", waiting.client_address());
    let asked = commands.iter().map(|command| (here.addr.as_str(), command));
    let asked = asked.chain(at_waiting.iter().map(|command| (waiting_addr.as_str(), command)));
    let mut kinds = std::collections::BTreeSet::new();
    for (addr, command) in asked {
        for form in ["json", "jsonl"] {
            let words = [&["--addr", addr, "-q", "-o", form], *command].concat();
            // It is written where nothing is yet.
            let _ = std::fs::remove_dir_all(&debug_dir);
            let ran = crate::here::graft_with(&words, &[("XDG_CONFIG_HOME", Some(home))]).await;
            // One document that is written over many lines; or one on each, and on one alone, except where there is no end to them.
            let streams = ["events", "watch"].iter().any(|verb| command.iter().take(2).any(|word| word == verb));
            for text in [&ran.stdout, &ran.stderr].into_iter().filter(|text| !text.is_empty()) {
                let documents: Vec<&str> = if form == "jsonl" || streams { text.lines().collect() } else { vec![text] };
                for document in documents {
                    let read = serde_json::from_str(document);
                    kinds.insert(hold(&read.unwrap_or_else(|error| panic!("{words:?}: {error}: {}{}", ran.stdout, ran.stderr))));
                }
            }
        }
    }
    let all: std::collections::BTreeSet<String> = SCHEMAS.keys().cloned().collect();
    assert_eq!(kinds, all, "a kind that no command of this test writes, or none that has a schema");
    waiting.shutdown().await;
    here.stop().await;
}

/// A member that waits for an operator to name the first members, and its name.
async fn waiting() -> (Daemon, String) {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::in_process(data.path());
    config.cluster.bootstrap = Bootstrap::Manual;
    config.cluster.peer_listen = Some(HostPort::loopback(0));
    config.security.insecure = true;
    let daemon = Daemon::start(config).await.unwrap();
    let mut readiness = daemon.readiness();
    readiness.wait_for(|now| now.reason.contains("waiting for an operator")).await.unwrap();
    let name = daemon.member_name().to_owned();
    (daemon, name)
}
