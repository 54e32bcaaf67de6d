//! Daemons in this process, from configuration files as an operator would write them.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use graft_proto::peer_identity::MemberIdentity;
use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::membership_service_client::MembershipServiceClient;
use graftd::app::{Daemon, Failure};
use graftd::config::{Config, Flags, Sources, load};
use graftd::tls::authority::{Authority, Subject};
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// A test that waits longer than this for something has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Configurations of members `graft-0`, `graft-1` and so on, below one directory.
pub struct Daemons {
    pub dir: TempDir,
    pub peers: Vec<u16>,
    /// Whose certificates they have; none: they speak in the clear.
    pub authority: Option<Authority>,
    /// Keys of `[cluster]` that each of them has.
    pub cluster: String,
}

impl Daemons {
    pub fn new(members: usize) -> Self {
        // Held until all are chosen, so that they differ.
        let held: Vec<TcpListener> = (0..members).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let peers = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        Self { dir: tempfile::tempdir().unwrap(), peers, authority: None, cluster: String::new() }
    }

    /// With certificates.
    pub fn with_tls(members: usize) -> Self {
        let mut daemons = Self::new(members);
        let (authority, issued) = Authority::create("graft").unwrap();
        fs::write(daemons.dir.path().join("ca.pem"), issued.cert).unwrap();
        daemons.authority = Some(authority);
        daemons
    }

    /// The keys that say how members speak to each other; with TLS, as the member of that name.
    fn security(&self, name: &str) -> String {
        let Some(authority) = &self.authority else { return "[security]\ninsecure = true\n".to_owned() };
        let file = |name: &str| self.dir.path().join(name);
        let issued = authority.issue(&Subject::member(&MemberIdentity { cluster: "graft".into(), member: name.into() }), 1).unwrap();
        let (cert, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        fs::write(&cert, issued.cert).unwrap();
        fs::write(&key, issued.key).unwrap();
        format!("peer_ca = {:?}\npeer_cert = {cert:?}\npeer_key = {key:?}\n", file("ca.pem"))
    }

    pub fn data(&self, i: usize) -> PathBuf {
        self.dir.path().join(format!("graft-{i}"))
    }

    /// Member `i`, with these keys of `[cluster]` beside those that all have. It knows the peer addresses of all.
    pub fn config(&self, i: usize, cluster: &str) -> Config {
        self.config_as(i, &format!("graft-{i}"), cluster)
    }

    fn config_as(&self, i: usize, name: &str, cluster: &str) -> Config {
        let peers: Vec<String> = self.peers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        // Slow timers: a loaded machine that runs several members in one process must not hold elections all the time.
        let text = format!(
            "[node]\nname = {name:?}\ndata_dir = {:?}\n[client]\nlisten = \"127.0.0.1:0\"\n\
             [cluster]\n{cluster}\n{}\npeers = {peers:?}\npeer_listen = {:?}\n{}\
             [raft]\nheartbeat = \"100ms\"\nelection_min = \"600ms\"\nelection_max = \"1200ms\"\n[storage]\ndisk_reserve = \"0B\"\n",
            self.data(i),
            self.cluster,
            peers[i],
            self.security(name),
        );
        let file = self.dir.path().join(format!("graft-{i}.toml"));
        fs::write(&file, text).unwrap();
        load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none()).unwrap().accepted().unwrap_or_else(|e| panic!("{e}"))
    }

    /// Starts member `i` under another name.
    pub async fn start_as(&self, i: usize, name: &str, cluster: &str) -> Daemon {
        Daemon::start(self.config_as(i, name, cluster)).await.unwrap_or_else(|e| panic!("{name} starts: {e}"))
    }

    /// Starts member `i` with these keys.
    pub async fn start(&self, i: usize, cluster: &str) -> Daemon {
        Daemon::start(self.config(i, cluster)).await.unwrap_or_else(|e| panic!("graft-{i} starts: {e}"))
    }
}

/// Waits until a member is not ready for a reason that contains `part`.
pub async fn waits_because(daemon: &Daemon, part: &str) {
    let mut readiness = daemon.readiness();
    let seen = tokio::time::timeout(PATIENCE, readiness.wait_for(|now| !now.ready && now.reason.contains(part))).await.map(drop);
    seen.unwrap_or_else(|_| panic!("not because of {part:?}, but: {:?}", *daemon.readiness().borrow()));
}

/// Waits until a member is ready.
pub async fn ready(daemon: &Daemon) {
    match tokio::time::timeout(PATIENCE, daemon.ready()).await {
        Ok(outcome) => outcome.unwrap_or_else(|failure| panic!("{}: {failure}", daemon.member_name())),
        Err(_) => panic!("{} is never ready: {:?}", daemon.member_name(), *daemon.readiness().borrow()),
    }
}

/// Waits until a member cannot go on; its exit code and why.
pub async fn failed(daemon: &Daemon) -> Failure {
    tokio::time::timeout(PATIENCE, daemon.failed()).await.unwrap_or_else(|_| panic!("{} goes on", daemon.member_name()))
}

async fn channel(daemon: &Daemon) -> Channel {
    Endpoint::from_shared(format!("http://{}", daemon.client_address())).unwrap().connect().await.unwrap()
}

/// What operators ask of a member.
pub async fn operator(daemon: &Daemon) -> MembershipServiceClient<Channel> {
    MembershipServiceClient::new(channel(daemon).await)
}

/// What a member says of the cluster.
pub async fn status(daemon: &Daemon) -> v1::ClusterStatusResponse {
    ClusterServiceClient::new(channel(daemon).await).status(v1::ClusterStatusRequest {}).await.unwrap().into_inner()
}

/// Asks a member until what it says of the cluster is as wished.
pub async fn until(daemon: &Daemon, what: &str, wished: impl Fn(&v1::ClusterStatusResponse) -> bool) -> v1::ClusterStatusResponse {
    let mut last = None;
    let asking = async {
        loop {
            let now = status(daemon).await;
            if wished(&now) {
                return now;
            }
            last = Some(now);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(now) => now,
        Err(_) => panic!("never {what}: {last:#?}"),
    }
}

/// Names of the members that vote, and of those that do not.
pub fn voters_and_learners(status: &v1::ClusterStatusResponse) -> (Vec<&str>, Vec<&str>) {
    let (learners, voters): (Vec<_>, Vec<_>) = status.members.iter().partition(|member| member.role == "learner");
    (voters.iter().map(|member| member.name.as_str()).collect(), learners.iter().map(|member| member.name.as_str()).collect())
}
