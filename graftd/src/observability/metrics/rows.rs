//! Gauges of what only the leader can say: all of a kind are written together, and are gone when its term is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::{IntGauge, IntGaugeVec, Registry};

use super::make;

/// The rows of one metric. A scrape between two of them sees each row as it was or as it is; a row that is not written again is not there any more.
#[derive(Debug)]
pub struct Rows {
    gauges: IntGaugeVec,
    shown: Mutex<BTreeMap<Vec<String>, IntGauge>>,
}

impl Rows {
    pub(super) fn new(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Self {
        Self { gauges: make::gauges(registry, name, help, labels, &[]), shown: Mutex::default() }
    }

    /// These are the rows now: label values, in the order of the metric's labels, and the number.
    pub fn show(&self, rows: impl IntoIterator<Item = (Vec<String>, i64)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for (labels, value) in rows {
            let gauge = shown.remove(&labels).unwrap_or_else(|| self.gauges.with_label_values(&labels));
            gauge.set(value);
            now.insert(labels, gauge);
        }
        for labels in shown.keys() {
            // Only rows that were made here are there.
            let _ = self.gauges.remove_label_values(labels);
        }
        *shown = now;
    }

    /// There is one row, without labels.
    pub fn set(&self, value: i64) {
        self.show([(Vec::new(), value)]);
    }

    /// The same, to be set often: until the rows are cleared.
    pub fn alone(&self) -> IntGauge {
        self.set(0);
        self.gauges.with_label_values::<&str>(&[])
    }

    /// This member has nothing to say.
    pub fn clear(&self) {
        self.show([]);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector;

    use super::*;

    #[test]
    fn a_row_that_is_not_written_again_is_gone() {
        let registry = Registry::new();
        let rows = Rows::new(&registry, "graft_rows", "x", &["of"]);
        let row = |of: &str, value| (vec![of.to_owned()], value);
        let seen = || -> Vec<(String, f64)> {
            let family = rows.gauges.collect().remove(0);
            let mut seen: Vec<_> =
                family.get_metric().iter().map(|m| (m.get_label()[0].value().to_owned(), m.get_gauge().get_value())).collect();
            seen.sort_by(|a, b| a.0.cmp(&b.0));
            seen
        };
        rows.show([row("a", 1), row("b", 2)]);
        assert_eq!(seen(), [("a".to_owned(), 1.0), ("b".to_owned(), 2.0)]);
        rows.show([row("b", 3), row("c", 4)]);
        assert_eq!(seen(), [("b".to_owned(), 3.0), ("c".to_owned(), 4.0)]);
        assert_eq!(registry.gather().len(), 1);
        rows.clear();
        assert!(registry.gather().is_empty(), "a scrape has not even its name");
    }
}
