//! Daemons in this process that find together, from configuration files as an operator would write them.

mod daemons;

use std::fs;
use std::path::Path;
use std::time::Duration;

use daemons::{Daemons, waits_because};
use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use graft_proto::peer::v1::{
    ChangeRequest, DrainRequest, JoinRequest, PeerHeader, PeerHello, ProposeRequest, RaftKind, RaftMessage, ReadIndexRequest,
};
use graft_proto::peer_identity::MemberIdentity;
use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::membership_service_client::MembershipServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::{Daemon, StartError};
use graftd::config::Config;
use graftd::discovery::data_dir::DataDirError;
use graftd::discovery::protocol::PROTOCOL;
use graftd::tls::authority::{Authority, Subject};
use graftd::tls::members::{LinkOptions, MaterialFiles, PeerSecurity};
use tonic::Code;

const THREE: &str = "expect = 3";

fn identity(data: &Path) -> String {
    fs::read_to_string(data.join("identity")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_members_form_one_cluster_and_stay_it() {
    let three = Daemons::new(3);
    // Two of three wait, and say for whom.
    let (a, b) = (three.start(0, THREE).await, three.start(1, THREE).await);
    waits_because(&a, "2 of 3 are there (graft-0, graft-1); no answer from").await;
    waits_because(&b, "2 of 3").await;
    let c = three.start(2, THREE).await;
    let mut ids = Vec::new();
    for daemon in [&a, &b, &c] {
        daemon.ready().await.unwrap();
        ids.push(daemon.cluster_id().await);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");

    // After a restart of all, nothing is formed anew, even where `expect` has changed meanwhile.
    let identities: Vec<String> = (0..3).map(|i| identity(&three.data(i))).collect();
    tokio::join!(a.shutdown(), b.shutdown(), c.shutdown());
    let (a, b) = (three.start(0, "expect = 1").await, three.start(1, THREE).await);
    a.ready().await.unwrap();
    b.ready().await.unwrap();
    assert_eq!([a.cluster_id().await, b.cluster_id().await], [ids[0].clone(), ids[0].clone()]);

    // A member that lost its disk is another one: it is not taken for the old one, and no cluster of its own comes of it.
    fs::remove_dir_all(three.data(2)).unwrap();
    let c = three.start(2, THREE).await;
    waits_because(&c, "a member `graft-2` (raft id").await;
    assert_ne!(identity(&three.data(2)), identities[2]);
    assert_eq!([identity(&three.data(0)), identity(&three.data(1))], [identities[0].clone(), identities[1].clone()]);
    tokio::join!(a.shutdown(), b.shutdown(), c.shutdown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_single_member_keeps_its_identity_and_never_starts_empty() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let daemon = Daemon::start(Config::in_process(&data)).await.unwrap();
    daemon.ready().await.unwrap();
    let (cluster, member) = (daemon.cluster_id().await, identity(&data));

    // The directory is locked, and the port is taken.
    assert!(matches!(Daemon::start(Config::in_process(&data)).await, Err(StartError::DataDir(DataDirError::Locked { .. }))));
    let mut other = Config::in_process(dir.path().join("other"));
    other.client.listen = other.client.listen.with_port(daemon.client_address().port());
    let Err(error) = Daemon::start(other).await else { panic!("the port is taken") };
    assert!(error.to_string().starts_with("client.listen: cannot listen on 127.0.0.1:"), "{error}");
    daemon.shutdown().await;

    let daemon = Daemon::start(Config::in_process(&data)).await.unwrap();
    daemon.ready().await.unwrap();
    assert_eq!((daemon.cluster_id().await, identity(&data)), (cluster, member));
    daemon.shutdown().await;

    // With the marker there, an empty raft store is data loss, not a new beginning.
    for file in ["log.redb", "state.redb"] {
        fs::write(data.join(file), "").unwrap();
    }
    let Err(error) = Daemon::start(Config::in_process(&data)).await else { panic!("it started empty") };
    assert!(matches!(error, StartError::Data(_)) && error.exit_code() == 65 && error.to_string().contains("it is empty"), "{error}");
    fs::remove_file(data.join("log.redb")).unwrap();
    let Err(error) = Daemon::start(Config::in_process(&data)).await else { panic!("it started without a log") };
    assert!(matches!(error, StartError::DataDir(DataDirError::Damaged { .. })) && error.exit_code() == 65, "{error}");
    assert!(error.to_string().contains("`log.redb` is missing"), "{error}");
}

/// The keys make members speak TLS, and nobody counts as a member who has no certificate of the cluster's authority in its name.
#[tokio::test(flavor = "multi_thread")]
async fn members_with_certificates_form_a_cluster_and_strangers_are_not_heard() {
    let mut three = Daemons::with_tls(3);
    let zero = three.start(0, THREE).await;
    let one = three.start(1, THREE).await;
    // A member that has no certificate, and one whose certificate another authority has made, are not there for the others.
    let authority = three.authority.take();
    let open = three.start(2, THREE).await;
    waits_because(&open, "no answer from").await;
    waits_because(&zero, "2 of 3 are there").await;
    open.shutdown().await;
    three.authority = Some(Authority::create("graft").unwrap().0);
    let refused = Daemon::start(three.config(2, THREE)).await.err().expect("its own authority does not know it").to_string();
    assert!(refused.contains("graft-2.pem: was not made by the authority") && refused.contains("graft tls issue"), "{refused}");
    three.authority = authority;
    let two = three.start(2, THREE).await;
    for daemon in [&zero, &one, &two] {
        daemon.ready().await.unwrap();
    }
    // Commands of a follower go to the leader, and reads wait for what it says: over TLS as well.
    for daemon in [&zero, &one, &two] {
        let mut client = WorkflowServiceClient::connect(format!("http://{}", daemon.client_address())).await.unwrap();
        let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
        client.start(v1::StartRequest { nodes, ..Default::default() }).await.unwrap();
    }
    let mut cluster = ClusterServiceClient::connect(format!("http://{}", zero.client_address())).await.unwrap();
    let status = cluster.status(v1::ClusterStatusRequest {}).await.unwrap().into_inner();
    let member = |name: &str| status.members.iter().find(|member| member.name == name).unwrap();

    // Who has the certificate of one member cannot speak for another: not by name, and not by raft id.
    let file = |name: &str| three.dir.path().join(name);
    let files = MaterialFiles { ca: file("ca.pem"), cert: file("graft-1.pem"), key: file("graft-1.key") };
    let impostor = PeerSecurity::tls(files, MemberIdentity { cluster: "graft".into(), member: "graft-1".into() }).unwrap();
    let link = LinkOptions { connect: Duration::from_secs(10), request: Some(Duration::from_secs(10)), keepalive: None, windows: None };
    let dialed = impostor.dial(&member("graft-2").peer_address, Some("graft-2"), link).unwrap();
    let mut client = PeerServiceClient::new(dialed.channel);
    let hello = PeerHello { cluster_name: "graft".into(), member_name: "graft-0".into(), ..PeerHello::default() };
    let refused = client.greet(hello).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let why = "says that it is member graft-0 of cluster graft, and its certificate that it is member graft-1 of cluster graft";
    assert!(refused.message().contains(why), "{refused}");
    let vote = |from: &str| {
        let header = PeerHeader {
            cluster_id: status.cluster_id.clone(),
            from: member(from).raft_id,
            to: member("graft-2").raft_id,
            epoch: 1,
            protocol: Some(PROTOCOL),
        };
        RaftMessage { header: Some(header), kind: RaftKind::Vote.into(), body: Default::default() }
    };
    assert_eq!(client.call(vote("graft-0")).await.unwrap_err().code(), Code::PermissionDenied);
    // As itself it is heard: what it says then makes no sense, and is refused as that.
    assert_eq!(client.call(vote("graft-1")).await.unwrap_err().code(), Code::InvalidArgument);

    // A certificate of the cluster makes nobody a member: who was never taken in may ask to be, and nothing else.
    let stranger = MemberIdentity { cluster: "graft".into(), member: "graft-9".into() };
    let issued = three.authority.as_ref().unwrap().issue(&Subject::member(&stranger), 1).unwrap();
    let files = MaterialFiles { ca: file("ca.pem"), cert: file("graft-9.pem"), key: file("graft-9.key") };
    fs::write(&files.cert, issued.cert).unwrap();
    fs::write(&files.key, issued.key).unwrap();
    let dialed = PeerSecurity::tls(files, stranger).unwrap().dial(&member("graft-2").peer_address, Some("graft-2"), link).unwrap();
    let mut client = PeerServiceClient::new(dialed.channel.clone());
    let header = |from: u64| PeerHeader { from, ..vote("graft-1").header.unwrap() };
    for from in [77, member("graft-1").raft_id] {
        let header = Some(header(from));
        let mut refused = vec![
            client.propose(ProposeRequest { header: header.clone(), ..ProposeRequest::default() }).await.err(),
            client.change(ChangeRequest { header: header.clone(), ..ChangeRequest::default() }).await.err(),
            client.drain(DrainRequest { header: header.clone(), ..DrainRequest::default() }).await.err(),
            client.read_index(ReadIndexRequest { header: header.clone() }).await.err(),
            client.join(JoinRequest { header, from: Some(PeerHello::default()), token: String::new() }).await.err(),
        ];
        refused.push(ClusterServiceClient::new(dialed.channel.clone()).snapshot(v1::SnapshotRequest {}).await.err());
        let grant = MembershipServiceClient::new(dialed.channel.clone()).create_join_token(v1::CreateJoinTokenRequest::default()).await;
        refused.push(grant.err());
        for (at, refused) in refused.into_iter().enumerate() {
            assert_eq!(refused.map(|status| status.code()), Some(Code::PermissionDenied), "{from} {at}");
        }
    }
    for daemon in [zero, one, two] {
        daemon.shutdown().await;
    }
}
