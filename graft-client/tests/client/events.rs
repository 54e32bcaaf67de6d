//! The stream of all events: without a gap and without an end, whatever breaks in between.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use graft_client::proto::{self, ErrorDetail};
use graft_client::{Client, ClientError, EventFilter};
use tonic::{Code, Status};

use crate::desk::{Asked, Desk, Told};
use crate::scripted::{detail, refusal};

/// The event after the position that was asked for; positions count events.
fn event_after(request: &proto::SubscribeRequest) -> proto::SubscribeResponse {
    let number: u64 = request.after.parse().unwrap_or(0) + 1;
    let event = proto::WorkflowEvent { event: Some(proto::Event { number, ..Default::default() }), ..Default::default() };
    proto::SubscribeResponse { events: vec![event], position: number.to_string() }
}

/// One event, then the stream breaks.
fn one_at_a_time(request: proto::SubscribeRequest) -> Told {
    stream::iter([Ok(event_after(&request)), Err(Status::unavailable("broken"))]).boxed()
}

/// What was asked to go on from, in order.
fn asked_after(desk: &Desk) -> Vec<String> {
    let after = |asked: &Asked| if let Asked::Events(request) = asked { request.after.clone() } else { panic!("{asked:?}") };
    desk.asked().iter().map(after).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_goes_on_from_the_last_position_at_another_member() {
    let (first_url, first) = Desk::with_events([], one_at_a_time).await;
    let (second_url, second) = Desk::with_events([], |request| stream::once(async move { Ok(event_after(&request)) }).boxed()).await;
    let client = Client::connect([first_url, second_url]).unwrap();
    // The first member goes away after some events.
    let mut events = client.events(EventFilter::new().from_earliest());
    let mut numbers = Vec::new();
    while numbers.len() < 5 {
        let batch = events.next().await.unwrap().unwrap();
        assert_eq!(batch.position, batch.events[0].event.as_ref().unwrap().number.to_string());
        numbers.push(batch.events[0].event.as_ref().unwrap().number);
    }
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let mut asked = asked_after(&first);
    asked.extend(asked_after(&second));
    assert_eq!(asked, ["earliest", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_subscription_says_everything_that_narrows_it() {
    let (url, desk) = Desk::with_events([], one_at_a_time).await;
    let client = Client::connect(url).unwrap().in_namespace("billing");
    let filter = EventFilter::new().id_prefix("order-").event_type("started").event_type("task_failed").after("41");
    assert_eq!(client.events(filter.clone()).next().await.unwrap().unwrap().position, "42");
    client.events(filter.all_namespaces()).next().await.unwrap().unwrap();
    let expected = |namespace: &str| {
        Asked::Events(proto::SubscribeRequest {
            namespace: namespace.into(),
            workflow_id_prefix: "order-".into(),
            types: vec!["started".into(), "task_failed".into()],
            after: "41".into(),
        })
    };
    assert_eq!(*desk.asked(), [expected("billing"), expected("")]);
}

#[tokio::test]
async fn whoever_was_too_slow_goes_on_where_the_member_let_go() {
    let slow = ErrorDetail { retryable: true, ..detail("GR0023") };
    let events = move |request: proto::SubscribeRequest| {
        let answer = event_after(&request);
        stream::iter([Ok(answer), Err(refusal(Code::Aborted, &slow))]).boxed()
    };
    let (url, desk) = Desk::with_events([], events).await;
    let events = Client::connect(url).unwrap().events(EventFilter::new().after("7"));
    let positions: Vec<_> = events.take(2).map(|batch| batch.unwrap().position).collect().await;
    assert_eq!((positions, asked_after(&desk)), (vec!["8".to_owned(), "9".to_owned()], vec!["7".to_owned(), "8".to_owned()]));
}

#[tokio::test]
async fn a_position_that_is_none_ends_the_stream_at_once() {
    let events = |_| stream::once(async { Err(refusal(Code::InvalidArgument, &detail("GR0024"))) }).boxed();
    let (url, desk) = Desk::with_events([], events).await;
    let got: Vec<_> = Client::connect(url).unwrap().events(EventFilter::new().after("nonsense")).collect().await;
    assert_eq!((got.len(), got[0].as_ref().unwrap_err().code(), desk.asked().len()), (1, "GR0024", 1));
}

#[tokio::test(start_paused = true)]
async fn streams_that_break_at_once_are_given_up_and_quiet_ones_that_stand_are_not() {
    let breaking = |_| stream::once(async { Err(Status::unavailable("broken")) }).boxed();
    let (url, desk) = Desk::with_events([], breaking).await;
    let got: Vec<_> = Client::connect(&url).unwrap().events(EventFilter::new()).collect().await;
    let error = got[0].as_ref().unwrap_err();
    assert!(got.len() == 1 && error.is_retryable() && error.has_no_side_effects() && error.to_string().contains(&url), "{error}");
    assert_eq!(desk.asked().len(), 21);

    // A proxy that closes what is silent for a minute, more often than that; then there is an event.
    let opened = std::sync::atomic::AtomicUsize::new(0);
    let quiet = move |request: proto::SubscribeRequest| match opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        30 => stream::once(async move { Ok(event_after(&request)) }).boxed(),
        _ => stream::once(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Err(Status::unavailable("silent for too long"))
        })
        .boxed(),
    };
    let (url, _desk) = Desk::with_events([], quiet).await;
    let first: Option<Result<_, ClientError>> = Client::connect(url).unwrap().events(EventFilter::new()).next().await;
    assert_eq!(first.unwrap().unwrap().position, "1");
}
