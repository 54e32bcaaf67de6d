//! A cluster of real processes in a temporary directory.

use std::time::Duration;

use graft_client::Client;
use tempfile::TempDir;

use crate::member::{Member, free_port};
use crate::wait;

/// Longest wait for a leader to be known to all.
const LEADER_WITHIN: Duration = Duration::from_secs(30);

/// Some members that know each other.
#[derive(Debug)]
pub struct Cluster {
    /// The members, by name `m1`, `m2`, …
    pub members: Vec<Member>,
    _dir: TempDir,
}

impl Cluster {
    /// Starts `size` members and waits until all are ready. `extra` is TOML for every member's configuration.
    pub async fn start(size: usize, extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ports: Vec<(u16, u16)> = (0..size).map(|_| (free_port(), free_port())).collect();
        let cluster: Vec<(String, String)> =
            ports.iter().enumerate().map(|(i, (_, peer))| (format!("m{}", i + 1), format!("127.0.0.1:{peer}"))).collect();
        let members: Vec<Member> =
            cluster.iter().zip(&ports).map(|((name, _), ports)| Member::prepare(dir.path(), name, &cluster, *ports, extra)).collect();
        let mut cluster = Self { members, _dir: dir };
        for member in &mut cluster.members {
            member.start();
        }
        for member in &cluster.members {
            member.ready().await;
        }
        cluster
    }

    /// URLs of all members, comma-separated: what clients and workers are given.
    pub fn urls(&self) -> String {
        self.members.iter().map(Member::url).collect::<Vec<_>>().join(",")
    }

    /// A client that knows all members.
    pub fn client(&self) -> Client {
        Client::connect(self.urls().as_str()).expect("valid addresses")
    }

    /// Which running member leads, asked of the running members themselves.
    pub async fn leader(&self) -> usize {
        wait::until("a leader", LEADER_WITHIN, || async {
            let leading: Vec<usize> = (0..self.members.len())
                .filter(|i| self.members[*i].runs() && self.members[*i].metric("graft_raft_is_leader") == 1.0)
                .collect();
            match leading.as_slice() {
                [one] => Ok(*one),
                other => Err(format!("leaders: {other:?}")),
            }
        })
        .await
    }
}
