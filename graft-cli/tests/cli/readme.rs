//! What the README says, run as it is printed there: only the program's path and the addresses are others.

use std::process::{Output, Stdio};

use graft_client::Client;
use graftd::app::Daemon;
use graftd::config::{Config, Flags, Sources, load};
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::here::within;

#[path = "../../../graft-client/examples/hello_worker.rs"]
#[expect(dead_code, reason = "its main is for the program")]
mod hello_worker;

const README: &str = include_str!("../../../README.md");

/// The lines of the README that begin so; one at least.
fn lines(beginning: &str) -> Vec<&'static str> {
    let found: Vec<&str> = README.lines().filter(|line| line.starts_with(beginning)).collect();
    assert!(!found.is_empty(), "no line of the README begins with {beginning:?}");
    found
}

/// Runs a line in a shell, with `program` in it replaced by the real one.
async fn shell(line: &str, program: &str, addr: &str) -> Output {
    let line = line.replace(program, env!("CARGO_BIN_EXE_graft"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).env("GRAFT_ADDR", addr).stdin(Stdio::null()).kill_on_drop(true);
    within(&line, shell.output()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_first_worker_greets_whom_the_readme_says() {
    let data = tempfile::tempdir().unwrap();
    let daemon = within("the daemon's start", Daemon::start(Config::in_process(data.path()))).await.unwrap();
    within("the daemon to be ready", daemon.ready()).await.unwrap();
    let addr = format!("http://{}", daemon.client_address());
    assert!(
        README.contains(include_str!("../../../graft-client/examples/hello_worker.rs").trim_end()),
        "the worker of the README is another"
    );
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(hello_worker::run(hello_worker::Options { addr: addr.clone() }, async {
        let _ = stopped.await;
    }));

    let said: Vec<String> = {
        let mut said = Vec::new();
        for line in lines("cargo run --release -p graft-cli -- workflow ") {
            let output = shell(line, "cargo run --release -p graft-cli --", &addr).await;
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{line}: {stdout}\n{stderr}");
            said.push(stdout.into_owned());
        }
        said
    };
    let [start, watch, list] = said.as_slice() else { panic!("the README shows a start, a watch and a list") };
    assert!(start.contains("completed") && start.contains("Hello, Ada!"), "{start}");
    assert!(watch.contains("greet") && watch.contains("wave"), "{watch}");
    assert!(list.contains("hello-1") && list.contains("completed"), "{list}");
    drop(stop);
    within("the worker's end", worker).await.unwrap().unwrap();
    within("the daemon's end", daemon.shutdown()).await;
}

/// The first member's file of the README, for member `number` of three, with other ports and another place for its data.
fn member(number: usize, ports: &[(u16, u16)], dir: &std::path::Path) -> Config {
    let block = README.split("```toml\n# m1.toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the README shows m1.toml");
    let peers = ports.iter().map(|(_, peer)| format!("\"127.0.0.1:{peer}\"")).collect::<Vec<_>>().join(", ");
    let (client, peer) = ports[number - 1];
    let text: Vec<String> = block
        .lines()
        .map(|line| match line.split(" = ").next().unwrap_or_default() {
            "data_dir" => format!("data_dir = {:?}", dir.join(format!("m{number}-data"))),
            "listen" => format!("listen = \"127.0.0.1:{client}\""),
            "peer_listen" => format!("peer_listen = \"127.0.0.1:{peer}\""),
            "peers" => format!("peers = [{peers}]"),
            _ => line.replace("m1", &format!("m{number}")),
        })
        .collect();
    let file = dir.join(format!("m{number}.toml"));
    std::fs::write(&file, text.join("\n")).unwrap();
    load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none()).unwrap().accepted().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_files_as_in_the_readme_make_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    // Held until all are chosen, so that they differ.
    let held: Vec<std::net::TcpListener> = (0..6).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |at: usize| held[at].local_addr().unwrap().port();
    let ports: Vec<(u16, u16)> = (0..3).map(|at| (port(2 * at), port(2 * at + 1))).collect();
    let configs: Vec<Config> = (1..=3).map(|number| member(number, &ports, dir.path())).collect();
    drop(held);
    let mut members = Vec::new();
    for config in configs {
        members.push(Daemon::start(config).await.unwrap());
    }
    for member in &members {
        within("a member to be ready", member.ready()).await.unwrap();
    }
    let urls = ports.iter().map(|(client, _)| format!("http://127.0.0.1:{client}")).collect::<Vec<_>>().join(",");
    Client::connect(urls.as_str()).expect("valid addresses");
    let line = lines("target/release/graft --addr ")[0];
    let shown = line.split(' ').nth(2).expect("an address");
    let output = shell(&line.replace(shown, &urls), "target/release/graft", "").await;
    let status = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{status}{}", String::from_utf8_lossy(&output.stderr));
    assert!(["m1", "m2", "m3", "leader"].iter().all(|word| status.contains(word)), "{status}");
    for member in members {
        within("a member's end", member.shutdown()).await;
    }
}
