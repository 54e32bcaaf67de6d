//! How a source tells what it knows: to whoever asks for candidates, to the log (once for each change) and to the metrics.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};
use tokio::sync::watch;

use super::{CANDIDATES_MAX, Source};
use crate::observability::metrics::Metrics;

/// What a source knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Each once, in order, at most [`CANDIDATES_MAX`].
    pub(super) addresses: Vec<String>,
    /// Why it may not be all, or not be so any more; `None`: it is what there is.
    pub(super) failure: Option<String>,
}

/// The voice of one source. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Says {
    name: Arc<str>,
    report: Arc<watch::Sender<Report>>,
    errors: IntCounter,
    candidates: IntGauge,
    failing: IntGauge,
}

impl Says {
    /// Of this source; and what it says, from now on.
    pub(super) fn of(source: &dyn Source, metrics: &Metrics) -> (Self, watch::Receiver<Report>) {
        let (report, heard) = watch::channel(Report::default());
        let label = [source.provider().label()];
        let says = Self {
            name: source.name().into(),
            report: Arc::new(report),
            errors: metrics.cluster.discovery_errors.with_label_values(&label),
            candidates: metrics.cluster.discovery_candidates.with_label_values(&label),
            failing: metrics.cluster.discovery_failing.with_label_values(&label),
        };
        (says, heard)
    }

    /// These are all. Of more than can be candidates, the first in order are.
    pub fn found(&self, mut addresses: Vec<String>) {
        addresses.sort();
        addresses.dedup();
        let count = addresses.len();
        addresses.truncate(CANDIDATES_MAX);
        let failure = (count > CANDIDATES_MAX).then(|| format!("{count} addresses are too many for candidates"));
        self.say(Some(addresses), failure);
    }

    /// These were found, and there may be more that could not be.
    pub fn found_some(&self, mut addresses: Vec<String>, failure: String) {
        addresses.sort();
        addresses.dedup();
        addresses.truncate(CANDIDATES_MAX);
        self.say(Some(addresses), Some(failure));
    }

    /// It could not be found out. What was found before stays.
    pub fn failed(&self, failure: String) {
        self.say(None, Some(failure));
    }

    fn say(&self, addresses: Option<Vec<String>>, failure: Option<String>) {
        let name = &self.name;
        if failure.is_some() {
            self.errors.inc();
        }
        self.report.send_if_modified(|report| {
            let mut changed = false;
            if report.failure != failure {
                changed = true;
                match &failure {
                    Some(failure) if addresses.is_some() => tracing::warn!("{name}: {failure}; the others count"),
                    Some(failure) => tracing::warn!("{name}: {failure}; what was found before is kept"),
                    None => tracing::info!("{name}: found out again"),
                }
                self.failing.add(i64::from(failure.is_some()) - i64::from(report.failure.is_some()));
                report.failure = failure;
            }
            if let Some(addresses) = addresses.filter(|addresses| *addresses != report.addresses) {
                changed = true;
                tracing::debug!("{name}: {}", addresses.join(", "));
                let count = |addresses: &Vec<String>| i64::try_from(addresses.len()).unwrap_or(i64::MAX);
                self.candidates.add(count(&addresses) - count(&report.addresses));
                report.addresses = addresses;
            }
            changed
        });
    }
}
