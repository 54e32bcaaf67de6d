//! The real binary: its first lines, its log, its exit codes.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use graft_proto::v1::access_service_client::AccessServiceClient;
use graft_proto::v1::worker_service_client::WorkerServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graft_proto::v1::{FromWorker, Hello, NodeCapacity, StartRequest, WhoAmIRequest, from_worker};
use graftd::auth::token::{Kind, Token};
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Most lines that it says first.
const BANNER_LINES_MAX: usize = 8;
/// Longest time until they are there.
const BANNER_WITHIN: Duration = Duration::from_millis(100);
/// Width of the column of labels in them.
const LABEL_WIDTH: usize = 9;

/// The daemon in `dir`, on a free port, without any argument.
fn graftd_in(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graftd"));
    command.current_dir(dir).env("GRAFT__CLIENT__LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    command
}

/// The daemon with these data, on a free port.
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
    banner_after: Duration,
    log: Option<BufReader<ChildStderr>>,
}

impl Running {
    fn start(command: Command) -> Self {
        Self::start_logging(command, Stdio::piped())
    }

    fn start_logging(mut command: Command, to: Stdio) -> Self {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(to).spawn().unwrap();
        let log = child.stderr.take().map(BufReader::new);
        let mut banner = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let last = line.starts_with("try ");
            banner.push(line);
            if last {
                break;
            }
        }
        Self { child, banner, banner_after: started.elapsed(), log }
    }

    /// What stands behind a label of the first lines.
    fn said(&self, label: &str) -> &str {
        let line = self.banner.iter().find(|line| line.split(' ').next() == Some(label));
        line.unwrap_or_else(|| panic!("no {label:?} in {:?}", self.banner))[LABEL_WIDTH + 1..].trim_end()
    }

    /// Asks `/readyz` until it says yes.
    fn ready(&self) {
        let url = self.said("clients").split(' ').next().unwrap();
        let address = url.strip_prefix("http://").unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut answer = String::new();
            let asked = TcpStream::connect(address).and_then(|mut stream| {
                write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
                stream.read_to_string(&mut answer)
            });
            if answer.starts_with("HTTP/1.1 200 ") {
                return;
            }
            assert!(Instant::now() < deadline, "not ready: {asked:?} {answer}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Reads the log up to the line that begins so.
    fn logged(&mut self, message: &str) -> Value {
        self.logged_as(message, |line| line["msg"].as_str().is_some_and(|msg| msg.starts_with(message)))
    }

    /// Reads the log up to a line that is as wished.
    fn logged_as(&mut self, wish: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            assert!(self.log.as_mut().unwrap().read_line(&mut seen).unwrap() > 0, "the log ended before {wish:?}:\n{seen}");
            let line: Value = serde_json::from_str(&seen[start..]).unwrap_or_else(|e| panic!("{e}: {seen}"));
            if wished(&line) {
                return line;
            }
        }
    }

    /// What it answers to a request over HTTP, from the first line on.
    fn asked(&self, request: &str) -> String {
        self.asked_by("nobody", request)
    }

    /// The same, of somebody with a token.
    fn asked_by(&self, token: &str, request: &str) -> String {
        let address = self.said("clients").split(' ').next().unwrap().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let (line, body) = request.split_once('\n').unwrap_or((request, ""));
        let shown = if token == "nobody" { String::new() } else { format!("\r\nAuthorization: Bearer {token}") };
        let head = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json{shown}");
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Its exit code, and what it still wrote to its log.
    fn ended(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        if let Some(log) = &mut self.log {
            log.read_to_string(&mut rest).unwrap();
        }
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn without_arguments_it_says_at_once_what_it_is_and_keeps_its_data_beside_it() {
    let mut fastest = Duration::MAX;
    // The best of three: a busy machine is not what is measured.
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Running::start(graftd_in(dir.path()));
        fastest = fastest.min(daemon.banner_after);
        let banner = daemon.banner.join("\n");
        assert!(daemon.banner.len() <= BANNER_LINES_MAX, "{banner}");
        let aligned = |line: &String| line.as_bytes()[LABEL_WIDTH] == b' ' && line.as_bytes()[LABEL_WIDTH + 1] != b' ';
        assert!(daemon.banner.iter().all(aligned), "{banner}");
        assert_eq!(daemon.said("graftd"), env!("CARGO_PKG_VERSION"));
        assert_eq!(daemon.said("data"), "./graft-data");
        assert!(daemon.said("try").starts_with("graft "), "{banner}");
        daemon.ready();
        assert!(dir.path().join("graft-data").join("state.redb").exists(), "{banner}");
    }
    // Written past the harness, which would keep it to itself.
    let _ = std::io::stderr().write_all(format!("    the first lines of graftd came after {} ms\n", fastest.as_millis()).as_bytes());
    assert!(fastest <= BANNER_WITHIN, "the first lines came after {fastest:?}");
}

#[test]
fn it_gets_ready_and_drains_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut daemon = Running::start(graftd(&data, &[]));
    let ready = daemon.logged("ready after");
    assert_eq!(ready["level"], "info");
    assert!(ready["node"].is_string() && ready["cluster_id"].is_string(), "{ready}");

    // The directory is in use.
    let (code, said) = refused(graftd(&data, &["--log-format", "text"]));
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("another graftd is running on it"), "{said}");

    daemon.signal(Signal::SIGTERM);
    daemon.logged("drained");
    let (code, rest) = daemon.ended();
    assert_eq!(code, Some(0), "{rest}");
}

