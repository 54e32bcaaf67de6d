//! A successor, an outcome and a fan-out that nobody uses.

#![deny(unused_must_use)]

use graft_client::{Node, Outcome};
use graft_compile_fail::Ship;

fn main() {
    Ship::with(());
    Outcome::<()>::done().next(Ship::with(()));
    Outcome::<()>::done().fan_out([Ship::with(())]);
}
