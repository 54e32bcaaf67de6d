//! Spans on their way to the collector.

use prometheus::{IntCounter, Registry};

use super::make::{counter, counters};

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    /// Spans that the collector took.
    pub exported: IntCounter,
    /// Spans that were dropped, since too many waited already.
    pub queue_full: IntCounter,
    /// Spans that were given up, since the collector was away or refused them all.
    pub not_taken: IntCounter,
    /// Spans that the collector refused while it took others.
    pub rejected: IntCounter,
}

impl TraceMetrics {
    pub(super) fn new(r: &Registry) -> Self {
        let help = "Spans that no collector has: too many waited (queue_full), it took none (not_taken), or not these (rejected)";
        let dropped = counters(r, "graft_trace_spans_dropped_total", help, &["reason"], &[]);
        let dropped = |reason| dropped.with_label_values(&[reason]);
        Self {
            exported: counter(r, "graft_trace_spans_exported_total", "Spans that the collector took"),
            queue_full: dropped("queue_full"),
            not_taken: dropped("not_taken"),
            rejected: dropped("rejected"),
        }
    }
}