#[test]
fn a_second_signal_ends_it_at_once_with_130() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Running::start(graftd(&dir.path().join("data"), &[]));
    daemon.logged("ready after");
    // Two different ones: of two equal ones that wait, the system keeps one.
    daemon.signal(Signal::SIGTERM);
    daemon.signal(Signal::SIGINT);
    let again = daemon.logged("SIG");
    assert!(again["msg"].as_str().unwrap().ends_with(": draining"), "{again}");
    let again = daemon.logged("SIG");
    assert!(again["msg"].as_str().unwrap().ends_with(" again: ending at once"), "{again}");
    assert_eq!(daemon.ended().0, Some(130));
    // Nothing was lost by it.
    Running::start(graftd(&dir.path().join("data"), &[])).ready();
}

#[test]
fn a_port_in_use_ends_it_with_75() {
    // Whether it is this test that has the usual port, or somebody else.
    let _held = TcpListener::bind("127.0.0.1:7420");
    let dir = tempfile::tempdir().unwrap();
    let mut usual = graftd_in(dir.path());
    usual.env_remove("GRAFT__CLIENT__LISTEN");
    let (code, said) = refused(usual);
    assert_eq!(code, 75, "{said}");
    assert!(said.contains("client.listen: cannot listen on 127.0.0.1:7420") && said.contains("choose another port"), "{said}");
}

#[test]
fn data_of_another_cluster_end_it_with_77() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Running::start(graftd_in(dir.path()));
    daemon.logged("ready after");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().0, Some(0));
    let mut other = graftd_in(dir.path());
    other.env("GRAFT__CLUSTER__NAME", "other");
    let (code, said) = refused(other);
    assert_eq!(code, 77, "{said}");
    assert!(said.contains("belongs to cluster `graft`") && said.contains("says `other`"), "{said}");
}

/// As with `sudo -u graft graftd` in the home of root. To become somebody else needs root: without it the test says so, and passes.
#[test]
fn where_it_may_not_look_it_ends_with_78_and_says_so() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED: to become somebody else needs root");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("graftd");
    std::fs::copy(env!("CARGO_BIN_EXE_graftd"), &program).unwrap();
    let closed = dir.path().join("closed");
    std::fs::DirBuilder::new().mode(0o700).create(&closed).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).current_dir(closed);
    let (code, said) = refused(command);
    assert!(code == 78 && said.contains("graft-data") && said.contains("Permission denied"), "{said}");
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

/// Everything that a daemon with these flags logs from its start to its end.
fn log_of_a_life(flags: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Running::start(graftd(&dir.path().join("data"), flags));
    // Read beside it: a pipe that nobody reads fills up, and whoever writes to it waits.
    let mut log = daemon.log.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = String::new();
        log.read_to_string(&mut all).unwrap();
        all
    });
    daemon.ready();
    daemon.signal(Signal::SIGTERM);
    let (code, _) = daemon.ended();
    let log = reading.join().unwrap();
    assert_eq!(code, Some(0), "{log}");
    log
}

