//! An error node is named; it is given its config by the engine, and not by whoever names it.

use graft_client::{Next, Node, OnExhausted};
use graft_compile_fail::{Item, Pack, Ship};

fn main() {
    let _: Next = Ship::with(()).on_exhausted(OnExhausted::ErrorNode(Pack::with(Item { name: "lamp".to_owned() })));
}
