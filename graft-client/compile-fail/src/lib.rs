//! Programs that must not compile: each in `tests/cases` beside what the compiler has to say to it. A package of its own, so that checking
//! them needs the SDK and nothing else. Here stand the nodes that they misuse.

use graft_client::{Node, NodeContext, NodeResult, Outcome};
use serde::{Deserialize, Serialize};

/// What is packed.
#[derive(Serialize, Deserialize)]
pub struct Item {
    /// Its name.
    pub name: String,
}

/// Packs one item.
pub struct Pack;

impl Node for Pack {
    const NAME: &'static str = "pack";
    type State = ();
    type Config = Item;

    async fn execute(&self, _: NodeContext, (): (), item: Item) -> NodeResult<()> {
        Ok(Outcome::done().append("/packed", &item.name))
    }
}

/// Ships what is packed.
pub struct Ship;

impl Node for Ship {
    const NAME: &'static str = "ship";
    type State = Order;
    type Config = ();

    async fn execute(&self, _: NodeContext, _: Order, (): ()) -> NodeResult<Order> {
        Ok(Outcome::state(Order { shipped: true }))
    }
}

/// What is ordered.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// Whether it is on its way.
    pub shipped: bool,
}

/// No node.
pub struct Clerk;