#[test]
fn the_format_of_the_log_is_as_asked() {
    // What is read by a program is JSON, unless told otherwise.
    for flags in [&["--log-format", "json"][..], &["--log-format", "auto"], &[]] {
        let log = log_of_a_life(flags);
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        assert!(lines.iter().any(|line| line["msg"] == "drained" && line["level"] == "info"), "{log}");
    }
    let log = log_of_a_life(&["--log-format", "text"]);
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "{log}");
    assert!(log.lines().any(|line| line.contains(" INFO ") && line.ends_with("drained")), "{log}");
}

#[test]
fn what_is_unwise_is_logged_when_it_starts() {
    let log = log_of_a_life(&["--log-format", "json"]);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warned = lines.iter().find(|line| line["level"] == "warn" && line["key"] == "client.listen").unwrap_or_else(|| panic!("{log}"));
    assert_eq!(warned["said_in"], "--listen");
    assert!(warned["msg"].as_str().unwrap().contains("each start takes another port"), "{warned}");
}

#[test]
fn the_level_of_the_log_is_as_asked() {
    let levels = |level: &str| {
        let log = log_of_a_life(&["--log-format", "json", "--log-level", level]);
        let level = |line: &str| serde_json::from_str::<Value>(line).unwrap()["level"].as_str().unwrap().to_owned();
        log.lines().map(level).collect::<std::collections::BTreeSet<String>>()
    };
    assert_eq!(levels("error").len(), 0, "a life without errors");
    let info = levels("info");
    assert!(info.contains("info") && !info.contains("debug"), "{info:?}");
    let directive = levels("warn,graftd::app=info");
    assert!(directive.contains("info"), "{directive:?}");
    let named = levels("info,openraft=debug");
    assert!(named.contains("debug"), "{named:?}");
}

