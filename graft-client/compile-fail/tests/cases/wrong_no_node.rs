//! A type that is no node, as a successor and as a node of a worker.

use graft_client::{Client, Node, NodeResult, Outcome, Worker};
use graft_compile_fail::Clerk;

fn outcome() -> NodeResult<()> {
    Ok(Outcome::done().next(Clerk::with(())))
}

fn main() {
    let _ = outcome();
    let _ = Worker::builder(Client::connect("http://127.0.0.1:7420").unwrap()).node(Clerk);
}
