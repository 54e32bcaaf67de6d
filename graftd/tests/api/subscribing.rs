//! The stream of all events: of one member, and across three.

use std::collections::BTreeSet;
use std::time::Duration;

use graft_proto::v1;
use graft_proto::v1::event_service_client::EventServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::member::{Member, refusal, start, with_id, within};
use crate::three::{channel, leader, three};

/// What a client that reads nothing takes off the connection all the same, in bytes: the least that HTTP/2 allows without a word.
const WINDOW: u32 = 65_535;

type Answers = Streaming<v1::SubscribeResponse>;

fn from(after: &str) -> v1::SubscribeRequest {
    v1::SubscribeRequest { after: after.into(), ..Default::default() }
}

async fn subscribe(channel: Channel, request: v1::SubscribeRequest) -> Result<Answers, Status> {
    within(EventServiceClient::new(channel).subscribe(request)).await.map(tonic::Response::into_inner)
}

/// The events up to one that `last` knows, each as (workflow, number, position), and the position of the last answer.
async fn until(answers: &mut Answers, last: impl Fn(&v1::WorkflowEvent) -> bool) -> (Vec<(String, u64, String)>, String) {
    let mut told = Vec::new();
    loop {
        let answer = within(answers.message()).await.expect("it goes on").expect("it goes on");
        let ended = answer.events.iter().any(&last);
        told.extend(answer.events.into_iter().map(|it| {
            let event = it.event.expect("an event");
            (it.workflow_id, event.number, event.position)
        }));
        if ended {
            return (told, answer.position);
        }
    }
}

