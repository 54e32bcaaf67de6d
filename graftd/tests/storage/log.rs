//! The log store's promises, one by one.

use std::sync::mpsc;

use bytes::Bytes;
use graftd::storage::{Durable, LogOptions, LogStore, StorageError, StoredEntry};

const OPTIONS: LogOptions = LogOptions { cache_bytes: 1 << 20, tail_bytes: 1000 };

fn entry(index: u64) -> StoredEntry {
    StoredEntry { index, bytes: Bytes::from(format!("entry {index}")) }
}

fn entries(range: std::ops::Range<u64>) -> Vec<StoredEntry> {
    range.map(entry).collect()
}

/// Asks for a write and waits until it is durable.
pub fn wait(ask: impl FnOnce(Durable)) -> Result<(), StorageError> {
    let (sender, receiver) = mpsc::channel();
    ask(Box::new(move |outcome| sender.send(outcome).unwrap()));
    receiver.recv().unwrap()
}

fn ignore() -> Durable {
    Box::new(|_| ())
}

#[test]
fn entries_are_readable_at_once_and_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let (log, recovered) = LogStore::open(&path, OPTIONS, None).unwrap();
    assert!(recovered.vote.is_none() && recovered.last.is_none() && recovered.purged.is_none());
    log.append(entries(0..100), ignore());
    assert_eq!(log.read(0, 100, usize::MAX).unwrap(), entries(0..100));
    wait(|done| log.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    assert_eq!(log.read(3, 90, usize::MAX).unwrap(), entries(3..90), "partly from the file");
    assert_eq!(log.read(3, 90, 0).unwrap(), entries(3..4), "at least one");
    assert_eq!(log.read(3, 90, 15).unwrap(), entries(3..5));
    assert_eq!(log.read(98, 200, usize::MAX).unwrap(), entries(98..100));
    assert_eq!(log.read(100, 200, usize::MAX).unwrap(), entries(0..0));
    log.save_committed(Bytes::from_static(b"committed"));
    drop(log);
    let (log, recovered) = LogStore::open(&path, OPTIONS, None).unwrap();
    assert_eq!(recovered.vote.as_deref(), Some(b"vote".as_slice()));
    assert_eq!(recovered.committed.as_deref(), Some(b"committed".as_slice()));
    assert_eq!(recovered.last, Some(entry(99)));
    assert_eq!(log.read(0, 100, usize::MAX).unwrap(), entries(0..100));
}

#[test]
fn truncating_and_purging_leave_no_hole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let (log, _) = LogStore::open(&path, OPTIONS, None).unwrap();
    log.append(entries(1..50), ignore());
    log.truncate_after(30, ignore());
    let again = StoredEntry { index: 31, bytes: Bytes::from_static(b"another") };
    log.append(vec![again.clone()], ignore());
    wait(|done| log.purge(10, Bytes::from_static(b"id 10"), done)).unwrap();
    assert_eq!(log.read(0, 12, usize::MAX).unwrap(), vec![entry(11)]);
    assert_eq!(log.read(30, 99, usize::MAX).unwrap(), vec![entry(30), again.clone()]);
    drop(log);
    let (log, recovered) = LogStore::open(&path, OPTIONS, None).unwrap();
    assert_eq!(recovered.purged, Some((10, Bytes::from_static(b"id 10"))));
    assert_eq!(recovered.last, Some(again));
    wait(|done| log.purge(500, Bytes::from_static(b"id 500"), done)).unwrap();
    assert_eq!(log.read(0, 600, usize::MAX).unwrap(), vec![]);
    wait(|done| log.append(vec![entry(501)], done)).unwrap();
    assert_eq!(log.read(0, 600, usize::MAX).unwrap(), vec![entry(501)]);
}

#[test]
fn a_hole_is_refused_and_fails_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let (log, _) = LogStore::open(&path, OPTIONS, None).unwrap();
    wait(|done| log.append(entries(1..5), done)).unwrap();
    let error = wait(|done| log.append(entries(6..7), done)).unwrap_err();
    assert!(error.to_string().contains("no holes"), "{error}");
    assert!(log.failure().is_some());
    assert!(wait(|done| log.save_vote(Bytes::new(), done)).is_err());
    drop(log);
    let (log, recovered) = LogStore::open(&path, OPTIONS, None).unwrap();
    assert_eq!(recovered.last, Some(entry(4)));
    log.close();
    log.close();
    assert!(wait(|done| log.append(entries(5..6), done)).unwrap_err().to_string().contains("closed"));
}

#[test]
fn the_log_knows_how_large_its_entries_are_before_and_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.redb");
    let sized = |range: std::ops::Range<u64>, bytes: usize| {
        range.map(|index| StoredEntry { index, bytes: Bytes::from(vec![0; bytes]) }).collect::<Vec<_>>()
    };
    let (log, _) = LogStore::open(&path, OPTIONS, None).unwrap();
    log.append(sized(1..11, 100), ignore());
    log.append(sized(11..21, 10), ignore());
    log.truncate_after(18, ignore());
    wait(|done| log.purge(4, Bytes::from_static(b"id 4"), done)).unwrap();
    let look = |log: &LogStore| (log.bytes_between(0, 100), log.bytes_between(10, 12), log.first_within(19, 280), log.first_within(19, 5));
    assert_eq!(look(&log), (6 * 100 + 8 * 10, 110, 9, 19));
    log.close();
    drop(log);
    let (log, _) = LogStore::open(&path, OPTIONS, None).unwrap();
    assert_eq!(look(&log), (6 * 100 + 8 * 10, 110, 9, 19));
}
