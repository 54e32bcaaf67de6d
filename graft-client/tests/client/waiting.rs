//! Watches and waits: one run to its end, whatever breaks in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use graft_client::proto::{self, WorkflowStatus, event::Happened};
use graft_client::{Client, ClientError};
use tonic::Status;

use crate::scripted::{Batches, Script, summary};

/// One event, then the stream breaks. The third event ends the run, which is number 7.
fn one_event_at_a_time(request: proto::WatchRequest) -> Batches {
    let number = request.from_number.max(1);
    let happened = if number == 3 { Happened::Completed(Default::default()) } else { Happened::Paused(Default::default()) };
    let event = proto::Event { number, happened: Some(happened), ..Default::default() };
    stream::iter([Ok(proto::WatchResponse { events: vec![event], run: 7 }), Err(Status::unavailable("broken"))]).boxed()
}

#[tokio::test]
async fn a_watch_that_breaks_goes_on_where_it_stopped_in_the_run_that_it_began_with() {
    let (url, server) = Script::default().on_watch(one_event_at_a_time).serve().await;
    let events: Vec<_> = Client::connect(url).unwrap().workflow("order-1").watch().map(|event| event.unwrap().number).collect().await;
    assert_eq!(events, [1, 2, 3]);
    let watches: Vec<_> = server.seen().watches.iter().map(|watch| (watch.run, watch.from_number)).collect();
    assert_eq!(watches, [(0, 0), (7, 2), (7, 3)]);
}

#[tokio::test]
async fn a_wait_that_is_asked_again_stays_with_the_run_that_it_began_with() {
    // The first step is over before the run has ended; then another run takes its place.
    let begun = AtomicBool::new(false);
    let wait = move |request: proto::WaitRequest| {
        let (run, status) = match request.run {
            0 if !begun.swap(true, Ordering::Relaxed) => (7, WorkflowStatus::Running),
            0 => (8, WorkflowStatus::Completed),
            run => (run, WorkflowStatus::Completed),
        };
        begun.fetch_and(status == WorkflowStatus::Running, Ordering::Relaxed);
        let ended = status != WorkflowStatus::Running;
        async move { Ok(proto::WaitResponse { ended, workflow: Some(summary(run, status)), state: None }) }
    };
    let (url, server) = Script::default().on_wait(wait).serve().await;
    let client = Client::connect(url).unwrap();
    assert_eq!(client.workflow("order-1").wait().await.unwrap().summary.run, 7);
    let ended = client.workflow("order-1").wait_for(Duration::from_secs(5)).await.unwrap();
    assert_eq!(ended.unwrap().summary.run, 7);
    client.workflow("order-1").result::<()>().await.unwrap();
    let runs: Vec<_> = server.seen().waits.iter().map(|wait| wait.run).collect();
    assert_eq!(runs, [0, 7, 0, 7, 0, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_whose_streams_stand_for_long_is_not_given_up() {
    // A proxy that closes what is silent for a minute, more often than a watch that fails is begun again; then the run ends.
    let opened = std::sync::atomic::AtomicUsize::new(0);
    let watch = move |_: proto::WatchRequest| match opened.fetch_add(1, Ordering::Relaxed) {
        100 => {
            let event = proto::Event { number: 1, happened: Some(Happened::Completed(Default::default())), ..Default::default() };
            stream::iter([Ok(proto::WatchResponse { events: vec![event], run: 7 })]).boxed()
        }
        _ => stream::once(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Err(Status::unavailable("silent for too long"))
        })
        .boxed(),
    };
    let (url, server) = Script::default().on_watch(watch).serve().await;
    let events: Vec<_> = Client::connect(url).unwrap().workflow("order-1").watch().map(|event| event.unwrap().number).collect().await;
    assert_eq!((events, server.seen().watches.len()), (vec![1], 101));
}

#[tokio::test(start_paused = true)]
async fn a_watch_whose_streams_break_at_once_is_given_up() {
    let watch = |_: proto::WatchRequest| stream::once(async { Err(Status::unavailable("broken")) }).boxed();
    let (url, server) = Script::default().on_watch(watch).serve().await;
    let events: Vec<_> = Client::connect(&url).unwrap().workflow("order-1").watch().collect().await;
    assert!(events.len() == 1 && events[0].as_ref().is_err_and(ClientError::is_retryable), "{events:?}");
    let error = events[0].as_ref().unwrap_err();
    assert!(
        error.has_no_side_effects() && error.to_string().contains(&url),
        "a watch changes nothing, at a server that has a name: {error}"
    );
    assert_eq!(server.seen().watches.len(), 21);
}
