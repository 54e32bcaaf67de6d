//! What the binary `soak` does for half an hour, for a few seconds: snapshots and purges follow one another while the log grows, and nobody ends.

use std::time::Duration;

use graft_tests::figure;
use graft_tests::soak::{Asks, soak};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_never_rests_is_cut_off_behind_its_snapshots_and_no_member_ends() {
    let soaked = soak(Asks { time: Duration::from_secs(8), snapshot_every: 200, batch: 1, lanes: 3 }).await;
    figure(format_args!("{} entries a second, {} snapshot points", soaked.entries_per_s, soaked.snapshot_points));
    assert!(soaked.ended.is_empty() && soaked.wrong.is_empty(), "{soaked:#?}");
    assert!(soaked.acknowledged > 0 && soaked.failed_calls == 0, "{soaked:#?}");
    // Every member passes a point after 200 entries, unless several lie between two looks.
    assert!(soaked.entries > 600 && soaked.snapshot_points >= 6, "{soaked:#?}");
}
