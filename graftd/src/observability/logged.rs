//! Counts the lines of the log by level: of the process, since it has one log however many daemons are in it.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The levels, as the metric names them.
pub const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

static LINES: [AtomicU64; LEVELS.len()] = [const { AtomicU64::new(0) }; LEVELS.len()];

/// Lines logged so far, in the order of [`LEVELS`].
pub fn lines() -> [u64; LEVELS.len()] {
    std::array::from_fn(|level| LINES[level].load(Ordering::Relaxed))
}

/// Stands above the log, and sees what is written there.
pub struct CountLines;

impl<S: Subscriber> Layer<S> for CountLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => 0,
            Level::WARN => 1,
            Level::INFO => 2,
            Level::DEBUG => 3,
            Level::TRACE => 4,
        };
        LINES[level].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn what_the_filter_lets_through_is_counted_by_its_level() {
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("warn")).with_writer(std::io::sink).finish();
        // Nothing else in the tests of this crate counts.
        let before = lines();
        tracing::subscriber::with_default(log.with(CountLines), || {
            tracing::warn!("a");
            tracing::warn!("b");
            tracing::trace!("not wanted");
        });
        let after = lines();
        assert_eq!((after[1] - before[1], after[4] - before[4]), (2, 0));
    }
}
