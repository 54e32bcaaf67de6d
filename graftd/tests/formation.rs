//! Daemons in this process that find together, from configuration files as an operator would write them.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use graftd::app::{Daemon, StartError};
use graftd::config::{Config, Flags, Sources, load};
use graftd::discovery::data_dir::DataDirError;
use tempfile::TempDir;

/// Three configurations below one directory.
struct Three {
    dir: TempDir,
    peers: Vec<u16>,
}

impl Three {
    fn new() -> Self {
        // Held until all are chosen, so that they differ.
        let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let peers = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        Self { dir: tempfile::tempdir().unwrap(), peers }
    }

    fn data(&self, i: usize) -> PathBuf {
        self.dir.path().join(format!("graft-{i}"))
    }

    fn config(&self, i: usize, expect: u32) -> Config {
        let peers: Vec<String> = self.peers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        // Slow timers: a loaded machine that runs three members in one process must not hold elections all the time.
        let text = format!(
            "[node]\nname = \"graft-{i}\"\ndata_dir = {:?}\n[client]\nlisten = \"127.0.0.1:0\"\n\
             [cluster]\nexpect = {expect}\npeers = {peers:?}\npeer_listen = {:?}\n\
             [raft]\nheartbeat = \"100ms\"\nelection_min = \"600ms\"\nelection_max = \"1200ms\"\n",
            self.data(i),
            peers[i],
        );
        let file = self.dir.path().join(format!("graft-{i}.toml"));
        fs::write(&file, text).unwrap();
        load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none()).unwrap().accepted().unwrap()
    }

    async fn start(&self, i: usize) -> Daemon {
        self.start_expecting(i, 3).await
    }

    async fn start_expecting(&self, i: usize, expect: u32) -> Daemon {
        Daemon::start(self.config(i, expect)).await.unwrap_or_else(|e| panic!("graft-{i} starts: {e}"))
    }
}

/// Waits until a member is not ready for a reason that contains `part`.
async fn waits_because(daemon: &Daemon, part: &str) {
    let mut readiness = daemon.readiness();
    readiness.wait_for(|now| !now.ready && now.reason.contains(part)).await.unwrap();
}

fn identity(data: &Path) -> String {
    fs::read_to_string(data.join("identity")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_members_form_one_cluster_and_stay_it() {
    let three = Three::new();
    // Two of three wait, and say for whom.
    let (a, b) = (three.start(0).await, three.start(1).await);
    waits_because(&a, "2 of 3 are there (graft-0, graft-1); no answer from").await;
    waits_because(&b, "2 of 3").await;
    let c = three.start(2).await;
    let mut ids = Vec::new();
    for daemon in [&a, &b, &c] {
        daemon.ready().await.unwrap();
        ids.push(daemon.cluster_id().await);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");

    // After a restart of all, nothing is formed anew, even where `expect` has changed meanwhile.
    let identities: Vec<String> = (0..3).map(|i| identity(&three.data(i))).collect();
    tokio::join!(a.shutdown(), b.shutdown(), c.shutdown());
    let (a, b) = (three.start_expecting(0, 1).await, three.start(1).await);
    a.ready().await.unwrap();
    b.ready().await.unwrap();
    assert_eq!([a.cluster_id().await, b.cluster_id().await], [ids[0].clone(), ids[0].clone()]);

    // A member that lost its disk is another one: it is told so, and no cluster of its own comes of it.
    fs::remove_dir_all(three.data(2)).unwrap();
    let c = three.start(2).await;
    waits_because(&c, &format!("not part of cluster `graft` ({})", ids[0])).await;
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
    assert!(matches!(error, StartError::DataDir(DataDirError::Damaged { .. })) && error.exit_code() == 78, "{error}");
    fs::remove_file(data.join("log.redb")).unwrap();
    let Err(error) = Daemon::start(Config::in_process(&data)).await else { panic!("it started without a log") };
    assert!(error.to_string().contains("`log.redb` is missing"), "{error}");
}
