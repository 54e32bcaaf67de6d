//! How long the client waits for whom, and how long it goes on. The clock is tokio's, stopped: it jumps when everybody waits.

use std::time::Duration;

use graft_client::proto::ErrorDetail;
use graft_client::{Client, ClientError, ErrorCode};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tonic::Code;

use crate::scripted::{Act, BREAK, Script, detail};

async fn start(client: &Client) -> Result<graft_client::Started, ClientError> {
    client.start("order-1").node_named("charge", ()).await
}

/// Takes connections and never says a word, as a machine does whose processes are stopped.
async fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok(stream) = listener.accept().await {
            taken.push(stream);
        }
    });
    url
}

#[tokio::test(start_paused = true)]
async fn a_member_that_takes_connections_and_stays_silent_is_passed_over_in_time() {
    let (healthy, _server) = Script::default().serve().await;
    let client = Client::connect([silent().await, healthy]).unwrap();
    let began = Instant::now();
    start(&client).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "after {:?}", began.elapsed());
    // Whoever asks next does not wait for it again.
    let began = Instant::now();
    start(&client).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "after {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_connection_stands_but_that_does_not_answer_is_passed_over_in_time() {
    let (hanging, first) = Script::acts(vec![Act::Hang; 10]).serve().await;
    let (healthy, second) = Script::default().serve().await;
    let client = Client::connect([hanging, healthy]).unwrap();
    let began = Instant::now();
    start(&client).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "after {:?}", began.elapsed());
    let id = |start: &graft_client::proto::StartRequest| start.meta.as_ref().unwrap().request_id.clone();
    assert_eq!(id(&first.seen().starts[0]), id(&second.seen().starts[0]), "it is the same request");
}

#[tokio::test(start_paused = true)]
async fn the_only_member_may_take_all_the_time_there_is() {
    let (url, server) = Script::acts([Act::Slow(Duration::from_secs(20))]).serve().await;
    start(&Client::connect(url).unwrap()).await.unwrap();
    assert_eq!(server.seen().starts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tries_go_on_as_long_as_there_is_time() {
    let (url, server) = Script::acts(vec![BREAK; 25]).serve().await;
    let client = Client::builder(url).request_timeout(Duration::from_secs(60)).build().unwrap();
    start(&client).await.unwrap();
    assert_eq!(server.seen().starts.len(), 26);

    let (url, _server) = Script::acts(vec![BREAK; 1_000]).serve().await;
    let client = Client::builder(url).request_timeout(Duration::from_secs(60)).build().unwrap();
    let began = Instant::now();
    start(&client).await.unwrap_err();
    let took = began.elapsed();
    assert!(took > Duration::from_secs(57) && took <= Duration::from_secs(60), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_for_ever_but_a_bound_of_all_time_is_none() {
    let (url, _server) = Script::acts([Act::Hang]).serve().await;
    let client = Client::builder(url.as_str()).request_timeout(Duration::from_secs(10)).build().unwrap();
    let began = Instant::now();
    let error = start(&client).await.unwrap_err();
    assert_eq!((error.code(), began.elapsed().as_secs()), (ErrorCode::TimedOut.name(), 10), "{error}");
    assert!(error.outcome_unknown() && error.to_string().contains("no answer within 10000 ms"), "{error}");
    start(&Client::builder(url).request_timeout(Duration::MAX).build().unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_server_said_is_told_and_not_that_the_time_of_the_last_try_was_over() {
    let no_leader = || Act::Refuse(Code::Unavailable, ErrorDetail { retryable: true, ..detail(ErrorCode::NoLeader.name()) });
    let (url, _server) = Script::acts([no_leader(), Act::Hang]).serve().await;
    let client = Client::builder(url).request_timeout(Duration::from_secs(10)).build().unwrap();
    let error = start(&client).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoLeader.name(), "{error}");
    assert!(error.outcome_unknown(), "the last try may have arrived");
}
