//! `graft dev`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::here::{Ran, graft};

#[tokio::test]
async fn a_development_server_says_where_it_is_and_ends_when_it_is_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(["dev", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = lines.find_map(|line| line.unwrap().split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned));
    let addr = addr.expect("no address was said");
    let ran = graft(&["--addr", &addr, "cluster", "status", "-o", "json"]).await;
    let ended = nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().try_into().unwrap()), nix::sys::signal::Signal::SIGTERM);
    let ran_dev: Ran = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap().into()).await.unwrap();
    ended.unwrap();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran_dev.code, 0, "{}", ran_dev.stderr);
}

#[tokio::test]
async fn a_development_server_that_others_could_reach_is_refused_with_what_serves_them() {
    let ran = graft(&["dev", "--listen", "0.0.0.0:0"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("this machine only") && ran.stderr.contains("graftd --listen 0.0.0.0:0 --insecure"), "{}", ran.stderr);
}
