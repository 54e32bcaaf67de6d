//! Many starts in one call: each is answered once, in its place, however often the stream breaks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use graft_client::proto::start_many_response::Result as Answer;
use graft_client::proto::{self, ErrorDetail};
use graft_client::{Client, ClientError, ErrorCode, STARTS_PER_CALL_MAX, StartWorkflow, Started};
use tonic::{Code, Status};

use crate::scripted::{Act, BREAK, ManyAnswers, Script, detail};

fn starts(number: usize) -> impl Iterator<Item = StartWorkflow> {
    (0..number).map(|n| StartWorkflow::new(format!("order-{n}")).node_named("charge", ()))
}

fn started(index: u64, start: &proto::StartRequest) -> proto::StartManyResponse {
    let started = proto::StartResponse { workflow_id: start.workflow_id.clone(), run: 7, created: true, ..Default::default() };
    proto::StartManyResponse { index, result: Some(Answer::Started(started)) }
}

fn refused(index: u64, detail: ErrorDetail) -> proto::StartManyResponse {
    let refusal = proto::Refusal { message: format!("{} the script says no", detail.object), detail: Some(detail) };
    proto::StartManyResponse { index, result: Some(Answer::Refused(refusal)) }
}

/// Answers each start as `answer` says.
fn each(
    starts: futures::stream::BoxStream<'static, proto::StartRequest>,
    answer: impl Fn(u64, &proto::StartRequest) -> proto::StartManyResponse + Send + 'static,
) -> ManyAnswers {
    starts.enumerate().map(move |(index, start)| Ok(answer(index as u64, &start))).boxed()
}

/// Breaks after so many answers.
fn breaking(answers: ManyAnswers, after: usize) -> ManyAnswers {
    answers.take(after).chain(stream::once(async { Err(Status::unavailable("broken")) })).boxed()
}

fn ids(answers: &[Result<Started, ClientError>]) -> Vec<&str> {
    answers.iter().map(|answer| answer.as_ref().unwrap().workflow_id.as_str()).collect()
}

#[tokio::test]
async fn each_start_is_answered_in_its_place_and_a_refusal_stops_no_other() {
    let taken = |index, start: &proto::StartRequest| match start.workflow_id.as_str() {
        "order-1" => refused(index, detail("GR0004")),
        _ => started(index, start),
    };
    let (url, server) = Script::default().on_start_many(move |starts| each(starts, taken)).serve().await;
    let client = Client::connect(url).unwrap();
    let unwritable = StartWorkflow::new("order-x").node_named("charge", std::collections::BTreeMap::from([((1, 2), 3)]));
    let large = StartWorkflow::new("order-y").node_named("charge", "x".repeat(2 << 20));
    let answers = client.start_many(starts(2).chain([unwritable, large]).chain(starts(3).skip(2))).await.unwrap();
    let told: Vec<_> = answers.iter().map(|answer| answer.as_ref().map(|started| started.run).map_err(ClientError::code)).collect();
    let unsent = [ErrorCode::NotSerializable.name(), ErrorCode::RequestTooLarge.name()];
    assert_eq!(told, [Ok(7), Err("GR0004"), Err(unsent[0]), Err(unsent[1]), Ok(7)]);
    let conflict = answers[1].as_ref().unwrap_err();
    assert!(conflict.is_already_exists() && conflict.has_no_side_effects(), "{conflict}");
    assert!(
        conflict.to_string().starts_with("failed to start workflow \"order-1\" in namespace \"default\": the script says no"),
        "{conflict}"
    );
    let seen = server.seen();
    assert_eq!((seen.calls_of_many, seen.starts.len()), (1, 3), "what cannot be sent is not");
}

#[tokio::test]
async fn what_a_broken_stream_left_unanswered_is_sent_again_with_the_same_request_ids() {
    let script = Script::acts([BREAK]).on_start_many(|starts| breaking(each(starts, started), 40));
    let (url, server) = script.serve().await;
    let answers = Client::connect(url).unwrap().start_many(starts(100)).await.unwrap();
    let expected: Vec<String> = (0..100).map(|n| format!("order-{n}")).collect();
    assert_eq!(ids(&answers), expected);
    let seen = server.seen();
    assert_eq!(seen.calls_of_many, 4, "one that broke at once, then forty, forty and twenty answers");
    let requests: BTreeSet<(&str, &str)> =
        seen.starts.iter().map(|start| (start.workflow_id.as_str(), start.meta.as_ref().unwrap().request_id.as_str())).collect();
    assert_eq!(requests.len(), 100, "a start has one request id, however often it is sent");
    assert_eq!(seen.starts.iter().filter(|start| start.workflow_id == "order-0").count(), 1, "what is answered is not sent again");
}

