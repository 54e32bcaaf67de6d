//! Simulation A: members, workers, clients and operators in one synchronous loop, over virtual clocks, a lossy network and disks that forget.
//!
//! **Real** here is everything that decides: the machine (`apply`), the scheduler's core, the stamp of entries, and, on some seeds, the stores
//! of log and state over files, or over disks that lose what was not synced. **A model** is the log between the members (`raft`): the
//! smallest that keeps Raft's promises (terms, quorums, pre-vote, learners, snapshots, membership); openraft itself is simulation B's matter.
//! Workers (`worker`, `script`) are scripted, but keep the protocol's rules, except where a process that was stopped cannot know better.
//!
//! What can happen stands in `faults`: members crash, lose power, stop, are cut off, have slow disks and clocks that jump; they join and
//! leave, or lose their disks and are replaced, where those who are left can still agree (`survival`); workers die, stop longer than their
//! leases last and go on as if nothing had been, leave; clients repeat themselves and ask for nonsense; operators look at what some member
//! knows and do something about it (`operator`). A seed draws which of this it has, and how much ([`Plan`]).
//!
//! [`crate::invariants`] watches every step. Then everything heals (`healing`), and must come to rest within a bound of virtual time.
//!
//! A seed decides everything: the same seed is the same run.

mod clients;
pub(crate) mod clocks;
mod faults;
mod healing;
mod leader;
mod log;
mod member;
mod met;
mod network;
pub(crate) mod operator;
mod plan;
mod raft;
mod reads;
pub mod rng;
pub(crate) mod script;
mod snapshots;
pub(crate) mod state;
mod survival;
pub(crate) mod worker;
mod workers;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use met::EXPECTED;
pub use plan::{Disks, Plan};

/// Members that a run may have had in all.
const SLOTS_MAX: usize = 12;
/// Workers; the last serves another namespace.
const WORKERS: usize = 4;
/// The namespaces.
const NAMESPACES: [&str; 2] = ["default", "other"];
/// Virtual time of one step, in milliseconds.
const STEP_MS: u64 = 10;
/// Attempt lease, in milliseconds.
const LEASE_MS: u64 = 2_000;
/// Leader lease, in milliseconds.
const LEADER_LEASE_MS: u64 = 300;
/// How long faults happen, in virtual milliseconds.
const CHAOS_MS: u64 = 12_000;
/// How long everything may take to come to rest after that, in virtual milliseconds.
const HEAL_MS: u64 = 60_000;

/// What a run has met: so that a simulation that meets nothing is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Numbers of things, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Virtual milliseconds.
    pub virtual_ms: u64,
}

impl Met {
    /// Adds what another run has met.
    pub fn add(&mut self, other: &Self) {
        self.virtual_ms += other.virtual_ms;
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }
}

/// Runs a seed; the error says what went wrong, beginning with the invariant that spoke. A panic is a violation, too.
pub fn run(seed: u64) -> Result<Met, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = world::World::new(seed);
        world.run()?;
        Ok(world.into_met())
    }));
    outcome.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("S25 panic: {}", words.unwrap_or("without words")))
    })
}
