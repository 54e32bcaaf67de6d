//! A fan-out that does not say what follows it.

use graft_client::{Node, Outcome};
use graft_compile_fail::{Item, Pack};

fn outcome(items: Vec<Item>) -> Outcome<()> {
    Outcome::done().fan_out(items.into_iter().map(Pack::with))
}

fn main() {
    let _ = outcome(Vec::new());
}
