//! Every command that README.md and CONTRIBUTING.md show, run as they show it.
//!
//! The commands of `graft` run one after the other, as a reader would type them, against a daemon and the README's own worker. Those of
//! `cargo` are steps of `.ci/run`, or tests of this workspace; those of `curl` are run by `tests/openapi/run`. A command that is neither fails the test: it has to be given a
//! place here. The pages in `deploy` have a suite of their own (`pages`).

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use graft_client::Client;
use graftd::app::Daemon;
use graftd::config::Config;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

#[path = "../../graft-client/examples/hello_worker.rs"]
#[allow(dead_code, reason = "an example has a main")]
mod hello_worker;

/// Longest that one command may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the command line is a package of the workspace").to_owned()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The code blocks of a kind, in order.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{kind}") {
            blocks.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
        }
    }
    blocks
}

/// A command, and the exit code that the comment behind it promises.
#[derive(Debug, PartialEq)]
struct Shown {
    command: String,
    exits_with: i32,
}

/// The commands of all shell blocks, in order.
fn commands(text: &str) -> Vec<Shown> {
    let line = |line: &str| {
        let (command, comment) = line.split_once("  #").map_or((line, ""), |(command, comment)| (command, comment));
        let exits_with = comment.split_once("exits with ").map_or(0, |(_, code)| {
            let digits: String = code.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("an exit code")
        });
        Shown { command: command.trim().to_owned(), exits_with }
    };
    blocks(text, "sh").iter().flat_map(|block| block.lines()).map(line).filter(|shown| !shown.command.is_empty()).collect()
}

#[test]
fn a_command_is_told_from_its_comment() {
    let text = "a\n```sh\nx y  # exits with 10: so\nz --a '#1'\n```\n```toml\nno\n```\n";
    let shown = |command: &str, exits_with| Shown { command: command.to_owned(), exits_with };
    assert_eq!(commands(text), [shown("x y", 10), shown("z --a '#1'", 0)]);
    assert_eq!(blocks(text, "toml"), ["no"]);
}

/// Whether the suite runs a command of cargo: as a step of `.ci/run`, or as a part of `cargo test --workspace`.
fn runs_elsewhere(command: &str, ci: &str) -> bool {
    if ci.lines().any(|line| line.starts_with("step ") && (line.ends_with(command) || line.contains(&format!("{command} ")))) {
        return true;
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    let ["cargo", "test", "-p", package, "--test", name] = words[..] else { return false };
    let folder = match package {
        "graft-tests" => "tests",
        "graft-machine" => "graftd/machine",
        package => package,
    };
    let tests = root().join(folder).join("tests");
    tests.join(format!("{name}.rs")).exists() || tests.join(name).join("main.rs").exists()
}

#[test]
fn every_command_of_cargo_is_run_by_the_suite() {
    let ci = read(".ci/run");
    for document in ["README.md", "CONTRIBUTING.md"] {
        for Shown { command, .. } in commands(&read(document)) {
            if command.contains("cargo ") && !command.ends_with("--example hello_worker") {
                assert!(runs_elsewhere(&command, &ci), "{document}: nothing runs `{command}`: make it a step of .ci/run, or leave it out");
            }
        }
    }
}

/// `graft`, under that name, in a folder for the path.
fn path_with_graft(folder: &Path) -> String {
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_graft"), folder.join("graft")).expect("a link");
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}

async fn shell(command: &str, path: &str, addr: &str, folder: &Path) -> Output {
    let run = Command::new("sh")
        .args(["-c", command])
        .env("PATH", path)
        .current_dir(folder)
        .env("GRAFT_ADDR", addr)
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env_remove("GRAFT_NAMESPACE")
        .env_remove("GRAFT_CONTEXT")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(PATIENCE, run).await.unwrap_or_else(|_| panic!("`{command}` did not end within {PATIENCE:?}")).expect("a shell")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_session_runs_as_it_is_shown() {
    let data = tempfile::tempdir().expect("a folder");
    let path = path_with_graft(data.path());
    let daemon = Daemon::start(Config::in_process(data.path().join("data"))).await.expect("a daemon");
    daemon.ready().await.expect("ready");
    let addr = format!("http://{}", daemon.client_address());
    let stop = CancellationToken::new();
    let worker = tokio::spawn(hello_worker::run(hello_worker::Options { addr: addr.clone() }, stop.clone().cancelled_owned()));
    let client = Client::connect(&addr).expect("an address");
    while !client.workers().await.expect("an answer").workers.iter().any(|worker| worker.connected) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let mut session = 0;
    for Shown { command, exits_with } in commands(&read("README.md")) {
        if command == "graftd" || command.starts_with("cargo ") {
            continue; // the daemon and the worker run in this process; the other test looks after cargo's
        }
        if command.starts_with("curl ") {
            continue; // tests/openapi/run runs these: they need more than Rust
        }
        assert!(command.starts_with("graft "), "README.md: nothing runs `{command}`: give it a place in {}", file!());
        // A benchmark is a short one.
        let ran = shell(&command.replace("--duration 10s", "--duration 1s"), &path, &addr, data.path()).await;
        let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert_eq!(ran.status.code(), Some(exits_with), "`{command}` printed:\n{stdout}\n{stderr}");
        assert!(!stdout.trim().is_empty() || !stderr.trim().is_empty(), "`{command}` says something");
        session += 1;
    }
    assert!(session > 10, "the README shows a session, and {session} commands of it were found");
    let state: serde_json::Value = client.workflow("hello-2").result().await.expect("redriven");
    assert_eq!(state["greeting"], "Hello, Grace!");
    let state: serde_json::Value = client.workflow("hello-3").result().await.expect("tried at once");
    assert_eq!(state["greeting"], "Hello, Edsger!");

    stop.cancel();
    worker.await.expect("no panic").expect("a good end");
    daemon.shutdown().await;
}
