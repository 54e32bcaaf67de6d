//! Verbs of `graft limit`.
pub(super) mod list;
pub(super) mod set;
pub(super) mod unset;

use graft_client::LimitOf;

use crate::cli::task::LimitWhich;

/// What the limit is of.
fn of(which: &LimitWhich) -> LimitOf {
    which.node.as_ref().map_or(LimitOf::Cluster, |node| LimitOf::Node(node.clone()))
}
