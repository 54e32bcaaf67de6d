//! A successor whose config is of another type than its node says.

use graft_client::{Node, NodeResult, Outcome};
use graft_compile_fail::Pack;

fn outcome() -> NodeResult<()> {
    Ok(Outcome::done().next(Pack::with("lamp")))
}

fn main() {
    let _ = outcome();
}
