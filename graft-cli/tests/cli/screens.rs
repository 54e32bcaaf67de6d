//! Every screen, as it is: what `graft` writes, compared with the files in `screens/`. After a change that is meant, run the tests once with
//! `UPDATE_SCREENS=1` and look at the difference.
//!
//! What differs from run to run is written as a word: times, durations, addresses, ids that are random. Runs of spaces are one width, since the
//! width of a column depends on them.

use std::path::PathBuf;

use crate::access::Guarded;
use crate::here::{Here, Ran, graft};
use crate::tasks::task_is;

/// Compares a screen with its file.
fn screen(name: &str, ran: &Ran) {
    compare(name, ran, steady);
}

/// Compares a screen on which nothing differs from run to run.
fn plain_screen(name: &str, ran: &Ran) {
    compare(name, ran, str::to_owned);
}

/// Compares a screen that names this machine, and positions in the log.
async fn screen_of_members(here: &Here, name: &str, words: &[&str]) {
    let member = here.json(&["cluster", "members"]).await["members"][0]["name"].as_str().unwrap().to_owned();
    let word = |word: &str| match word {
        word if word.trim_matches(|c| "\"`:,".contains(c)) == member => word.replace(&member, "MEMBER"),
        // What a member has flushed is known soon after it is asked for the first time.
        "?" => "INDEX".to_owned(),
        word if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) => "INDEX".to_owned(),
        word => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    compare(name, &here.graft(words).await, |text| steady(text).lines().map(line).collect());
}

fn compare(name: &str, ran: &Ran, steady: impl Fn(&str) -> String) {
    let mut text = format!("exit {}\n", ran.code);
    for (stream, words) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        if !words.is_empty() {
            text += &format!("--- {stream}\n{}", steady(words));
        }
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/screens").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; UPDATE_SCREENS=1 writes it", path.display()));
    assert_eq!(text, expected, "the screen {name} is another; if it is meant to be, UPDATE_SCREENS=1 writes it anew");
}

/// The text without what differs from run to run.
fn steady(text: &str) -> String {
    text.lines().map(|line| steady_line(line) + "\n").collect()
}

fn steady_line(line: &str) -> String {
    if let Some((key, _)) = line.split_once("\"execution_us\": ") {
        return format!("{key}\"execution_us\": TIME");
    }
    let indent = line.len() - line.trim_start().len();
    let words = line.trim().split(' ').filter(|word| !word.is_empty());
    let gaps = |at: usize| if line[at..].starts_with("  ") { "  " } else { " " };
    let mut out = " ".repeat(indent);
    for word in words {
        let start = word.as_ptr() as usize - line.as_ptr() as usize;
        out += &steady_word(word);
        if start + word.len() < line.trim_end().len() {
            out += gaps(start + word.len());
        }
    }
    out
}

fn steady_word(word: &str) -> String {
    let core = word.trim_matches(|c: char| "()[],;:\"".contains(c));
    let put = |name: &str| word.replace(core, name);
    let digits = core.chars().filter(char::is_ascii_digit).count();
    let is_duration = digits > 0
        && core.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len() < core.len()
        && core.chars().all(|c| c.is_ascii_digit() || ".µmshd".contains(c))
        && core.ends_with(['s', 'm', 'h', 'd']);
    let is_address = core.contains("127.0.0.1:") && !core.ends_with(":1") && !core.contains(":7420");
    let is_time = digits >= 9 && !is_address && core.contains(':') && core.chars().all(|c| c.is_ascii_digit() || "-T:.Z".contains(c));
    let is_position = core.split('-').count() == 4 && core.chars().all(|c| c.is_ascii_digit() || c == '-');
    let is_cursor = core.len() >= 40 && core.chars().all(|c| c.is_ascii_hexdigit());
    let is_uuid = core.len() == 36 && core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    match core {
        "" => word.to_owned(),
        _ if is_duration => put("TIME"),
        _ if is_time => put("AT"),
        _ if is_uuid => put("UUID"),
        _ if is_position => put("POSITION"),
        _ if is_cursor => put("CURSOR"),
        _ if is_address => put("ADDRESS"),
        _ if digits > 15 && digits == core.len() => put("NUMBER"),
        _ if core.starts_with("graft-join.") || core.starts_with("graft-api.") => put("TOKEN"),
        _ if core.len() == 12 && core.chars().all(|c| c.is_ascii_hexdigit()) => put("ID"),
        _ if core == env!("CARGO_PKG_VERSION") => put("VERSION"),
        _ => word.to_owned(),
    }
}

