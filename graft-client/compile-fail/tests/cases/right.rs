//! What does compile: so that the others fail for the reason that they are about.

use graft_client::{Next, Node, NodeResult, OnExhausted, Outcome, StartWorkflow};
use graft_compile_fail::{Item, Order, Pack, Ship};

fn item() -> Item {
    Item { name: "lamp".to_owned() }
}

fn outcome(order: Order) -> NodeResult<Order> {
    let packs = [item(), item()].map(Pack::with);
    Ok(Outcome::state(order).next(Pack::with(item())).next(Next::named("elsewhere", 7)).fan_out(packs).join(Ship::with(())))
}

fn main() {
    let _ = outcome(Order { shipped: false });
    let _ = StartWorkflow::new("a").node(Ship::with(()).on_exhausted(OnExhausted::ErrorNode("pack".to_owned())));
}
