//! Limits over the wire, with a worker whose attempts they hold back.

use graft_proto::v1;
use graft_proto::v1::limit_service_client::LimitServiceClient;
use tonic::transport::Channel;

use crate::member::{Member, PATIENCE, refusal, start, with_id, within};
use crate::three::{channel, leader, three};
use crate::worker::Worker;

async fn limits(member: &Member) -> LimitServiceClient<Channel> {
    LimitServiceClient::new(member.channel().await)
}

fn set(node: &str, max: u32) -> v1::SetLimitRequest {
    v1::SetLimitRequest { node: node.into(), max, ..Default::default() }
}

/// The row of a node once so much is held and waits, as the leader's scheduler tells it.
async fn once(client: &mut LimitServiceClient<Channel>, node: &str, held: u64, waiting: u64) -> v1::Limit {
    let look = async {
        loop {
            let answer = client.list(v1::ListLimitsRequest::default()).await.expect("a list").into_inner();
            assert!(answer.live);
            let row = answer.limits.into_iter().find(|limit| limit.node == node);
            if let Some(row) = row.filter(|row| (row.held, row.waiting) == (held, waiting)) {
                return row;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{node} never holds {held} with {waiting} that wait"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_takes_effect_at_once_when_it_is_set_raised_and_taken_away() {
    let member = Member::start().await;
    let (mut client, mut limits) = (member.workflows().await, limits(&member).await);
    let (mut worker, _) = Worker::connect(&member, "a").await;
    let answer = limits.set(set("a", 1)).await.expect("set").into_inner();
    assert_eq!((answer.before, answer.now.expect("a limit").max), (None, 1));
    for n in 0..6 {
        client.start(start(&format!("w-{n}"), "a")).await.expect("started");
    }
    // One at a time: the second comes when the first is done.
    let first = worker.task().await;
    once(&mut limits, "a", 1, 5).await;
    worker.complete(&first, "{}", vec![]).await;
    let second = worker.task().await;
    let row = once(&mut limits, "a", 1, 4).await;
    assert_eq!((row.namespace.as_str(), row.max, row.declared), ("default", 1, 0));
    // Raised: two more at once.
    let answer = limits.set(set("a", 3)).await.expect("set").into_inner();
    assert_eq!((answer.before.expect("one before").max, answer.now.expect("a limit").max), (1, 3));
    let held = [second, worker.task().await, worker.task().await];
    once(&mut limits, "a", 3, 2).await;
    // The cluster's limit holds back what the node's allows; what is held already goes on.
    limits.set(set("", 2)).await.expect("set");
    once(&mut limits, "", 3, 2).await;
    worker.complete(&held[0], "{}", vec![]).await;
    once(&mut limits, "", 2, 2).await;
    worker.complete(&held[1], "{}", vec![]).await;
    let fifth = worker.task().await;
    once(&mut limits, "", 2, 1).await;
    // Without any limit the rest comes.
    let gone = limits.unset(v1::UnsetLimitRequest::default()).await.expect("unset").into_inner();
    assert_eq!((gone.before.expect("one before").max, gone.now), (2, None));
    limits.unset(v1::UnsetLimitRequest { node: "a".into(), ..Default::default() }).await.expect("unset");
    let last = worker.task().await;
    for task in [&held[2], &fifth, &last] {
        worker.complete(task, "{}", vec![]).await;
    }
    for n in 0..6 {
        let wait = v1::WaitRequest { workflow_id: format!("w-{n}"), ..Default::default() };
        assert!(within(client.wait(wait)).await.expect("a wait").into_inner().ended);
    }
    let none = limits.list(v1::ListLimitsRequest::default()).await.expect("a list").into_inner();
    assert!(none.live && none.limits.is_empty(), "{none:?}");
    let again = limits.unset(v1::UnsetLimitRequest { node: "a".into(), ..Default::default() }).await.expect("nothing").into_inner();
    assert_eq!((again.before, again.now), (None, None));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_makes_no_sense_is_refused_and_one_request_takes_effect_once() {
    let member = Member::start().await;
    let mut limits = limits(&member).await;
    for (request, code, needle) in [
        (set("a", 0), "GR0001", "is 0"),
        (set("no node", 1), "GR0001", "\"no node\""),
        (v1::SetLimitRequest { namespace: "billing".into(), ..set("", 1) }, "GR0001", "name a node"),
    ] {
        let (told, message) = refusal(limits.set(request).await);
        assert_eq!(told, code);
        assert!(message.contains(needle), "{message}");
    }
    let first = v1::SetLimitRequest { meta: with_id("r-1"), ..set("a", 1) };
    limits.set(first.clone()).await.expect("set");
    limits.set(set("a", 2)).await.expect("set");
    let repeated = limits.set(first).await.expect("a repeat").into_inner();
    assert_eq!(repeated.now.expect("a limit").max, 2, "a repeat changes nothing, and what stands is told");
    assert_eq!(refusal(limits.set(v1::SetLimitRequest { meta: with_id("r-1"), ..set("a", 9) }).await).0, "GR0006");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_leader_lists_limits_without_figures_and_sets_none() {
    let member = Member::start_without_leader().await;
    let mut limits = limits(&member).await;
    let answer = limits.list(v1::ListLimitsRequest::default()).await.expect("a list").into_inner();
    assert!(!answer.live && answer.limits.is_empty());
    assert_eq!(refusal(limits.set(set("a", 1)).await).0, "GR0010");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_that_is_set_at_one_member_is_told_by_all_with_the_figures_of_the_leader() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let daemons = three(&dir).await;
    let leader = leader(&daemons).await;
    let client = |member: usize| LimitServiceClient::new(channel(&daemons[member]));
    let follower = (leader + 1) % daemons.len();
    let mut workflows = v1::workflow_service_client::WorkflowServiceClient::new(channel(&daemons[follower]));
    client(follower).set(set("a", 4)).await.expect("set");
    workflows.start(start("w", "a")).await.expect("started");
    for member in 0..daemons.len() {
        let row = once(&mut client(member), "a", 0, 1).await;
        assert_eq!((row.namespace.as_str(), row.max), ("default", 4), "member {member}");
    }
    for daemon in daemons {
        daemon.shutdown().await;
    }
}
