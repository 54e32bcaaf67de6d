//! `graft dev`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::here::{Ran, graft, within};

/// A development server that runs, and where it answers.
pub(crate) struct Dev {
    child: Child,
    pub(crate) addr: String,
}

impl Dev {
    pub(crate) fn start(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
        command.args(["dev", "--listen", "127.0.0.1:0"]).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines.find_map(|line| line.unwrap().split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned));
        Self { child, addr: addr.expect("no address was said") }
    }

    /// Tells it to end, and waits for that.
    pub(crate) async fn stop(self) -> Ran {
        let process = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(process, Signal::SIGTERM).unwrap();
        let ended = tokio::task::spawn_blocking(move || self.child.wait_with_output().unwrap().into());
        within("the end of graft dev", ended).await.unwrap()
    }
}

#[tokio::test]
async fn a_development_server_says_where_it_is_and_ends_when_it_is_told() {
    let dev = Dev::start(&[]);
    let ran = graft(&["--addr", &dev.addr, "cluster", "status", "-o", "json"]).await;
    let ended = dev.stop().await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("the data is removed"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_development_server_keeps_its_data_where_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let words = ["--data-dir", directory.path().to_str().unwrap()];
    let dev = Dev::start(&words);
    let started = graft(&["--addr", &dev.addr, "workflow", "start", "kept", "--node", "nobody"]).await;
    let ended = dev.stop().await;
    assert_eq!((started.code, ended.code), (0, 0), "{}{}", started.stderr, ended.stderr);
    assert!(!ended.stderr.contains("removed"), "{}", ended.stderr);

    let dev = Dev::start(&words);
    let got = graft(&["--addr", &dev.addr, "workflow", "get", "kept"]).await;
    dev.stop().await;
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert!(got.stdout.starts_with("kept"), "{}", got.stdout);
}

#[tokio::test]
async fn a_development_server_that_others_could_reach_is_refused_with_what_serves_them() {
    let ran = graft(&["dev", "--listen", "0.0.0.0:0"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("this machine only") && ran.stderr.contains("graftd --listen 0.0.0.0:0 --insecure"), "{}", ran.stderr);
}
