//! What the shorter examples play on: a server, a client of it, and a worker with the example's nodes.

use std::error::Error;

use clap::Parser;
use graft_client::{Client, ClientError, Worker, WorkerBuilder};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[path = "../server/mod.rs"]
mod server;

/// Where an example runs.
#[derive(Debug, Default, Parser)]
pub struct Options {
    /// Server to use; otherwise one is started in this process, on a free port, with a temporary directory.
    #[arg(long)]
    pub addr: Option<String>,
}

/// A server, a client and a worker.
pub struct Stage {
    /// The client.
    pub client: Client,
    server: server::Server,
    worker: JoinHandle<Result<(), ClientError>>,
    stop: CancellationToken,
}

impl Stage {
    /// With a worker for these nodes.
    pub async fn set(options: Options, nodes: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Result<Self, Box<dyn Error>> {
        let server = server::Server::at(options.addr).await?;
        let client = Client::connect(&server.url)?;
        let stop = CancellationToken::new();
        let worker = nodes(Worker::builder(client.clone())).run_until(stop.clone().cancelled_owned());
        Ok(Self { client, server, worker: tokio::spawn(worker), stop })
    }

    /// Lets the worker finish, and stops the server if it is our own.
    pub async fn clear(self) -> Result<(), Box<dyn Error>> {
        self.stop.cancel();
        self.worker.await??;
        self.server.stop().await;
        Ok(())
    }
}
