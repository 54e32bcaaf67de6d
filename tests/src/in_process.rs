//! A daemon in the test's own process, and workers beside it: for tests that look at what nodes do, and not at how processes die.

use std::sync::Arc;

use graft_client::{Client, ClientError, Worker, WorkerBuilder};
use graftd::app::Daemon;
use graftd::config::Config;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http;

/// A daemon with a data directory of its own, and a client of it.
pub struct InProcess {
    /// The client.
    pub client: Client,
    daemon: Daemon,
    _directory: TempDir,
}

/// A worker of this process.
pub struct RunningWorker {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ClientError>>,
}

/// Holds nodes back until the test lets them on.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl InProcess {
    /// Starts one as `change` wants it, and waits until it is ready.
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut config = Config::in_process(directory.path());
        change(&mut config);
        let daemon = Daemon::start(config).await.expect("a daemon with a new data directory starts");
        daemon.ready().await.expect("it becomes ready");
        let client = Client::connect(format!("http://{}", daemon.client_address())).expect("a valid address");
        Self { client, daemon, _directory: directory }
    }

    /// Where it answers clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.daemon.client_address())
    }

    /// A worker that is not started yet.
    pub fn worker(&self) -> WorkerBuilder {
        Worker::builder(self.client.clone())
    }

    /// A metric, 0 if it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        http::metrics(&self.daemon.client_address().to_string(), [name]).map_or(0.0, |[value]| value)
    }

    /// Ends the workers, and then the daemon.
    pub async fn end(self, workers: impl IntoIterator<Item = RunningWorker>) {
        for worker in workers {
            worker.stop().await;
        }
        self.daemon.shutdown().await;
    }
}

impl RunningWorker {
    /// Starts it.
    pub fn of(worker: WorkerBuilder) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(worker.run_until(stop.clone().cancelled_owned())), stop }
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("a worker that was asked to end");
    }
}

impl Gate {
    /// A closed one.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        // Closing it is opening it: whoever waits is woken with an error.
        let _ = self.0.acquire().await;
    }

    /// Opens it, for good.
    pub fn open(&self) {
        self.0.close();
    }
}
