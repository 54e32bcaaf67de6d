//! The state store's promises, one by one.

use std::sync::Arc;

use bytes::Bytes;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{NameKey, NameRecord, Names, Prefix};
use graftd::observability::metrics::Metrics;
use graftd::storage::{AppliedMark, SNAPSHOT_CHUNK_BYTES, SnapshotReader, StateOptions, StateStore, StorageError};

use crate::disk::Disk;

const IDLE: StateOptions = StateOptions { cache_bytes: 1 << 20, overlay_bytes: 64 << 20, flush_interval_ms: 3_600_000 };

pub fn mark(index: u64) -> AppliedMark {
    AppliedMark { index, log_id: Bytes::from(format!("log {index}")), membership: Bytes::from_static(b"a,b,c") }
}

fn key(id: u64) -> NameKey {
    NameKey { namespace: "default".into(), id: format!("order-{id:06}") }
}

fn put(store: &StateStore, index: u64, id: u64) {
    let mut tx = store.begin();
    tx.put::<Names>(key(id), NameRecord { run: index });
    tx.finish(mark(index));
}

fn run_of(state: &impl StateRead, id: u64) -> Option<u64> {
    state.get::<Names>(&key(id)).map(|record| record.run)
}

fn count(state: &impl StateRead) -> usize {
    state.scan::<Names>(Prefix::new().as_bytes(), None, usize::MAX).len()
}

pub fn chunks(mut reader: SnapshotReader) -> Vec<Bytes> {
    std::iter::from_fn(|| reader.next_chunk().unwrap()).collect()
}

pub fn install(store: &StateStore, chunks: &[Bytes]) -> Result<AppliedMark, StorageError> {
    let mut writer = store.receive_snapshot()?;
    for chunk in chunks {
        writer.write_chunk(chunk)?;
    }
    store.install(store.check(writer)?)
}

#[test]
fn handles_views_and_readers_go_between_threads() {
    fn between_threads<T: Send + Sync>() {}
    between_threads::<StateStore>();
    between_threads::<graftd::storage::View>();
    between_threads::<graftd::storage::LogStore>();
    fn into_a_thread<T: Send>() {}
    into_a_thread::<SnapshotReader>();
    into_a_thread::<graftd::storage::SnapshotWriter>();
}

#[test]
fn what_was_flushed_is_there_after_a_kill_and_what_was_not_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, IDLE, None).unwrap();
    assert_eq!(store.applied(), AppliedMark::default());
    put(&store, 1, 1);
    assert_eq!(store.flush().unwrap(), mark(1));
    put(&store, 2, 2);
    assert_eq!((store.applied(), store.flushed()), (mark(2), mark(1)));
    // What a kill leaves: the file as it is, never closed.
    let copy = directory.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    drop(store);
    for path in [path, copy] {
        let store = StateStore::open(&path, IDLE, None).unwrap();
        assert_eq!(store.applied(), mark(1));
        let view = store.view();
        assert_eq!((run_of(&view, 1), run_of(&view, 2)), (Some(1), None));
    }
}

#[test]
fn a_view_stays_as_it_was_while_the_store_moves_on() {
    let store = StateStore::open_backend(Disk::default(), IDLE).unwrap();
    put(&store, 1, 1);
    let view = store.view();
    put(&store, 2, 1);
    store.flush().unwrap();
    let mut tx = store.begin();
    tx.delete::<Names>(&key(1));
    tx.finish(mark(3));
    store.flush().unwrap();
    assert_eq!(run_of(&view, 1), Some(1));
    assert_eq!(view.mark(), &mark(1));
    assert_eq!(run_of(&store.view(), 1), None);
}

#[test]
fn a_full_overlay_makes_apply_wait_for_the_flush_and_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let options = StateOptions { overlay_bytes: 1000, ..IDLE };
    let store = StateStore::open(&directory.path().join("state.redb"), options, Some(metrics.clone())).unwrap();
    for index in 1..=100 {
        let mut tx = store.begin();
        for id in 0..20 {
            tx.put::<Names>(key(index * 20 + id), NameRecord { run: index });
        }
        tx.finish(mark(index));
    }
    assert!(metrics.storage.overlay_stalls.get() > 0);
    assert!(metrics.storage.state.fsyncs.get() > 0);
    assert_eq!(count(&store.view()), 2000);
    store.flush().unwrap();
    assert_eq!(metrics.storage.overlay_bytes.get(), 0);
}

#[test]
fn a_flush_that_fails_wakes_who_waits_and_refuses_apply() {
    let disk = Disk::default();
    let store = StateStore::open_backend(disk.clone(), StateOptions { overlay_bytes: 1000, ..IDLE }).unwrap();
    disk.cut_after(3);
    let applying = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (1..1000).for_each(|index| put(&store, index, index))));
    assert!(applying.is_err(), "apply does not go on");
    assert!(store.flush().is_err());
    assert!(store.failure().unwrap().to_string().contains("flush"));
}

#[test]
fn what_is_made_and_deleted_between_flushes_leaves_the_file_alone() {
    let store = StateStore::open_backend(Disk::default(), IDLE).unwrap();
    put(&store, 1, 1);
    let mut tx = store.begin();
    assert_eq!(run_of(&tx, 2), None);
    tx.put::<Names>(key(2), NameRecord { run: 2 });
    tx.finish(mark(2));
    let view = store.view();
    let mut tx = store.begin();
    tx.delete::<Names>(&key(2));
    tx.delete::<Names>(&key(3));
    tx.finish(mark(3));
    assert_eq!(run_of(&view, 2), Some(2));
    assert_eq!(run_of(&store.latest(), 2), None);
    store.flush().unwrap();
    assert_eq!(count(&store.view()), 1);
    assert_eq!(run_of(&view, 2), Some(2));
}

