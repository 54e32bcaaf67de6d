//! Watch and wait: woken by events, without a gap, to the end.

use graft_proto::v1;
use graft_proto::v1::event::Happened;
use tonic::{Code, Streaming};

use crate::member::{Member, refusal, start, within};

fn control(reason: &str) -> v1::ControlRequest {
    v1::ControlRequest { workflow_id: "a".into(), reason: reason.into(), ..Default::default() }
}

async fn next(stream: &mut Streaming<v1::WatchResponse>) -> Vec<v1::Event> {
    within(stream.message()).await.expect("the stream goes on").expect("the stream goes on").events
}

async fn rest(mut stream: Streaming<v1::WatchResponse>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(response) = within(stream.message()).await.expect("a clean end") {
        numbers.extend(response.events.iter().map(|event| event.number));
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_sees_every_event_as_it_becomes_true_and_then_the_end() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(start("a", "n")).await.expect("started");
    let watch = |from_number| v1::WatchRequest { workflow_id: "a".into(), from_number, ..Default::default() };
    let mut watched = client.watch(watch(0)).await.expect("watching").into_inner();
    let first = next(&mut watched).await;
    assert!(matches!(first[0].happened, Some(Happened::Started(_))), "{first:?}");
    for n in 0..50 {
        client.pause(control("p")).await.expect("paused");
        if n == 0 {
            assert!(matches!(next(&mut watched).await[0].happened, Some(Happened::Paused(_))), "woken by the news");
        }
        client.resume(control("r")).await.expect("resumed");
    }
    let from_ninety = client.watch(watch(90)).await.expect("watching").into_inner();
    client.terminate(control("t")).await.expect("terminated");
    assert_eq!(rest(watched).await, (3..=102).collect::<Vec<_>>());
    assert_eq!(rest(from_ninety).await, (90..=102).collect::<Vec<_>>());
    let afterwards = client.watch(watch(0)).await.expect("watching").into_inner();
    assert_eq!(rest(afterwards).await, (1..=102).collect::<Vec<_>>(), "a run that has ended is told from its beginning, and ends");
    let beyond = client.watch(watch(500)).await.expect("watching").into_inner();
    assert!(rest(beyond).await.is_empty(), "there is nothing to come any more");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_ends_with_the_workflow_or_with_the_wait() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(start("a", "n")).await.expect("started");
    let wait = |timeout_ms| v1::WaitRequest { workflow_id: "a".into(), timeout_ms, ..Default::default() };
    let over = within(client.wait(wait(1))).await.expect("an answer").into_inner();
    assert!(!over.ended && over.workflow.is_some() && over.state.is_some());
    let waiting = tokio::spawn({
        let mut client = client.clone();
        async move { client.wait(wait(60_000)).await }
    });
    client.terminate(control("enough")).await.expect("terminated");
    let ended = within(waiting).await.expect("no panic").expect("an answer").into_inner();
    assert!(ended.ended);
    assert_eq!(ended.workflow.expect("a workflow").status(), v1::WorkflowStatus::Terminated);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_ends_watches_and_waits_with_the_reason() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(start("a", "n")).await.expect("started");
    let mut watched =
        client.watch(v1::WatchRequest { workflow_id: "a".into(), ..Default::default() }).await.expect("watching").into_inner();
    next(&mut watched).await;
    member.begin_stop();
    let status = within(watched.message()).await.expect_err("the end");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(refusal::<()>(Err(status)).0, "GR0016");
    member.stop().await;
}