#[test]
fn lines_about_a_workflow_name_its_trace_for_whoever_wants_them() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--log-format", "json", "--log-level", "info,history=debug"];
    let mut command = graftd(dir.path(), &flags);
    // Nobody is there: spans are made all the same, and given up.
    command.env("GRAFT__TRACING__ENDPOINT", "http://127.0.0.1:1");
    let mut daemon = Running::start(command);
    daemon.logged("ready after");
    let (trace, caller) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let start = |flags: &str| {
        let body = format!(r#"{{"workflow_id":"w{flags}","nodes":[{{"node":"n"}}],"traceparent":"00-{trace}-{caller}-{flags}"}}"#);
        format!("POST /api/v1/namespaces/default/workflows\n{body}")
    };
    assert!(daemon.asked(&start("01")).starts_with("HTTP/1.1 201"));
    let line = daemon.logged("a workflow was started");
    assert_eq!((&line["target"], &line["level"], &line["workflow_id"]), (&"history".into(), &"debug".into(), &"w01".into()), "{line}");
    assert_eq!(line["trace_id"], trace, "{line}");
    assert!(line["span_id"].as_str().is_some_and(|span| span.len() == 16 && span != caller), "{line}");
    assert!(daemon.asked("POST /api/v1/namespaces/default/workflows/w01/terminate\n{\"reason\":\"enough\"}").starts_with("HTTP/1.1 200"));
    let ended = daemon.logged("a workflow has ended");
    assert_eq!(
        (&ended["outcome"], &ended["why"], &ended["span_id"]),
        (&"terminated".into(), &"enough".into(), &line["span_id"]),
        "{ended}"
    );
    // A caller whose trace nobody records: its id is told, and there is no span.
    assert!(daemon.asked(&start("00")).starts_with("HTTP/1.1 201"));
    let line = daemon.logged("a workflow was started");
    assert_eq!((&line["trace_id"], &line["span_id"]), (&trace.into(), &Value::Null), "{line}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().0, Some(0));
}

#[test]
fn on_sighup_it_takes_over_what_it_can_and_says_what_needs_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("graftd.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[raft]\nheartbeat = \"40ms\"\n");
    let mut daemon = Running::start(graftd(&dir.path().join("data"), &["--config", file.to_str().unwrap()]));
    daemon.logged("ready after");
    let counted = |daemon: &Running| {
        let metrics = daemon.asked("GET /metrics");
        let number =
            |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {metrics}")).to_owned();
        let results = ["applied", "refused"].map(|result| number(&format!("graft_config_reloads_total{{result=\"{result}\"}} ")));
        (number("graft_config_last_reload_success "), results)
    };
    assert_eq!(counted(&daemon), ("1".into(), ["0".into(), "0".into()]));

    // A join token is of no use to who has a cluster: that it is gone is nothing to be told of.
    write(
        "[client]\ncert = \"none.pem\"\nkey = \"none.key\"\n[raft]\nheartbeat = \"40ms\"\n[cluster]\njoin_token_file = \"gone\"\nname = \"else\"\n",
    );
    daemon.signal(Signal::SIGHUP);
    let refused = daemon.logged("with this configuration the next start is refused");
    assert!(refused["msg"].as_str().unwrap().contains("belongs to cluster `graft`"), "{refused}");
    let refused = daemon.logged("with this configuration the next start is refused");
    assert!(refused["level"] == "warn" && refused["msg"].as_str().unwrap().contains("none.pem"), "{refused}");
    let next = daemon.logged_as("what comes then", |line| {
        ["with this", "the configuration"].iter().any(|begins| line["msg"].as_str().unwrap().starts_with(begins))
    });
    assert_eq!(next["msg"], "the configuration was read again");
    assert_eq!(counted(&daemon), ("1".into(), ["1".into(), "0".into()]));

    write("[raft]\nheartbeat = \"45ms\"\n[log]\nlevel = \"info,graftd::app=debug\"\n");
    daemon.signal(Signal::SIGHUP);
    let waits = daemon.logged("raft.heartbeat stays");
    assert_eq!((&waits["level"], &waits["was"], &waits["now"]), (&"warn".into(), &"\"40ms\"".into(), &"\"45ms\"".into()), "{waits}");
    assert!(waits["said_in"].as_str().unwrap().ends_with("graftd.toml:2"), "{waits}");
    let taken = daemon.logged("log.level is");
    assert_eq!((&taken["was"], &taken["now"]), (&"\"info\"".into(), &"\"info,graftd::app=debug\"".into()), "{taken}");
    let done = daemon.logged("the configuration was read again");
    assert_eq!((&done["level"], &done["changed"], &done["waiting"]), (&"info".into(), &1.into(), &1.into()), "{done}");

    // Another level, and a key that is none: nothing of it is taken over.
    write("[raft]\nhearbeat = \"45ms\"\n[log]\nlevel = \"error\"\n");
    daemon.signal(Signal::SIGHUP);
    let refused = daemon.logged("the configuration was read again and is refused");
    assert_eq!(refused["level"], "error");
    assert!(refused["msg"].as_str().unwrap().contains("did you mean `raft.heartbeat`?"), "{refused}");
    assert_eq!(counted(&daemon), ("0".into(), ["2".into(), "1".into()]));

    write("[raft]\nheartbeat = \"40ms\"\n");
    daemon.signal(Signal::SIGHUP);
    // The level that was taken over is in force still.
    let debug = daemon.logged_as("a line below info", |line| line["level"] == "debug");
    assert_eq!(debug["files"], file.to_str().unwrap(), "{debug}");
    let done = daemon.logged("the configuration was read again");
    assert_eq!((&done["changed"], &done["waiting"]), (&1.into(), &0.into()), "{done}");
    assert_eq!(counted(&daemon), ("1".into(), ["3".into(), "1".into()]));
    daemon.signal(Signal::SIGHUP);
    let next =
        daemon.logged_as("the next line of a reload, or one below info", |line| line["level"] == "debug" || line.get("waiting").is_some());
    assert_eq!(next["level"], "info", "the level is the first one again: {next}");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().0, Some(0));
}