#[tokio::test]
async fn what_is_refused_for_now_is_sent_again_and_the_leader_that_is_named_is_asked() {
    let (leader_url, leader) = Script::default().on_start_many(|starts| each(starts, started)).serve().await;
    let hint = ErrorDetail { retryable: true, leader_address: leader_url, ..detail("GR0010") };
    let not_all =
        move |index, start: &proto::StartRequest| if index % 2 == 0 { started(index, start) } else { refused(index, hint.clone()) };
    let (url, _follower) = Script::default().on_start_many(move |starts| each(starts, not_all.clone())).serve().await;
    let answers = Client::connect(url).unwrap().start_many(starts(6)).await.unwrap();
    assert_eq!(ids(&answers), ["order-0", "order-1", "order-2", "order-3", "order-4", "order-5"]);
    let again: Vec<_> = leader.seen().starts.iter().map(|start| start.workflow_id.clone()).collect();
    assert_eq!(again, ["order-1", "order-3", "order-5"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_for_as_long_as_something_is_answered_in_time() {
    // One answer after twenty seconds of each stream; the client's bound is thirty.
    let slow = |starts| {
        let first = stream::once(tokio::time::sleep(Duration::from_secs(20))).filter_map(|()| async { None });
        first.chain(breaking(each(starts, started), 1)).boxed()
    };
    let (url, server) = Script::default().on_start_many(slow).serve().await;
    let client = Client::builder(url).request_timeout(Duration::from_secs(30)).build().unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(client.start_many(starts(5)).await.unwrap().len(), 5);
    assert!(began.elapsed() >= Duration::from_secs(100));
    assert_eq!(server.seen().calls_of_many, 5);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_takes_starts_and_stays_silent_is_passed_over_in_time() {
    let (hanging, first) =
        Script::default().on_start_many(|starts| starts.filter_map(|_| async { None }).chain(stream::pending()).boxed()).serve().await;
    let (healthy, second) = Script::default().on_start_many(|starts| each(starts, started)).serve().await;
    let began = tokio::time::Instant::now();
    let answers = Client::connect([hanging, healthy]).unwrap().start_many(starts(3)).await.unwrap();
    assert!(ids(&answers).len() == 3 && began.elapsed() < Duration::from_secs(8), "after {:?}", began.elapsed());
    assert_eq!(first.seen().starts, second.seen().starts, "they are the same requests");
}

#[tokio::test(start_paused = true)]
async fn what_gets_no_answer_in_time_says_whether_it_may_have_taken_effect() {
    // Two answers, then nothing any more.
    let calls = AtomicUsize::new(0);
    let script = Script::default().on_start_many(move |starts| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => breaking(each(starts, started), 2),
        _ => breaking(stream::empty().boxed(), 0),
    });
    let (url, server) = script.serve().await;
    let client = Client::builder(url).request_timeout(Duration::from_secs(10)).build().unwrap();
    let answers = client.start_many(starts(4)).await.unwrap();
    assert!(answers[0].is_ok() && answers[1].is_ok());
    for (answer, id) in answers[2..].iter().zip(["order-2", "order-3"]) {
        let error = answer.as_ref().unwrap_err();
        assert!(error.outcome_unknown() && error.is_retryable(), "{error}");
        assert!(error.to_string().starts_with(&format!("failed to start workflow \"{id}\"")), "{error}");
    }
    assert!(server.seen().calls_of_many > 3);
}

#[tokio::test]
async fn a_start_that_was_in_doubt_once_stays_so_when_it_is_refused() {
    let calls = AtomicUsize::new(0);
    let exists = |index, _: &proto::StartRequest| refused(index, detail("GR0004"));
    let conflict = move |index, start: &proto::StartRequest| match start.workflow_id.as_str() {
        "order-2" => refused(index, detail("GR0006")),
        _ => exists(index, start),
    };
    let script = Script::default().on_start_many(move |starts| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => breaking(each(starts, exists), 1),
        _ => each(starts, conflict),
    });
    let (url, _server) = script.serve().await;
    let answers = Client::connect(url).unwrap().start_many(starts(3)).await.unwrap();
    let unknown: Vec<bool> = answers.iter().map(|answer| answer.as_ref().unwrap_err().outcome_unknown()).collect();
    assert_eq!(unknown, [false, true, false], "refused at first, refused after a break, and proved never to have happened");
}

#[tokio::test]
async fn too_many_are_refused_before_anything_is_sent_and_nobody_there_is_one_error() {
    let (url, server) = Script::default().on_start_many(|starts| each(starts, started)).serve().await;
    let client = Client::connect(url).unwrap();
    let error = client.start_many((0..=STARTS_PER_CALL_MAX).map(|n| StartWorkflow::new(n.to_string()))).await.unwrap_err();
    assert!(error.has_no_side_effects() && error.to_string().contains("more than 100000 starts"), "{error}");
    assert_eq!(client.start_many(starts(0)).await.unwrap().len(), 0);
    assert_eq!(server.seen().calls_of_many, 0);

    let nobody = Client::builder("http://127.0.0.1:1").request_timeout(Duration::from_millis(300)).build().unwrap();
    let error = nobody.start_many(starts(3)).await.unwrap_err();
    assert!(error.has_no_side_effects() && error.is_retryable() && error.to_string().contains("http://127.0.0.1:1"), "{error}");

    let (url, server) = Script::acts([Act::Bare(Code::Unimplemented)]).serve().await;
    let error = Client::connect(url).unwrap().start_many(starts(3)).await.unwrap_err();
    assert_eq!((error.grpc_code(), server.seen().calls_of_many), (Some(Code::Unimplemented), 1));
}
