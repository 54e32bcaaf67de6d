//! Counts of values by their magnitude, as openraft keeps them of its batches: as much of the interface of the crate `base2histogram` 0.2 as openraft
//! compiles against without its feature `runtime-stats`, and none of that crate's code.
//!
//! That crate computes tables for sixteen widths of buckets when the first histogram is made, 26 MB, of which openraft uses the 2 KB of one. An idle
//! graftd was twice as large for it. Nobody reads these figures here: our own metrics count batches (`graftd/src/observability/metrics`). So a bucket
//! is a power of two, and a percentile is right within a factor of two.

use std::fmt;
use std::marker::PhantomData;

/// One for zero, and one for each number of significant bits.
const BUCKETS: usize = u64::BITS as usize + 1;

/// Counts of values. `T` would mark slots of time, which there are none of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    of: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// Without values.
    pub fn new() -> Self {
        Self { counts: [0; BUCKETS], of: PhantomData }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value so many times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        let count = &mut self.counts[(u64::BITS - value.leading_zeros()) as usize];
        *count = count.saturating_add(times);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// The least value of the bucket in which this part (0 to 1) of all values ends, by nearest rank; 0 without values.
    pub fn percentile(&self, part: f64) -> u64 {
        let rank = ((self.total() as f64 * part).ceil() as u64).max(1);
        let mut seen = 0_u64;
        let bucket = self.counts.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        match bucket {
            None | Some(0) => 0,
            Some(bits) => 1 << (bits - 1),
        }
    }

    /// The percentiles that people ask for.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Percentiles of a [`Histogram`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values there are.
    pub samples: u64,
    /// 0.1 per cent are not larger.
    pub p0_1: u64,
    /// 1 per cent.
    pub p1: u64,
    /// 5 per cent.
    pub p5: u64,
    /// 10 per cent.
    pub p10: u64,
    /// Half of them.
    pub p50: u64,
    /// 90 per cent.
    pub p90: u64,
    /// 99 per cent.
    pub p99: u64,
    /// 99.9 per cent.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p0_1, p1, p5, p10, p50, p90, p99, p99_9 } = self;
        write!(f, "{samples} values: {p0_1} {p1} {p5} {p10} {p50} {p90} {p99} {p99_9}")
    }
}

/// Histograms side by side. Only openraft's feature `runtime-stats` draws them.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    series: Vec<(String, Histogram)>,
}

impl AsciiChart {
    /// Without histograms.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.series.push((name.into(), histogram));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_right_within_a_factor_of_two() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile(0.5), 0);
        (0..1_000).for_each(|value| histogram.record(value));
        histogram.record_n(u64::MAX, 3);
        assert_eq!(histogram.total(), 1_003);
        for (part, exact) in [(0.0, 0_u64), (0.1, 100), (0.5, 501), (0.9, 902), (1.0, u64::MAX)] {
            let found = histogram.percentile(part);
            assert!(found <= exact && exact / 2 <= found, "{part}: {found}, and not about {exact}");
        }
        let stats = histogram.percentile_stats();
        assert_eq!((stats.samples, stats.p50, stats.p99_9), (1_003, 256, 1 << 63));
        assert_eq!(stats.to_string(), "1003 values: 1 8 32 64 256 512 512 9223372036854775808");
    }
}
