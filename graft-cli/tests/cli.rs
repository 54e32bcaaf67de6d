//! `graft` as people and programs use it: the real binary against a daemon in this process, with a real worker.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use graft_client::{Client, Failure, NodeContext, Outcome, Worker};
use graftd::app::Daemon;
use graftd::config::Config;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon, and a worker that knows three nodes: `count` does one step, `fan` three in parallel and a join, `fail` fails for good.
struct Here {
    addr: String,
    daemon: Daemon,
    worker: tokio::task::JoinHandle<()>,
    stop: watch::Sender<bool>,
    _data: TempDir,
}

impl Here {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let daemon = within("the daemon's start", Daemon::start(Config::in_process(data.path()))).await.unwrap();
        within("the daemon to be ready", daemon.ready()).await.unwrap();
        let addr = format!("http://{}", daemon.client_address());
        let client = Client::connect(&addr).unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let worker = Worker::builder(client.clone())
            .name("counter")
            .node_fn("count", |_: NodeContext, (): (), (): ()| async { Ok(Outcome::done().increment("/n", 1)) })
            .node_fn("fan", |_: NodeContext, (): (), (): ()| async {
                let tasks = (0..3).map(|_| graft_client::Next::named("count", ()));
                Ok(Outcome::done().fan_out(tasks).join(graft_client::Next::named("count", ())))
            })
            .node_fn("fail", |_: NodeContext, (): (), (): ()| async { Err::<Outcome<()>, _>(Failure::permanent("no stock")) })
            .build()
            .unwrap();
        let worker = tokio::spawn(async move {
            let stopped = async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            worker.run_until(stopped).await.unwrap();
        });
        let known = async {
            while !client.workers().await.unwrap().workers.iter().any(|worker| worker.connected) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("the leader to know the worker", known).await;
        Self { addr, daemon, worker, stop, _data: data }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        within("the worker's end", self.worker).await.unwrap();
        within("the daemon's end", self.daemon.shutdown()).await;
    }

    /// Runs `graft` against it.
    async fn graft(&self, words: &[&str]) -> Ran {
        graft(&[&["--addr", &self.addr], words].concat()).await
    }

    /// Runs `graft`, which succeeds, and reads what it says as JSON.
    async fn json(&self, words: &[&str]) -> Value {
        let ran = self.graft(&[words, &["-o", "json"]].concat()).await;
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{words:?} is no JSON: {error}: {}", ran.stdout))
    }
}

/// Waits for something, but not for ever.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// How `graft` ended.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

