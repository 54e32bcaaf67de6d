//! Settings and bounds of the scheduler, by name.

use crate::observability::traces::ids::Policy;

/// Ready tasks that a queue holds in memory, by default; the others wait in the ready table.
pub const READY_WINDOW_DEFAULT: usize = 4_096;
/// Timers held in memory, by default; later ones wait in the timer table.
pub const TIMERS_WINDOW_DEFAULT: usize = 16_384;
/// Rows that one refill reads.
pub const REFILL_PAGE: usize = 512;
/// Attempts that one turn assigns, by default.
pub const LOADS_PER_TURN_DEFAULT: usize = 1_024;
/// Commands that one proposal carries.
pub const COMMANDS_PER_PROPOSAL: usize = 1_024;
/// `Due` commands that are under way at once.
pub const DUE_IN_FLIGHT: usize = 4;
/// Payload bytes after which a message with tasks is closed and another begun.
pub const TASK_MESSAGE_BYTES: usize = 1 << 20;
/// Acknowledgements in one message.
pub const ACKS_PER_MESSAGE: usize = 4_096;
/// Wait before a command of the scheduler's own is proposed again, in milliseconds.
pub const RETRY_MS: u64 = 200;
/// Wait before the leader lease is looked at again while work is waiting for it, in milliseconds.
pub const LEADER_LEASE_POLL_MS: u64 = 20;
/// Attempt lease by default, in milliseconds.
pub const LEASE_MS_DEFAULT: u64 = 10_000;

/// Settings.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// Attempt lease of new sessions, in milliseconds.
    pub lease_ms: u64,
    /// Ready tasks of one node held in memory; at least 4.
    pub ready_window: usize,
    /// Timers held in memory; at least 4.
    pub timers_window: usize,
    /// Attempts that one turn assigns, at most; at least 1.
    pub loads_per_turn: usize,
    /// Limits that a new leader sets where none was ever set or taken away.
    pub seed_limits: SeedLimits,
    /// Which spans are exported: nodes are handed what they can go on from.
    pub traces: Policy,
}

/// Concurrency limits of the configuration: set once, where no record stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedLimits {
    /// Attempts in the whole cluster.
    pub total: Option<u32>,
    /// Attempts of one node: namespace, node, limit.
    pub nodes: Vec<(String, String, u32)>,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            lease_ms: LEASE_MS_DEFAULT,
            ready_window: READY_WINDOW_DEFAULT,
            timers_window: TIMERS_WINDOW_DEFAULT,
            loads_per_turn: LOADS_PER_TURN_DEFAULT,
            seed_limits: SeedLimits::default(),
            traces: Policy::default(),
        }
    }
}
