//! A member that cannot go on, since its disk fails or a promise of its code is broken, ends at once and says why; the others take over; and started
//! again it is a member like any other, with everything that was acknowledged.

use std::fs;
use std::time::{Duration, Instant};

use graft_tests::cluster::Cluster;
use graft_tests::load::Loading;
use graft_tests::workers::WorkerProcess;
use graft_tests::{alone, figure, power};

/// Longest time from what went wrong to the end of the process.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// Starts between one event and the next.
const STARTS: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_go_on_ends_within_two_seconds_and_comes_back_clean() {
    let _turn = alone().await;
    let mut cluster = Cluster::prepare(3, "");
    for member in &mut cluster.members {
        let control = member.config_path().with_extension("disk");
        member.set_variable(power::DISK, "lossy");
        member.set_variable(power::CONTROL, control.to_str().expect("utf-8"));
        member.start();
    }
    for member in &cluster.members {
        member.ready().await;
    }
    let urls = cluster.urls();
    let workers: Vec<WorkerProcess> = (1..=2).map(|i| WorkerProcess::start(&urls, &format!("w{i}"))).collect();
    let loading = Loading::begin(cluster.clients(), "fatal");

    // An IO error is told by an exit code; a panic, in whatever thread, ends the process by SIGABRT, which has none.
    for (what, code, word) in [("breaks", Some(70), "os error 5"), ("panics", None, "the control file asks for it")] {
        loading.gets_on(STARTS).await;
        let leader = cluster.leader().await;
        let member = &mut cluster.members[leader];
        let control = member.config_path().with_extension("disk");
        let before = member.log().len();
        let begun = Instant::now();
        // It is read at every sync, and the next one is a matter of milliseconds.
        fs::write(&control, format!("{what}\n")).expect("the control file is written");
        let (ended, said) = member.ended().await;
        let took = begun.elapsed();
        figure(format_args!("{what}: {} ended after {} ms", member.name, took.as_millis()));
        assert_eq!(ended, code, "{what}: {said}");
        assert!(said[before..].contains(word), "{what}: {said}");
        assert!(took < ENDS_WITHIN, "{what}: {took:?}");
        fs::remove_file(&control).expect("it was there");
        // The others go on without it, and then with it.
        loading.gets_on(STARTS).await;
        cluster.members[leader].start();
        cluster.members[leader].ready().await;
    }
    loading.gets_on(STARTS).await;
    let workflows = loading.end_and_check().await;
    figure(format_args!("{workflows} workflows were started meanwhile, and completed; no start failed"));
    drop(workers);
}
