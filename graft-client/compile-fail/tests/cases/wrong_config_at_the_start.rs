//! A workflow whose first task has a config of another type than its node says.

use graft_client::{Node, StartWorkflow};
use graft_compile_fail::{Item, Ship};

fn main() {
    let _ = StartWorkflow::new("a").node(Ship::with(Item { name: "lamp".to_owned() }));
}
