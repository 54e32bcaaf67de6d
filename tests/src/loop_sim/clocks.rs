//! The clocks of a member: a monotonic one that runs a little fast or slow, and a wall clock that somebody may set.

use std::sync::atomic::Ordering;

use graftd::clock::Clock;

use super::rng::Rng;

/// What the wall clocks show when the world begins.
pub const EPOCH: u64 = 1_700_000_000_000;
/// How far a wall clock is set forward or back at most, in milliseconds: ten minutes.
const JUMP_MS: u64 = 600_000;
/// How fast or slow a monotonic clock runs at most, in thousandths.
const DRIFT_PERMILLE: u64 = 10;

/// A member's clocks.
#[derive(Debug)]
pub struct Clocks {
    /// As the real code reads them.
    pub clock: Clock,
    base: u64,
    drift: i64,
    wall_offset: i64,
}

impl Clocks {
    /// Clocks of a member: each counts from elsewhere.
    pub fn new(slot: usize, now: u64, rng: &mut Rng) -> Self {
        let drift = rng.below(2 * DRIFT_PERMILLE + 1) as i64 - DRIFT_PERMILLE as i64;
        let clocks = Self { clock: Clock::manual(0), base: 1_000_000 * slot as u64, drift, wall_offset: 40 * slot as i64 };
        clocks.tick(now);
        clocks
    }

    /// The monotonic clock at a moment of the world.
    pub fn monotonic(&self, now: u64) -> u64 {
        (self.base + now).saturating_add_signed(now as i64 * self.drift / 1_000)
    }

    /// The world has come to `now`.
    pub fn tick(&self, now: u64) {
        if let Clock::Manual { monotonic, wall } = &self.clock {
            monotonic.store(self.monotonic(now), Ordering::Relaxed);
            wall.store((EPOCH + now).saturating_add_signed(self.wall_offset), Ordering::Relaxed);
        }
    }

    /// The wall clock is set.
    pub fn jump(&mut self, rng: &mut Rng) {
        self.wall_offset = rng.below(2 * JUMP_MS) as i64 - JUMP_MS as i64;
    }

    /// The wall clock is right again.
    pub fn mend(&mut self) {
        self.wall_offset = 0;
    }
}
