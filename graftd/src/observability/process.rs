//! What the system says of this process, read at each scrape: no thread, no cost between scrapes.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

/// Memory of the process, as gauges.
struct ProcessMemory {
    resident: IntGauge,
    peak: IntGauge,
}

impl ProcessMemory {
    fn read(&self) {
        let status = status();
        self.resident.set(bytes_of(&status, "VmRSS:") as i64);
        self.peak.set(bytes_of(&status, "VmHWM:") as i64);
    }
}

impl Collector for ProcessMemory {
    fn desc(&self) -> Vec<&Desc> {
        [self.resident.desc(), self.peak.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        [self.resident.collect(), self.peak.collect()].concat()
    }
}

/// Adds `process_resident_memory_bytes`, `process_peak_memory_bytes` and `graft_build_info{version}`.
pub fn register(registry: &Registry) {
    const BUILT_IN: &str = "a metric of this file has a valid name and is registered once";
    let gauge = |name, help| IntGauge::new(name, help).expect(BUILT_IN);
    let memory = ProcessMemory {
        resident: gauge("process_resident_memory_bytes", "Memory of the process that is in use"),
        peak: gauge("process_peak_memory_bytes", "Most memory that the process has used at once"),
    };
    registry.register(Box::new(memory)).expect(BUILT_IN);
    let build = IntGaugeVec::new(Opts::new("graft_build_info", "What is running; always 1"), &["version"]).expect(BUILT_IN);
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build)).expect(BUILT_IN);
}

/// Most memory that the process has used at once, in bytes; 0 where the system does not tell.
pub fn peak_memory_bytes() -> u64 {
    bytes_of(&status(), "VmHWM:")
}

fn status() -> String {
    // Elsewhere than on Linux there is no such file.
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// A line such as `VmHWM:    123456 kB`, in bytes; 0 if it is not there.
fn bytes_of(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_says_how_much_memory_the_process_uses_and_has_used() {
        let registry = Registry::new();
        register(&registry);
        let value = |name: &str| {
            let family = registry.gather().into_iter().find(|family| family.name() == name).unwrap();
            family.get_metric()[0].get_gauge().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 0.0);
        assert!(value("process_peak_memory_bytes") >= value("process_resident_memory_bytes") / 2.0);
        assert_eq!(value("graft_build_info"), 1.0);
    }

    #[test]
    fn a_missing_line_counts_as_nothing() {
        assert_eq!(bytes_of("VmRSS:\t    12 kB\n", "VmRSS:"), 12 << 10);
        assert_eq!(bytes_of("VmRSS: lots\n", "VmRSS:"), 0);
        assert_eq!(bytes_of("", "VmRSS:"), 0);
    }
}
