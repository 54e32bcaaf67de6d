//! A rolling restart under load: each of three real members drains, ends and comes back, one after the other, and nobody notices.

use graft_tests::cluster::Cluster;
use graft_tests::figure;
use graft_tests::load::Loading;
use graft_tests::workers::WorkerProcess;

/// Starts that are acknowledged between two restarts.
const BETWEEN: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn each_member_in_turn_is_restarted_under_load_and_no_start_fails() {
    let mut cluster = Cluster::start(3, "").await;
    let urls = cluster.urls();
    let workers: Vec<WorkerProcess> = (1..=2).map(|i| WorkerProcess::start(&urls, &format!("w{i}"))).collect();
    let loading = Loading::begin(cluster.clients(), "rolling");
    loading.gets_on(BETWEEN).await;
    let mut handed_over = 0;
    for member in 0..3 {
        let led = cluster.leader().await == member;
        let before = loading.acknowledged();
        let drained = cluster.drain(member).await;
        assert!(drained.status.success(), "a drained member exits 0: {}", drained.status);
        if led {
            let led_again = drained.led_again.expect("leadership is handed over before the process ends");
            handed_over += 1;
            figure(format_args!("m{} led; another member led {} ms after SIGTERM", member + 1, led_again.as_millis()));
        }
        cluster.members[member].start();
        let ready = cluster.members[member].ready().await;
        figure(format_args!(
            "m{} drained in {} ms and was ready {} ms after its start; {} starts were acknowledged meanwhile",
            member + 1,
            drained.took.as_millis(),
            ready.as_millis(),
            loading.acknowledged() - before
        ));
        // With all three, before the next one goes.
        loading.gets_on(BETWEEN).await;
    }
    assert!(handed_over > 0, "who led at first was restarted as well");
    let workflows = loading.end_and_check().await;
    figure(format_args!("{workflows} workflows were started and completed; no start failed"));
    drop(workers);
}
