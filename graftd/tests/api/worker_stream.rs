//! The worker protocol, with scripted messages.

use graft_proto::v1;
use graft_proto::v1::event::Happened;
use graft_proto::v1::from_worker::Message as From;
use graft_proto::v1::result::Outcome;
use graft_proto::v1::to_worker::Message as To;
use tonic::Code;

use crate::member::{CLUSTER, Member, get, json, refusal, start, task, within};
use crate::worker::{Worker, hello};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_goes_out_its_result_comes_back_and_the_workflow_completes() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let (mut worker, welcome) = Worker::connect(&member, "a").await;
    assert_eq!((welcome.cluster_id.as_str(), welcome.protocol, welcome.member), (CLUSTER, 1, 1));
    assert_eq!(welcome.leader_address, format!("http://{}", member.address));
    let with_config = v1::NewTask { config: json("{\"c\":2}"), ..task("a") };
    let request = v1::StartRequest { nodes: vec![with_config], labels: [("l".to_owned(), "v".to_owned())].into(), ..start("w", "a") };
    let started = client.start(request).await.expect("started").into_inner();
    assert!(started.warnings.is_empty(), "{:?}", started.warnings);
    let first = worker.task().await;
    assert_eq!((first.node.as_str(), first.workflow_id.as_str(), first.heartbeat_echo), ("a", "w", 1));
    assert_eq!(&first.state.as_ref().expect("a state").data[..], b"{\"n\":1}");
    assert_eq!(&first.config.as_ref().expect("a config").data[..], b"{\"c\":2}");
    assert_eq!((first.labels["l"].as_str(), first.idempotency_key.is_empty()), ("v", false));
    worker.complete(&first, "{\"n\":2}", vec![task("a")]).await;
    let ack = worker.ack().await;
    assert_eq!((ack.at, ack.lease, ack.resolution()), (first.at, first.lease, v1::Resolution::Applied));
    let second = worker.task().await;
    assert_eq!(&second.state.as_ref().expect("a state").data[..], b"{\"n\":2}");
    worker.complete(&first, "{\"n\":9}", vec![]).await;
    assert_eq!(worker.ack().await.resolution(), v1::Resolution::AlreadyResolved, "a repeat takes no second effect");
    worker.complete(&second, "{\"done\":true}", vec![]).await;
    assert_eq!(worker.ack().await.resolution(), v1::Resolution::Applied);
    let ended = client.wait(v1::WaitRequest { workflow_id: "w".into(), ..Default::default() }).await.expect("it ends").into_inner();
    assert_eq!(ended.workflow.expect("a workflow").status(), v1::WorkflowStatus::Completed);
    assert_eq!(&ended.state.expect("a state").data[..], b"{\"done\":true,\"n\":2}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_that_is_no_json_fails_the_attempt_for_good_and_the_stream_goes_on() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let (mut worker, _) = Worker::connect(&member, "a").await;
    for (id, outcome, needle) in [
        ("broken", v1::Completed { patch: json("{oops"), ..Default::default() }, "the patch is no JSON"),
        ("array", v1::Completed { patch: json("[1]"), ..Default::default() }, "has to be a JSON object"),
        ("successor", v1::Completed { next: vec![task("no node")], ..Default::default() }, "node \"no node\""),
    ] {
        client.start(start(id, "a")).await.expect("started");
        let task = worker.task().await;
        worker.resolve(&task, Outcome::Completed(outcome)).await;
        assert_eq!(worker.ack().await.resolution(), v1::Resolution::Applied);
        let ended = client.wait(v1::WaitRequest { workflow_id: id.into(), ..Default::default() }).await.expect("it ends").into_inner();
        let workflow = ended.workflow.expect("a workflow");
        assert_eq!((workflow.status(), workflow.dead_letters), (v1::WorkflowStatus::Failed, 1));
        assert!(workflow.reason.contains(needle), "{}", workflow.reason);
        let history =
            client.history(v1::HistoryRequest { workflow_id: id.into(), ..Default::default() }).await.expect("a history").into_inner();
        let failed = history.events.iter().find_map(|event| match &event.happened {
            Some(Happened::TaskFailed(failed)) => Some(failed),
            _ => None,
        });
        let failed = failed.expect("a failure");
        assert_eq!((failed.kind.as_str(), failed.retry_at_ms), ("bad-outcome", 0));
        assert!(failed.message.contains(needle), "{}", failed.message);
        let state = client.get(get(id)).await.expect("there").into_inner().state.expect("a state");
        assert_eq!(&state.data[..], b"{\"n\":1}", "the state is untouched");
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn greetings_that_do_not_fit_are_refused_with_the_reason() {
    let member = Member::start().await;
    let newer = v1::Hello { protocol_min: 2, protocol_max: 5, ..hello("a") };
    let status = Worker::greet(&member, From::Hello(newer)).await.map(|_| ()).expect_err("refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("versions 2 to 5") && status.message().contains("speaks 1 to 1"), "{}", status.message());
    assert_eq!(refusal::<()>(Err(status)).0, "GR0014");
    let foreign = v1::Hello { cluster_id: "another".into(), ..hello("a") };
    assert_eq!(refusal(Worker::greet(&member, From::Hello(foreign)).await.map(|_| ())).0, "GR0009");
    let idle = v1::Hello { nodes: vec![], ..hello("a") };
    assert_eq!(refusal(Worker::greet(&member, From::Hello(idle)).await.map(|_| ())).0, "GR0001");
    let early = From::Goodbye(v1::Goodbye::default());
    assert_eq!(refusal(Worker::greet(&member, early).await.map(|_| ())).0, "GR0017");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_breaks_the_protocol_is_told_why_before_its_stream_ends() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "a").await;
    worker.send(From::Credit(v1::Credit { node: "b".into(), window: 1, sequence: 1, partition: 0 })).await;
    let reason = loop {
        match worker.other().await {
            To::Closing(closing) => break closing.reason,
            _ => continue,
        }
    };
    assert!(reason.contains("node \"b\", which Hello did not"), "{reason}");
    let status = worker.raw().await.expect_err("the end");
    assert_eq!(refusal::<()>(Err(status)).0, "GR0017");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_listed_while_they_are_there_and_their_nodes_are_suggested() {
    let member = Member::start().await;
    let mut cluster = member.cluster().await;
    let mut client = member.workflows().await;
    let (mut worker, _) = Worker::connect(&member, "ingest").await;
    client.start(start("w", "ingest")).await.expect("started");
    let task = worker.task().await;
    let listed = cluster.list_workers(v1::ListWorkersRequest::default()).await.expect("a list").into_inner();
    assert!(listed.live);
    let one = &listed.workers[0];
    assert_eq!((one.worker_id.as_str(), one.build_id.as_str(), one.connected), ("w-1", "test", true));
    assert_eq!((one.nodes[0].node.as_str(), one.nodes[0].capacity, one.nodes[0].held), ("ingest", 10, 1));
    let elsewhere = v1::ListWorkersRequest { namespace: "other".into() };
    assert!(cluster.list_workers(elsewhere).await.expect("a list").into_inner().workers.is_empty());
    let warned = client.start(start("typo", "ingets")).await.expect("accepted all the same").into_inner();
    assert!(warned.warnings[0].ends_with("the nearest name that one serves is \"ingest\""), "{:?}", warned.warnings);
    worker.complete(&task, "{}", vec![]).await;
    worker.ack().await;
    worker.send(From::Goodbye(v1::Goodbye { reason: "done".into() })).await;
    drop(worker);
    let gone = async {
        while !cluster.list_workers(v1::ListWorkersRequest::default()).await.expect("a list").into_inner().workers.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_closes_worker_streams_with_the_reason() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "a").await;
    member.begin_stop();
    let reason = loop {
        match worker.other().await {
            To::Closing(closing) => break closing.reason,
            _ => continue,
        }
    };
    assert!(reason.contains("shut"), "{reason}");
    member.stop().await;
}
