//! Every command that README.md and CONTRIBUTING.md show, run as they show it.
//!
//! The commands of `graft` run one after the other, as a reader would type them, against a daemon and the README's own worker. Those of
//! `cargo` are steps of `.ci/run`, or tests of this workspace; those of `curl` are run by `tests/openapi/run`. A command that is neither fails the test: it has to be given a place here.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use graft_client::{Client, Outcome, Worker};
use graftd::app::Daemon;
use graftd::config::{Config, Flags, Sources, load};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

#[path = "../../graft-client/examples/hello_worker.rs"]
#[allow(dead_code, reason = "an example has a main")]
mod hello_worker;

/// The addresses of the README's three members.
const SHOWN_MEMBERS: &str = "http://127.0.0.1:7420,http://127.0.0.1:7520,http://127.0.0.1:7620";

/// The address of the README's member that serves over TLS.
const SHOWN_SECURE: &str = "https://127.0.0.1:7420";

/// What a command of the README says that shows a token.
const SHOWN_TOKEN: &str = " --token-file ";

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
        if command == "graftd" || command.starts_with("graftd --config") || command.starts_with("cargo ") {
            continue; // the daemon and the worker run in this process; the other test looks after cargo's
        }
        if command.starts_with("curl ") {
            continue; // tests/openapi/run runs these: they need more than Rust
        }
        assert!(command.starts_with("graft "), "README.md: nothing runs `{command}`: give it a place in {}", file!());
        if [SHOWN_MEMBERS, SHOWN_SECURE, SHOWN_TOKEN].iter().any(|shown| command.contains(shown)) {
            continue; // tests of their own have three members, one that speaks TLS, and one that asks who somebody is
        }
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

