//! Many starts in one call.

use std::time::Instant;

use futures::{StreamExt, stream};
use graft_proto::v1;
use graft_proto::v1::start_many_response::Result as Answer;
use tonic::transport::Channel;

use crate::member::{Member, start, with_id, within};

const MANY: usize = 10_000;

type Client = v1::workflow_service_client::WorkflowServiceClient<Channel>;

/// Every answer of one call.
async fn start_many(client: &mut Client, starts: Vec<v1::StartRequest>) -> Vec<v1::StartManyResponse> {
    let mut answers = within(client.start_many(stream::iter(starts))).await.expect("a stream").into_inner();
    let mut told = Vec::new();
    while let Some(answer) = within(answers.message()).await.expect("the stream goes on") {
        told.push(answer);
    }
    told
}

/// How far before it the start of the same id stands: more starts than are under way at once, so that it has been answered.
const TAKEN_BEFORE: usize = 675;

/// What becomes of the start number `n`: one in a hundred has no name that can be one, and one in a hundred an id that is taken.
fn fate(n: usize) -> Result<(), &'static str> {
    match n % 100 {
        50 => Err("GR0001"),
        75 if n > TAKEN_BEFORE => Err("GR0004"),
        _ => Ok(()),
    }
}

fn request(n: usize) -> v1::StartRequest {
    let id = match fate(n) {
        Err("GR0001") => "no\u{1}name".to_owned(),
        Err(_) => format!("w-{}", n - TAKEN_BEFORE),
        Ok(()) => format!("w-{n}"),
    };
    v1::StartRequest { meta: with_id(&format!("r-{n}")), ..start(&id, "a") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_starts_in_one_call_are_answered_in_order_and_a_repeat_changes_nothing() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let starts: Vec<_> = (0..MANY).map(request).collect();
    let began = Instant::now();
    let first = start_many(&mut client, starts.clone()).await;
    let took = began.elapsed();
    println!("{MANY} starts in one call took {took:?}: {:.0} a second", MANY as f64 / took.as_secs_f64());
    assert_eq!(first.len(), MANY);
    for (n, answer) in first.iter().enumerate() {
        assert_eq!(answer.index, n as u64);
        match (fate(n), answer.result.as_ref().expect("a result")) {
            (Ok(()), Answer::Started(started)) => {
                assert_eq!((started.workflow_id.as_str(), started.created), (format!("w-{n}").as_str(), true));
            }
            (Err(code), Answer::Refused(refused)) => {
                assert_eq!(refused.detail.as_ref().expect("a detail").code, code);
                let object = if code == "GR0004" { format!("\"w-{}\"", n - TAKEN_BEFORE) } else { "workflow id".to_owned() };
                assert!(refused.message.contains(&object), "{}", refused.message);
            }
            (_, other) => panic!("start {n}: {other:?}"),
        }
    }
    // The same request ids once more: the first answers again, and not one workflow more.
    let run = |answer: &v1::StartManyResponse| match answer.result.as_ref().expect("a result") {
        Answer::Started(started) => Ok((started.run, started.created)),
        Answer::Refused(refused) => Err(refused.detail.clone()),
    };
    let again = start_many(&mut client, starts).await;
    assert!(again.iter().map(run).eq(first.iter().map(run)));
    let counts = client.count(v1::CountRequest::default()).await.expect("counts").into_inner().counts;
    assert_eq!(counts.iter().map(|count| count.workflows).sum::<u64>(), (0..MANY).filter(|n| fate(*n).is_ok()).count() as u64);
    // Another request under a request id that was used is refused, alone.
    let stolen = v1::StartRequest { meta: with_id("r-0"), ..start("stolen", "a") };
    let mixed = start_many(&mut client, vec![stolen, start("w-new", "a")]).await;
    let codes: Vec<_> = mixed.iter().map(|answer| run(answer).map(|_| ()).map_err(|detail| detail.expect("a detail").code)).collect();
    assert_eq!(codes, [Err("GR0006".to_owned()), Ok(())]);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_starts_that_is_left_open_ends_with_the_server() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let open = stream::iter([start("w", "a")]).chain(stream::pending());
    let mut answers = within(client.start_many(open)).await.expect("a stream").into_inner();
    assert!(matches!(within(answers.message()).await.expect("an answer").expect("one").result, Some(Answer::Started(_))));
    member.begin_stop();
    let status = within(answers.message()).await.expect_err("the end");
    assert_eq!(crate::member::refusal::<()>(Err(status)).0, "GR0016");
    member.stop().await;
}
