//! How metrics are made: named, registered, and with their known labels.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Of what takes microseconds when all is well, in seconds.
pub(super) const LATENCY: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 10.];
/// Of what there are hundreds of: few.
pub(super) const COARSE: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 15., 120.];
/// Of what somebody's code takes, in seconds.
pub(super) const EXECUTION: &[f64] = &[0.005, 0.025, 0.1, 0.5, 2.5, 10., 60., 600.];
/// Of what may take days, in seconds: to a week.
pub(super) const LIFETIME: &[f64] = &[0.1, 1., 10., 60., 600., 3_600., 86_400., 604_800.];
/// In bytes, from a kibibyte to a gibibyte.
pub(super) const BYTES: &[f64] = &[1024., 16_384., 262_144., 1_048_576., 16_777_216., 268_435_456., 1_073_741_824.];

const BUILT_IN: &str = "a metric of this folder has a valid name and is registered once";

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    let metric = IntCounter::new(name, help).expect(BUILT_IN);
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

/// Label values that are known are made at once, so that their counters start at 0.
pub(super) fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str], known: &[&[&str]]) -> IntCounterVec {
    let metric = IntCounterVec::new(Opts::new(name, help), labels).expect(BUILT_IN);
    for values in known {
        metric.with_label_values(values);
    }
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let metric = IntGauge::new(name, help).expect(BUILT_IN);
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

/// As [`counters`].
pub(super) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str], known: &[&[&str]]) -> IntGaugeVec {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels).expect(BUILT_IN);
    for values in known {
        metric.with_label_values(values);
    }
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

pub(super) fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())).expect(BUILT_IN);
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}

/// As [`counters`]; with one label.
pub(super) fn histograms(registry: &Registry, name: &str, help: &str, label: &str, known: &[&str], buckets: &[f64]) -> HistogramVec {
    let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[label]).expect(BUILT_IN);
    for value in known {
        metric.with_label_values(&[value]);
    }
    registry.register(Box::new(metric.clone())).expect(BUILT_IN);
    metric
}
