//! Appends that wait share a commit, and nobody is told before the disk has synced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use graftd::storage::{LogOptions, LogStore, StoredEntry};

use crate::disk::Disk;

#[test]
fn appends_that_wait_share_a_commit_and_are_told_in_order_after_the_sync() {
    let disk = Disk::default();
    let (log, _) = LogStore::open_backend(disk.clone(), LogOptions { cache_bytes: 1 << 20, tail_bytes: 1 << 20 }, false).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::channel();
    let append = |index: u64| {
        let (told, sender) = (told.clone(), sender.clone());
        let done = move |outcome: Result<(), _>| {
            outcome.unwrap();
            assert_eq!(told.fetch_add(1, Ordering::SeqCst), index, "in order");
            sender.send(index).unwrap();
        };
        log.append(vec![StoredEntry { index, bytes: Bytes::from_static(b"x") }], Box::new(done));
    };
    append(0);
    receiver.recv().unwrap();
    let before = disk.syncs();
    disk.hold();
    append(1);
    disk.wait_for_held_sync();
    for index in 2..=100 {
        append(index);
    }
    assert_eq!(told.load(Ordering::SeqCst), 1, "nobody is told before the sync");
    assert_eq!(log.read(0, 101, usize::MAX).unwrap().len(), 101, "but all is readable");
    assert!(log.busy_for().is_some(), "a disk that hangs shows");
    disk.release();
    while receiver.recv().unwrap() < 100 {}
    log.close();
    assert_eq!(log.busy_for(), None);
    assert!(disk.syncs() - before <= 2, "two commits, of one sync each");
}