#[test]
fn a_snapshot_carries_the_whole_state_to_another_store() {
    let directory = tempfile::tempdir().unwrap();
    let from = StateStore::open(&directory.path().join("from.redb"), IDLE, None).unwrap();
    for index in 1..=50 {
        let mut tx = from.begin();
        for id in 0..1000 {
            tx.put::<Names>(key(index * 1000 + id), NameRecord { run: index });
        }
        tx.finish(mark(index));
    }
    from.flush().unwrap();
    put(&from, 51, 1);
    let reader = from.snapshot();
    assert_eq!(reader.mark(), &mark(50), "what is sent is what was flushed: opening it costs no flush");
    let chunks = chunks(reader);
    assert!(chunks.len() > 1);
    assert!(chunks.iter().all(|chunk| chunk.len() <= SNAPSHOT_CHUNK_BYTES));

    let path = directory.path().join("to.redb");
    let to = StateStore::open(&path, IDLE, None).unwrap();
    put(&to, 3, 7);
    let before = to.view();
    assert_eq!(install(&to, &chunks).unwrap(), mark(50));
    assert_eq!((to.applied(), to.flushed()), (mark(50), mark(50)));
    assert_eq!(count(&to.view()), 50_000);
    assert_eq!(run_of(&to.latest(), 7), None);
    assert_eq!((run_of(&before, 7), count(&before)), (Some(3), 1));
    put(&to, 51, 7);
    to.flush().unwrap();
    drop((to, before));
    let to = StateStore::open(&path, IDLE, None).unwrap();
    assert_eq!(to.applied(), mark(51));
    assert_eq!(count(&to.view()), 50_001);
}

#[test]
fn a_damaged_snapshot_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, IDLE, None).unwrap();
    for index in 1..=4 {
        put(&store, index, index);
    }
    store.flush().unwrap();
    let good = chunks(store.snapshot()).concat();
    put(&store, 5, 5);
    let refused = |bytes: &[u8]| install(&store, &[Bytes::copy_from_slice(bytes)]).unwrap_err().to_string();
    for cut in (0..good.len()).step_by(3) {
        assert!(refused(&good[..cut]).contains("check a snapshot"), "cut at {cut}");
    }
    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        refused(&bad);
    }
    assert!(refused(&[good.as_slice(), b"x"].concat()).contains("something follows its end"));
    assert_eq!((store.applied(), store.flushed()), (mark(5), mark(4)));
    assert_eq!(count(&store.view()), 5);
    assert!(store.failure().is_none());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside the store");
    assert_eq!(install(&store, &[good.into()]).unwrap(), mark(4));
}

#[test]
fn a_snapshot_that_waits_to_be_installed_is_not_disturbed_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, IDLE, None).unwrap();
    let mut checked = Vec::new();
    for index in 1..=3 {
        put(&store, index, index);
        store.flush().unwrap();
        let mut writer = store.receive_snapshot().unwrap();
        chunks(store.snapshot()).iter().for_each(|chunk| writer.write_chunk(chunk).unwrap());
        checked.push(store.check(writer).unwrap());
    }
    assert_eq!(checked.iter().map(|one| one.mark().index).collect::<Vec<_>>(), [1, 2, 3]);
    for (one, index) in checked.drain(..2).zip([1, 2]) {
        assert_eq!(store.install(one).unwrap(), mark(index));
    }
    drop(checked);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside the store");
    drop(store);
    let store = StateStore::open(&path, IDLE, None).unwrap();
    assert_eq!((store.applied(), count(&store.view())), (mark(2), 2));
}

#[test]
fn leftovers_of_an_interrupted_install_are_removed_at_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, IDLE, None).unwrap();
    put(&store, 1, 1);
    store.flush().unwrap();
    drop(store);
    for name in ["state.redb.installing", "state.redb.installing-3", "state.redb.incoming-0", "state.redb.incoming-17"] {
        std::fs::write(directory.path().join(name), b"half").unwrap();
    }
    std::fs::write(directory.path().join("state.redb.mine"), b"kept").unwrap();
    let store = StateStore::open(&path, IDLE, None).unwrap();
    assert_eq!(run_of(&store.latest(), 1), Some(1));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn an_entry_that_is_given_up_half_way_fails_the_store_and_is_never_flushed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, IDLE, None).unwrap();
    put(&store, 1, 1);
    let mut tx = store.begin();
    tx.put::<Names>(key(2), NameRecord { run: 2 });
    drop(tx);
    assert!(store.failure().unwrap().to_string().contains("half-way"));
    assert!(store.flush().is_err());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(store.begin()))).is_err());
    drop(store);
    let store = StateStore::open(&path, IDLE, None).unwrap();
    assert_eq!(store.applied(), AppliedMark::default());
    assert_eq!(count(&store.view()), 0);
}

#[test]
fn the_flusher_flushes_by_itself_and_closing_is_idempotent() {
    let store = StateStore::open_backend(Disk::default(), StateOptions { flush_interval_ms: 1, ..IDLE }).unwrap();
    put(&store, 1, 1);
    while store.flushed().index < 1 {
        std::thread::yield_now();
    }
    store.close();
    store.close();
    put(&store, 2, 2);
    assert_eq!(run_of(&store.latest(), 2), Some(2));
    assert!(store.flush().unwrap_err().to_string().contains("closed"));
}
