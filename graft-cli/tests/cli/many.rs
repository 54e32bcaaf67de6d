//! `graft workflow start --many`.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::here::{Here, Ran};

fn file(lines: impl IntoIterator<Item = String>) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_line_of_a_file_is_a_workflow_with_an_answer_of_its_own() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "taken", "--node", "nobody"]).await;
    let many = file([
        r#"{"workflow_id":"a","node":"count","state":{"n":3},"labels":{"team":"sales"}}"#.to_owned(),
        r#"{"workflow_id":"taken","node":"count"}"#.to_owned(),
        String::new(),
        r#"{"workflow_id":"taken","node":"count","on_conflict":"use-existing"}"#.to_owned(),
        r#"{"node":"nobody","config":{"deep":[1,2]},"deadline":"1h"}"#.to_owned(),
    ]);
    let ran = here.graft(&["workflow", "start", "--many", path(&many), "-o", "jsonl"]).await;
    assert_eq!(ran.code, 1, "one was refused: {}", ran.stderr);
    let answers: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 4);
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!((&answer["kind"], &answer["number"]), (&"StartResult".into(), &(at + 1).into()));
    }
    assert_eq!(answers[0]["started"]["workflow_id"], "a");
    assert_eq!((&answers[1]["refused"]["code"], &answers[1]["started"]), (&"GR0004".into(), &Value::Null));
    assert!(answers[1]["refused"]["message"].as_str().unwrap().contains("\"taken\""), "{}", answers[1]);
    assert_eq!((&answers[2]["started"]["created"], &answers[2]["refused"]), (&false.into(), &Value::Null));
    let error: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((&error["code"], &error["message"]), (&"GR9108".into(), &"1 of 4 was not started; the answers say why".into()));

    here.graft(&["workflow", "watch", "a"]).await;
    let got = here.json(&["workflow", "get", "a"]).await;
    assert_eq!((&got["state"]["n"], &got["labels"]["team"]), (&4.into(), &"sales".into()));
    let last = answers[3]["started"]["workflow_id"].as_str().unwrap();
    let got = here.json(&["workflow", "get", last]).await;
    assert!(got["tasks"][0]["config"]["deep"] == serde_json::json!([1, 2]) && got["deadline_at"].is_string(), "{got}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn people_are_told_what_was_not_simply_started() {
    let here = Here::start().await;
    let many = file(["a", "b", "a"].map(|id| format!(r#"{{"workflow_id":"{id}","node":"count"}}"#)));
    let ran = here.graft(&["workflow", "start", "--many", path(&many)]).await;
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
    assert!(ran.stdout.contains("refused [GR0004]"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "2 were started, 1 refused.\nerror: 1 of 3 was not started; the answers say why\n");
    let wide = here.graft(&["workflow", "start", "--many", path(&many), "-o", "wide", "-q"]).await;
    assert_eq!(wide.stdout.lines().count(), 4, "{}", wide.stdout);
    let names = file(["c", "d"].map(|id| format!(r#"{{"workflow_id":"{id}","node":"count"}}"#)));
    let ran = here.graft(&["workflow", "start", "--many", path(&names), "-o", "name"]).await;
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "c\nd\n", ""));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_started_if_a_line_makes_no_sense() {
    let here = Here::start().await;
    let many = file([r#"{"workflow_id":"a","node":"count"}"#.to_owned(), r#"{"workflow_id":"b","nod":"count"}"#.to_owned()]);
    let ran = here.graft(&["workflow", "start", "--many", path(&many)]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("line 2") && ran.stderr.contains("`nod`") && ran.stderr.contains("`node`"), "{}", ran.stderr);
    assert_eq!(here.graft(&["workflow", "list", "-o", "name"]).await.stdout, "");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_are_started_from_a_pipe() {
    const MANY: usize = 10_000;
    let here = Here::start().await;
    let mut graft = Command::new(env!("CARGO_BIN_EXE_graft"));
    graft.args(["--addr", &here.addr, "workflow", "start", "--many", "-", "-o", "json"]);
    let ran: Ran = tokio::task::spawn_blocking(move || {
        let mut child = graft.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for number in 0..MANY {
            writeln!(stdin, "{{\"workflow_id\":\"w-{number}\",\"node\":\"nobody\"}}").unwrap();
        }
        drop(stdin);
        child.wait_with_output().unwrap().into()
    })
    .await
    .unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "no progress where nobody looks");
    let answers: Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = answers["results"].as_array().unwrap();
    assert_eq!((answers["kind"].as_str(), results.len()), (Some("StartResults"), MANY));
    assert!(results.iter().enumerate().all(|(at, one)| one["started"]["workflow_id"] == format!("w-{at}")), "in the order of the lines");
    assert_eq!(here.json(&["workflow", "list", "--counts"]).await["counts"]["running"], MANY);
    here.stop().await;
}
