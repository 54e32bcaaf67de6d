//! The real binary: its first lines, its log, its exit codes.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn graftd(data: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graftd"));
    command.arg("--data-dir").arg(data).args(["--listen", "127.0.0.1:0"]).args(flags).stdin(Stdio::null());
    command
}

fn refused(mut command: Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

/// Killed, by its own id, when dropped.
struct Running {
    child: Child,
    banner: Vec<String>,
    log: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(data: &Path) -> Self {
        let started = Instant::now();
        let mut child = graftd(data, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut banner = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let last = line.starts_with("try ");
            banner.push(line);
            if last {
                break;
            }
        }
        println!("the first {} lines came after {:?}", banner.len(), started.elapsed());
        Self { child, banner, log }
    }

    /// Reads the log up to the line that begins so.
    fn logged(&mut self, message: &str) -> serde_json::Value {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            assert!(self.log.read_line(&mut seen).unwrap() > 0, "the log ended before {message:?}:\n{seen}");
            let line: serde_json::Value = serde_json::from_str(&seen[start..]).unwrap_or_else(|e| panic!("{e}: {seen}"));
            if line["msg"].as_str().is_some_and(|msg| msg.starts_with(message)) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_says_what_it_is_gets_ready_and_drains_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut daemon = Running::start(&data);
    assert!(daemon.banner.len() <= 8, "{:?}", daemon.banner);
    assert!(daemon.banner[0].starts_with("graftd "), "{:?}", daemon.banner);
    let ready = daemon.logged("ready after");
    assert_eq!(ready["level"], "info");
    assert!(ready["node"].is_string() && ready["cluster_id"].is_string(), "{ready}");

    // The directory is in use.
    let (code, said) = refused(graftd(&data, &["--log-format", "text"]));
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("another graftd is running on it"), "{said}");

    kill(Pid::from_raw(daemon.child.id() as i32), Signal::SIGTERM).unwrap();
    daemon.logged("drained");
    let mut rest = String::new();
    daemon.log.read_to_string(&mut rest).unwrap();
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0), "{rest}");
}

#[test]
fn what_was_said_wrong_ends_it_with_78_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut misspelt = graftd(&data, &[]);
    misspelt.env("GRAFT__RAFT__HEARTBEET", "1s");
    let (code, said) = refused(misspelt);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("did you mean `GRAFT__RAFT__HEARTBEAT`?"), "{said}");

    let (code, said) = refused(graftd(&data, &["--log-level", "loud=er=est"]));
    assert!(code == 78 && said.contains("log.level"), "{said}");

    let (code, said) = refused(graftd(&data, &["--listen", "0.0.0.0:0"]));
    assert_eq!(code, 2, "a flag is said once: {said}");

    let mut beyond = Command::new(env!("CARGO_BIN_EXE_graftd"));
    beyond.args(["--listen", "10.1.2.3:7420"]).arg("--data-dir").arg(&data);
    let (code, said) = refused(beyond);
    assert!(code == 78 && said.contains("neither TLS nor authentication") && said.contains("--insecure"), "{said}");
    assert!(!data.exists(), "nothing is made before the configuration is accepted");
}
