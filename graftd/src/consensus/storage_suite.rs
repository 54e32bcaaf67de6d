//! openraft's own tests of a log store and a state machine, over our two stores in directories of their own.

use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use graft_machine::command::{ENTRY_FORMAT, Envelope, LogEntry, MACHINE_VERSION};
use openraft::storage::RaftStateMachine;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, StorageError};
use prost::Message;
use tempfile::TempDir;
use tokio::sync::watch;

use super::apply::{Shared, StateMachine};
use super::feed::Feeds;
use super::heard::Heard;
use super::log_store::LogStorage;
use super::subscriptions::Subscriptions;
use super::tally::Tally;
use super::time::StampClock;
use super::types::{Entry, EntryBytes, LogId, Types};
use super::versions::{Fatal, InForce};
use crate::clock::Clock;
use crate::observability::metrics::Metrics;
use crate::observability::traces::Traces;
use crate::storage::{LogOptions, LogStore, StateOptions, StateStore};

struct Builder;

impl StoreBuilder<Types, LogStorage, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStorage, StateMachine), StorageError<Types>> {
        let dir = TempDir::new().expect("a directory");
        let (log, machine) = open(&dir, false);
        Ok((dir, log, machine))
    }
}

/// Stores in a directory, and what stands on them.
fn open(dir: &TempDir, gapless: bool) -> (LogStorage, StateMachine) {
    let state_options = StateOptions { cache_bytes: 1 << 20, overlay_bytes: 1 << 20, flush_interval_ms: 1_000 };
    let log_options = LogOptions { cache_bytes: 1 << 20, tail_bytes: 1 << 20 };
    let state = StateStore::open(&dir.path().join("state.redb"), state_options, None).expect("the state opens");
    let (log, recovered) = LogStore::open(&dir.path().join("log.redb"), log_options, None).expect("the log opens");
    let metrics = Arc::new(Metrics::new());
    let shared = Shared {
        applied: watch::Sender::new(0),
        heard: Heard::nothing(Duration::from_secs(1)),
        state,
        feeds: Feeds::default(),
        subscriptions: Subscriptions::default(),
        stamps: StampClock::new(Clock::manual(1), 0),
        broken: watch::Sender::new(None),
        version: InForce::default(),
        tally: Tally::new(metrics.clone()),
        traces: Traces::none(),
        metrics,
        gapless,
        ended: 0.into(),
        recovered: 0,
    };
    let log = LogStorage::new(log, recovered).expect("a fresh log");
    (log, StateMachine::new(Arc::new(shared)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_does_not_follow_the_last_stops_the_member() {
    let dir = TempDir::new().expect("a directory");
    let (_, mut machine) = open(&dir, true);
    let entry = |index| {
        let id = LogId::new(openraft::alias::CommittedLeaderIdOf::<Types>::new(1), index);
        Ok((Entry { log_id: id, payload: EntryPayload::Blank }, None))
    };
    machine.apply(stream::iter([entry(0), entry(1)])).await.expect("they follow");
    let gap = tokio::spawn(async move { machine.apply(stream::iter([entry(3)])).await });
    let panic = gap.await.expect_err("an entry is missing").into_panic();
    let said = panic.downcast_ref::<String>().expect("words");
    assert!(said.contains("log entry 4 would be applied after 2"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_leader_wrote_is_not_applied_and_says_so() {
    for (format, machine_version) in [(ENTRY_FORMAT + 1, MACHINE_VERSION), (ENTRY_FORMAT, MACHINE_VERSION + 1)] {
        let dir = TempDir::new().expect("a directory");
        let (_, mut machine) = open(&dir, true);
        let shared = machine.shared().clone();
        let id = LogId::new(openraft::alias::CommittedLeaderIdOf::<Types>::new(1), 0);
        let commands = LogEntry { format, machine_version, time: 1, commands: vec![Envelope::default()] }.encode_to_vec();
        let entry = Entry { log_id: id, payload: EntryPayload::Normal(EntryBytes(commands.into())) };
        let refused = machine.apply(stream::iter([Ok((entry, None))])).await.expect_err("it is of a newer version");
        let told = format!("has format {format} and machine version {machine_version}");
        assert!(refused.to_string().contains(&told), "{refused}");
        assert_eq!(*shared.broken.borrow(), Some(Fatal::TooNew(refused.to_string())));
        assert_eq!(shared.state.applied().index, 0, "nothing was applied");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openraft_s_storage_suite_passes() {
    Suite::test_all(Builder).await.expect("every test of the suite passes");
}
