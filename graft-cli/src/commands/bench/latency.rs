//! How long things took: a histogram of fixed size that many tasks add to at once.
//!
//! Up to 127 µs every microsecond has a bucket of its own; above, each power of two has 128, so a figure is at most 0.8 % too high.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets for each power of two, and the first values that are exact.
const FINE: u64 = 128;
const FINE_BITS: u32 = FINE.ilog2();
/// The longest time that has a bucket: 2^36 µs, some 19 hours. Longer ones count as this.
const BITS_MAX: u32 = 36;
const BUCKETS: usize = (FINE as usize) * (BITS_MAX - FINE_BITS + 1) as usize;

/// A histogram that is being filled.
#[derive(Debug)]
pub(crate) struct Latencies(Box<[AtomicU64]>);

impl Default for Latencies {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Latencies {
    /// Adds one.
    pub(crate) fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0[bucket(us)].fetch_add(1, Ordering::Relaxed);
    }

    /// What it holds now.
    pub(crate) fn sums(&self) -> Sums {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Sums { total: counts.iter().sum(), counts }
    }
}

/// A histogram that was filled.
#[derive(Debug)]
pub(crate) struct Sums {
    total: u64,
    counts: Vec<u64>,
}

impl Sums {
    /// How many there are.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The time in microseconds that this share (in thousandths) of them did not exceed; `None` if there are none.
    pub(crate) fn permille(&self, share: u64) -> Option<u64> {
        let rank = (self.total * share).div_ceil(1_000).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(highest(at))
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min((1 << BITS_MAX) - 1);
    if us < FINE {
        return us as usize;
    }
    let shift = us.ilog2() - FINE_BITS;
    (FINE * u64::from(shift) + (us >> shift)) as usize
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * FINE {
        return bucket;
    }
    let shift = bucket / FINE - 1;
    ((bucket - FINE * shift + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_its_bucket_and_the_bucket_is_narrow() {
        let mut us = 0_u64;
        while us < 1 << BITS_MAX {
            let highest = highest(bucket(us));
            assert!(highest >= us && (highest - us) * FINE <= us, "{us} µs is counted as {highest} µs");
            us = us * 129 / 128 + 1;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let latencies = Latencies::default();
        (1..=100).for_each(|us| latencies.add(Duration::from_micros(us)));
        let sums = latencies.sums();
        assert_eq!((sums.total(), sums.permille(500), sums.permille(990), sums.permille(999)), (100, Some(50), Some(99), Some(100)));
        assert_eq!(Latencies::default().sums().permille(500), None);
    }
}
