//! One member of a test cluster, in this process: its directory, its stores, its peer listener.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use graft_machine::command::{Command, Envelope, OnConflict, StartWorkflow};
use graft_machine::task::NewTask;
use graftd::clock::Clock;
use graftd::consensus::{Consensus, ConsensusOptions, Leadership, MemberInfo};
use graftd::observability::metrics::Metrics;
use graftd::storage::{LogOptions, LogStore, StateOptions, StateStore, StorageError};

/// A member and what a test wants to look at.
pub struct Member {
    pub consensus: Consensus,
    pub metrics: Arc<Metrics>,
}

/// Settings that suit slow, shared machines.
pub fn options(member: MemberInfo) -> ConsensusOptions {
    ConsensusOptions { member, heartbeat_ms: 50, election_min_ms: 300, election_max_ms: 600, ..ConsensusOptions::default() }
}

pub fn info(raft_id: u64, address: SocketAddr) -> MemberInfo {
    MemberInfo { raft_id, name: format!("m{raft_id}"), peer_address: address.to_string(), client_address: format!("client-of-{raft_id}") }
}

/// Opens a member over the files in `dir`.
pub async fn open(dir: &Path, options: ConsensusOptions) -> Member {
    open_with(dir, options, Clock::system()).await
}

/// As [`open`], with a clock of the test's own.
pub async fn open_with(dir: &Path, options: ConsensusOptions, clock: Clock) -> Member {
    let metrics = Arc::new(Metrics::new());
    // Flushed only when asked: what is not in the log is lost with the process.
    let state_options = StateOptions { cache_bytes: 4 << 20, overlay_bytes: 16 << 20, flush_interval_ms: 3_600_000 };
    let log_options = LogOptions { cache_bytes: 4 << 20, tail_bytes: 4 << 20 };
    // The tasks of an earlier life in this directory release the files a moment after they were stopped.
    let state = retry(|| StateStore::open(&dir.join("state.redb"), state_options.clone(), Some(metrics.clone()))).await;
    let (log, recovered) = retry(|| LogStore::open(&dir.join("log.redb"), log_options.clone(), Some(metrics.clone()))).await;
    let consensus = Consensus::open(options, state, log, recovered, clock, metrics.clone()).await.expect("the member opens");
    Member { consensus, metrics }
}

async fn retry<T>(open: impl Fn() -> Result<T, StorageError>) -> T {
    let mut last = None;
    for _ in 0..500 {
        match open() {
            Ok(opened) => return opened,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the files are never free: {last:?}");
}

impl Member {
    /// The term in which this member leads, once it does.
    pub async fn leads(&self) -> u64 {
        let mut leadership = self.consensus.leadership();
        let told = leadership.wait_for(|told| matches!(told, Leadership::Leader { .. })).await.expect("the member runs");
        match *told {
            Leadership::Leader { term } => term,
            Leadership::Follower { .. } => unreachable!("waited for"),
        }
    }

    /// Stops without a flush: what was only in memory is lost.
    pub async fn crash(self) {
        self.consensus.halt().await;
    }
}

/// A command that starts workflow `id`.
pub fn start(id: &str) -> Envelope {
    let task = NewTask { node: "step".into(), ..NewTask::default() };
    let command = StartWorkflow {
        namespace: "default".into(),
        id: id.into(),
        nodes: vec![task],
        on_conflict: OnConflict::Fail as i32,
        ..StartWorkflow::default()
    };
    Envelope::internal("client:test", Command::Start(command))
}
