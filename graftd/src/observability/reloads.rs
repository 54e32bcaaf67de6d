//! How often the configuration was read again, and with what result.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// Counts readings of the configuration after the start.
#[derive(Clone, Debug)]
pub struct Reloads {
    last_success: IntGauge,
    total: IntCounterVec,
}

impl Reloads {
    /// Adds `graft_config_last_reload_success` and `graft_config_reloads_total{result}`. What the daemon was started with was good.
    pub fn register(registry: &Registry) -> Self {
        const BUILT_IN: &str = "a metric of this file has a valid name and is registered once";
        let said = "1 if the configuration was good when it was read last, at the start or on SIGHUP";
        let last_success = IntGauge::new("graft_config_last_reload_success", said).expect(BUILT_IN);
        let said = Opts::new("graft_config_reloads_total", "Times that the configuration was read again");
        let total = IntCounterVec::new(said, &["result"]).expect(BUILT_IN);
        last_success.set(1);
        for result in [APPLIED, REFUSED] {
            total.with_label_values(&[result]);
        }
        registry.register(Box::new(last_success.clone())).expect(BUILT_IN);
        registry.register(Box::new(total.clone())).expect(BUILT_IN);
        Self { last_success, total }
    }

    /// It was read again: it was good and is in force, as far as it can be, or it was refused and changed nothing.
    pub fn count(&self, good: bool) {
        self.last_success.set(i64::from(good));
        self.total.with_label_values(&[if good { APPLIED } else { REFUSED }]).inc();
    }
}

const APPLIED: &str = "applied";
const REFUSED: &str = "refused";
