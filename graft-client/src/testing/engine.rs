//! The engine, how it is made, and what a test says to it beforehand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use graft_machine::ids::{AttemptRef, Run};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::clock::Clock;
use super::driving::{Ended, Running};
use super::machine::Machine;
use super::scripts::{Scripts, Which};
use crate::client::Client;
use crate::codec::{Codec, PayloadCodec};
use crate::context::NodeContext;
use crate::failure::Failure;
use crate::node::{NodeResult, node_fn};
use crate::worker::{Registry, Worker, WorkerBuilder};

/// The environment variable that [`TestEngineBuilder::any_seed`] takes its seed from, to repeat a run.
pub const SEED_VARIABLE: &str = "GRAFT_TEST_SEED";

/// An engine for workflows in a test. See the [module](super).
pub struct TestEngine {
    pub(super) clock: Clock,
    pub(super) machine: Machine,
    pub(super) client: Client,
    pub(super) registry: Arc<Registry>,
    pub(super) scripts: Scripts,
    /// How many attempts of a node may run at once.
    pub(super) capacities: BTreeMap<String, usize>,
    pub(super) running: BTreeMap<AttemptRef, Running>,
    pub(super) cancelling: BTreeSet<Run>,
    pub(super) leases: u64,
    pub(super) seed: Option<u64>,
    pub(super) dice: u64,
    pub(super) report: mpsc::UnboundedSender<Ended>,
    pub(super) ended: mpsc::UnboundedReceiver<Ended>,
    pub(super) steps_max: u64,
}

/// How a [`TestEngine`] is made. See [`TestEngine::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct TestEngineBuilder {
    namespace: String,
    codec: Option<Codec>,
    seed: Option<u64>,
    steps_max: u64,
}

impl TestEngineBuilder {
    /// The namespace that workflows live in; otherwise `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Encodes payload, as [`ClientBuilder::payload_codec`](crate::ClientBuilder::payload_codec) does: the machine in this engine sees nothing else.
    /// Assertions of states decode them; a workflow that is printed is shown as the machine has it.
    pub fn payload_codec(mut self, codec: impl PayloadCodec) -> Self {
        self.codec = Some(Codec(Arc::new(codec)));
        self
    }

    /// Ready tasks begin in an order that this seed decides, instead of by priority and age.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Another seed in every run of the test. Failed assertions name it; the environment variable [`SEED_VARIABLE`] sets it.
    ///
    /// # Panics
    /// If the variable holds no number.
    pub fn any_seed(self) -> Self {
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE}={text:?} is no number")),
            Err(_) => uuid::Uuid::new_v4().as_u64_pair().0,
        };
        self.seed(seed)
    }

    /// Most steps (attempts and rounds of timers) of one call that drives the engine; otherwise [`STEPS_MAX`](super::STEPS_MAX).
    pub fn steps_max(mut self, steps: u64) -> Self {
        self.steps_max = steps.max(1);
        self
    }

    /// Makes the engine, with the nodes and layers that `register` adds to a worker.
    ///
    /// # Panics
    /// Outside of a current-thread tokio runtime; or if the worker cannot be built, for instance because it has two nodes of one name.
    pub fn build(self, register: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> TestEngine {
        let clock = Clock::stop();
        let client = Client::without_server(self.codec).in_namespace(self.namespace);
        let worker = register(Worker::builder(client)).build().unwrap_or_else(|error| panic!("{error}"));
        let Worker { client, registry, .. } = worker;
        let scripts = Scripts::default();
        let mut registry = Registry::clone(&registry);
        registry.replace(|node| scripts.around(Some(node)));
        let (report, ended) = mpsc::unbounded_channel();
        let mut engine = TestEngine {
            machine: Machine::new(clock.now()),
            clock,
            client,
            registry: Arc::new(registry),
            scripts,
            capacities: BTreeMap::new(),
            running: BTreeMap::new(),
            cancelling: BTreeSet::new(),
            leases: 0,
            seed: self.seed,
            dice: self.seed.unwrap_or(0),
            report,
            ended,
            steps_max: self.steps_max,
        };
        engine.count_capacities();
        engine
    }
}

impl TestEngine {
    /// An engine with the nodes and layers that `register` adds to a worker: hand the same function to the program's worker.
    ///
    /// # Panics
    /// As [`TestEngineBuilder::build`].
    pub fn new(register: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        Self::builder().build(register)
    }

    /// An engine with more to say: namespace, seed, bound of steps.
    pub fn builder() -> TestEngineBuilder {
        TestEngineBuilder { namespace: crate::NAMESPACE_DEFAULT.to_owned(), codec: None, seed: None, steps_max: super::STEPS_MAX }
    }

    /// What its clock shows. Give absolute times (a deadline, [`Next::not_before`](crate::Next::not_before)) in terms of it.
    pub fn now(&self) -> SystemTime {
        self.clock.now_system()
    }

    /// How much time has passed on its clock, which begins when the engine is first driven.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The attempts of a node that are meant fail with `failure`, without executing the node or asking whether it can start. Layers are
    /// run, and see it. Where several scripts mean an attempt, the latest counts.
    ///
    /// # Panics
    /// If there is no such node.
    #[track_caller]
    pub fn fail(&mut self, node: &str, which: impl Which, failure: Failure) -> &mut Self {
        self.must_have(node);
        self.scripts.fail(node, Box::new(which), failure);
        self
    }

    /// The attempts of a node that are meant are executed, and their worker dies before it has answered: nothing of what they return takes
    /// effect. When their lease is over, the task is handed out again.
    ///
    /// # Panics
    /// If there is no such node.
    #[track_caller]
    pub fn lose(&mut self, node: &str, which: impl Which) -> &mut Self {
        self.must_have(node);
        self.scripts.lose(node, Box::new(which));
        self
    }

    /// Puts a closure in a node's place, or in that of a node that another program has.
    pub fn stub<F, Fut, S, C>(&mut self, node: &str, call: F) -> &mut Self
    where
        F: Fn(NodeContext, S, C) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = NodeResult<S>> + Send + 'static,
        S: Serialize + DeserializeOwned + Send + 'static,
        C: DeserializeOwned + Send + 'static,
    {
        self.scripts.stub(node, Arc::new(node_fn(node, call)));
        if self.registry.get(node).is_none() {
            let scripted = self.scripts.around(None);
            Arc::make_mut(&mut self.registry).add(node, scripted);
            self.count_capacities();
        }
        self
    }

    fn count_capacities(&mut self) {
        let most = |capacity: u32, limit: u32| if limit == 0 { capacity } else { capacity.min(limit) } as usize;
        self.capacities = self.registry.capacities().into_iter().map(|node| (node.node, most(node.capacity, node.cluster_limit))).collect();
    }

    #[track_caller]
    fn must_have(&self, node: &str) {
        let known = || self.capacities.keys().map(|node| format!("{node:?}")).collect::<Vec<_>>().join(", ");
        assert!(self.capacities.contains_key(node), "no node is called {node:?} here; there are {}", known());
    }
}

impl fmt::Debug for TestEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestEngine")
            .field("elapsed", &self.elapsed())
            .field("seed", &self.seed)
            .field("running", &self.running.keys())
            .finish_non_exhaustive()
    }
}
