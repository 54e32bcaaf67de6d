//! The only reader of clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads time. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clocks.
    System {
        /// Where the monotonic clock counts from.
        origin: Instant,
    },
    /// Moved by hand, in tests: milliseconds.
    Manual {
        /// The monotonic reading.
        monotonic: Arc<AtomicU64>,
        /// The wall clock, which may also be set.
        wall: Arc<AtomicU64>,
    },
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self::System { origin: Instant::now() }
    }

    /// A clock whose readings both stand at `at_ms` until they are moved.
    pub fn manual(at_ms: u64) -> Self {
        Self::Manual { monotonic: Arc::new(AtomicU64::new(at_ms)), wall: Arc::new(AtomicU64::new(at_ms)) }
    }

    /// Milliseconds since the Unix epoch. May jump.
    pub fn wall_ms(&self) -> u64 {
        match self {
            Self::System { .. } => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64,
            Self::Manual { wall, .. } => wall.load(Ordering::SeqCst),
        }
    }

    /// Milliseconds since some fixed moment. Never goes back.
    pub fn monotonic_ms(&self) -> u64 {
        match self {
            Self::System { origin } => origin.elapsed().as_millis() as u64,
            Self::Manual { monotonic, .. } => monotonic.load(Ordering::SeqCst),
        }
    }

    /// Moves a manual clock forward; the system's clocks are not ours to move.
    pub fn advance(&self, by_ms: u64) {
        if let Self::Manual { monotonic, wall } = self {
            monotonic.fetch_add(by_ms, Ordering::SeqCst);
            wall.fetch_add(by_ms, Ordering::SeqCst);
        }
    }

    /// Sets the wall clock of a manual clock, forward or back, as an operator or a time server does.
    pub fn set_wall(&self, to_ms: u64) {
        if let Self::Manual { wall, .. } = self {
            wall.store(to_ms, Ordering::SeqCst);
        }
    }
}
