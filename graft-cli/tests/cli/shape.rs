//! The forms of an answer, and what goes to stdout and what to stderr.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::here::{Here, graft, graft_with, within};

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_has_six_forms_that_say_the_same() {
    let here = Here::start().await;
    for id in ["a", "b"] {
        here.json(&["workflow", "start", id, "--node", "nobody", "--label", "team=sales"]).await;
    }
    let list = async |form: &'static str| here.graft(&["workflow", "list", "-o", form]).await.stdout;

    let table = list("table").await;
    assert!(table.starts_with("ID ") && !table.contains("LABELS"), "{table}");
    let wide = list("wide").await;
    assert!(wide.contains("LABELS") && wide.contains("team=sales"), "{wide}");
    let json: Value = serde_json::from_str(&list("json").await).unwrap();
    assert_eq!((&json["apiVersion"], &json["kind"]), (&"graft/v1".into(), &"WorkflowList".into()));
    let yaml: Value = serde_saphyr::from_str(&list("yaml").await).unwrap();
    assert_eq!(yaml, json);
    let lines = documents(&list("jsonl").await);
    assert_eq!(lines.len(), 2);
    for (line, row) in lines.iter().zip(json["workflows"].as_array().unwrap()) {
        assert_eq!((&line["apiVersion"], &line["kind"]), (&"graft/v1".into(), &"WorkflowSummary".into()));
        assert_eq!(line["workflow_id"], row["workflow_id"]);
    }
    assert_eq!(list("name").await, "b\na\n");

    let bare = here.graft(&["workflow", "list", "--no-headers"]).await.stdout;
    assert_eq!((bare.lines().count(), bare.contains("STATUS")), (2, false), "{bare}");
    let all = here.graft(&["workflow", "list", "--all", "--limit", "1", "-o", "name"]).await;
    assert_eq!((all.stdout.as_str(), all.stderr.as_str()), ("b\na\n", ""));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn words_go_to_stderr_and_quiet_leaves_them_out() {
    let here = Here::start().await;
    let said = here.graft(&["workflow", "list"]).await;
    assert!(said.stderr.contains("There is no workflow"), "{}", said.stderr);
    let quiet = here.graft(&["workflow", "list", "-q"]).await;
    assert_eq!((quiet.stdout, quiet.stderr.as_str()), (said.stdout, ""));
    let verbose = here.graft(&["workflow", "list", "-v", "-n", "sales"]).await;
    assert!(
        verbose.stderr.contains(&here.addr) && verbose.stderr.contains("namespace sales") && verbose.stderr.contains("took "),
        "{}",
        verbose.stderr
    );
    let failed = here.graft(&["workflow", "get", "nowhere", "-q"]).await;
    assert!(failed.stderr.starts_with("error: "), "an error is said all the same: {}", failed.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_get_errors_as_documents_too() {
    let here = Here::start().await;
    for form in ["json", "jsonl", "yaml"] {
        let ran = here.graft(&["workflow", "get", "nowhere", "-o", form]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""));
        let error: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        assert_eq!((&error["apiVersion"], &error["kind"], &error["exit_code"]), (&"graft/v1".into(), &"Error".into(), &3.into()));
        assert!(error["code"].as_str().unwrap().starts_with("GR") && error["retryable"] == false, "{error}");
    }
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn colours_are_a_matter_of_flag_environment_and_terminal_in_this_order() {
    let here = Here::start().await;
    let coloured = async |flags: &[&str], variables: &[(&str, Option<&str>)]| {
        graft_with(&[&["--addr", here.addr.as_str(), "worker", "list"], flags].concat(), variables).await.stdout.contains('\u{1b}')
    };
    let (no, force) = (("NO_COLOR", Some("1")), ("CLICOLOR_FORCE", Some("1")));
    assert!(!coloured(&[], &[]).await, "no terminal");
    assert!(coloured(&[], &[force]).await);
    assert!(!coloured(&[], &[force, no]).await);
    assert!(coloured(&["--color", "always"], &[no]).await);
    assert!(!coloured(&["--color", "never"], &[force]).await);
    here.stop().await;
}

#[tokio::test]
async fn what_is_nearly_a_verb_or_a_flag_is_answered_with_the_right_one() {
    for (words, meant) in [
        (&["workflow", "strat"][..], "'start'"),
        (&["wokflow", "list"], "'workflow'"),
        (&["workflow", "list", "--statsu", "paused"], "'--status'"),
        (&["workflow", "list", "--status", "runing"], "'running'"),
        (&["workflow", "list", "-o", "jsom"], "'json"),
    ] {
        let ran = graft(words).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words:?}");
        assert!(ran.stderr.contains(meant), "{words:?}: {}", ran.stderr);
    }
    let coloured = graft(&["workflow", "strat", "--color=always"]).await.stderr;
    assert!(coloured.contains('\u{1b}'), "--color counts for mistakes as well: {coloured}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watched_list_that_is_no_terminal_writes_again_what_has_changed() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "nobody"]).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(["--addr", &here.addr, "workflow", "list", "--watch=20ms", "-o", "json"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = within("a list", lines.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let first = next().await;
    assert_eq!((&first["kind"], &first["workflows"][0]["workflow_id"]), (&"WorkflowList".into(), &"a".into()));
    here.json(&["workflow", "terminate", "a"]).await;
    assert_eq!(next().await["workflows"][0]["status"], "terminated");
    child.kill().await.unwrap();
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watched_workflow_ends_with_it() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "hold"]).await;
    here.holds(1).await;
    let watch = here.graft(&["workflow", "get", "a", "--watch=20ms", "-o", "jsonl"]);
    let (watched, ()) = tokio::join!(watch, async { here.let_go() });
    assert_eq!(watched.code, 0, "{}", watched.stderr);
    let last = documents(&watched.stdout).pop().unwrap();
    assert_eq!((&last["status"], &last["kind"]), (&"completed".into(), &"Workflow".into()));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_asynchronous_can_be_waited_for() {
    let here = Here::start().await;
    for id in ["a", "b", "c"] {
        here.json(&["workflow", "start", id, "--node", "nobody"]).await;
    }
    let cancelled = here.json(&["workflow", "cancel", "a", "--wait"]).await;
    assert_eq!((&cancelled["kind"], &cancelled["status"]), (&"Workflow".into(), &"cancelled".into()));
    here.json(&["workflow", "pause", "b"]).await;
    let resumed = here.graft(&["workflow", "resume", "b", "--wait=50ms"]).await;
    assert_eq!(resumed.code, 7, "{}", resumed.stderr);
    here.json(&["workflow", "pause", "c"]).await;
    let (resumed, _) = tokio::join!(here.graft(&["workflow", "resume", "c", "--wait"]), async {
        while here.json(&["workflow", "get", "c"]).await["status"] != "running" {}
        here.json(&["workflow", "terminate", "c"]).await
    });
    assert_eq!(resumed.code, 11, "{}", resumed.stderr);
    here.stop().await;
}