#[test]
fn what_differs_from_run_to_run_is_left_out_and_nothing_else() {
    let cases = [
        ("a   running  3.0s ago  12ms", "a  running  TIME ago  TIME"),
        ("  at 2026-11-24T04:05:06.789Z (1m05s ago)", "  at AT (TIME ago)"),
        ("    3  04:05:06.789  done       fan #1  340µs  → count #2", "    3  AT  done  fan #1  TIME  → count #2"),
        ("      \"execution_us\": 108", "      \"execution_us\": TIME"),
        ("\"position\": \"1-0-9-1\",", "\"position\": \"POSITION\","),
        ("http://127.0.0.1:40123 127.0.0.1:40123", "ADDRESS ADDRESS"),
        ("http://127.0.0.1:7420 graft m s id #14 7 of 8", "http://127.0.0.1:7420 graft m s id #14 7 of 8"),
    ];
    for (line, steady) in cases {
        assert_eq!(steady_line(line), steady);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn screens_of_workflows() {
    let here = Here::start().await;
    let screen_of = async |name: &str, words: &[&str]| screen(name, &here.graft(words).await);
    screen_of("workflow-list-empty", &["workflow", "list"]).await;
    screen_of("workflow-start", &["workflow", "start", "order-1", "--node", "wide", "--state", "{\"n\":1}", "--label", "team=sales"]).await;
    here.graft(&["workflow", "watch", "order-1"]).await;
    screen_of("workflow-start-unknown-node", &["workflow", "start", "order-2", "--node", "cuont"]).await;
    screen_of("workflow-start-wait", &["workflow", "start", "order-3", "--node", "fan", "--wait"]).await;
    screen_of("workflow-start-wait-failed", &["workflow", "start", "order-4", "--node", "fail", "--wait"]).await;
    screen_of("workflow-list", &["workflow", "list"]).await;
    screen_of("workflow-list-wide", &["workflow", "list", "-o", "wide"]).await;
    screen_of("workflow-list-page", &["workflow", "list", "--limit", "1", "--status", "failed"]).await;
    screen_of("workflow-list-name", &["workflow", "list", "-o", "name"]).await;
    screen_of("workflow-get", &["workflow", "get", "order-2"]).await;
    screen_of("workflow-get-yaml", &["workflow", "get", "order-1", "-o", "yaml"]).await;
    screen_of("workflow-get-json", &["workflow", "get", "order-2", "-o", "json"]).await;
    screen_of("workflow-watch", &["workflow", "watch", "order-4"]).await;
    screen_of("workflow-graph", &["workflow", "graph", "order-1"]).await;
    screen_of("workflow-graph-mermaid", &["workflow", "graph", "order-1", "--format", "mermaid"]).await;
    screen_of("workflow-graph-dot", &["workflow", "graph", "order-1", "--format", "dot"]).await;
    screen_of("workflow-pause", &["workflow", "pause", "order-2", "--reason", "lunch"]).await;
    screen_of("workflow-resume", &["workflow", "resume", "order-2"]).await;
    screen_of("workflow-cancel", &["workflow", "cancel", "order-2", "--wait"]).await;
    screen_of("workflow-history", &["workflow", "history", "order-2"]).await;
    screen_of("workflow-terminate-ended", &["workflow", "terminate", "order-1"]).await;
    screen_of("worker-list", &["worker", "list"]).await;
    screen_of_members(&here, "cluster-status", &["cluster", "status"]).await;
    screen_of_members(&here, "cluster-members", &["cluster", "members", "-o", "wide"]).await;
    screen_of_members(&here, "context-test", &["context", "test"]).await;
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn screens_of_tasks_and_dead_letters() {
    let here = Here::start().await;
    let screen_of = async |name: &str, words: &[&str]| screen(name, &here.graft(words).await);
    screen_of("task-list-empty", &["task", "list"]).await;
    screen_of("dead-letter-list-empty", &["dead-letter", "list"]).await;
    here.json(&["workflow", "start", "order-1", "--node", "nobody"]).await;
    here.json(&["workflow", "start", "order-2", "--node", "later", "--state", "{\"n\":1}"]).await;
    for id in ["order-3", "order-4"] {
        here.json(&["workflow", "start", id, "--node", "choosy", "--config", "{\"item\":\"jam\"}", "--state", "{\"n\":1}"]).await;
        task_is(&here, &format!("{id}/1"), "dead-lettered").await;
    }
    task_is(&here, "order-2/1", "delayed").await;
    screen_of("workflow-list-counts", &["workflow", "list", "--counts"]).await;
    screen_of("task-list", &["task", "list"]).await;
    screen_of("task-list-wide", &["task", "list", "-o", "wide"]).await;
    screen_of("task-list-name", &["task", "list", "-o", "name"]).await;
    screen_of("task-list-page", &["task", "list", "--limit", "1", "--state", "dead-lettered"]).await;
    screen_of("task-get", &["task", "get", "order-2/1"]).await;
    screen_of("task-get-not-found", &["task", "get", "order-2/7"]).await;
    screen_of("task-get-no-name", &["task", "get", "order-2"]).await;
    screen_of("dead-letter-list", &["dead-letter", "list"]).await;
    screen_of("dead-letter-get", &["dead-letter", "get", "order-3/1"]).await;
    screen_of("dead-letter-get-wide", &["dead-letter", "get", "order-3/1", "-o", "wide"]).await;
    screen_of("dead-letter-get-json", &["dead-letter", "get", "order-3/1", "-o", "json"]).await;
    screen_of("dead-letter-get-other", &["dead-letter", "get", "order-1/1"]).await;
    screen_of("dead-letter-redrive-none", &["dead-letter", "redrive"]).await;
    screen_of("dead-letter-redrive-unconfirmed", &["dead-letter", "redrive", "--node", "choosy"]).await;
    screen_of("dead-letter-redrive-dry-run", &["dead-letter", "redrive", "--node", "choosy", "--dry-run"]).await;
    screen_of("dead-letter-redrive", &["dead-letter", "redrive", "order-3/1", "--config", "{\"ok\":true}"]).await;
    screen_of("dead-letter-discard", &["dead-letter", "discard", "--every", "--yes", "--reason", "withdrawn"]).await;
    here.graft(&["workflow", "watch", "order-3"]).await;
    screen_of("workflow-history-redriven", &["workflow", "history", "order-3"]).await;
    // A worker would take it before it can be shown.
    here.json(&["workflow", "pause", "order-2"]).await;
    screen_of("task-retry", &["task", "retry", "order-2/1", "--reason", "gateway is back"]).await;
    here.json(&["workflow", "resume", "order-2"]).await;
    here.graft(&["workflow", "watch", "order-2"]).await;
    screen_of("task-get-resolved", &["task", "get", "order-2/1"]).await;
    screen_of("workflow-terminate-dry-run", &["workflow", "terminate", "order-1", "--dry-run"]).await;
    screen_of("workflow-export-running", &["workflow", "export", "order-1"]).await;
    screen_of("events", &["events", "--after", "earliest", "--limit", "4"]).await;
    screen_of("events-no-type", &["events", "--type", "task_faild"]).await;
    screen_of("limit-list-empty", &["limit", "list"]).await;
    screen_of("limit-set", &["limit", "set", "count", "--max", "10"]).await;
    screen_of("limit-set-again", &["limit", "set", "count", "--max", "5"]).await;
    screen_of("limit-set-cluster", &["limit", "set", "--cluster", "--max", "500"]).await;
    screen_of("limit-list", &["limit", "list"]).await;
    screen_of("limit-unset", &["limit", "unset", "count"]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let starts = ["order-5", "order-6", "order-1"].map(|id| format!("{{\"workflow_id\":\"{id}\",\"node\":\"count\"}}\n"));
    std::fs::write(file.path(), starts.concat()).unwrap();
    screen_of("workflow-start-many", &["workflow", "start", "--many", file.path().to_str().unwrap()]).await;
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn screens_of_members() {
    let here = Here::start().await;
    let screen_of = async |name: &str, words: &[&str]| screen_of_members(&here, name, words).await;
    screen_of("cluster-doctor", &["cluster", "doctor"]).await;
    screen_of("cluster-doctor-json", &["cluster", "doctor", "-o", "json"]).await;
    screen_of("join-token-list-empty", &["cluster", "join-token", "list"]).await;
    screen_of("join-token-create", &["cluster", "join-token", "create", "--member", "graft-3", "--ttl", "10m"]).await;
    screen_of("cluster-approve", &["cluster", "approve", "graft-4"]).await;
    screen_of("join-token-list", &["cluster", "join-token", "list"]).await;
    screen_of("join-token-revoke", &["cluster", "join-token", "revoke", "graft-4"]).await;
    screen_of("join-token-revoke-again", &["cluster", "join-token", "revoke", "graft-4"]).await;
    let member = here.json(&["cluster", "members"]).await["members"][0]["name"].as_str().unwrap().to_owned();
    screen_of("cluster-remove-last", &["cluster", "remove", &member, "--yes"]).await;
    screen_of("cluster-remove-unconfirmed", &["cluster", "remove", &member]).await;
    screen_of("cluster-transfer-alone", &["cluster", "transfer-leader"]).await;
    screen_of("cluster-upgrade-nothing", &["cluster", "upgrade", "--yes"]).await;
    screen_of("cluster-upgrade-beyond", &["cluster", "upgrade", "--to", "999", "--dry-run"]).await;
    screen_of("cluster-upgrade-back", &["cluster", "upgrade", "--to", "1", "--yes"]).await;
    screen_of("cluster-drain", &["cluster", "drain", &member]).await;
    screen_of("cluster-drain-undo", &["cluster", "drain", &member, "--undo"]).await;
    screen_of("cluster-bootstrap-formed", &["cluster", "bootstrap", "--members", &member, "--dry-run"]).await;
    let data = tempfile::tempdir().unwrap();
    let (file, restored) = (data.path().join("graft.snapshot"), data.path().join("m1-data"));
    let (file, restored) = (file.to_str().unwrap(), restored.to_str().unwrap());
    let places = |text: &str| text.replace(data.path().to_str().unwrap(), "DIR");
    let screen_of_files = async |name: &str, words: &[&str]| {
        let number =
            |word: &str| if word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty() { "NUMBER".to_owned() } else { word.to_owned() };
        let line = |line: &str| line.split(' ').map(number).collect::<Vec<_>>().join(" ") + "\n";
        compare(name, &here.graft(words).await, |text| steady(&places(text)).lines().map(line).collect());
    };
    screen_of_files("snapshot-save", &["cluster", "snapshot", "save", file]).await;
    screen_of_files("snapshot-inspect", &["cluster", "snapshot", "inspect", file]).await;
    screen_of_files(
        "snapshot-restore",
        &["cluster", "snapshot", "restore", file, "--data-dir", restored, "--member", "m1", "--cluster-name", "copy"],
    )
    .await;
    screen_of_files("snapshot-restore-again", &["cluster", "snapshot", "restore", file, "--data-dir", restored, "--member", "m1"]).await;
    std::fs::write(file, "GRAFTSNP or not").unwrap();
    screen_of_files("snapshot-inspect-damaged", &["cluster", "snapshot", "inspect", file]).await;
    screen_of("cluster-promote-nobody", &["cluster", "promote", "nobody"]).await;
    // Every document that was written is of a kind that has a schema.
    for words in [&["cluster", "doctor"][..], &["cluster", "join-token", "list"], &["cluster", "join-token", "create"]] {
        crate::schemas::hold(&here.json(words).await);
    }
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn screens_of_access() {
    let (open, here) = (Here::start().await, Guarded::start().await);
    screen("whoami-open", &open.graft(&["whoami"]).await);
    open.stop().await;
    let screen_of = async |name: &str, token: &str, words: &[&str]| screen(name, &here.graft(token, words).await);
    screen_of("whoami-root", "root", &["whoami"]).await;
    screen_of("token-list-empty", "root", &["token", "list"]).await;
    here.make("charger", &["--grant", "worker@billing=charge,refund-*"]).await;
    screen_of("token-list", "root", &["token", "list", "-o", "wide"]).await;
    screen_of("whoami", "charger", &["whoami"]).await;
    screen_of("error-not-allowed", "charger", &["workflow", "list", "-n", "billing"]).await;
    screen_of("error-not-allowed-json", "charger", &["workflow", "list", "-n", "billing", "-o", "json"]).await;
    screen_of("error-unauthenticated", "", &["workflow", "list"]).await;
    let charger = here.done("root", &["token", "list", "-o", "name"]).await;
    screen_of("token-create", "root", &["token", "create", "billing", "--grant", "operator@billing", "--grant", "viewer", "--ttl", "10m"])
        .await;
    screen_of("token-create-no-grant", "root", &["token", "create", "billing", "--grant", "operater@billing"]).await;
    screen_of("token-revoke", "root", &["token", "revoke", charger.trim()]).await;
    screen_of("token-revoke-again", "root", &["token", "revoke", charger.trim()]).await;
    here.done("root", &["limit", "set", "charge", "--max", "7"]).await;
    let member = serde_json::from_str::<serde_json::Value>(&here.done("root", &["cluster", "members", "-o", "json"]).await).unwrap();
    let member = member["members"][0]["name"].as_str().unwrap().to_owned();
    screen_of("audit", "root", &["audit", "--limit", "1"]).await;
    let wide = here.graft("root", &["audit", "--limit", "1", "-o", "wide"]).await;
    compare("audit-wide", &wide, |text| steady(&text.replace(&member, "MEMBER")));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn screens_of_mistakes() {
    let here = Here::start().await;
    screen("error-not-found", &here.graft(&["workflow", "get", "nowhere"]).await);
    screen("error-not-found-json", &here.graft(&["workflow", "get", "nowhere", "-o", "json"]).await);
    screen("error-state", &here.graft(&["workflow", "start", "a", "--node", "n", "--state", "[1]"]).await);
    here.stop().await;
    screen("error-unreachable", &graft(&["--addr", "http://127.0.0.1:1", "--timeout", "50ms", "workflow", "list"]).await);
    screen("error-verb", &graft(&["workflow", "strat"]).await);
    screen("error-context", &graft(&["workflow", "list", "--context", "prod"]).await);
    plain_screen("error-code", &graft(&["explain", "GR0300"]).await);
}

/// Every verb, with its noun, as the help lists them.
async fn verbs(help: &str) -> Vec<Vec<String>> {
    let listed = |help: &str| {
        let commands = help.split_once("Commands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap().to_owned());
        let lines = commands.unwrap_or_default();
        let name =
            |line: &str| Some(line.strip_prefix("  ")?.split(' ').next()?.to_owned()).filter(|name| !name.is_empty() && name != "help");
        lines.lines().filter_map(name).collect::<Vec<_>>()
    };
    let mut verbs = Vec::new();
    let mut open: Vec<Vec<String>> = listed(help).into_iter().rev().map(|noun| vec![noun]).collect();
    while let Some(words) = open.pop() {
        let asked: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let inner = listed(&graft(&asked).await.stdout);
        open.extend(inner.iter().rev().map(|verb| words.iter().chain([verb]).cloned().collect()));
        if inner.is_empty() {
            verbs.push(words);
        }
    }
    assert!(verbs.len() >= 36, "{verbs:?}");
    verbs
}

#[tokio::test]
async fn screens_of_help() {
    plain_screen("help", &graft(&["--help"]).await);
    for noun in [
        "workflow",
        "task",
        "dead-letter",
        "worker",
        "limit",
        "cluster",
        "cluster join-token",
        "cluster snapshot",
        "token",
        "context",
        "tls",
    ] {
        let words: Vec<&str> = noun.split(' ').chain(["--help"]).collect();
        plain_screen(&format!("help-{}", noun.replace(' ', "-")), &graft(&words).await);
    }
    for words in verbs(&graft(&["--help"]).await.stdout).await {
        let mut help = graft(&[&words.iter().map(String::as_str).collect::<Vec<_>>()[..], &["--help"]].concat()).await;
        // The same with every verb: once is enough.
        let (own, rest) = help.stdout.split_once("Global options:\n").unwrap();
        let examples = rest.find("Example").unwrap_or_else(|| panic!("the help of {words:?} has no example"));
        help.stdout = format!("{own}Global options: …\n\n{}", &rest[examples..]);
        plain_screen(&format!("help-{}", words.join("-")), &help);
    }
    plain_screen("explain", &graft(&["explain"]).await);
    plain_screen("explain-code", &graft(&["explain", "GR0003"]).await);
    plain_screen("explain-code-json", &graft(&["explain", "GR9001", "-o", "json"]).await);
}