/// The first member's file of the README, for member `number`, with other ports and another place for its data.
fn member(number: usize, ports: &[(u16, u16)], dir: &Path) -> Config {
    let block =
        blocks(&read("README.md"), "toml").into_iter().find(|block| block.starts_with("# m1.toml")).expect("the README shows m1.toml");
    let peers = ports[..3].iter().map(|(_, peer)| format!("\"127.0.0.1:{peer}\"")).collect::<Vec<_>>().join(", ");
    let (client, peer) = ports[number - 1];
    let text: Vec<String> = block
        .lines()
        .map(|line| match line.split(" = ").next().unwrap_or_default() {
            file @ ("peer_ca" | "peer_cert" | "peer_key") => {
                let shown = line.split('"').nth(1).expect("a file").replace("m1", &format!("m{number}"));
                format!("{file} = {:?}", dir.join(shown))
            }
            "data_dir" => format!("data_dir = {:?}", dir.join(format!("m{number}-data"))),
            "listen" => format!("listen = \"127.0.0.1:{client}\""),
            "peer_listen" => format!("peer_listen = \"127.0.0.1:{peer}\""),
            "peers" => format!("peers = [{peers}]"),
            // The fourth one joins, and its file differs in what the README shows.
            "expect" if number > 3 => {
                let shown = blocks(&read("README.md"), "toml").into_iter().find(|block| block.starts_with("# m4.toml"));
                let shown = shown.expect("the README shows m4.toml").replace("\"m4.token\"", &format!("{:?}", dir.join("m4.token")));
                shown.lines().skip_while(|line| *line != "[cluster]").skip(1).collect::<Vec<_>>().join("\n")
            }
            _ => line.replace("m1", &format!("m{number}")),
        })
        .collect();
    let file = dir.join(format!("m{number}.toml"));
    std::fs::write(&file, text.join("\n")).unwrap();
    load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none()).unwrap().accepted().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_as_in_the_readme_serves_clients_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_with_graft(dir.path());
    let shown = commands(&read("README.md"));
    for Shown { command, .. } in shown.iter().filter(|shown| shown.command.starts_with("graft tls ")) {
        let made = shell(command, &path, "", dir.path()).await;
        assert!(made.status.success(), "`{command}`: {}", String::from_utf8_lossy(&made.stderr));
    }
    let block = blocks(&read("README.md"), "toml").into_iter().find(|block| block.contains("callers_ca"));
    let file = dir.path().join("m1.toml");
    std::fs::write(&file, block.expect("the README shows it").replace("\"tls/", &format!("\"{}/tls/", dir.path().display()))).unwrap();
    let flags =
        Flags { config: Some(file), data_dir: Some(dir.path().join("data")), listen: Some("127.0.0.1:0".into()), ..Flags::default() };
    let member = Daemon::start(load(&flags, &Sources::none()).unwrap().accepted().unwrap()).await.unwrap();
    tokio::time::timeout(PATIENCE, member.ready()).await.expect("it becomes ready in time").unwrap();
    let mut asked = 0;
    for Shown { command, .. } in shown.iter().filter(|shown| shown.command.contains(SHOWN_SECURE)) {
        let command = command.replace(SHOWN_SECURE, &member.client_url());
        let output = shell(&command, &path, "", dir.path()).await;
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.contains("leader"), "`{command}`: {said}{wrong}");
        let bare = shell(&format!("graft --addr {} --tls-ca tls/ca.pem cluster status", member.client_url()), &path, "", dir.path()).await;
        let wrong = String::from_utf8_lossy(&bare.stderr);
        assert!(bare.status.code() == Some(6) && wrong.contains("GR9013") && wrong.contains("--tls-cert"), "{:?}: {wrong}", bare.status);
        asked += 1;
    }
    assert_eq!(asked, 1);
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_as_in_the_readme_let_callers_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = path_with_graft(dir.path());
    std::fs::write(dir.path().join("root.token"), "r".repeat(64)).unwrap();
    let block = blocks(&read("README.md"), "toml").into_iter().find(|block| block.contains("root_token_file"));
    let file = dir.path().join("m1.toml");
    std::fs::write(&file, block.expect("the README shows it").replace("root.token", dir.path().join("root.token").to_str().unwrap()))
        .unwrap();
    let flags =
        Flags { config: Some(file), data_dir: Some(dir.path().join("data")), listen: Some("127.0.0.1:0".into()), ..Flags::default() };
    let member = Daemon::start(load(&flags, &Sources::none()).unwrap().accepted().unwrap()).await.unwrap();
    tokio::time::timeout(PATIENCE, member.ready()).await.expect("it becomes ready in time").unwrap();
    let addr = member.client_url();
    let mut asked = 0;
    for Shown { command, .. } in commands(&read("README.md")).iter().filter(|shown| shown.command.contains(SHOWN_TOKEN)) {
        let ran = shell(command, &path, &addr, dir.path()).await;
        let (said, wrong) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "`{command}`: {said}{wrong}");
        asked += 1;
    }
    assert!(asked > 4, "the README shows tokens, and {asked} commands of it were found");
    // A worker with the token that was made for it takes what was started; it may do nothing else.
    let client = |file: &str| Client::builder(&addr).token_file(dir.path().join(file)).build().unwrap();
    let stop = CancellationToken::new();
    let greet =
        |_, _: (), name: String| async move { Ok(Outcome::done().merge(&serde_json::json!({ "greeting": format!("Hello, {name}!") }))) };
    let worker = Worker::builder(client("greeter.token")).node_fn("greet", greet);
    let worker = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));
    let state: serde_json::Value = client("orders.token").workflow("hello-9").result().await.expect("it is executed");
    assert_eq!(state["greeting"], "Hello, Barbara!");
    assert_eq!(client("greeter.token").counts().await.unwrap_err().code(), "GR0031");
    stop.cancel();
    worker.await.expect("no panic").expect("a good end");
    member.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_files_as_in_the_readme_make_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    // Held until all are chosen, so that they differ.
    let held: Vec<std::net::TcpListener> = (0..8).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |at: usize| held[at].local_addr().unwrap().port();
    let ports: Vec<(u16, u16)> = (0..4).map(|at| (port(2 * at), port(2 * at + 1))).collect();
    let path = path_with_graft(dir.path());
    for Shown { command, .. } in commands(&read("README.md")).iter().filter(|shown| shown.command.starts_with("graft tls ")) {
        // What is shown for the first member is done for all of them.
        for number in if command.contains("m1") { 1..=3 } else { 1..=1 } {
            let made = shell(&command.replace("m1", &format!("m{number}")), &path, "", dir.path()).await;
            assert!(made.status.success(), "`{command}`: {}", String::from_utf8_lossy(&made.stderr));
        }
    }
    let configs: Vec<Config> = (1..=3).map(|number| member(number, &ports, dir.path())).collect();
    drop(held);
    let mut members = Vec::new();
    for config in configs {
        members.push(Daemon::start(config).await.unwrap());
    }
    for member in &members {
        tokio::time::timeout(PATIENCE, member.ready()).await.expect("three members form a cluster in time").unwrap();
    }
    let urls = ports[..3].iter().map(|(client, _)| format!("http://127.0.0.1:{client}")).collect::<Vec<_>>().join(",");
    let mut asked = 0;
    for Shown { command, .. } in commands(&read("README.md")) {
        if command == "graftd --config m4.toml" {
            let fourth = Daemon::start(member(4, &ports, dir.path())).await.unwrap();
            tokio::time::timeout(PATIENCE, fourth.ready()).await.expect("a fourth member joins in time").unwrap();
            members.push(fourth);
        }
        if !command.contains(SHOWN_MEMBERS) {
            continue;
        }
        let output = shell(&command.replace(SHOWN_MEMBERS, &urls), &path, "", dir.path()).await;
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "`{command}`: {said}{wrong}");
        if command.ends_with("cluster status") {
            assert!(["m1", "m2", "m3", "leader"].iter().all(|word| said.contains(word)), "{said}");
        }
        if command.ends_with("cluster members") {
            assert!(said.lines().any(|line| line.starts_with("m4") && line.contains("learner")), "{said}");
        }
        asked += 1;
    }
    assert!(asked > 5, "the README asks the members, and {asked} commands of it were found");
    for member in members {
        member.shutdown().await;
    }
}
