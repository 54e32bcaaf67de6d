//! The log file, the state file with its overlay, and the disk that they lie on.

use prometheus::{Histogram, IntCounter, IntGauge, Registry};

use super::make::{LATENCY, counter, counters, gauge, gauges, histograms};

/// See the module.
#[derive(Debug)]
pub struct StorageMetrics {
    /// The log file.
    pub log: StoreMetrics,
    /// The state file.
    pub state: StoreMetrics,
    /// Bytes in the overlay.
    pub overlay_bytes: IntGauge,
    /// How often apply has waited because the overlay was full.
    pub overlay_stalls: IntCounter,
    /// Bytes of the data directory's disk that are free.
    pub disk_free: IntGauge,
    /// Bytes of that disk.
    pub disk_total: IntGauge,
    /// Bytes of it that are kept for what runs.
    pub disk_reserve: IntGauge,
    /// 1 while less is free than is kept: a leader then starts no workflow.
    pub starts_refused: IntGauge,
}

/// What there is of each file.
#[derive(Debug)]
pub struct StoreMetrics {
    /// Durable commits.
    pub fsyncs: IntCounter,
    /// Seconds per durable commit.
    pub commit_seconds: Histogram,
    /// Its size.
    pub file_bytes: IntGauge,
}

impl StorageMetrics {
    pub(super) fn new(r: &Registry) -> Self {
        let fsyncs = counters(r, "graft_storage_fsyncs_total", "Durable commits", &["store"], &[]);
        let seconds = histograms(r, "graft_storage_commit_seconds", "Seconds per durable commit", "store", &[], LATENCY);
        let bytes = gauges(r, "graft_storage_file_bytes", "Bytes of the file", &["store"], &[]);
        let store = |name: &str| StoreMetrics {
            fsyncs: fsyncs.with_label_values(&[name]),
            commit_seconds: seconds.with_label_values(&[name]),
            file_bytes: bytes.with_label_values(&[name]),
        };
        Self {
            log: store("log"),
            state: store("state"),
            overlay_bytes: gauge(r, "graft_storage_overlay_bytes", "Bytes in the write-behind overlay"),
            overlay_stalls: counter(r, "graft_storage_overlay_stalls_total", "Times that apply waited for a flush"),
            disk_free: gauge(r, "graft_storage_disk_free_bytes", "Free bytes of the disk with the data"),
            disk_total: gauge(r, "graft_storage_disk_size_bytes", "Bytes of the disk with the data"),
            disk_reserve: gauge(r, "graft_storage_disk_reserve_bytes", "Bytes of it that are kept for what runs"),
            starts_refused: gauge(r, "graft_storage_starts_refused", "1 while less is free than is kept for what runs"),
        }
    }
}