/// Another root token in the same file changes no key; it is told all the same, and no part of it is.
#[test]
fn on_sighup_it_says_that_callers_are_asked_anew() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let [first, second] = [(); 2].map(|()| Token::mint(Kind::Api).reveal());
    std::fs::write(&root, &first).unwrap();
    let mut command = graftd(&dir.path().join("data"), &[]);
    command.env("GRAFT__AUTH__REQUIRED", "true").env("GRAFT__AUTH__ROOT_TOKEN_FILE", &root);
    let mut daemon = Running::start(command);
    daemon.logged("ready after");
    let asks = |daemon: &Running, token: &str| daemon.asked_by(token, "GET /api/v1/cluster/log-level").contains("\"level\"");
    assert!(asks(&daemon, &first) && !asks(&daemon, &second));
    std::fs::write(&root, &second).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.logged("callers are asked anew");
    assert!(!asks(&daemon, &first) && asks(&daemon, &second));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().0, Some(0));
}

/// A shell on a terminal that is closed leaves no daemon behind that nobody sees; and it drains as if it had been told to.
#[test]
fn it_ends_with_the_terminal_on_which_it_was_started() {
    let dir = tempfile::tempdir().unwrap();
    // No process that is started meanwhile holds it open.
    let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).unwrap();
    let mut command = graftd(&dir.path().join("data"), &[]);
    let other_side =
        OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(ptsname_r(&terminal).unwrap()).unwrap();
    command.stdin(other_side);
    let mut daemon = Running::start(command);
    daemon.logged("ready after");
    // It is a terminal still.
    daemon.signal(Signal::SIGHUP);
    daemon.logged("the configuration was read again");
    drop(terminal);
    daemon.signal(Signal::SIGHUP);
    daemon.logged("SIGHUP, and the terminal is gone: draining");
    assert_eq!(daemon.ended().0, Some(0));
}

/// What operators may send to somebody else names the file of a secret, and never what is in it.
#[test]
fn a_member_says_how_it_is_and_its_level_can_be_changed_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (file, secret) = (dir.path().join("token"), Token::mint(Kind::Join).reveal());
    std::fs::write(&file, &secret).unwrap();
    let mut command = graftd(&dir.path().join("data"), &[]);
    command.env("GRAFT__CLUSTER__JOIN_TOKEN_FILE", &file);
    let mut daemon = Running::start(command);
    daemon.logged("ready after");
    let answered = |daemon: &Running, request: &str| {
        let answer = daemon.asked(request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        // A long answer comes in chunks, whose sizes stand between.
        let body = if head.to_lowercase().contains("transfer-encoding: chunked") { joined(body) } else { body.to_owned() };
        (status, serde_json::from_str::<Value>(&body).unwrap_or_else(|e| panic!("{e}: {answer}")))
    };
    let (status, said) = answered(&daemon, "GET /api/v1/cluster/diagnosis");
    assert_eq!((status, &said["log_level"], &said["version"]), (200, &"info".into(), &env!("CARGO_PKG_VERSION").into()));
    let configuration = said["configuration"].as_str().unwrap();
    let line = configuration.lines().find(|line| line.starts_with("join_token_file")).unwrap();
    assert!(line.contains(file.to_str().unwrap()) && line.ends_with("# GRAFT__CLUSTER__JOIN_TOKEN_FILE"), "{line}");
    let lines = said["log_lines"].as_array().unwrap();
    assert!(lines.iter().any(|line| line.as_str().unwrap().contains("ready after")), "{lines:?}");
    assert!(said["metrics"].as_str().unwrap().contains("\ngraft_build_info{"), "{said}");
    assert!(said["readiness"].as_str().unwrap().contains("[+]ready"), "{said}");
    assert!(!said.to_string().contains(secret.rsplit('.').next().unwrap()), "a secret is told");

    let more = "info,graftd::app=debug";
    let (status, changed) = answered(&daemon, &format!("PUT /api/v1/cluster/log-level\n{{\"level\":\"{more}\"}}"));
    assert_eq!(
        (status, &changed["level"], &changed["before"], &changed["configured"]),
        (200, &more.into(), &"info".into(), &"info".into())
    );
    let (status, refused) = answered(&daemon, "PUT /api/v1/cluster/log-level\n{\"level\":\"loud\"}");
    assert_eq!((status, &refused["code"]), (400, &"GR0001".into()), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("`loud` is no level"), "{refused}");
    assert_eq!(answered(&daemon, "GET /api/v1/cluster/log-level").1["level"], more);
    // What was configured holds again when the configuration is read again; until then the level is the one that was asked for.
    daemon.signal(Signal::SIGHUP);
    daemon.logged_as("a line below info", |line| line["level"] == "debug");
    daemon.logged("the configuration was read again");
    assert_eq!(answered(&daemon, "GET /api/v1/cluster/log-level").1["level"], "info");
    assert_eq!(answered(&daemon, "PUT /api/v1/cluster/log-level\n{\"level\":\"error\"}").1["level"], "error");
    assert_eq!(answered(&daemon, "PUT /api/v1/cluster/log-level\n{\"level\":\"\"}").1["level"], "info");
}