fn is(id: &'static str) -> impl Fn(&v1::WorkflowEvent) -> bool {
    move |told| told.workflow_id == id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_is_told_what_comes_and_goes_on_from_any_position() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(start("before", "a")).await.expect("started");
    let mut news = subscribe(member.channel().await, from("")).await.expect("a stream");
    let first = within(news.message()).await.expect("an answer").expect("at once");
    assert!(first.events.is_empty() && !first.position.is_empty(), "the first answer tells the position");
    for id in ["w-1", "w-2", "w-3"] {
        client.start(start(id, "a")).await.expect("started");
    }
    let (told, position) = until(&mut news, is("w-3")).await;
    assert_eq!(told.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>(), ["w-1", "w-2", "w-3"]);
    // Everything that is kept; after an event; and after an answer.
    let mut all = subscribe(member.channel().await, from("earliest")).await.expect("a stream");
    assert_eq!(until(&mut all, is("w-3")).await.0.len(), 4);
    let mut rest = subscribe(member.channel().await, from(&told[0].2)).await.expect("a stream");
    assert_eq!(until(&mut rest, is("w-3")).await.0, told[1..]);
    let mut next = subscribe(member.channel().await, from(&position)).await.expect("a stream");
    client.start(start("w-4", "a")).await.expect("started");
    assert_eq!(until(&mut next, is("w-4")).await.0.len(), 1);
    let (_, metrics) = member.get("/metrics").await;
    assert!(metrics.contains("graft_event_subscribers 4") && metrics.contains("graft_event_subscribers_dropped_total 0"));
    drop((news, all, rest, next));
    let gone = async {
        while !member.get("/metrics").await.1.contains("graft_event_subscribers 0") {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filtered_subscriber_hears_what_it_asked_for_and_its_position_moves_on_without_it() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let filter = v1::SubscribeRequest { workflow_id_prefix: "order-".into(), types: vec!["paused".into()], ..from("") };
    let mut paused = subscribe(member.channel().await, filter).await.expect("a stream");
    let first = within(paused.message()).await.expect("an answer").expect("at once").position;
    client.start(start("bill-1", "a")).await.expect("started");
    // Nothing of that was asked for; how far the log was looked through is told all the same.
    let progress = within(paused.message()).await.expect("an answer").expect("progress");
    assert!(progress.events.is_empty() && progress.position != first);
    client.start(start("order-1", "a")).await.expect("started");
    for id in ["bill-1", "order-1"] {
        client.pause(v1::ControlRequest { workflow_id: id.into(), ..Default::default() }).await.expect("paused");
    }
    let (told, _) = until(&mut paused, is("order-1")).await;
    assert_eq!(told.iter().map(|(id, number, _)| (id.as_str(), *number)).collect::<Vec<_>>(), [("order-1", 2)]);
    member.begin_stop();
    let status = within(async {
        while paused.message().await?.is_some() {}
        Ok::<(), Status>(())
    })
    .await;
    assert_eq!(refusal(status).0, "GR0016");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_reads_nothing_is_let_go_and_goes_on_where_it_was_told() {
    const STARTS: usize = 3_000;
    let member = Member::start_impatient(Duration::from_millis(300)).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", member.address)).expect("an address");
    let narrow = endpoint.initial_stream_window_size(WINDOW).connect().await.expect("it answers");
    let mut unread = subscribe(narrow.clone(), from("")).await.expect("a stream");
    let starts = futures::stream::iter((0..STARTS).map(|n| start(&format!("w-{n}"), "a")));
    let mut started = within(member.workflows().await.start_many(starts)).await.expect("a stream").into_inner();
    while within(started.message()).await.expect("it goes on").is_some() {}
    let let_go = async {
        // One scrape reads the two one after the other, so it may see the first as it was before and the second as it is after.
        let expected = ["graft_event_subscribers_dropped_total 1\n", "graft_event_subscribers 0\n"];
        loop {
            let (_, metrics) = member.get("/metrics").await;
            if expected.iter().all(|line| metrics.contains(line)) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    // Its place is free, though it has read nothing.
    within(let_go).await;
    // Now it reads: what was on its way, and why no more follows.
    let mut told = Vec::new();
    let status = loop {
        match within(unread.message()).await {
            Ok(answer) => told.extend(answer.expect("no end without a word").events),
            Err(status) => break status,
        }
    };
    assert!(told.len() < STARTS, "not everything was kept for it");
    let (code, message) = refusal::<()>(Err(status));
    assert_eq!(code, "GR0023");
    let position = message.split_once("subscribe again after position ").expect("a position").1.split(',').next().expect("a position");
    // The same connection is good for more, and nothing is missing behind the position.
    let mut rest = subscribe(narrow, from(position)).await.expect("a stream");
    while told.len() < STARTS {
        told.extend(within(rest.message()).await.expect("it goes on").expect("it goes on").events);
    }
    let ids: BTreeSet<&str> = told.iter().map(|told| told.workflow_id.as_str()).collect();
    assert_eq!((ids.len(), told.len()), (STARTS, STARTS), "each is told once");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_or_a_type_that_is_none_is_refused_and_says_why() {
    let member = Member::start().await;
    let refused = async |request| {
        let answer = subscribe(member.channel().await, request).await;
        refusal(answer.map(|_| ()))
    };
    for (after, needle) in [("nonsense", "none that this service makes"), ("2-0-1-0", "epoch 2"), ("1-0-ffffff-0", "lies ahead")] {
        let (code, message) = refused(from(after)).await;
        assert!(code == "GR0024" && message.contains(needle), "{code} {message}");
    }
    let (code, message) = refused(v1::SubscribeRequest { types: vec!["taskfailed".into()], ..from("") }).await;
    assert!(code == "GR0001" && message.contains("did you mean task_failed?"), "{code} {message}");
    member.stop().await;
    let alone = Member::start_without_leader().await;
    assert_eq!(refusal(subscribe(alone.channel().await, from("")).await.map(|_| ())).0, "GR0010");
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_event_is_missing_or_told_twice_when_members_and_leaders_change() {
    const STARTS: usize = 600;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut daemons = three(&dir).await;
    let channels: Vec<Channel> = daemons.iter().map(channel).collect();
    // Starts go on all the while, at whichever member takes them.
    let starter = tokio::spawn({
        let channels = channels.clone();
        async move {
            for n in 0..STARTS {
                let request = v1::StartRequest { meta: with_id(&format!("r-{n}")), ..start(&format!("w-{n}"), "a") };
                for channel in channels.iter().cycle() {
                    if WorkflowServiceClient::new(channel.clone()).start(request.clone()).await.is_ok() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    // One subscriber that goes from member to member; the member that it leaves is stopped once, and it is the leader.
    let leader = leader(&daemons).await;
    let others: Vec<usize> = (0..3).filter(|member| *member != leader).collect();
    let (mut told, mut position) = (Vec::new(), "earliest".to_owned());
    for (turn, member) in [others[0], leader, others[1], others[0]].into_iter().enumerate() {
        let mut answers = subscribe(channels[member].clone(), from(&position)).await.expect("a stream");
        let wanted = (turn + 1) * STARTS / 4;
        let enough = |told: &Vec<v1::WorkflowEvent>| told.len() >= if turn == 3 { STARTS } else { wanted };
        while !enough(&told) {
            let answer = within(answers.message()).await.expect("it goes on").expect("it goes on");
            position = answer.position;
            told.extend(answer.events);
        }
        if member == leader {
            daemons.remove(leader).shutdown().await;
        }
    }
    within(starter).await.expect("all are started");
    let ids: Vec<&str> = told.iter().map(|told| told.workflow_id.as_str()).collect();
    let once: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!((ids.len(), once.len()), (STARTS, STARTS), "each start is told once");
    // And in the order in which every member has them.
    for member in &others {
        let mut answers = subscribe(channels[*member].clone(), from("earliest")).await.expect("a stream");
        let mut all = Vec::new();
        while all.len() < STARTS {
            all.extend(within(answers.message()).await.expect("it goes on").expect("it goes on").events);
        }
        assert_eq!(all, told, "member {member}");
    }
    for daemon in daemons {
        daemon.shutdown().await;
    }
}
