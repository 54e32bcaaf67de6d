//! A join that is followed by a node, and not by a task.

use graft_client::{Node, NodeResult, Outcome};
use graft_compile_fail::{Item, Pack, Ship};

fn outcome(items: Vec<Item>) -> NodeResult<()> {
    Ok(Outcome::done().fan_out(items.into_iter().map(Pack::with)).join(Ship))
}

fn main() {
    let _ = outcome(Vec::new());
}
