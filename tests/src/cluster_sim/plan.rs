//! What a seed has in it.

use crate::loop_sim::rng::Rng;

/// A mistake that is made on purpose: a simulation that does not find it finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// What is said to be in the log is not on its disk: a vote or an entry is acknowledged before it is durable.
    LogsThatLie,
    /// A member that comes back has lost its disk, and goes on under its old raft id.
    MembersThatForget,
}

/// See the module. Chances are in ten-thousandths, for each millisecond.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Members.
    pub members: usize,
    /// Something happens to a member.
    pub member_fault: u64,
    /// Of these, how many take the power, in thousandths.
    pub power: u64,
    /// Something happens to a worker.
    pub worker_fault: u64,
    /// A wall clock jumps.
    pub clock: u64,
    /// Longest way of the network, in milliseconds.
    pub delay: u64,
    /// What the network loses, in thousandths.
    pub loss: u64,
    /// Longest sync of the log, in milliseconds.
    pub sync: u64,
    /// Longest time between flushes, in milliseconds.
    pub flush: u64,
    /// The overlay is flushed when it holds so many bytes.
    pub overlay: usize,
    /// A snapshot is taken after so many entries.
    pub snapshot_every: u64,
    /// Entries that are under way at a time.
    pub in_flight: usize,
    /// Longest pause between two requests of clients, in milliseconds.
    pub request_every: u64,
    /// Attempts of one node that a worker executes at once.
    pub capacity: u32,
}

impl Plan {
    /// As it is drawn, but with three members and a power cut every second or so: where mistakes are looked for that a power cut shows.
    pub fn stormy(self) -> Self {
        Self { members: 3, member_fault: 40, power: 1_000, ..self }
    }

    /// Draws the plan of a seed.
    pub fn draw(rng: &mut Rng) -> Self {
        let mut chance = |often: u64| [0, often / 2, often, often, often * 3][rng.below(5) as usize];
        let (member_fault, worker_fault, clock, loss) = (chance(10), chance(8), chance(4), chance(10));
        Self {
            members: [1, 3, 3, 3, 3, 3, 5][rng.below(7) as usize],
            member_fault,
            power: rng.below(1_000),
            worker_fault,
            clock,
            delay: [2, 5, 20, 60][rng.below(4) as usize],
            loss,
            sync: [2, 4, 10, 40][rng.below(4) as usize],
            flush: [50, 300, 1_000][rng.below(3) as usize],
            overlay: [20_000, 200_000, 8 << 20][rng.below(3) as usize],
            snapshot_every: [20, 60, 300][rng.below(3) as usize],
            in_flight: [1, 2, 4][rng.below(3) as usize],
            request_every: [100, 300, 600][rng.below(3) as usize],
            capacity: rng.between(1, 4) as u32,
        }
    }
}