/// Whatever the level: no secret that it was given, gave out or was shown stands in its log.
#[test]
fn no_secret_stands_in_a_log_of_any_level() {
    let dir = tempfile::tempdir().unwrap();
    let (root, join, log) = (dir.path().join("root"), dir.path().join("join"), dir.path().join("log"));
    let (secret, shown) = (Token::mint(Kind::Api).reveal(), Token::mint(Kind::Join).reveal());
    std::fs::write(&root, &secret).unwrap();
    std::fs::write(&join, &shown).unwrap();
    let mut command = graftd(&dir.path().join("data"), &[]);
    command.env("GRAFT__LOG__LEVEL", "trace").env("GRAFT__AUTH__REQUIRED", "true");
    command.env("GRAFT__AUTH__ROOT_TOKEN_FILE", &root).env("GRAFT__CLUSTER__JOIN_TOKEN_FILE", &join);
    let mut daemon = Running::start_logging(command, std::fs::File::create(&log).unwrap().into());
    daemon.ready();
    let told = |answer: &str, field: &str| {
        let text = answer.split_once(&format!("\"{field}\":\"")).unwrap_or_else(|| panic!("no {field}: {answer}")).1;
        text.split('"').next().unwrap().to_owned()
    };
    let new = "POST /api/v1/access/tokens\n{\"name\":\"ada\",\"grants\":[\"operator\"]}";
    let made = told(&daemon.asked_by(&secret, new), "secret");
    assert!(daemon.asked_by(&made, "GET /api/v1/access/me").contains("\"operator\""));
    let joining = told(&daemon.asked_by(&secret, "POST /api/v1/cluster/join-tokens\n{}"), "token");
    let guess = Token::mint(Kind::Api).reveal();
    assert!(daemon.asked_by(&guess, "GET /api/v1/access/me").contains("GR0030"));
    // And over HTTP/2.
    let url = daemon.said("clients").split(' ').next().unwrap().to_owned();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut access = AccessServiceClient::connect(url).await.unwrap();
        for token in [&secret, &made, &guess] {
            let mut request = tonic::Request::new(WhoAmIRequest {});
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            assert_eq!(access.who_am_i(request).await.is_ok(), token != &guess);
        }
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().0, Some(0));
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("\"level\":\"trace\"") && log.contains("a caller was not let in"), "it tells little");
    for (which, token) in [("root", secret), ("configured join", shown), ("API", made), ("join", joining), ("guessed", guess)] {
        let secret = token.rsplit('.').next().unwrap();
        assert!(secret.len() > 30 && !log.contains(secret), "the {which} token stands in the log");
    }
}

