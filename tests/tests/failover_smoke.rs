//! What the binary `failover` measures, once around: two kills, two handovers, a follower that was stopped, and one that was cut off. Figures of two
//! rounds in a debug build say nothing, so none is judged; that nothing fails or is lost is.

use graft_tests::bridge::Bridge;
use graft_tests::cluster::Cluster;
use graft_tests::failover::{Cut, Trial};
use graft_tests::{figure, left_out, walls};

#[tokio::test(flavor = "multi_thread")]
async fn leaders_are_killed_and_hand_over_under_load_and_a_stopped_follower_disturbs_nobody() {
    let mut trial = Trial::begin(Cluster::start(3, "").await, 8, 50, 7).await;
    // Who was away for far longer than an election takes asks before it stands for one, and is told that somebody leads.
    assert_eq!(trial.stop_a_follower().await, 0, "elections for a follower that was stopped");
    for _ in 0..2 {
        let round = trial.transfer().await.expect("leadership can be handed over");
        figure(format_args!(
            "handed over: another leader after {} ms, its first task after {} ms",
            round.led_after.as_millis(),
            round.progress_after.as_millis()
        ));
    }
    assert_eq!(trial.lanes.failed(), 0, "requests that failed at a handover");
    for _ in 0..2 {
        let round = trial.kill().await;
        figure(format_args!(
            "killed: another leader after {} ms, its first task after {} ms",
            round.led_after.as_millis(),
            round.progress_after.as_millis()
        ));
    }
    let asked = trial.end().await;
    assert!(asked.wrong.is_empty(), "{:?}", asked.wrong);
    assert!(asked.completed == asked.acknowledged && asked.completed > 0, "{asked:?}");
}

#[test]
fn a_follower_that_is_cut_off_disturbs_nobody() {
    if left_out(walls::possible()) {
        return;
    }
    // This thread moves, and what it begins goes with it.
    let bridge = Bridge::around(3).expect("root may enter");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut trial = Trial::begin(Cluster::start_on(bridge, 3, "").await, 8, 50, 7).await;
        for cut in Cut::ALL {
            assert_eq!(trial.cut_off_a_follower(cut).await, Ok(0), "elections for a follower that was cut off: {cut:?}");
        }
        let asked = trial.end().await;
        assert!(asked.wrong.is_empty() && asked.completed == asked.acknowledged && asked.completed > 0, "{asked:?}");
    });
}
