//! A cluster of real processes in a temporary directory.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use graft_client::Client;
use tempfile::TempDir;

use crate::bridge::{Bridge, Machine};
use crate::member::{Member, Trust, free_port};
use crate::wait;

/// Longest wait for a leader to be known to all.
const LEADER_WITHIN: Duration = Duration::from_secs(30);
/// Longest wait for the cluster to go on after its leader is gone.
const PROGRESS_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked at: what is measured is exact to about this.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Results of workers that were applied through this member while it led.
const RESULTS_APPLIED: &str = "graft_results_total{resolution=\"applied\"}";

/// Some members that know each other.
#[derive(Debug)]
pub struct Cluster {
    /// The members, by name `m1`, `m2`, …
    pub members: Vec<Member>,
    bridge: Option<Bridge>,
    _dir: TempDir,
}

/// How far the members had come at one moment. See [`Cluster::mark`].
#[derive(Clone, Debug)]
pub struct Mark {
    term: f64,
    results: Vec<f64>,
}

/// A leader that has taken over, and how long each part of it took.
#[derive(Clone, Copy, Debug)]
pub struct TakenOver {
    /// Who.
    pub leader: usize,
    /// Until it led.
    pub led_after: Duration,
    /// Until it had applied a result that a worker sent to itself.
    pub progress_after: Duration,
}

/// How a drain went. Times count from SIGTERM.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    /// How the process ended.
    pub status: ExitStatus,
    /// When it had ended.
    pub took: Duration,
    /// When it was last seen to lead.
    pub led_until: Duration,
    /// When another one, of a later term, was first seen to lead.
    pub led_again: Option<Duration>,
}

impl Cluster {
    /// Starts `size` members and waits until all are ready. `extra` is TOML for every member's configuration.
    pub async fn start(size: usize, extra: &str) -> Self {
        Self::start_with(size, extra, |_| {}).await
    }

    /// As [`Self::start`]; `prepared` is called with each member before it is started.
    pub async fn start_with(size: usize, extra: &str, prepared: impl FnMut(&Member)) -> Self {
        let cluster = Self::prepare(size, extra);
        cluster.members.iter().for_each(prepared);
        cluster.started().await
    }

    /// Starts `size` members, each on one of the first machines of this bridge. Whoever starts them is on another one.
    pub async fn start_on(bridge: Bridge, size: usize, extra: &str) -> Self {
        let at = |machine: &Machine| (format!("{}:7420", machine.ip), format!("{}:7421", machine.ip));
        let addresses = bridge.machines()[..size].iter().map(at).collect();
        // Members speak TLS; clients do not, and are not on loopback.
        let mut cluster = Self::prepare_at(addresses, &format!("{extra}\n[security]\ninsecure = true\n"));
        let members = cluster.members.into_iter().zip(bridge.machines());
        cluster.members = members.map(|(member, machine)| member.on(machine)).collect();
        cluster.bridge = Some(bridge);
        cluster.started().await
    }

    async fn started(mut self) -> Self {
        for member in &mut self.members {
            member.start();
        }
        for member in &self.members {
            member.ready().await;
        }
        self
    }

    /// The machine of a member.
    ///
    /// # Panics
    /// They have none of their own.
    pub fn machine(&self, member: usize) -> &Machine {
        &self.bridge.as_ref().expect("started on machines").machines()[member]
    }

    /// As [`Self::start`], but starts nobody.
    pub fn prepare(size: usize, extra: &str) -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        Self::prepare_at((0..size).map(|_| (address(), address())).collect(), extra)
    }

    /// Members that answer clients and members at these addresses.
    fn prepare_at(addresses: Vec<(String, String)>, extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cluster: Vec<(String, String)> =
            addresses.iter().enumerate().map(|(i, (_, peer))| (format!("m{}", i + 1), peer.clone())).collect();
        let trust = Trust::new();
        let prepared =
            |((name, _), addresses): (&(String, String), _)| Member::prepare_at(dir.path(), name, &cluster, &trust, addresses, extra);
        let members = cluster.iter().zip(addresses).map(prepared).collect();
        Self { members, bridge: None, _dir: dir }
    }

    /// URLs of all members, comma-separated: what clients and workers are given.
    pub fn urls(&self) -> String {
        self.members.iter().map(Member::url).collect::<Vec<_>>().join(",")
    }

    /// A client that knows all members.
    pub fn client(&self) -> Client {
        Client::connect(self.urls().as_str()).expect("valid addresses")
    }

    /// A client for each member, which asks that one first but knows them all.
    pub fn clients(&self) -> Vec<Client> {
        let mut urls: Vec<String> = self.members.iter().map(Member::url).collect();
        let client = |_| {
            let client = Client::connect(urls.clone()).expect("valid addresses");
            urls.rotate_left(1);
            client
        };
        self.members.iter().map(client).collect()
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
    /// What [`Self::progress_after`] compares with: to be taken before the leader goes.
    pub fn mark(&self) -> Mark {
        let seen = self.members.iter().map(|member| match member.runs() {
            true => member.metrics(["graft_raft_term", RESULTS_APPLIED]),
            false => [0.0; 2],
        });
        let (terms, results): (Vec<f64>, Vec<f64>) = seen.map(|[term, results]| (term, results)).unzip();
        Mark { term: terms.into_iter().fold(0.0, f64::max), results }
    }

    /// Waits for a leader of a later term that has applied a result. Only leaders count results, each those that it has received itself: so
    /// what the old leader left in the logs of the others is no progress. `gone` is when the old leader went.
    pub async fn progress_after(&self, mark: &Mark, gone: Instant) -> TakenOver {
        let mut led_after = None;
        while gone.elapsed() < PROGRESS_WITHIN {
            for (leader, member) in self.members.iter().enumerate().filter(|(_, member)| member.runs()) {
                let [leads, term, results] = member.metrics(["graft_raft_is_leader", "graft_raft_term", RESULTS_APPLIED]);
                if leads == 1.0 && term > mark.term {
                    let led_after = *led_after.get_or_insert(gone.elapsed());
                    if results > mark.results[leader] {
                        return TakenOver { leader, led_after, progress_after: gone.elapsed() };
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("no progress within {PROGRESS_WITHIN:?}; a leader after {led_after:?}");
    }
    /// SIGTERM to a member, watched until its process has ended.
    pub async fn drain(&mut self, drained: usize) -> Drained {
        let mark = self.mark();
        let asked = Instant::now();
        let ended = self.members[drained].terminate();
        let mut ended = std::pin::pin!(ended);
        let (mut led_until, mut led_again) = (Duration::ZERO, None);
        let status = loop {
            let looked = asked.elapsed();
            // Its own word counts as long as it gives one; it can be asked for it while it drains.
            if self.members[drained].metric("graft_raft_is_leader") == 1.0 {
                led_until = looked;
            }
            for member in self.members.iter().filter(|member| member.runs()) {
                let [leads, term] = member.metrics(["graft_raft_is_leader", "graft_raft_term"]);
                if leads == 1.0 && term > mark.term && led_again.is_none() {
                    led_again = Some(asked.elapsed());
                }
            }
            if let Ok(status) = tokio::time::timeout(LOOK_EVERY, &mut ended).await {
                break status;
            }
        };
        Drained { status, took: asked.elapsed(), led_until, led_again }
    }
}
