//! Many calls at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use graft_client::Client;

use crate::scripted::{Script, Scripted};

/// Calls that last, which are more than one connection carries.
const MANY: usize = 1_100;
/// Streams that graftd allows on one connection.
const STREAMS_MAX: usize = 1_024;

/// Waits until the server has been asked so often.
async fn lasting(server: &Scripted, calls: usize) {
    let there = || server.seen().lasting_from.len();
    let arrive = async {
        while there() < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), arrive).await.is_ok(), "only {} of {calls} calls have arrived", there());
}

/// A call that does not last is answered while those are under way.
async fn a_short_call_is_answered(client: &Client, server: &Scripted) {
    lasting(server, STREAMS_MAX).await;
    let start = async { client.start("order-1").node_named("charge", ()).await };
    let answered = tokio::time::timeout(Duration::from_secs(10), start).await;
    answered.expect("a start is not kept waiting").expect("a start");
    lasting(server, MANY).await;
    let mut connections = BTreeMap::<_, usize>::new();
    for peer in &server.seen().lasting_from {
        *connections.entry(*peer).or_default() += 1;
    }
    assert_eq!(connections.values().sum::<usize>(), MANY);
    assert!(connections.values().all(|calls| *calls <= STREAMS_MAX / 2), "{connections:?}");
}

#[tokio::test]
async fn waits_however_many_keep_nobody_waiting() {
    let (url, server) = Script::default().on_wait(|_| std::future::pending()).serve().await;
    let client = Client::connect(url).unwrap();
    let handle = client.workflow("order-1");
    let waits: Vec<_> = (0..MANY)
        .map(|_| {
            tokio::spawn({
                let handle = handle.clone();
                async move { handle.wait().await }
            })
        })
        .collect();
    a_short_call_is_answered(&client, &server).await;
    for wait in waits {
        wait.abort();
    }
}

#[tokio::test]
async fn watches_however_many_keep_nobody_waiting() {
    let (url, server) = Script::default().on_watch(|_| stream::pending().boxed()).serve().await;
    let client = Client::connect(url).unwrap();
    let handle = client.workflow("order-1");
    let watches: Vec<_> = (0..MANY)
        .map(|_| {
            let mut watch = handle.watch();
            tokio::spawn(async move { watch.next().await.map(|event| event.map(|event| event.number)) })
        })
        .collect();
    a_short_call_is_answered(&client, &server).await;
    for watch in watches {
        watch.abort();
    }
}

#[tokio::test]
async fn a_watch_that_is_dropped_gives_its_place_back() {
    let (url, server) = Script::default().on_watch(|_| stream::pending().boxed()).serve().await;
    let handle = Client::connect(url).unwrap().workflow("order-1");
    for n in 1..=STREAMS_MAX / 2 + 1 {
        let mut watch = handle.watch();
        tokio::select! {
            event = watch.next() => panic!("an event: {event:?}"),
            () = lasting(&server, n) => {}
        }
    }
    let connections: BTreeSet<_> = server.seen().lasting_from.iter().copied().collect();
    assert_eq!(connections.len(), 1, "one after the other, they need no more");
}
