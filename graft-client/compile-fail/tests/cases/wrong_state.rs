//! A state of another type than the node's.

use graft_client::{NodeResult, Outcome};
use graft_compile_fail::{Item, Order};

fn outcome() -> NodeResult<Order> {
    Ok(Outcome::state(Item { name: "lamp".to_owned() }))
}

fn main() {
    let _ = outcome();
}