async fn graft(words: &[&str]) -> Ran {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(words).env_remove("GRAFT_ADDR").env_remove("GRAFT_NAMESPACE").stdin(Stdio::null()).kill_on_drop(true);
    within(&format!("the end of graft {words:?}"), command.output()).await.unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_workflow_is_started_found_and_looked_at() {
    let here = Here::start().await;

    let ran = here.graft(&["workflow", "start", "a", "--node", "fan", "--state", "{\"n\":5}", "--label", "team=sales", "--wait"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("completed") && ran.stdout.contains("\"n\":9") && ran.stdout.contains("team=sales"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");

    let got = here.json(&["workflow", "get", "a"]).await;
    assert_eq!((&got["status"], &got["state"]["n"], &got["labels"]["team"]), (&"completed".into(), &9.into(), &"sales".into()));
    assert!(got["ended_at"].as_str().unwrap().ends_with('Z'), "{got}");

    let watched = here.graft(&["workflow", "watch", "a", "-o", "json"]).await;
    let types: Vec<String> =
        watched.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!((types.first().unwrap().as_str(), types.last().unwrap().as_str()), ("started", "completed"));
    assert_eq!(types.iter().filter(|name| *name == "task_completed").count(), 5, "{types:?}");
    assert_eq!(types.iter().filter(|name| *name == "scope_closed").count(), 1, "{types:?}");

    let history = here.json(&["workflow", "history", "a", "--limit", "2"]).await;
    assert_eq!(history["events"].as_array().unwrap().len(), 2);
    assert!(history["next_cursor"].is_string(), "{history}");
    let all = here.json(&["workflow", "history", "a", "--all"]).await;
    assert_eq!((all["events"].as_array().unwrap().len(), &all["next_cursor"]), (types.len(), &Value::Null));

    let watched = here.graft(&["workflow", "watch", "a"]).await.stdout;
    let told = here.graft(&["workflow", "history", "a"]).await.stdout;
    assert_eq!(watched, told, "a watch that is no terminal and the history tell the same lines");
    assert!(told.contains("done       fan #1") && told.contains("joined") && !told.contains('\u{1b}'), "{told}");

    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_list_is_filtered_and_goes_page_by_page() {
    let here = Here::start().await;
    for id in ["x-1", "x-2", "x-3", "y-1"] {
        let started = here.json(&["workflow", "start", id, "--node", "nobody"]).await;
        assert_eq!((&started["workflow_id"], &started["created"]), (&id.into(), &true.into()));
        assert!(started["warnings"][0].as_str().unwrap().contains("nobody"), "{started}");
    }
    here.json(&["workflow", "pause", "x-2"]).await;
    let ids = |list: &Value| {
        let mut ids: Vec<String> =
            list["workflows"].as_array().unwrap().iter().map(|row| row["workflow_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&here.json(&["workflow", "list"]).await), ["x-1", "x-2", "x-3", "y-1"]);
    assert_eq!(ids(&here.json(&["workflow", "list", "--prefix", "x-"]).await), ["x-1", "x-2", "x-3"]);
    assert_eq!(ids(&here.json(&["workflow", "list", "--status", "paused"]).await), ["x-2"]);
    assert_eq!(ids(&here.json(&["workflow", "list", "--all", "-n", "other"]).await), Vec::<String>::new());
    let page = here.json(&["workflow", "list", "--limit", "3"]).await;
    let rest = here.json(&["workflow", "list", "--cursor", page["next_cursor"].as_str().unwrap()]).await;
    assert_eq!((ids(&page).len(), ids(&rest).len()), (3, 1));
    let ran = here.graft(&["workflow", "list", "--limit", "3"]).await;
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    assert!(ran.stderr.contains("--cursor"), "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_workflow_is_steered() {
    let here = Here::start().await;
    let ran = here.graft(&["workflow", "start", "a", "--node", "cuont"]).await;
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("warning: ") && ran.stderr.contains("\"count\""), "{}", ran.stderr);
    for (verb, status) in [("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")] {
        let ran = here.graft(&["workflow", verb, "a", "--reason", "because"]).await;
        assert_eq!(ran.code, 0, "{verb}: {}", ran.stderr);
        assert!(ran.stdout.contains(status) || (verb == "cancel" && ran.stdout.contains("cancelling")), "{verb}: {}", ran.stdout);
    }
    here.graft(&["workflow", "start", "b", "--node", "nobody"]).await;
    let ended = here.json(&["workflow", "terminate", "b", "--reason", "stuck"]).await;
    assert_eq!((&ended["status"], &ended["reason"]), (&"terminated".into(), &"stuck".into()));
    // What has ended cannot be paused.
    let ran = here.graft(&["workflow", "pause", "b"]).await;
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn errors_have_exit_codes_and_say_what_to_do() {
    let here = Here::start().await;
    for verb in ["get", "watch", "history", "pause", "resume", "cancel", "terminate"] {
        let ran = here.graft(&["workflow", verb, "nowhere"]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{verb}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains("nowhere"), "{verb}: {}", ran.stderr);
    }
    here.json(&["workflow", "start", "a", "--node", "nobody"]).await;
    let ran = here.graft(&["workflow", "start", "a", "--node", "nobody"]).await;
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    let again = here.json(&["workflow", "start", "a", "--node", "nobody", "--on-conflict", "use-existing"]).await;
    assert_eq!(again["created"], false);
    let first = here.json(&["workflow", "start", "r", "--node", "nobody", "--request-id", "q-1"]).await;
    let repeat = here.json(&["workflow", "start", "r", "--node", "nobody", "--request-id", "q-1"]).await;
    assert_eq!(first["run"], repeat["run"]);

    for (state, words) in [("[1]", "no object"), ("{", "no JSON"), ("@no-such-file", "no-such-file")] {
        let ran = here.graft(&["workflow", "start", "s", "--node", "count", "--state", state]).await;
        assert_eq!(ran.code, 2, "{state}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{state}: {}", ran.stderr);
    }
    assert_eq!(here.graft(&["workflow", "strat"]).await.code, 2);

    let ran = here.graft(&["workflow", "start", "f", "--node", "fail", "--wait"]).await;
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("no stock") && ran.stdout.contains("failed"), "{}{}", ran.stdout, ran.stderr);
    let ran = here.graft(&["workflow", "start", "w", "--node", "nobody", "--wait=50ms"]).await;
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    let ran = here.graft(&["workflow", "start", "d", "--node", "nobody", "--deadline", "50ms", "--wait"]).await;
    assert_eq!(ran.code, 12, "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test]
async fn no_server_is_exit_code_6_and_says_how_to_start_one() {
    let ran = graft(&["--addr", "http://127.0.0.1:1", "--timeout", "50ms", "workflow", "list"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (6, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("http://127.0.0.1:1") && ran.stderr.contains("graft dev"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_and_members_are_shown() {
    let here = Here::start().await;
    let workers = here.json(&["worker", "list"]).await;
    assert_eq!((&workers["live"], &workers["workers"][0]["worker_id"]), (&true.into(), &"counter".into()));
    assert_eq!(workers["workers"][0]["nodes"].as_array().unwrap().len(), 3);
    let table = here.graft(&["worker", "list", "--all-namespaces"]).await.stdout;
    assert!(table.contains("counter") && table.contains("connected") && table.contains("fan"), "{table}");

    let cluster = here.json(&["cluster", "status"]).await;
    assert_eq!((&cluster["ready"], &cluster["members"][0]["role"]), (&true.into(), &"leader".into()));
    assert_eq!(cluster["leader"], cluster["answered_by"]);
    let table = here.graft(&["cluster", "status"]).await.stdout;
    assert!(table.contains("leader") && table.contains("APPLIED"), "{table}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_goes_away_is_no_error() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "fan", "--wait"]).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(["--addr", &here.addr, "workflow", "watch", "a"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran: Ran = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap().into()
    })
    .await
    .unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    here.stop().await;
}

const PROMISED_KEYS: [&str; 10] = [
    "workload",
    "workflows_per_s",
    "steps_per_s",
    "latency_us",
    "commands_per_step",
    "entries_per_step",
    "fsyncs_per_s",
    "fdatasync_us_p50",
    "peak_memory_bytes",
    "errors",
];

fn assert_sound(report: &Value) {
    for key in PROMISED_KEYS {
        assert!(report.get(key).is_some_and(|value| !value.is_null()), "{key} is missing in {report}");
    }
    for key in ["p50", "p99", "p999"] {
        assert!(report["latency_us"][key].is_u64(), "{key} is missing in {report}");
    }
    assert_eq!((&report["errors"], &report["repeated_steps"]), (&0.into(), &0.into()), "{report}");
    assert!(report["steps"].as_u64().unwrap() > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bench_measures_every_workload_on_a_running_server() {
    let here = Here::start().await;
    let directory = tempfile::tempdir().unwrap();
    let fsync_dir = directory.path().to_str().unwrap();
    for workload in ["single", "chain", "fanout"] {
        let bench = ["bench", "--workload", workload, "--duration", "1s", "--warmup", "200ms", "--concurrency", "8", "--write"];
        let report = here.json(&[&bench[..], &["--fsync-dir", fsync_dir]].concat()).await;
        assert_sound(&report);
        assert_eq!((&report["workload"], &report["in_process"]), (&workload.into(), &false.into()));
    }
    here.stop().await;
}

#[tokio::test]
async fn the_bench_brings_its_own_server_if_none_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let fsync_dir = directory.path().to_str().unwrap();
    let bench = ["bench", "--duration", "1s", "--warmup", "100ms", "--concurrency", "4", "-o", "json", "--fsync-dir", fsync_dir];
    let ran = graft(&bench).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_sound(&report);
    assert_eq!(report["in_process"], true);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "the bench left data behind");
}

#[cfg(unix)]
#[tokio::test]
async fn a_development_server_says_where_it_is_and_ends_when_it_is_told() {
    use std::io::{BufRead, BufReader};

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
