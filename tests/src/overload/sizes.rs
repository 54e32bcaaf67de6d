//! What is long or large: a history of a hundred thousand events, states and outcomes beyond measure, subscribers that do not keep up.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use graft_client::{Client, EventFilter, Next};
use graft_proto::v1::event_service_client::EventServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graft_proto::v1::{Encoding, NewTask, Payload, StartRequest, SubscribeRequest, SubscribeResponse, WorkflowStatus};
use serde_json::Value;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::{Found, Size, memory, percentile};
use crate::cluster::Cluster;
use crate::load::Load;
use crate::workers::{ChainConfig, WorkerProcess};

/// A state that is refused, in bytes.
const TOO_LARGE: usize = 10 << 20;
/// Subscribers that read nothing, and workflows that are told of meanwhile.
const SLOW: usize = 50;
const TOLD: u64 = 3_000;
/// Steps of each: their events are more than what may wait for a subscriber, which is some megabytes.
const TOLD_STEPS: u32 = 8;
/// What they take before they read, in bytes: the least that HTTP/2 begins with. Otherwise they would hold all they are told.
const WINDOW_BYTES: u32 = 65_535;
/// Longest wait until all of them are let go: each is after 30 s without room for it.
const LET_GO_WITHIN: Duration = Duration::from_secs(90);
/// Reads of a page of the history, at its beginning and at its end.
const READS: usize = 200;
/// Longest page, in events.
const PAGE: u32 = 100;
/// How much more the last page may cost than the first, in hundredths of its time at the median.
const LAST_PAGE_MAX: u64 = 300;
/// Most memory of the member, in bytes.
const MEMORY_MAX: u64 = 600 << 20;

/// Times of a page of history from this position, at the median, in microseconds.
async fn page_us(client: &Client, id: &str, cursor: &str) -> u64 {
    let mut times = Vec::new();
    for _ in 0..READS {
        let asked = Instant::now();
        client.workflow(id).history(PAGE, cursor).await.expect("a page");
        times.push(asked.elapsed().as_micros() as u64);
    }
    percentile(&mut times, 50)
}

/// Reads what has arrived for a subscriber, and what its stream ended with.
async fn last_word(mut stream: Streaming<SubscribeResponse>) -> String {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return "nothing".to_owned(),
            Err(status) => return status.message().to_owned(),
        }
    }
}

