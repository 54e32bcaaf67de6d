//! What the memory before the files is worth: reads of the disk that do not happen. Only reads are counted, no time is taken.

use bytes::Bytes;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{NameKey, NameRecord, Names};
use graftd::storage::{LogOptions, LogStore, StateOptions, StateStore, StoredEntry};

use crate::disk::Disk;
use crate::log::wait;
use crate::state::mark;

const NAMES: u64 = 40_000;
const ENTRIES: u64 = 400;
const ENTRY_BYTES: usize = 10_000;

/// Reads of the disk while everything is read once more, the state being larger than a mebibyte and smaller than 64.
fn state_reads(cache_bytes: usize) -> u64 {
    let disk = Disk::default();
    let options = StateOptions { cache_bytes, overlay_bytes: 64 << 20, flush_interval_ms: 3_600_000 };
    let store = StateStore::open_backend(disk.clone(), options).unwrap();
    let key = |id: u64| NameKey { namespace: "default".into(), id: format!("a-name-of-some-length-so-that-there-are-pages-{id:06}") };
    let mut tx = store.begin();
    for id in 0..NAMES {
        tx.put::<Names>(key(id), NameRecord { run: id });
    }
    tx.finish(mark(1));
    store.flush().unwrap();
    let view = store.view();
    let read_all = || {
        for id in 0..NAMES {
            assert_eq!(view.get::<Names>(&key(id)).map(|record| record.run), Some(id));
        }
    };
    read_all();
    let before = disk.reads();
    read_all();
    disk.reads() - before
}

#[test]
fn the_cache_of_the_state_spares_reads_as_far_as_it_goes() {
    assert_eq!(state_reads(64 << 20), 0);
    assert!(state_reads(1 << 20) > 100);
}

/// The same for a log of four mebibytes.
fn log_reads(cache_bytes: usize, tail_bytes: usize) -> u64 {
    let disk = Disk::default();
    let (log, _) = LogStore::open_backend(disk.clone(), LogOptions { cache_bytes, tail_bytes }, false).unwrap();
    let entry = |index: u64| StoredEntry { index, bytes: Bytes::from(vec![index as u8; ENTRY_BYTES]) };
    for index in 0..ENTRIES {
        wait(|done| log.append(vec![entry(index)], done)).unwrap();
    }
    let read_all = || (0..ENTRIES).for_each(|index| assert_eq!(log.read(index, index + 1, usize::MAX).unwrap(), [entry(index)]));
    read_all();
    let before = disk.reads();
    read_all();
    disk.reads() - before
}

#[test]
fn the_cache_of_the_log_spares_reads_as_far_as_it_goes() {
    assert_eq!(log_reads(64 << 20, 1_000), 0);
    assert!(log_reads(64 << 10, 1_000) > 100);
}

#[test]
fn entries_in_the_tail_are_not_read_from_the_disk() {
    assert_eq!(log_reads(64 << 10, 64 << 20), 0);
    assert!(log_reads(64 << 10, 64 << 10) > 100);
}
