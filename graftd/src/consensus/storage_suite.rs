//! openraft's own tests of a log store and a state machine, over our two stores in directories of their own.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::watch;

use super::apply::{Shared, StateMachine};
use super::feed::Feeds;
use super::log_store::LogStorage;
use super::subscriptions::Subscriptions;
use super::time::StampClock;
use super::types::Types;
use crate::clock::Clock;
use crate::observability::metrics::Metrics;
use crate::storage::{LogOptions, LogStore, StateOptions, StateStore};

struct Builder;

impl StoreBuilder<Types, LogStorage, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStorage, StateMachine), StorageError<Types>> {
        let dir = TempDir::new().expect("a directory");
        let state_options = StateOptions { cache_bytes: 1 << 20, overlay_bytes: 1 << 20, flush_interval_ms: 1_000 };
        let log_options = LogOptions { cache_bytes: 1 << 20, tail_bytes: 1 << 20 };
        let state = StateStore::open(&dir.path().join("state.redb"), state_options, None).expect("the state opens");
        let (log, recovered) = LogStore::open(&dir.path().join("log.redb"), log_options, None).expect("the log opens");
        let shared = Shared {
            applied: watch::Sender::new(0),
            state,
            feeds: Feeds::default(),
            subscriptions: Subscriptions::default(),
            stamps: StampClock::new(Clock::manual(1), 0),
            broken: watch::Sender::new(None),
            metrics: Arc::new(Metrics::new()),
            recovered: 0,
        };
        let log = LogStorage::new(log, recovered).expect("a fresh log");
        Ok((dir, log, StateMachine::new(Arc::new(shared))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openraft_s_storage_suite_passes() {
    Suite::test_all(Builder).await.expect("every test of the suite passes");
}
