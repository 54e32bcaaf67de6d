//! What the tests share: a daemon and a worker in this process, and `graft` run against them.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use graft_client::{Client, Failure, NodeContext, Outcome, Worker};
use graftd::app::Daemon;
use graftd::config::Config;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Variables of the environment that `graft` reads.
pub(crate) const VARIABLES: [&str; 10] = [
    "GRAFT_ADDR",
    "GRAFT_NAMESPACE",
    "GRAFT_CONTEXT",
    "GRAFT_TOKEN_FILE",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "GRAFT_PAGER",
    "PAGER",
    "LESS",
    "COLUMNS",
];
/// Where no contexts are kept: those of whoever runs the tests are none of ours.
pub(crate) const NO_CONFIG: &str = "/nonexistent";

/// A daemon, and a worker that knows nine nodes: `count` does one step, `fan` three in parallel and a join, `wide` twenty of them; `fail` fails for good, and `paint`
/// as well, with words that would steer a terminal; `hold` stays until it is let go, whoever cancels it, and goes on with `count`; `split` does
/// `hold` and `count` in parallel and joins them with `count`; `choosy` fails for good unless its config or the state has `ok`; `later` fails and
/// wants an hour, but does it the second time.
pub(crate) struct Here {
    pub(crate) addr: String,
    daemon: Daemon,
    worker: tokio::task::JoinHandle<()>,
    stop: watch::Sender<bool>,
    held: Arc<AtomicU32>,
    let_go: Arc<Semaphore>,
    _data: TempDir,
}

impl Here {
    pub(crate) async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let daemon = within("the daemon's start", Daemon::start(Config::in_process(data.path()))).await.unwrap();
        within("the daemon to be ready", daemon.ready()).await.unwrap();
        let addr = format!("http://{}", daemon.client_address());
        let client = Client::connect(&addr).unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let (held, let_go) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let hold = (held.clone(), let_go.clone());
        let worker = Worker::builder(client.clone())
            .name("counter")
            .node_fn("count", |_: NodeContext, (): (), (): ()| async { Ok(Outcome::done().increment("/n", 1)) })
            .node_fn("fan", |_: NodeContext, (): (), (): ()| async {
                let tasks = (0..3).map(|_| graft_client::Next::named("count", ()));
                Ok(Outcome::done().fan_out(tasks).join(graft_client::Next::named("count", ())))
            })
            .node_fn("wide", |_: NodeContext, (): (), (): ()| async {
                let tasks = (0..20).map(|_| graft_client::Next::named("count", ()));
                Ok(Outcome::done().fan_out(tasks).join(graft_client::Next::named("count", ())))
            })
            .node_fn("crowd", |_: NodeContext, (): (), (): ()| async {
                let tasks = (0..9_998).map(|_| graft_client::Next::named("noop", ()));
                Ok(Outcome::done().fan_out(tasks).join(graft_client::Next::named("count", ())))
            })
            .node_fn("noop", |_: NodeContext, (): (), (): ()| async { Ok(Outcome::done()) })
            .node_fn("split", |_: NodeContext, (): (), (): ()| async {
                let tasks = ["hold", "count"].map(|node| graft_client::Next::named(node, ()));
                Ok(Outcome::done().fan_out(tasks).join(graft_client::Next::named("count", ())))
            })
            .node_fn("fail", |_: NodeContext, (): (), (): ()| async { Err::<Outcome<()>, _>(Failure::permanent("no stock")) })
            .node_fn("paint", |_: NodeContext, (): (), (): ()| async {
                Err::<Outcome<()>, _>(Failure::permanent("\u{1b}[2Jred\u{7}\nand \u{9b}31mblue"))
            })
            .node_fn("choosy", |_: NodeContext, state: Value, config: Value| async move {
                if state["ok"] == true || config["ok"] == true {
                    return Ok(Outcome::<Value>::done());
                }
                Err(Failure::permanent(format!("{} is out of stock", config["item"])))
            })
            .node_fn("later", |context: NodeContext, (): (), (): ()| async move {
                match context.attempt() {
                    1 => Err(Failure::retry_after(Duration::from_secs(3_600), "gateway is down")),
                    _ => Ok(Outcome::done()),
                }
            })
            .node_fn("hold", move |_: NodeContext, (): (), (): ()| {
                let (held, let_go) = hold.clone();
                async move {
                    held.fetch_add(1, Ordering::SeqCst);
                    let _closed = let_go.acquire().await;
                    Ok(Outcome::done().next(graft_client::Next::named("count", ())))
                }
            })
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
        Self { addr, daemon, worker, stop, held, let_go, _data: data }
    }

    /// Lets the attempts of `hold` go.
    pub(crate) fn let_go(&self) {
        self.let_go.close();
    }

    /// Waits until so many attempts of `hold` run.
    pub(crate) async fn holds(&self, attempts: u32) {
        let running = async {
            while self.held.load(Ordering::SeqCst) < attempts {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("attempts of `hold` to run", running).await;
    }

    pub(crate) async fn stop(self) {
        self.let_go();
        self.stop.send(true).unwrap();
        within("the worker's end", self.worker).await.unwrap();
        within("the daemon's end", self.daemon.shutdown()).await;
    }

    /// Runs `graft` against it.
    pub(crate) async fn graft(&self, words: &[&str]) -> Ran {
        graft(&[&["--addr", &self.addr], words].concat()).await
    }

    /// Runs `graft`, which succeeds, and reads what it says as JSON, which is as its schema says.
    pub(crate) async fn json(&self, words: &[&str]) -> Value {
        let ran = self.graft(&[words, &["-o", "json"]].concat()).await;
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.stderr);
        let document = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{words:?} is no JSON: {error}: {}", ran.stdout));
        crate::schemas::hold(&document);
        document
    }
}

/// Waits for something, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// How `graft` ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

pub(crate) async fn graft(words: &[&str]) -> Ran {
    graft_with(words, &[]).await
}

/// Runs `graft` with some variables of the environment set, or not; otherwise none that it reads is.
pub(crate) async fn graft_with(words: &[&str], variables: &[(&str, Option<&str>)]) -> Ran {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", NO_CONFIG);
    command.envs(variables.iter().filter_map(|(name, value)| Some((name, (*value)?))));
    within(&format!("the end of graft {words:?}"), command.output()).await.unwrap().into()
}

/// What Ctrl-C sends.
pub(crate) fn interrupt(process: u32) {
    use nix::sys::signal::{Signal, kill};
    kill(nix::unistd::Pid::from_raw(process.try_into().unwrap()), Signal::SIGINT).unwrap();
}
