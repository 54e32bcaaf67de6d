//! A node where a task is due: its config is missing.

use graft_client::{NodeResult, Outcome};
use graft_compile_fail::Ship;

fn outcome() -> NodeResult<()> {
    Ok(Outcome::done().next(Ship))
}

fn main() {
    let _ = outcome();
}
