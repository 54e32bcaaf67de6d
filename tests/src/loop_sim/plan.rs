//! What a seed has in it: every run leaves some faults out and does others often, so that rare meetings of two become common in some run.

use super::rng::Rng;

/// Where members keep what is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disks {
    /// State and log in memory: fast, and the usual case.
    Model,
    /// The real state store in files; snapshots go through its own format and installation. The log is the model's.
    Files,
    /// The real stores of state and log over disks that lose and tear what was not synced.
    Torn,
}

/// See the module. Chances are in thousandths, for each step of 10 ms.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What members keep their data on.
    pub disks: Disks,
    /// Members at the beginning.
    pub members: usize,
    /// A fault of a member.
    pub member_fault: u64,
    /// Of these, how many take the power and not only the process.
    pub power: u64,
    /// A fault of a worker.
    pub worker_fault: u64,
    /// A change of the membership.
    pub membership: u64,
    /// A clock that jumps.
    pub clock: u64,
    /// A datagram is lost.
    pub loss: u64,
    /// A member flushes its state.
    pub flush: u64,
    /// Entries that stay in the log behind a flush.
    pub log_kept: usize,
    /// Longest pause between two requests of clients, in milliseconds.
    pub request_every: u64,
    /// A client asks for nonsense.
    pub nonsense: u64,
    /// Attempts of one node that a worker executes at once.
    pub capacity: u32,
    /// Tasks of a node that the scheduler keeps in memory.
    pub window: usize,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        Self::draw(&mut Rng::new(seed))
    }

    /// Draws the plan of a seed: its first choices.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let disks = match rng.below(100) {
            0..94 => Disks::Model,
            94..97 => Disks::Files,
            _ => Disks::Torn,
        };
        let mut chance = |often: u64| [0, often / 2, often, often, often * 3][rng.below(5) as usize];
        let (member_fault, worker_fault, membership, clock) = (chance(8), chance(8), chance(6), chance(4));
        let loss = chance(40);
        Self {
            disks,
            members: [1, 3, 3, 3, 3, 5][rng.below(6) as usize],
            member_fault,
            power: rng.below(1_000),
            worker_fault,
            membership,
            clock,
            loss,
            flush: [2, 5, 20][rng.below(3) as usize],
            log_kept: [5, 50, 400][rng.below(3) as usize],
            request_every: [150, 500, 700, 1_500][rng.below(4) as usize],
            nonsense: rng.below(150),
            capacity: rng.between(1, 4) as u32,
            window: [4, 8, 8, 64][rng.below(4) as usize],
        }
    }
}
