//! Worker processes for the tests: `chain` counts itself down to `last`, `fan` opens a fan-out of `leaf` and joins in `join`. What they do to
//! the state can be counted afterwards: [`crate::load`] says how. `slow` takes its time, and `held` never ends on one worker.

use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use graft_client::{Client, Next, NodeContext, Outcome, Worker, shutdown_signal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bridge::Machine;

/// Config of `chain`: how many more steps follow.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ChainConfig {
    /// Steps that follow this one.
    pub left: u32,
}

/// Config of `fan`: how wide.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct FanConfig {
    /// Leaves.
    pub width: u32,
}

/// Config of `held`: by whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldConfig {
    /// Name of the worker that never gets to its end.
    pub by: String,
}

/// How long `slow` takes.
pub const SLOW: Duration = Duration::from_millis(500);
/// How long attempts may run on when a worker is asked to end: enough for all but `held`.
pub const DRAIN_GRACE: Duration = Duration::from_secs(2);

/// Runs the nodes until SIGTERM. Called by the `test-worker` binary with the members' URLs, the worker's name, and whether it serves the
/// nodes that workflows end with.
pub async fn run(urls: &str, name: &str, ends: bool) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(urls)?;
    let own: Arc<str> = name.into();
    let worker = Worker::builder(client)
        .name(name)
        .drain_grace(DRAIN_GRACE)
        .node_fn("slow", |_cx: NodeContext, _state: Value, _config: Value| async move {
            tokio::time::sleep(SLOW).await;
            Ok(Outcome::done().increment("/count", 1))
        })
        .node_fn("held", move |_cx: NodeContext, _state: Value, config: HeldConfig| {
            let own = own.clone();
            async move {
                if config.by == *own {
                    std::future::pending::<()>().await;
                }
                Ok(Outcome::done().increment("/count", 1))
            }
        })
        .node_fn("chain", |_cx: NodeContext, _state: Value, config: ChainConfig| async move {
            let outcome = Outcome::done().increment("/count", 1);
            Ok(match config.left {
                0 => outcome,
                1 => outcome.next(Next::named("last", Value::Null)),
                left => outcome.next(Next::named("chain", ChainConfig { left: left - 1 })),
            })
        })
        .node_fn("fan", |_cx: NodeContext, _state: Value, config: FanConfig| async move {
            let leaves = (0..config.width).map(|leaf| Next::named("leaf", json!({ "leaf": leaf })));
            Ok(Outcome::done().increment("/fans", 1).fan_out(leaves).join(Next::named("join", Value::Null)))
        })
        .node_fn("leaf", |_cx: NodeContext, _state: Value, config: Value| async move {
            Ok(Outcome::done().increment("/leaves", 1).append("/seen", &config["leaf"]))
        });
    let worker = match ends {
        false => worker,
        true => worker
            .node_fn("last", |_cx: NodeContext, _state: Value, _config: Value| async move { Ok(Outcome::done().increment("/count", 1)) })
            .node_fn("join", |_cx: NodeContext, _state: Value, _config: Value| async move { Ok(Outcome::done().increment("/joins", 1)) }),
    };
    worker.run_until(shutdown_signal()).await?;
    Ok(())
}

/// The `main` of a worker process: `test-worker URLS NAME all|without-ends`.
pub fn main_from_args() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ran = match args.as_slice() {
        [urls, name, nodes] if nodes == "all" || nodes == "without-ends" => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(run(urls, name, nodes == "all"))
        }
        _ => Err("usage: test-worker URLS NAME all|without-ends".into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("test-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A worker process of ours; killed when dropped.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Option<Child>,
}

impl WorkerProcess {
    /// Starts one for these members.
    pub fn start(urls: &str, name: &str) -> Self {
        Self::spawn(urls, name, "all")
    }

    /// Starts one that serves everything but what workflows end with: with such workers alone, nothing ends.
    pub fn start_without_ends(urls: &str, name: &str) -> Self {
        Self::spawn(urls, name, "without-ends")
    }

    /// Starts one on another machine.
    pub fn start_on(machine: &Machine, urls: &str, name: &str) -> Self {
        let mut command = machine.command(crate::binary("test-worker"));
        command.env(crate::AS, "test-worker");
        Self::spawned(command, urls, name, "all")
    }

    fn spawn(urls: &str, name: &str, nodes: &str) -> Self {
        Self::spawned(crate::command("test-worker"), urls, name, nodes)
    }

    fn spawned(mut command: Command, urls: &str, name: &str, nodes: &str) -> Self {
        Self { child: Some(command.args([urls, name, nodes]).stdin(Stdio::null()).spawn().expect("the test worker starts")) }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.stop();
    }

    /// SIGTERM, at once; what is returned waits for the process to end by itself.
    pub fn terminate(mut self) -> impl Future<Output = ExitStatus> + use<> {
        crate::terminate(self.child.take().expect("it runs"))
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.stop();
    }
}
