//! The synchronous simulation: three members, three workers and some clients in one loop, over a virtual clock and a lossy network.
//!
//! Real here are the machine (`apply` over ordered maps) and the scheduler's core: the two places where everything is decided. The log
//! between them is the smallest that keeps Raft's promises; workers are scripted, but keep the protocol's rules. Members crash and come
//! back from what was flushed, stop and go on, lose each other; leaders are deposed without knowing it; workers die, stop, are cut off, and
//! leave; clients repeat themselves; operators, who look at what some member knows, try tasks again, redrive dead letters and discard them. An oracle watches every step. Then everything heals, and must come to an end.
//!
//! A seed decides everything: the same seed is the same run.

mod member;
mod operator;
mod oracle;
pub mod rng;
mod script;
mod worker;
mod world;

use std::collections::BTreeMap;

/// Members.
const MEMBERS: usize = 3;
/// Workers.
const WORKERS: usize = 3;
/// Virtual time of one step, in milliseconds.
const STEP_MS: u64 = 10;
/// Attempt lease, in milliseconds.
const LEASE_MS: u64 = 2_000;
/// Leader lease, in milliseconds.
const LEADER_LEASE_MS: u64 = 300;
/// How long faults happen, in virtual milliseconds.
const CHAOS_MS: u64 = 15_000;
/// How long everything may take to come to an end after that, in virtual milliseconds.
const HEAL_MS: u64 = 60_000;

/// What a run has met: so that a simulation that meets nothing is noticed.
#[derive(Debug, Default)]
pub struct Met {
    /// Terms that a scheduler began.
    pub terms: u64,
    /// Numbers of things, by name.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs a seed; the error says what went wrong.
pub fn run(seed: u64) -> Result<Met, String> {
    let mut world = world::World::new(seed);
    world.run()?;
    Ok(Met { terms: world.terms, counts: std::mem::take(&mut world.oracle.met) })
}
