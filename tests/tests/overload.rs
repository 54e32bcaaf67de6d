//! The cases of overload, each small: that they run and find nothing wrong. Their figures are another matter; the binary `overload` gives them.

use graft_tests::alone;
use graft_tests::overload::{Case, Size};

async fn nothing_is_wrong(case: Case) {
    let _turn = alone().await;
    let found = case.run(Size::SMALL).await;
    assert!(found.wrong.is_empty(), "{:?}", found.wrong);
    assert!(!found.figures.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_starts_than_can_be_worked_off_are_refused_and_the_others_complete() {
    nothing_is_wrong(Case::Starts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_workflows_disturb_no_others() {
    nothing_is_wrong(Case::Million).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deaf_and_slow_workers_keep_nothing_from_being_done() {
    nothing_is_wrong(Case::Sessions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_connections_make_no_call_of_others_fail() {
    nothing_is_wrong(Case::Hostile).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_long_is_kept_what_is_large_is_refused_and_who_is_slow_is_let_go() {
    nothing_is_wrong(Case::Sizes).await;
}
