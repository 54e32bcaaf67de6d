//! What a test says beforehand: which attempts fail, which are lost, which nodes are played by closures.

use std::collections::HashMap;
use std::future::ready;
use std::ops::{RangeFrom, RangeFull, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use graft_proto::v1::result::Outcome as WireOutcome;

use crate::context::NodeContext;
use crate::failure::Failure;
use crate::worker::Handler;
use graft_proto::json::RawJson;

/// Which attempts of a node are meant: a number (`1` is each task's first attempt), a range (`1..=3`, `2..`, `..` for all), or a closure that
/// looks at the [`NodeContext`].
///
/// Attempts are counted as [`NodeContext::attempt`] does: one that could not start yet, or was lost, counts as well.
pub trait Which: Send + 'static {
    /// Whether this attempt is meant.
    fn means(&self, cx: &NodeContext) -> bool;
}

impl Which for u32 {
    fn means(&self, cx: &NodeContext) -> bool {
        cx.attempt() == *self
    }
}

impl Which for RangeInclusive<u32> {
    fn means(&self, cx: &NodeContext) -> bool {
        self.contains(&cx.attempt())
    }
}

impl Which for RangeFrom<u32> {
    fn means(&self, cx: &NodeContext) -> bool {
        self.contains(&cx.attempt())
    }
}

impl Which for RangeFull {
    fn means(&self, _: &NodeContext) -> bool {
        true
    }
}

impl<F: Fn(&NodeContext) -> bool + Send + 'static> Which for F {
    fn means(&self, cx: &NodeContext) -> bool {
        self(cx)
    }
}

/// All that was said; shared with the nodes.
#[derive(Clone, Default)]
pub(super) struct Scripts(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    failures: Vec<(String, Box<dyn Which>, Failure)>,
    losses: Vec<(String, Box<dyn Which>)>,
    stubs: HashMap<String, Arc<dyn Handler>>,
}

impl Scripts {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fail(&self, node: &str, which: Box<dyn Which>, failure: Failure) {
        self.said().failures.push((node.to_owned(), which, failure));
    }

    pub(super) fn lose(&self, node: &str, which: Box<dyn Which>) {
        self.said().losses.push((node.to_owned(), which));
    }

    pub(super) fn stub(&self, node: &str, with: Arc<dyn Handler>) {
        self.said().stubs.insert(node.to_owned(), with);
    }

    /// Whether the worker dies of this attempt.
    pub(super) fn loses(&self, cx: &NodeContext) -> bool {
        self.said().losses.iter().any(|(node, which)| node == cx.node() && which.means(cx))
    }

    /// The node as the scripts have it; `inner` is the real one, if there is one.
    pub(super) fn around(&self, inner: Option<Arc<dyn Handler>>) -> Arc<dyn Handler> {
        Arc::new(Scripted { inner, scripts: self.clone() })
    }
}

/// A node in whose place the scripts may act.
struct Scripted {
    inner: Option<Arc<dyn Handler>>,
    scripts: Scripts,
}

impl Handler for Scripted {
    fn run(self: Arc<Self>, cx: NodeContext, state: RawJson, config: RawJson) -> BoxFuture<'static, Result<WireOutcome, Failure>> {
        let handler = {
            let said = self.scripts.said();
            // The latest word counts.
            if let Some((_, _, failure)) = said.failures.iter().rev().find(|(node, which, _)| node == cx.node() && which.means(&cx)) {
                return Box::pin(ready(Err(failure.clone())));
            }
            said.stubs.get(cx.node()).or(self.inner.as_ref()).cloned()
        };
        match handler {
            Some(handler) => handler.run(cx, state, config),
            None => Box::pin(ready(Err(Failure::permanent(format!("node \"{}\" has neither code nor a stub", cx.node()))))),
        }
    }
}
