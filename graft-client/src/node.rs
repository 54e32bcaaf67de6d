//! A node: a plain function from state and config to an outcome, with a name that outlives its type.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use graft_proto::v1::Blocked;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::NodeContext;
use crate::failure::Failure;
use crate::next::{Next, millis};
use crate::outcome::Outcome;

/// What a node answers.
pub type NodeResult<S> = Result<Outcome<S>, Failure>;

/// One kind of step.
///
/// Its code may run more than once for a task (a worker can die after the work and before the answer), so effects on the outside use
/// [`NodeContext::idempotency_key`], which is the same for every attempt. It is never replayed, and may be redeployed with work in flight.
pub trait Node: Send + Sync + 'static {
    /// The name that workflows store. Never change it while tasks exist; the type may be renamed freely.
    const NAME: &'static str;
    /// What the node reads of the workflow's state, and may write. Fields that the type does not know stay as they are. `()` reads nothing,
    /// [`RawJson`](crate::RawJson) everything, without parsing.
    type State: Serialize + DeserializeOwned + Send + 'static;
    /// What whoever schedules the node tells it. `()` for nothing.
    type Config: Serialize + DeserializeOwned + Send + 'static;

    /// Does the work. Dropped at its next `await` if its lease is lost or its workflow has ended; told through
    /// [`NodeContext::cancellation`] if its workflow is being cancelled.
    fn execute(&self, cx: NodeContext, state: Self::State, config: Self::Config) -> impl Future<Output = NodeResult<Self::State>> + Send;

    /// Whether it can start with this state; asked before every attempt. A no uses up no attempt, and the task waits for a change of the state.
    fn can_start(&self, cx: &NodeContext, state: &Self::State, config: &Self::Config) -> CanStart {
        let _ = (cx, state, config);
        CanStart::Yes
    }

    /// A task of this node, for a start or as a successor. A config of another type does not compile:
    ///
    /// ```compile_fail,E0308
    /// # use graft_client::{Node, NodeContext, NodeResult, Outcome};
    /// struct Pack;
    /// impl Node for Pack {
    ///     const NAME: &'static str = "pack";
    ///     type State = ();
    ///     type Config = u32;
    ///     async fn execute(&self, _: NodeContext, (): (), _: u32) -> NodeResult<()> {
    ///         Ok(Outcome::done())
    ///     }
    /// }
    /// let _right = Pack::with(3);
    /// let _wrong = Pack::with("three");
    /// ```
    fn with(config: Self::Config) -> Next
    where
        Self: Sized,
    {
        Next::named(Self::NAME, config)
    }
}

/// Whether a task can start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanStart {
    /// Yes.
    Yes,
    /// Not before the state changes. Narrow it with [`CanStart::wake_on`], or add a time with [`CanStart::recheck`].
    No,
    /// Not before one of these things happens.
    Not(WakeUp),
}

/// What a task waits for that cannot start. Made by [`CanStart::wake_on`] and [`CanStart::recheck`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WakeUp {
    wake_on: Vec<String>,
    recheck: Option<Duration>,
}

impl CanStart {
    /// Only a change at one of these JSON pointers (RFC 6901; at most 32) wakes the task; other changes cost nothing. A yes stays a yes.
    pub fn wake_on<P: Into<String>>(self, pointers: impl IntoIterator<Item = P>) -> Self {
        self.waking(|wake_up| wake_up.wake_on.extend(pointers.into_iter().map(Into::into)))
    }

    /// Asked again after this long in any case. A yes stays a yes.
    pub fn recheck(self, after: Duration) -> Self {
        self.waking(|wake_up| wake_up.recheck = Some(after))
    }

    fn waking(self, change: impl FnOnce(&mut WakeUp)) -> Self {
        let mut wake_up = match self {
            Self::Yes => return Self::Yes,
            Self::No => WakeUp::default(),
            Self::Not(wake_up) => wake_up,
        };
        change(&mut wake_up);
        Self::Not(wake_up)
    }

    /// The answer as it is sent; `None` for a yes.
    pub(crate) fn into_wire(self, judged_revision: u64) -> Option<Blocked> {
        let wake_up = match self {
            Self::Yes => return None,
            Self::No => WakeUp::default(),
            Self::Not(wake_up) => wake_up,
        };
        let recheck_ms = wake_up.recheck.map_or(0, |after| millis(after).max(1));
        Some(Blocked { judged_revision, wake_on: wake_up.wake_on, recheck_ms })
    }
}

/// A closure as a node. Made by [`node_fn`].
pub struct NodeFn<F, S, C> {
    pub(crate) name: String,
    pub(crate) call: F,
    marker: PhantomData<fn() -> (S, C)>,
}

/// Makes a node of a closure that takes a [`NodeContext`], a state and a config.
///
/// ```
/// use graft_client::{NodeContext, Outcome, node_fn};
/// let greet = node_fn("greet", |cx: NodeContext, _: (), name: String| async move {
///     println!("hello {name}, from {}", cx.workflow_id());
///     Ok(Outcome::done())
/// });
/// # let _ = greet;
/// ```
pub fn node_fn<F, Fut, S, C>(name: impl Into<String>, call: F) -> NodeFn<F, S, C>
where
    F: Fn(NodeContext, S, C) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<S>> + Send,
{
    NodeFn { name: name.into(), call, marker: PhantomData }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_says_what_it_waits_for() {
        let no = CanStart::No.wake_on(["/approved"]).recheck(Duration::from_secs(2));
        let blocked = no.into_wire(9).unwrap();
        assert_eq!((blocked.judged_revision, blocked.wake_on, blocked.recheck_ms), (9, vec!["/approved".to_owned()], 2_000));
        assert_eq!(CanStart::Yes.wake_on(["/x"]).into_wire(9), None);
    }
}
