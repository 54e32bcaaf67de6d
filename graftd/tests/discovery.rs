//! Daemons in this process that name no peers: a name, or what is announced in the network, is all that they have to find each other by.

use std::fs;
use std::net::TcpListener;

use graft_proto::peer_identity::MemberIdentity;
use graftd::app::Daemon;
use graftd::config::{Config, Flags, Sources, load};
use graftd::tls::authority::{Authority, Subject};
use tempfile::TempDir;

/// Three members of one cluster, with certificates.
struct Three {
    dir: TempDir,
    ports: Vec<u16>,
    authority: Authority,
    /// Nobody else on this machine has a cluster of this name.
    cluster: String,
}

impl Three {
    fn new() -> Self {
        // Held until all are chosen, so that they differ.
        let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let cluster = format!("test-{}-{}", std::process::id(), ports[0]);
        let (authority, issued) = Authority::create(&cluster).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issued.cert).unwrap();
        Self { dir, ports, authority, cluster }
    }

    /// What a file with this section says.
    fn config(&self, i: usize, discovery: &str) -> Config {
        let (dir, name) = (self.dir.path(), format!("graft-{i}"));
        let issued =
            self.authority.issue(&Subject::member(&MemberIdentity { cluster: self.cluster.clone(), member: name.clone() }), 1).unwrap();
        let file = |ending: &str| dir.join(format!("{name}.{ending}"));
        fs::write(file("pem"), issued.cert).unwrap();
        fs::write(file("key"), issued.key).unwrap();
        // Slow timers: a loaded machine that runs three members in one process must not hold elections all the time.
        let text = format!(
            "[node]\nname = {name:?}\ndata_dir = {:?}\n[client]\nlisten = \"127.0.0.1:0\"\n\
             [cluster]\nname = {:?}\nexpect = 3\npeer_listen = \"127.0.0.1:{}\"\npeer_ca = {:?}\npeer_cert = {:?}\npeer_key = {:?}\n\
             [discovery]\n{discovery}\n\
             [raft]\nheartbeat = \"100ms\"\nelection_min = \"600ms\"\nelection_max = \"1200ms\"\n",
            file("data"),
            self.cluster,
            self.ports[i],
            dir.join("ca.pem"),
            file("pem"),
            file("key"),
        );
        fs::write(file("toml"), text).unwrap();
        load(&Flags { config: Some(file("toml")), ..Flags::default() }, &Sources::none()).unwrap().accepted().unwrap()
    }

    async fn start(&self, i: usize, discovery: &str) -> Daemon {
        Daemon::start(self.config(i, discovery)).await.unwrap_or_else(|e| panic!("graft-{i} starts: {e}"))
    }
}

/// Waits until a member is not ready for a reason that contains all these parts.
async fn waits_because(daemon: &Daemon, parts: &[&str]) {
    let mut readiness = daemon.readiness();
    readiness.wait_for(|now| !now.ready && parts.iter().all(|part| now.reason.contains(part))).await.unwrap();
}

async fn form_one_cluster(members: Vec<Daemon>) {
    let mut ids = Vec::new();
    for daemon in &members {
        daemon.ready().await.unwrap();
        ids.push(daemon.cluster_id().await);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for daemon in members {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_find_each_other_behind_names_and_a_name_that_is_none_is_told_and_harms_nobody() {
    let three = Three::new();
    // Each name is asked for the port of one member; on most machines it has an address of either family.
    let names: Vec<String> = three.ports.iter().map(|port| format!("localhost:{port}")).collect();
    let names = format!("dns = {:?}\ndns_every = \"1s\"", [vec!["no-such-name.invalid:7421".to_owned()], names].concat());
    let zero = three.start(0, &names).await;
    waits_because(&zero, &["1 of 3 are there (graft-0)", "no answer from", "dns no-such-name.invalid:7421: "]).await;
    let (one, two) = (three.start(1, &names).await, three.start(2, &names).await);
    form_one_cluster(vec![zero, one, two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_that_announce_themselves_form_one_cluster() {
    let three = Three::new();
    let mut members = Vec::new();
    for i in 0..3 {
        members.push(three.start(i, "mdns = true").await);
    }
    form_one_cluster(members).await;
}