/// What administrators do, and what somebody was refused, stands in the log for whoever collects it.
#[test]
fn acts_and_refusals_are_told_to_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (root, log) = (dir.path().join("root"), dir.path().join("log"));
    let secret = Token::mint(Kind::Api).reveal();
    std::fs::write(&root, &secret).unwrap();
    let mut command = graftd(&dir.path().join("data"), &[]);
    command.env("GRAFT__AUTH__REQUIRED", "true").env("GRAFT__AUTH__ROOT_TOKEN_FILE", &root);
    let mut daemon = Running::start_logging(command, std::fs::File::create(&log).unwrap().into());
    daemon.ready();
    let made = daemon.asked_by(&secret, "POST /api/v1/access/tokens\n{\"name\":\"ada\",\"grants\":[\"viewer\"]}");
    let ada = made.split_once("\"secret\":\"").unwrap().1.split('"').next().unwrap();
    // Noted and logged, logged alone, and refused.
    daemon.asked_by(&secret, "PUT /api/v1/cluster/log-level\n{\"level\":\"debug\"}");
    assert!(daemon.asked_by(ada, "PUT /api/v1/cluster/log-level\n{\"level\":\"trace\"}").contains("GR0031"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().0, Some(0));
    let expected = [
        "client:root AccessService.create_token begins ",
        "client:root AccessService.create_token ended ok",
        "client:root ClusterService.log_level begins ",
        "client:root ClusterService.log_level ended ok",
        "client:ada ClusterService.log_level refused GR0031",
    ];
    assert_eq!(audited(&log), expected);
}

/// What stands in a stream is asked about where it is read.
#[test]
fn what_is_refused_within_a_stream_is_told_to_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (root, log) = (dir.path().join("root"), dir.path().join("log"));
    let secret = Token::mint(Kind::Api).reveal();
    std::fs::write(&root, &secret).unwrap();
    let mut command = graftd(&dir.path().join("data"), &[]);
    command.env("GRAFT__AUTH__REQUIRED", "true").env("GRAFT__AUTH__ROOT_TOKEN_FILE", &root);
    let mut daemon = Running::start_logging(command, std::fs::File::create(&log).unwrap().into());
    daemon.ready();
    let made = daemon.asked_by(&secret, "POST /api/v1/access/tokens\n{\"name\":\"ada\",\"grants\":[\"viewer\"]}");
    let ada = made.split_once("\"secret\":\"").unwrap().1.split('"').next().unwrap().to_owned();
    let url = daemon.said("clients").split(' ').next().unwrap().to_owned();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let by_ada = |mut request: tonic::Request<()>| {
            request.metadata_mut().insert("authorization", format!("Bearer {ada}").parse().unwrap());
            Ok(request)
        };
        let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut workflows = WorkflowServiceClient::with_interceptor(channel.clone(), by_ada);
        let starts = tokio_stream::once(StartRequest { workflow_id: "w".into(), ..Default::default() });
        let answer = workflows.start_many(starts).await.unwrap().into_inner().message().await.unwrap().unwrap();
        assert!(format!("{answer:?}").contains("GR0031"), "{answer:?}");
        // One line a second is told.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let mut workers = WorkerServiceClient::with_interceptor(channel, by_ada);
        let nodes = vec![NodeCapacity { node: "charge".into(), capacity: 1, cluster_limit: 0 }];
        let incarnation = "7f1d0a52-93b9-4f02-8f6e-d7f3cf0d8f10".into();
        let hello = Hello { protocol_min: 1, protocol_max: 1, worker_id: "w1".into(), incarnation, nodes, ..Default::default() };
        let greeting = FromWorker { message: Some(from_worker::Message::Hello(hello)) };
        assert_eq!(workers.work(tokio_stream::once(greeting)).await.unwrap_err().code(), tonic::Code::PermissionDenied);
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().0, Some(0));
    let refused = ["client:ada WorkflowService.start_many refused GR0031", "client:ada WorkerService.work refused GR0031"];
    assert_eq!(audited(&log)[2..], refused);
}

/// What the log has of acts: who, which method, what became of it.
fn audited(log: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(log).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines
        .filter(|line| line["target"] == "audit")
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            let by_token = text("from").starts_with("127.0.0.1, API token ");
            assert!(by_token == (text("principal") == "client:ada") && (by_token || text("from") == "127.0.0.1"), "{line}");
            format!("{} {} {} {}", text("principal"), text("method"), text("msg"), text("outcome").split(':').next().unwrap())
        })
        .collect()
}

/// A body that came in chunks, without their sizes.
fn joined(chunks: &str) -> String {
    let (mut rest, mut whole) = (chunks, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &after[..size];
        rest = after[size..].trim_start_matches("\r\n");
    }
    whole
}
