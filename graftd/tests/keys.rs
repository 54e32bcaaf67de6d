//! Declared means wired: keys whose effect shows from outside, on a daemon in this process. Keys of raft, storage and the scheduler are shown
//! where they take effect (`app/options.rs` carries them there), those of the log and of the listeners by real processes.

use std::time::{Duration, Instant};

use futures::stream;
use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::Daemon;
use graftd::config::{Config, HostPort, Span};
use http::uri::PathAndQuery;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

async fn channel(daemon: &Daemon) -> Channel {
    Endpoint::from_shared(format!("http://{}", daemon.client_address())).expect("an address").connect().await.expect("it answers")
}

async fn started(config: Config) -> Daemon {
    let daemon = Daemon::start(config).await.expect("it starts");
    daemon.ready().await.expect("it becomes ready");
    daemon
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_told_the_addresses_that_are_advertised() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::in_process(dir.path());
    config.client.advertise = Some("clients.example:7420".parse().expect("an address"));
    config.cluster.peer_listen = Some(HostPort::loopback(0));
    config.cluster.peer_advertise = Some("members.example:7421".parse().expect("an address"));
    let daemon = started(config).await;
    let status =
        ClusterServiceClient::new(channel(&daemon).await).status(v1::ClusterStatusRequest {}).await.expect("a status").into_inner();
    let me = &status.members[0];
    assert_eq!((me.client_address.as_str(), me.peer_address.as_str()), ("clients.example:7420", "members.example:7421"));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_workflow_is_deleted_after_the_retention() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::in_process(dir.path());
    config.workflow.retention = Span::from_millis(1_000);
    let daemon = started(config).await;
    let mut client = WorkflowServiceClient::new(channel(&daemon).await);
    let start = |id: &str, retention_ms| {
        let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
        v1::StartRequest { workflow_id: id.into(), nodes, retention_ms, ..Default::default() }
    };
    client.start(start("by-default", 0)).await.expect("started");
    client.start(start("by-its-start", 3_600_000)).await.expect("started");
    for id in ["by-default", "by-its-start"] {
        client.terminate(v1::ControlRequest { workflow_id: id.into(), ..Default::default() }).await.expect("ended");
    }
    let begun = Instant::now();
    while client.get(v1::GetRequest { workflow_id: "by-default".into(), ..Default::default() }).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "deleted after {:?}", begun.elapsed());
    client.get(v1::GetRequest { workflow_id: "by-its-start".into(), ..Default::default() }).await.expect("kept, as its start said");
    daemon.shutdown().await;
}

/// A drain waits for requests that are under way, but no longer than the grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_takes_no_longer_than_its_grace() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::in_process(dir.path());
    config.shutdown.grace = Span::from_millis(300);
    let daemon = started(config).await;
    // A request whose message never comes: it would be waited for far longer.
    let mut grpc = Grpc::new(channel(&daemon).await);
    grpc.ready().await.expect("connected");
    let path = PathAndQuery::from_static("/graft.v1.WorkflowService/Start");
    let codec = tonic_prost::ProstCodec::<v1::StartRequest, v1::StartResponse>::default();
    let never = tokio::spawn(async move { grpc.client_streaming(Request::new(stream::pending()), path, codec).await.map(|_| ()) });
    // It has arrived when a later request on another connection has been answered.
    ClusterServiceClient::new(channel(&daemon).await).status(v1::ClusterStatusRequest {}).await.expect("a status");
    let begun = Instant::now();
    daemon.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "the drain took {:?}", begun.elapsed());
    never.await.expect("no panic").expect_err("it was cut off");
    assert!(begun.elapsed() < Duration::from_secs(5), "cut after {:?}", begun.elapsed());
}
