//! The engine's clock: tokio's, stopped, counted from a fixed date.

use std::time::{Duration, SystemTime};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, sleep_until};

use crate::next::millis;

/// Where the clock of every [`TestEngine`](super::TestEngine) begins: 2026-01-01 00:00:00 UTC, in milliseconds since the Unix epoch.
pub const START: u64 = 1_767_225_600_000;

/// Counts from [`START`], from when it is first [driven](Clock::begin).
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Option<Instant>);

impl Clock {
    /// Stops tokio's clock, if it is not stopped already.
    pub(super) fn stop() -> Self {
        let handle = Handle::try_current().unwrap_or_else(|_| panic!("a TestEngine is made in an async test: write #[tokio::test]"));
        assert!(
            handle.runtime_flavor() == RuntimeFlavor::CurrentThread,
            "a TestEngine stops the clock, which only a current-thread runtime allows: write #[tokio::test], without multi_thread"
        );
        if !is_stopped() {
            tokio::time::pause();
        }
        Self(None)
    }

    /// Begins to count, at a moment at which tokio's timers tick.
    pub(super) async fn begin(&mut self) {
        if self.0.is_none() {
            align().await;
            self.0 = Some(Instant::now());
        }
    }

    /// The time since [`START`].
    pub(super) fn elapsed(self) -> Duration {
        self.0.map_or(Duration::ZERO, |begin| begin.elapsed())
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now(self) -> u64 {
        START + millis(self.elapsed())
    }

    /// The same, as the standard library has it.
    pub(super) fn now_system(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(START) + self.elapsed()
    }

    /// When the clock will show `at`.
    pub(super) fn instant(self, at: u64) -> Instant {
        self.0.unwrap_or_else(Instant::now) + Duration::from_millis(at.saturating_sub(START))
    }
}

/// Moves the stopped clock to a moment at which tokio's timers tick. They do so once in a millisecond, counted from the runtime's start, so that
/// from any other moment every sleep would take up to a millisecond longer than it says.
async fn align() {
    const TICK: u64 = 1_000_000;
    // A sleep to the tick ends there, and one beyond it at the next. What is looked for is the longest that ends at the first.
    let (mut fits, mut too_long) = (0, TICK + 1);
    while too_long - fits > 1 {
        let middle = fits.midpoint(too_long);
        let before = Instant::now();
        sleep_until(before + Duration::from_nanos(middle)).await;
        if before.elapsed() < Duration::from_nanos(TICK + TICK / 2) { fits = middle } else { too_long = middle }
    }
    if fits < TICK {
        tokio::time::advance(Duration::from_nanos(fits)).await;
    }
}

/// Whether tokio's clock stands still while the machine's goes on. Asking costs a moment, and nothing of tokio says it otherwise.
fn is_stopped() -> bool {
    let (real, shown) = (std::time::Instant::now(), Instant::now());
    while real.elapsed() < Duration::from_micros(20) {
        std::hint::spin_loop();
    }
    Instant::now() == shown
}
