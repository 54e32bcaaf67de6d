//! What people see of the worker.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attempt::{Handler, Typed};
use super::engine::Settings;
use super::registry::{CONCURRENCY_DEFAULT, NodeOptions, Registry};
use super::shell;
use crate::client::Client;
use crate::context::NodeContext;
use graft_proto::errors::ErrorCode;

use crate::error::ClientError;
use crate::middleware::{Layer, Middleware};
use crate::next::millis;
use crate::node::{Node, NodeResult, node_fn};

/// How long attempts may run on when a worker drains, unless it says otherwise.
pub const DRAIN_GRACE_DEFAULT: Duration = Duration::from_secs(30);

/// A worker that is ready to run. See [`Worker::builder`].
pub struct Worker {
    pub(crate) client: Client,
    pub(crate) registry: Arc<Registry>,
    pub(super) settings: Settings,
}

/// How a [`Worker`] is put together: its nodes, and how it runs them.
#[must_use = "a worker does nothing until it is run"]
pub struct WorkerBuilder {
    client: Client,
    name: String,
    build: String,
    nodes: Vec<(String, Arc<dyn Handler>, NodeOptions)>,
    layers: Vec<Arc<dyn Layer>>,
    concurrency: u32,
    drain_grace: Duration,
}

impl Worker {
    /// Begins a worker in the namespace of `client`.
    pub fn builder(client: Client) -> WorkerBuilder {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".to_owned());
        WorkerBuilder {
            client,
            name: format!("{host}-{}", std::process::id()),
            build: String::new(),
            nodes: Vec::new(),
            layers: Vec::new(),
            concurrency: CONCURRENCY_DEFAULT,
            drain_grace: DRAIN_GRACE_DEFAULT,
        }
    }

    /// Executes tasks until `shutdown` is ready; then drains and returns: takes no new work, lets attempts finish within the grace or hands
    /// them back, sends all results, awaits their acknowledgements, and takes its leave.
    ///
    /// Lost connections and changes of leader are mended without an end. Dropping the future drops all attempts at once.
    ///
    /// A worker that was let in once goes on when it is refused later, because its token was revoked, say: it tries again, after some seconds each
    /// time and with a warning, with the token that is in the file by then.
    ///
    /// # Errors
    /// If the cluster refuses this worker before it was ever let in, for instance because it speaks another protocol version, or its token is
    /// not known or not for one of its nodes.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ClientError> {
        shell::run(self, shutdown).await
    }
}

impl WorkerBuilder {
    /// Name that people know the worker by; otherwise made of host and process id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What the process was built from, in your own words.
    pub fn build_id(mut self, build: impl Into<String>) -> Self {
        self.build = build.into();
        self
    }

    /// Attempts of each node at once, unless its [`NodeOptions`] say otherwise; 100 at first.
    pub fn concurrency(mut self, attempts: u32) -> Self {
        self.concurrency = attempts.max(1);
        self
    }

    /// How long attempts may run on when the worker drains; 30 s at first.
    pub fn drain_grace(mut self, grace: Duration) -> Self {
        self.drain_grace = grace;
        self
    }

    /// Adds middleware around every attempt of all nodes, those that are added later included. The first that is added is the outermost.
    /// See [`middleware`](crate::middleware).
    pub fn layer(mut self, middleware: impl Middleware) -> Self {
        self.layers.push(Arc::new(middleware));
        self
    }

    /// Adds a node.
    pub fn node<N: Node>(self, node: N) -> Self {
        self.node_with(node, NodeOptions::new())
    }

    /// Adds a node, with options.
    pub fn node_with<N: Node>(mut self, node: N, options: NodeOptions) -> Self {
        self.nodes.push((N::NAME.to_owned(), Arc::new(Typed(node)), options));
        self
    }

    /// Adds a closure as a node.
    pub fn node_fn<F, Fut, S, C>(self, name: impl Into<String>, call: F) -> Self
    where
        F: Fn(NodeContext, S, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<S>> + Send + 'static,
        S: Serialize + DeserializeOwned + Send + 'static,
        C: DeserializeOwned + Send + 'static,
    {
        self.node_fn_with(name, NodeOptions::new(), call)
    }

    /// Adds a closure as a node, with options.
    pub fn node_fn_with<F, Fut, S, C>(mut self, name: impl Into<String>, options: NodeOptions, call: F) -> Self
    where
        F: Fn(NodeContext, S, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<S>> + Send + 'static,
        S: Serialize + DeserializeOwned + Send + 'static,
        C: DeserializeOwned + Send + 'static,
    {
        let node = node_fn(name, call);
        self.nodes.push((node.name.clone(), Arc::new(node), options));
        self
    }

    /// Puts the worker together; nothing is sent yet.
    ///
    /// # Errors
    /// If it has no node, or two of one name.
    pub fn build(self) -> Result<Worker, ClientError> {
        let refused = |message: String, remedy: &str| {
            ClientError::new(ErrorCode::BadWorker, "build a worker", format!("worker \"{}\"", self.name), message).remedied(remedy)
        };
        if self.nodes.is_empty() {
            return Err(refused("it has no node".to_owned(), "Add one with .node(..) or .node_fn(..)."));
        }
        let registry = Registry::new(self.nodes, self.concurrency, self.layers)
            .map_err(|node| refused(format!("the node \"{node}\" is there twice"), "Give each node a NAME of its own."))?;
        let settings = Settings {
            namespace: self.client.namespace().to_owned(),
            worker: self.name.clone(),
            incarnation: uuid::Uuid::new_v4().to_string(),
            build: self.build,
            nodes: registry.capacities(),
            drain_grace_ms: millis(self.drain_grace),
        };
        Ok(Worker { client: self.client, registry: Arc::new(registry), settings })
    }

    /// Builds it and runs it. See [`Worker::run_until`].
    ///
    /// # Errors
    /// As [`build`](Self::build) and [`Worker::run_until`].
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ClientError> {
        self.build()?.run_until(shutdown).await
    }
}
