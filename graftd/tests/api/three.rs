//! Three daemons in this process that form one cluster.

use std::net::TcpListener;

use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graftd::app::Daemon;
use graftd::config::{Config, Flags, Sources, load};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::member::within;

/// Three daemons that form one cluster.
pub async fn three(dir: &TempDir) -> Vec<Daemon> {
    // Held until all are chosen, so that they differ.
    let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let peers: Vec<String> = held.iter().map(|listener| listener.local_addr().expect("bound").to_string()).collect();
    drop(held);
    let config = |i: usize| -> Config {
        let text = format!(
            "[node]\nname = \"graft-{i}\"\ndata_dir = {:?}\n[client]\nlisten = \"127.0.0.1:0\"\n\
             [cluster]\nexpect = 3\npeers = {peers:?}\npeer_listen = {:?}\n\
             [security]\ninsecure = true\n[raft]\nheartbeat = \"100ms\"\nelection_min = \"600ms\"\nelection_max = \"1200ms\"\n",
            dir.path().join(format!("graft-{i}")),
            peers[i],
        );
        let file = dir.path().join(format!("graft-{i}.toml"));
        std::fs::write(&file, text).expect("a file");
        load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none()).expect("a configuration").accepted().expect("a good one")
    };
    let mut daemons = Vec::new();
    for i in 0..3 {
        daemons.push(Daemon::start(config(i)).await.expect("it starts"));
    }
    for daemon in &daemons {
        within(daemon.ready()).await.expect("it is ready");
    }
    daemons
}

/// A connection to a daemon.
pub fn channel(daemon: &Daemon) -> Channel {
    Endpoint::from_shared(format!("http://{}", daemon.client_address())).expect("an address").connect_lazy()
}

/// Which of them leads.
pub async fn leader(daemons: &[Daemon]) -> usize {
    let asked = ClusterServiceClient::new(channel(&daemons[0])).status(v1::ClusterStatusRequest {}).await;
    let status = asked.expect("a status").into_inner();
    let leader = status.members.iter().find(|member| member.raft_id == status.leader).expect("a leader").client_address.clone();
    daemons.iter().position(|daemon| daemon.client_address().to_string() == leader).expect("one of them")
}
