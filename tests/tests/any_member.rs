//! Any member answers: whoever knows one follower only has the whole API. Without a majority, it refuses what it cannot know and shows what it
//! has.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use futures::future::join_all;
use graft_client::{Client, ListFilter, NewToken, Next};
use graft_proto::ERROR_DETAIL_METADATA;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graft_proto::v1::{Consistency, ErrorDetail, GetRequest, ListRequest, NewTask, StartRequest, WorkflowStatus};
use graft_tests::cluster::Cluster;
use graft_tests::workers::{ChainConfig, WorkerProcess};
use graft_tests::{figure, http, wait};
use prost::Message;
use serde_json::Value;

/// Longest time for a refusal: the member waits 5 s for a leader first.
const REFUSED_WITHIN: Duration = Duration::from_secs(7);
/// The code of "no leader is known or can be reached".
const NO_LEADER: &str = "GR0010";

/// How many requests about workflows a member has answered.
fn answered(address: &str) -> u64 {
    let (_, metrics) = http::get(address, "/metrics").expect("a member shows its metrics");
    let asked = metrics.lines().filter(|line| line.starts_with("graft_grpc_requests_total{") && line.contains("WorkflowService"));
    asked.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_follower_is_enough_for_everything_and_shows_what_it_has_when_it_is_alone() {
    let mut cluster = Cluster::start(3, "").await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let url = cluster.members[follower].url();
    let client = Client::connect(url.as_str()).expect("a valid address");
    // The worker finds the leader by itself.
    let _worker = WorkerProcess::start(&url, "w1");

    // A workflow from start to end.
    let started = client.start("counts").node(Next::named("chain", ChainConfig { left: 2 })).await.expect("start");
    assert!(started.created);
    let counts = client.workflow("counts");
    assert_eq!(counts.result::<Value>().await.expect("wait")["count"], 3);
    assert_eq!(counts.get().await.expect("get").status(), WorkflowStatus::Completed);
    let watched: Vec<_> = counts.watch().try_collect().await.expect("watch");
    let told = counts.history(100, "").await.expect("history");
    assert_eq!(watched, told.events);
    assert_eq!(watched.len(), 5, "a start, three steps, an end: {watched:?}");

    // One that is steered.
    let started = client.start("steered").node(Next::named("caht", ())).await.expect("start");
    assert!(started.warnings.iter().any(|warning| warning.contains("caht")), "{:?}", started.warnings);
    let steered = client.workflow("steered");
    assert_eq!(steered.pause("a break").await.expect("pause").status(), WorkflowStatus::Paused);
    assert_eq!(steered.resume("").await.expect("resume").status(), WorkflowStatus::Running);
    steered.cancel("no more").await.expect("cancel");
    assert_eq!(steered.wait().await.expect("wait").status(), WorkflowStatus::Cancelled);
    client.start("stuck").node(Next::named("nobody", ())).await.expect("start");
    assert_eq!(client.workflow("stuck").terminate("stuck").await.expect("terminate").status(), WorkflowStatus::Terminated);
    let listed = client.list(ListFilter::new()).await.expect("list");
    let listed: Vec<&str> = listed.workflows.iter().map(|workflow| workflow.workflow_id.as_str()).collect();
    assert_eq!(listed, ["stuck", "steered", "counts"]);

    // Who works: live, although only the leader knows that.
    let workers = client.workers().await.expect("worker list");
    assert!(workers.live, "{workers:?}");
    let seen: Vec<(&str, bool)> = workers.workers.iter().map(|worker| (worker.worker_id.as_str(), worker.connected)).collect();
    assert_eq!(seen, [("w1", true)]);
    let status = client.cluster_status().await.expect("cluster status");
    let answering = status.members.iter().find(|member| member.raft_id == status.answered_by).expect("it is a member itself");
    assert_eq!((status.members.len(), &answering.name), (3, &cluster.members[follower].name));

    // It was this one that answered all of that.
    let by_others: Vec<u64> = (0..3).filter(|i| *i != follower).map(|i| answered(&cluster.members[i].client_address)).collect();
    assert_eq!(by_others, [0, 0], "the client was sent elsewhere");
    assert!(answered(&cluster.members[follower].client_address) >= 13);

    // Alone.
    for other in (0..3).filter(|other| *other != follower) {
        cluster.members[other].kill();
    }
    let mut service = WorkflowServiceClient::connect(url).await.expect("it still answers");
    let namespace = "default".to_owned();
    let get = GetRequest { namespace: namespace.clone(), workflow_id: "counts".to_owned(), ..GetRequest::default() };
    let list = ListRequest { namespace: namespace.clone(), ..ListRequest::default() };
    let node = NewTask { node: "nobody".to_owned(), ..NewTask::default() };
    let start = StartRequest { namespace, workflow_id: "alone".to_owned(), nodes: vec![node], ..StartRequest::default() };
    let detail = |status: tonic::Status| {
        let detail = status.metadata().get_bin(ERROR_DETAIL_METADATA).and_then(|detail| detail.to_bytes().ok());
        ErrorDetail::decode(detail.unwrap_or_else(|| panic!("no detail: {status}"))).expect("an ErrorDetail")
    };
    // One while another one waits, each with a wait of its own: whoever comes later does not wait for those before as well.
    let refusals = (0..3).map(|nth| {
        let (mut service, get) = (service.clone(), get.clone());
        async move {
            tokio::time::sleep(nth * Duration::from_secs(1)).await;
            let asked = Instant::now();
            let refused = service.get(get).await.expect_err("nobody can know whether this is the newest");
            (detail(refused), asked.elapsed())
        }
    });
    let mut longest = Duration::ZERO;
    for (refused, took) in join_all(refusals).await {
        assert_eq!((refused.code.as_str(), refused.retryable, refused.outcome_unknown), (NO_LEADER, true, false), "{refused:?}");
        longest = longest.max(took);
    }
    assert!(longest < REFUSED_WITHIN, "a get was refused after {longest:?}");
    let refused = detail(service.list(list).await.expect_err("nobody can know whether this is the newest"));
    assert_eq!(refused.code, NO_LEADER, "{refused:?}");
    let asked = Instant::now();
    let refused = detail(service.start(start).await.expect_err("nobody can promise that"));
    assert_eq!(refused.code, NO_LEADER, "{refused:?}");
    figure(format_args!(
        "without a majority, a get was refused after {} ms, a start after {} ms",
        longest.as_millis(),
        asked.elapsed().as_millis()
    ));
    assert!(asked.elapsed() < REFUSED_WITHIN, "a start was refused after {:?}", asked.elapsed());

    // It says so itself, and who balances load goes elsewhere.
    let alone = &cluster.members[follower];
    wait::until("it to say that it hears no leader", Duration::from_secs(20), || async {
        match http::get(&alone.client_address, "/readyz") {
            Ok((503, why)) if why.contains("nothing is heard of the leader") => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(alone.metric("graft_raft_has_leader"), 0.0, "the alert asks for this");

    let stale = GetRequest { consistency: Consistency::Stale.into(), ..get };
    let found = service.get(stale).await.expect("what it has, it shows").into_inner();
    assert_eq!(found.workflow.map(|workflow| workflow.status()), Some(WorkflowStatus::Completed));
    let listed = client.stale().list(ListFilter::new()).await.expect("what it has, it shows");
    assert_eq!(listed.workflows.len(), 3);

    // With one more there is a majority again.
    cluster.members[leader].start();
    wait::until("linearizable reads", Duration::from_secs(30), || async { counts.get().await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_told_one_member_goes_on_with_the_others_when_that_one_is_gone() {
    let mut cluster = Cluster::start(3, "").await;
    let known = (cluster.leader().await + 1) % 3;
    let client = Client::connect(cluster.members[known].url().as_str()).expect("a valid address");
    client.start("before").node(Next::named("nobody", ())).await.expect("start");
    // Beside its calls it asks who the others are.
    let asked = || cluster.members[known].metric("graft_grpc_requests_total{code=\"OK\",method=\"graft.v1.ClusterService/Status\"}");
    wait::until("the client to ask for the members", Duration::from_secs(10), || async {
        if asked() >= 1.0 { Ok(()) } else { Err("not yet") }
    })
    .await;
    cluster.members[known].kill();
    client.start("after").node(Next::named("nobody", ())).await.expect("the others answer");
    assert_eq!(client.workflow("before").get().await.expect("get").status(), WorkflowStatus::Running);
}

/// The root token of the cluster below.
const ROOT: &str = "root-of-a-test-with-enough-letters-in-it";

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_a_follower_is_noted_by_name_and_may_do_there_what_it_may_everywhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("root");
    std::fs::write(&file, ROOT).expect("a file");
    let cluster = Cluster::start(3, &format!("[auth]\nrequired = true\nroot_token_file = {:?}\n", file.display().to_string())).await;
    let status = Client::builder(cluster.urls()).token(ROOT).build().expect("addresses").cluster_status().await.expect("status");
    let leader = status.members.iter().find(|member| member.raft_id == status.leader).expect("somebody leads").name.clone();
    let follower = cluster.members.iter().find(|member| member.name != leader).expect("two follow");
    let through_it = |token: &str| Client::builder(follower.url()).token(token).build().expect("an address");
    let made = async |name: &str, grant: &str| {
        let new = NewToken { name: name.to_owned(), grants: vec![grant.to_owned()], ttl: None };
        through_it(&through_it(ROOT).create_token(new).await.expect("made").secret)
    };
    let (ops, looks) = (made("ops", "operator@default").await, made("looks", "viewer@default").await);

    ops.start("asked").node(Next::named("nobody", ())).await.expect("it may");
    ops.workflow("asked").pause("a break").await.expect("it may");
    let refused = looks.workflow("asked").resume("").await.expect_err("it may not");
    assert_eq!(refused.code(), "GR0031", "{refused}");
    let told = looks.workflow("asked").history(100, "").await.expect("it may look");
    let paused = told.events.iter().map(|event| format!("{event:?}")).find(|event| event.contains("Paused")).expect("it is there");
    assert!(paused.contains("client:ops"), "the leader wrote down another name: {paused}");
    assert_eq!(looks.workflow("asked").get().await.expect("it may look").status(), WorkflowStatus::Paused);

    let acts = through_it(ROOT).acts(10, 0).await.expect("root may").acts;
    let noted: Vec<_> = acts.iter().map(|act| (act.principal.as_str(), act.member.as_str(), act.outcome.starts_with("ok: "))).collect();
    assert_eq!(noted, [("client:root", follower.name.as_str(), true); 2], "{acts:?}");
}
