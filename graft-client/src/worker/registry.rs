//! The nodes that a worker has, and how it runs them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use graft_proto::v1::{Completed, NewTask, NodeCapacity};

use super::attempt::Handler;
use crate::middleware::{Layer, Layers};
use crate::next::{Next, Retry};

/// Attempts of one node that a worker runs at once, unless it says otherwise.
pub const CONCURRENCY_DEFAULT: u32 = 100;

/// How a worker runs one of its nodes.
///
/// Retry and timeout given here are the defaults for tasks of the node that this worker's own outcomes make: what a [`Next`] says itself goes
/// first. For the first tasks of a workflow, say it at the start. The timeout is also held to by the worker, whoever made the task.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct NodeOptions {
    concurrency: Option<u32>,
    cluster_limit: u32,
    timeout: Option<Duration>,
    retry: Option<Retry>,
}

impl NodeOptions {
    /// Everything as usual.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attempts that this worker runs at once, at most; at least 1. Otherwise the worker's setting counts, 100 at first.
    pub fn concurrency(mut self, attempts: u32) -> Self {
        self.concurrency = Some(attempts.max(1));
        self
    }

    /// Attempts that all workers of the cluster run at once, at most. The smallest limit that any worker or the server declares wins.
    pub fn cluster_limit(mut self, attempts: u32) -> Self {
        self.cluster_limit = attempts;
        self
    }

    /// Longest execution of one attempt; then it is dropped and fails, to be retried.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How failures are retried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }
}

/// A node and its options.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) timeout: Option<Duration>,
    /// What tasks of this node get that do not say otherwise.
    defaults: NewTask,
}

/// All of them, by name, and what runs around each.
#[derive(Clone)]
pub(crate) struct Registry {
    entries: HashMap<String, Entry>,
    capacities: Vec<NodeCapacity>,
    has_defaults: bool,
    layers: Layers,
}

impl Registry {
    /// Puts the nodes together. The error names a node that is there twice.
    pub(super) fn new(
        nodes: Vec<(String, Arc<dyn Handler>, NodeOptions)>,
        concurrency: u32,
        layers: Vec<Arc<dyn Layer>>,
    ) -> Result<Self, String> {
        let mut registry = Self { entries: HashMap::new(), capacities: Vec::new(), has_defaults: false, layers: layers.into() };
        for (name, handler, options) in nodes {
            let capacity = options.concurrency.unwrap_or(concurrency);
            if !registry.insert(&name, handler, options, capacity)? {
                return Err(name);
            }
        }
        Ok(registry)
    }

    /// Adds a node. False: it was there before.
    fn insert(&mut self, name: &str, handler: Arc<dyn Handler>, options: NodeOptions, capacity: u32) -> Result<bool, String> {
        let NodeOptions { cluster_limit, timeout, retry, .. } = options;
        let mut next = Next::named(name, ());
        if let Some(retry) = retry {
            next = next.retry(retry);
        }
        if let Some(timeout) = timeout {
            next = next.timeout(timeout);
        }
        self.has_defaults |= retry.is_some() || timeout.is_some();
        let defaults = next.into_wire()?;
        self.capacities.push(NodeCapacity { node: name.to_owned(), capacity: capacity.max(1), cluster_limit });
        Ok(self.entries.insert(name.to_owned(), Entry { handler, timeout, defaults }).is_none())
    }

    /// Puts what `with` makes of it in the place of every node.
    #[cfg(feature = "testing")]
    pub(crate) fn replace(&mut self, with: impl Fn(Arc<dyn Handler>) -> Arc<dyn Handler>) {
        for entry in self.entries.values_mut() {
            entry.handler = with(entry.handler.clone());
        }
    }

    /// Adds a node that is not there, with the usual options.
    #[cfg(feature = "testing")]
    pub(crate) fn add(&mut self, node: &str, handler: Arc<dyn Handler>) {
        let added = self.insert(node, handler, NodeOptions::new(), CONCURRENCY_DEFAULT);
        debug_assert_eq!(added, Ok(true), "{node} is added once, and has no config that could not be written");
    }

    pub(super) fn layers(&self) -> Layers {
        self.layers.clone()
    }

    pub(crate) fn get(&self, node: &str) -> Option<&Entry> {
        self.entries.get(node)
    }

    /// What the cluster is told.
    pub(crate) fn capacities(&self) -> Vec<NodeCapacity> {
        self.capacities.clone()
    }

    /// Fills in the defaults of this worker's nodes.
    pub(super) fn complete(&self, completed: &mut Completed) {
        if !self.has_defaults {
            return;
        }
        let fan_outs = completed.fan_outs.iter_mut().flat_map(|fan_out| fan_out.tasks.iter_mut().chain(&mut fan_out.continuation));
        for task in completed.next.iter_mut().chain(fan_outs) {
            if let Some(Entry { defaults, .. }) = self.entries.get(&task.node) {
                task.retry = task.retry.or(defaults.retry);
                if task.timeout_ms == 0 {
                    task.timeout_ms = defaults.timeout_ms;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::node_fn;
    use crate::outcome::Outcome;

    fn node() -> Arc<dyn Handler> {
        Arc::new(node_fn("ship", |_, _: (), _: ()| async move { Ok(Outcome::done()) }))
    }

    #[test]
    fn successors_get_the_defaults_of_their_node_unless_they_say_otherwise() {
        let options = NodeOptions::new().cluster_limit(3).timeout(Duration::from_secs(3)).retry(Retry::none());
        let registry = Registry::new(vec![("ship".into(), node(), options)], 7, vec![]).unwrap();
        let tasks = [Next::named("ship", ()), Next::named("ship", ()).timeout(Duration::from_secs(9)), Next::named("other", ())];
        let mut completed = Completed { next: tasks.map(|next| next.into_wire().unwrap()).into(), ..Completed::default() };
        registry.complete(&mut completed);
        assert_eq!(completed.next.iter().map(|task| task.timeout_ms).collect::<Vec<_>>(), [3_000, 9_000, 0]);
        assert_eq!(
            completed.next.iter().map(|task| task.retry.map(|retry| retry.max_attempts)).collect::<Vec<_>>(),
            [Some(1), Some(1), None]
        );
        assert_eq!((registry.capacities()[0].capacity, registry.capacities()[0].cluster_limit), (7, 3));
    }

    #[test]
    fn a_node_cannot_be_there_twice() {
        let nodes = vec![("ship".into(), node(), NodeOptions::new()), ("ship".into(), node(), NodeOptions::new())];
        assert_eq!(Registry::new(nodes, 1, vec![]).err().unwrap(), "ship");
    }
}
