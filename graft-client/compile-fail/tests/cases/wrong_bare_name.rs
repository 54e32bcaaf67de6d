//! A name where a task is due: nobody could say what its config is.

use graft_client::{NodeResult, Outcome, StartWorkflow};

fn outcome() -> NodeResult<()> {
    Ok(Outcome::done().next("ship"))
}

fn main() {
    let _ = outcome();
    let _ = StartWorkflow::new("a").node("ship");
}
