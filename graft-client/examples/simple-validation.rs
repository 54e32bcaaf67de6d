//! A repair round trip: an order with mistakes is validated, repaired, and validated again, until it is right.
//!
//! `cargo run -p graft-client --example simple-validation` starts a server of its own; `--addr URL` takes another one.

use clap::Parser;
use graft_client::{Client, Failure, Node, NodeContext, NodeResult, Outcome, Worker};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

#[path = "server/mod.rs"]
mod server;

/// Rounds of repair before an order is given up.
const ROUNDS_MAX: u32 = 3;

/// An order is validated, repaired, and validated again.
#[derive(Debug, Default, Parser)]
pub struct Options {
    /// Server to use; otherwise one is started in this process, on a free port, with a temporary directory.
    #[arg(long)]
    pub addr: Option<String>,
}

/// An order, as somebody typed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// To whom.
    pub email: String,
    /// How many.
    pub quantity: i64,
    /// Rounds of repair.
    #[serde(default)]
    pub rounds: u32,
    /// Whether it is right.
    #[serde(default)]
    pub valid: bool,
}

/// Something that is wrong with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mistake {
    BlanksInEmail,
    NegativeQuantity,
}

struct Validate;

impl Node for Validate {
    const NAME: &'static str = "validate";
    type State = Order;
    type Config = ();

    async fn execute(&self, _: NodeContext, order: Order, (): ()) -> NodeResult<Order> {
        let mistake = if order.email.contains(' ') {
            Mistake::BlanksInEmail
        } else if order.quantity < 0 {
            Mistake::NegativeQuantity
        } else if order.email.contains('@') {
            return Ok(Outcome::state(Order { valid: true, ..order }));
        } else {
            return Err(Failure::permanent(format!("\"{}\" is no address, and cannot be made one", order.email)));
        };
        if order.rounds == ROUNDS_MAX {
            return Err(Failure::permanent(format!("still wrong after {ROUNDS_MAX} rounds: {mistake:?}")));
        }
        Ok(Outcome::done().next(Repair::with(mistake)))
    }
}

struct Repair;

impl Node for Repair {
    const NAME: &'static str = "repair";
    type State = Order;
    type Config = Mistake;

    async fn execute(&self, _: NodeContext, order: Order, mistake: Mistake) -> NodeResult<Order> {
        let rounds = order.rounds + 1;
        let repaired = match mistake {
            Mistake::BlanksInEmail => Order { email: order.email.replace(' ', ""), rounds, ..order },
            Mistake::NegativeQuantity => Order { quantity: -order.quantity, rounds, ..order },
        };
        Ok(Outcome::state(repaired).next(Validate::with(())))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let order = run(Options::parse()).await?;
    println!("after {} rounds of repair: {order:?}", order.rounds);
    Ok(())
}

/// Sends one order through, and returns it as it came out.
pub async fn run(options: Options) -> Result<Order, Box<dyn std::error::Error>> {
    let server = server::Server::at(options.addr).await?;
    let client = Client::connect(&server.url)?;
    let stop = CancellationToken::new();
    let worker = Worker::builder(client.clone()).node(Validate).node(Repair);
    let worker = tokio::spawn(worker.run_until(stop.clone().cancelled_owned()));

    let order = Order { email: "ada @ example.org".to_owned(), quantity: -3, rounds: 0, valid: false };
    let started = client.start("").state(&order)?.node(Validate::with(())).await?;
    println!("started {}", started.workflow_id);
    let order = client.workflow(started.workflow_id).result().await?;

    stop.cancel();
    worker.await??;
    server.stop().await;
    Ok(order)
}