/// See the module.
pub async fn run(size: Size) -> Found {
    let mut found = Found::default();
    let cluster = Cluster::start(1, "").await;
    let member = &cluster.members[0];
    let pid = member.process_id().expect("it runs");
    let client = Client::connect(member.url().as_str()).expect("an address");
    let _worker = WorkerProcess::start(&member.url(), "w1");

    // A long life.
    let steps = u32::try_from(size.events).expect("some");
    let began = Instant::now();
    client.start("long").node(Next::named("chain", ChainConfig { left: steps - 1 })).await.expect("it is started");
    let patient = Client::builder(member.url().as_str()).request_timeout(Duration::from_secs(600)).build().expect("an address");
    let ended = patient.workflow("long").wait().await.expect("it ends");
    found.must(ended.status() == WorkflowStatus::Completed, format!("a chain of {steps} steps is {:?}", ended.status()));
    found.figure("steps_one_after_the_other", u64::from(steps));
    found.figure("us_per_step", began.elapsed().as_micros() as u64 / u64::from(steps));
    let (mut events, mut cursor, mut last) = (0_u64, String::new(), String::new());
    let began = Instant::now();
    loop {
        let page = client.workflow("long").history(1_000, &cursor).await.expect("a page");
        events += page.events.len() as u64;
        match page.next_cursor {
            Some(next) if !next.is_empty() => {
                last = cursor;
                cursor = next;
            }
            _ => break,
        }
    }
    found.figure("events_of_one_workflow", events);
    found.figure("whole_history_ms", began.elapsed().as_millis() as u64);
    found.must(events > u64::from(steps), format!("{events} events of {steps} steps"));
    let (first_page, last_page) = (page_us(&client, "long", "").await, page_us(&client, "long", &last).await);
    found.figure("first_page_us", first_page);
    found.figure("last_page_us", last_page);
    found.bound(last_page * 100 <= first_page.max(1) * LAST_PAGE_MAX, "the last page costs more than the first");

    // Beyond measure: refused, and nothing is there.
    let state = Payload { encoding: Encoding::Json.into(), data: format!("{{\"text\":\"{}\"}}", "x".repeat(TOO_LARGE)).into() };
    let nodes = vec![NewTask { node: "chain".to_owned(), ..NewTask::default() }];
    let request = StartRequest { workflow_id: "large".to_owned(), state: Some(state), nodes, ..StartRequest::default() };
    let mut raw = WorkflowServiceClient::connect(member.url()).await.expect("it listens").max_encoding_message_size(2 * TOO_LARGE);
    let refused = raw.start(request).await;
    let said = refused.as_ref().err().map(|status| format!("{:?}: {}", status.code(), status.message()));
    found.figure("a_state_of_10_mib", said.clone().unwrap_or_else(|| "was taken".to_owned()));
    found.must(said.is_some_and(|said| said.contains("large")), "a state of 10 MiB was not refused for its size");
    found.must(client.workflow("large").get().await.is_err(), "what was refused is there");

    // Subscribers that do not keep up, and one that does.
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let little = Endpoint::from_shared(member.url()).expect("an address").initial_stream_window_size(WINDOW_BYTES);
        let connection = little.connect().await.expect("it listens");
        slow.push(
            EventServiceClient::new(connection)
                .subscribe(SubscribeRequest { namespace: "default".to_owned(), ..SubscribeRequest::default() })
                .await
                .expect("a place")
                .into_inner(),
        );
    }
    let subscriber = client.clone();
    let good = tokio::spawn(async move {
        let mut batches = pin!(subscriber.events(EventFilter::new().id_prefix("told-").event_type("completed")));
        let mut seen = 0;
        while let Some(batch) = batches.try_next().await.expect("it keeps up") {
            seen += batch.events.len() as u64;
            if seen >= TOLD {
                break;
            }
        }
        seen
    });
    let load = Load::new(vec![client.clone()], "told", TOLD, TOLD_STEPS, 5);
    let began = Instant::now();
    load.start_all().await;
    load.check_all().await;
    found.figure("workflows_beside_slow_subscribers_per_s", TOLD * 1_000 / began.elapsed().as_millis() as u64);
    let seen = tokio::time::timeout(Duration::from_secs(60), good).await;
    found.must(matches!(seen, Ok(Ok(TOLD))), format!("who keeps up saw {seen:?} of {TOLD} ends"));
    found.figure("memory_max_bytes", memory(pid).1);
    found.bound(memory(pid).1 <= MEMORY_MAX, format!("the member took {} bytes", memory(pid).1));
    // What waited for them was bounded, and each is let go in time, and told where it may go on.
    let began = Instant::now();
    let mut dropped = 0;
    while dropped < SLOW && began.elapsed() < LET_GO_WITHIN {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let [told] = member.metrics(["graft_event_subscribers_dropped_total"]);
        dropped = told as usize;
    }
    let ends = slow.into_iter().map(|stream| tokio::time::timeout(LET_GO_WITHIN, last_word(stream)));
    let ends = futures::future::join_all(ends).await;
    let let_go = ends.iter().filter(|end| end.as_ref().is_ok_and(|said| said.contains("subscribe again after position"))).count();
    found.figure("slow_subscribers", SLOW as u64);
    found.figure("of_them_let_go", let_go as u64);
    found.figure("let_go_after_ms", began.elapsed().as_millis() as u64);
    found.must((let_go, dropped) == (SLOW, SLOW), format!("of {SLOW} subscribers that read nothing {dropped} were let go: {ends:?}"));
    let state: Value = client.workflow("told-chain-1").result().await.expect("it is there");
    found.must(state["count"] == TOLD_STEPS, format!("{state}"));
    found
}
