//! A fan-out in which one task is given the config of another node, and a join that is.

use graft_client::{Node, NodeResult, Outcome};
use graft_compile_fail::{Item, Pack, Ship};

fn outcome(item: Item) -> NodeResult<()> {
    let tasks = [Pack::with(item), Pack::with(()), Ship::with(())];
    Ok(Outcome::done().fan_out(tasks).join(Ship::with(Item { name: "lamp".to_owned() })))
}

fn main() {
    let _ = outcome(Item { name: "desk".to_owned() });
}
