//! What a daemon costs that has nothing to do can be measured.

use std::time::Duration;

use graft_tests::binary;
use graft_tests::footprint::{Asks, measure};

#[test]
fn a_daemon_that_is_left_alone_is_measured() {
    let asks = Asks { graftd: binary("graftd-under-test"), starts: 2, idle: Duration::from_secs(1) };
    let figures = measure(&asks).expect("figures");
    assert_eq!((figures.fresh.count, figures.existing.count), (2, 2));
    assert!(figures.fresh.median_ms > 0.0 && figures.fresh.median_ms <= figures.fresh.max_ms, "{figures:?}");
    let idle = &figures.idle;
    assert!(idle.anonymous_bytes > 1 << 20 && idle.anonymous_bytes < idle.resident_bytes, "{idle:?}");
    assert!(idle.cpu_percent > 0.0 && idle.cpu_percent < 100.0 && idle.threads > 1, "{idle:?}");
}
