//! Simulation B: a cluster of the daemon's real floors 2 to 4 over a network, disks and clocks that are not real.
//!
//! **Real** here: storage (redb, the overlay, quick repair, snapshots and their installation, purges), consensus (openraft, the proposer, barriers,
//! stamps, the peer protocol through tonic and HTTP/2), the scheduler (core and driver). **Simulated**: the bytes between members ([`net`](self)),
//! what lies below redb ([`crate::power`]), both clocks, who does the stores' work and when, workers and clients. Each member's process is a
//! runtime of one thread whose time stands still between the world's steps of a millisecond: a crash is the end of the runtime.
//!
//! **Not here**: TLS and the system's sockets (the network stands below tonic), formation, discovery and changes of the membership (floor 6 carries
//! them; simulation A has a model of them, and `membership` and the torture the real thing), the API (floor 5).
//!
//! A seed decides the plan, every fault, every delay of network and disk, and what workers and clients do. It does not decide everything: openraft
//! draws its election timeouts from the system's random numbers, and tokio the branch of a `select!` that it looks at first; both could be seeded
//! only in a build of their own. So a seed that has found something finds it again *as a rule*, not for certain: run it a few times.
//!
//! [`crate::invariants`] watches, as in simulation A, with an oracle that applies the members' logs to the machine alone. [`Planted`] mistakes show
//! that it can fail.

mod clients;
mod faults;
mod healing;
mod member;
mod net;
mod oracle;
mod plan;
mod workers;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use plan::{Plan, Planted};

use crate::loop_sim::Met;

/// Workers.
const WORKERS: usize = 3;
/// Attempt lease, in milliseconds: the scripted workers count on it.
const LEASE_MS: u64 = 2_000;
/// How long faults happen, in virtual milliseconds.
const CHAOS_MS: u64 = 12_000;
/// Longest fault, in milliseconds.
const FAULT_MS_MAX: u64 = 6_000;
/// How long everything may take to come to rest after that, in virtual milliseconds. Three workers that take one task of a node at a time, slow
/// disks and a slow network make a minute and more out of what clients have asked for: this is the bound of what never ends, and L9 that of what
/// stands still.
const HEAL_MS: u64 = 240_000;
/// How the cluster is called.
const CLUSTER: &str = "5f1c2a34-0000-4000-8000-00000000000b";

/// Runs a seed; the error says what went wrong, beginning with the invariant that spoke. A panic is a violation, too.
pub fn run(seed: u64) -> Result<Met, String> {
    run_with(seed, None)
}

/// As [`run`], with a mistake.
pub fn run_with(seed: u64, planted: Option<Planted>) -> Result<Met, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = world::World::new(seed, planted);
        world.run().map_err(|wrong| format!("after {} ms: {wrong}\n{}", world.now(), world.setting()))?;
        Ok(world.into_met())
    }));
    outcome.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("S25 panic: {}", words.unwrap_or("without words")))
    })
}
