//! The stores of a member over a disk that forgets (`power`), through many lives of one seed: the power goes, also while a file is made, renamed,
//! repaired or replaced by a snapshot; the process is killed; the disk is full or breaks. What was acknowledged is there, and what is there is one
//! moment of the past.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use graft_machine::memory::Memory;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{NameKey, NameRecord, Names, Prefix};
use graft_tests::loop_sim::rng::Rng;
use graft_tests::power::SimDisk;
use graftd::storage::{AppliedMark, LogOptions, LogRecovered, LogStore, StateOptions, StateStore, StorageError, StoredEntry};

/// Seeds of each test, unless `GRAFT_SEEDS` says otherwise; they begin with `GRAFT_SEED`, which alone runs one.
const SEEDS: u64 = 250;
/// Lives of a seed.
const LIVES: u64 = 4;
/// Operations of the disk after which something happens to it, at most.
const LONGEST: u64 = 300;

fn over_seeds(test: &str, run: impl Fn(&mut Rng) + Sync) {
    let number =
        |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text}: no number")));
    let (first, count) = match (number("GRAFT_SEED"), number("GRAFT_SEEDS")) {
        (Some(seed), count) => (seed, count.unwrap_or(1)),
        (None, count) => (0, count.unwrap_or(SEEDS)),
    };
    for seed in first..first + count {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&mut Rng::new(seed)))) {
            eprintln!("seed {seed} failed; repeat: GRAFT_SEED={seed} cargo test -p graft-tests --test power_cut {test}");
            resume_unwind(panic);
        }
    }
}

/// What goes wrong in a life; whether the power goes with it.
fn trouble(disk: &SimDisk, rng: &mut Rng) -> bool {
    match rng.below(8) {
        0 => disk.faults().room(Some(rng.below(200_000))),
        1 => disk.faults().fail_sync_after(rng.below(20)),
        _ => disk.faults().cut_after(rng.below(LONGEST)),
    }
    rng.chance(800)
}

/// The disk of the next life. Now and then the power goes again while the files are opened.
fn next_life(disk: &SimDisk, power: bool, rng: &mut Rng, open: impl Fn(&SimDisk)) -> SimDisk {
    // After an error of a sync, nobody but a power cut tells what is on the disk.
    let mut disk = if power || disk.faults().met() { disk.cut(rng) } else { disk.killed() };
    for _ in 0..2 {
        if rng.chance(300) {
            disk.faults().cut_after(rng.below(40));
            open(&disk);
            disk = disk.cut(rng);
        }
    }
    disk
}

#[derive(Clone, Debug, Default, PartialEq)]
struct LogModel {
    entries: BTreeMap<u64, Bytes>,
    vote: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
}

impl LogModel {
    fn of(log: &LogStore, recovered: LogRecovered) -> Self {
        let entries = log.read(0, u64::MAX, usize::MAX).expect("an opened log can be read");
        let entries = entries.into_iter().map(|entry| (entry.index, entry.bytes)).collect();
        Self { entries, vote: recovered.vote, purged: recovered.purged }
    }

    fn next(&self) -> u64 {
        let last = self.entries.last_key_value().map_or(0, |(index, _)| *index);
        last.max(self.purged.as_ref().map_or(0, |(index, _)| *index)) + 1
    }
}

fn open_log(disk: &SimDisk) -> Result<(LogStore, LogRecovered), StorageError> {
    LogStore::open_on(disk, Path::new("data/log.redb"), LogOptions { cache_bytes: 1 << 20, tail_bytes: 4_000 }, None)
}

/// Changes a log in every way, and lets it write now and then.
fn change_log(log: &LogStore, disk: &SimDisk, rng: &mut Rng, past: &mut Vec<LogModel>, acknowledged: &Arc<AtomicUsize>) {
    let writer = disk.hired();
    while log.failure().is_none() && past.len() < 400 {
        let mut model = past.last().expect("it never is empty").clone();
        let (number, next) = (past.len(), model.next());
        let acknowledged = acknowledged.clone();
        let done = Box::new(move |outcome: Result<(), _>| {
            if outcome.is_ok() {
                acknowledged.fetch_max(number, Ordering::SeqCst);
            }
        });
        match rng.below(8) {
            0 => {
                let vote = Bytes::from(format!("vote {}", rng.next()));
                model.vote = Some(vote.clone());
                past.push(model);
                log.save_vote(vote, done);
            }
            1 if model.entries.contains_key(&next.saturating_sub(3)) => {
                model.entries.retain(|index, _| *index < next - 2);
                past.push(model);
                log.truncate_after(next - 3, done);
            }
            2 if next > 10 => {
                let index = next - 10 + rng.below(12);
                if model.purged.as_ref().is_some_and(|(purged, _)| *purged >= index) {
                    continue;
                }
                let id = Bytes::from(format!("id {index}"));
                model.entries.retain(|kept, _| *kept > index);
                model.purged = Some((index, id.clone()));
                past.push(model);
                log.purge(index, id, done);
            }
            _ => {
                let length = rng.below(3_000) as usize;
                let content = rng.next();
                let entry = |index| StoredEntry { index, bytes: Bytes::from(format!("{content:0length$}")) };
                let entries: Vec<_> = (next..=next + rng.below(5)).map(entry).collect();
                model.entries.extend(entries.iter().map(|entry| (entry.index, entry.bytes.clone())));
                past.push(model);
                log.append(entries, done);
            }
        }
        if rng.chance(400) {
            writer.iter().for_each(|(_, work)| work.step());
        }
    }
}

#[test]
fn through_many_lives_the_log_keeps_what_it_acknowledged() {
    over_seeds("through_many_lives_the_log_keeps_what_it_acknowledged", |rng| {
        let mut disk = SimDisk::default();
        let mut past = vec![LogModel::default()];
        for _ in 0..LIVES {
            let power = trouble(&disk, rng);
            let acknowledged = Arc::new(AtomicUsize::new(0));
            // What it holds when it opens is durable from then on.
            if let Ok((log, recovered)) = open_log(&disk) {
                let found = LogModel::of(&log, recovered);
                assert!(past.contains(&found), "the log holds what it never was: {found:?}");
                past = vec![found];
                change_log(&log, &disk, rng, &mut past, &acknowledged);
                disk = next_life(&disk, power, rng, |disk| drop(open_log(disk)));
            } else {
                disk = next_life(&disk, power, rng, |disk| drop(open_log(disk)));
            }
            let acknowledged = acknowledged.load(Ordering::SeqCst);
            let (log, recovered) = open_log(&disk).expect("a member opens after any crash");
            let found = LogModel::of(&log, recovered);
            assert!(
                past[acknowledged..].contains(&found),
                "after write {acknowledged} of {} was acknowledged, the log holds what it never was: {found:?}",
                past.len() - 1
            );
            past = vec![found];
            drop(log);
            disk = disk.killed();
        }
    });
}

fn open_state(disk: &SimDisk) -> Result<StateStore, StorageError> {
    let options = StateOptions { cache_bytes: 1 << 20, overlay_bytes: 64 << 20, flush_interval_ms: 3_600_000 };
    StateStore::open_on(Arc::new(disk.clone()), Path::new("data/state.redb"), options, None)
}

fn mark(index: u64) -> AppliedMark {
    AppliedMark { index, log_id: index.to_be_bytes().to_vec().into(), membership: Bytes::from_static(b"everybody") }
}

fn change_state(tx: &mut impl StateTx, index: u64, rng: &mut Rng) {
    for _ in 0..rng.below(30) {
        let name = NameKey { namespace: "default".into(), id: format!("{}", rng.below(300)) };
        match rng.below(3) {
            0 => tx.delete::<Names>(&name),
            _ => tx.put::<Names>(name, NameRecord { run: index }),
        }
    }
}

fn rows(state: &impl StateRead) -> Vec<(NameKey, Arc<NameRecord>)> {
    state.scan::<Names>(Prefix::new().as_bytes(), None, usize::MAX)
}

/// A state that another member has sent: far ahead.
fn sent(index: u64, rng: &mut Rng) -> (Memory, Vec<Bytes>) {
    let disk = SimDisk::default();
    let store = open_state(&disk).expect("an empty disk takes a state");
    let mut memory = Memory::new();
    let (mut one, mut other) = (rng.clone(), rng.clone());
    change_state(&mut memory, index, &mut one);
    let mut tx = store.begin();
    change_state(&mut tx, index, &mut other);
    tx.finish(mark(index));
    *rng = one;
    store.flush().expect("nothing is wrong with this disk");
    let mut reader = store.snapshot();
    let chunks = std::iter::from_fn(|| reader.next_chunk().expect("a flushed state can be read")).collect();
    (memory, chunks)
}

fn install(store: &StateStore, chunks: &[Bytes]) -> Result<AppliedMark, StorageError> {
    let mut writer = store.receive_snapshot()?;
    for chunk in chunks {
        writer.write_chunk(chunk)?;
    }
    store.install(store.check(writer)?)
}

/// Applies, flushes and installs; what may be found on the disk, by index, and what is certain to be there.
fn change_states(store: &StateStore, rng: &mut Rng, now: &mut Memory, may: &mut BTreeMap<u64, Memory>) -> u64 {
    let mut certain = store.flushed().index;
    for _ in 0..100 {
        if store.failure().is_some() {
            break;
        }
        let index = store.applied().index + 1;
        if rng.chance(60) {
            let index = index + rng.below(20);
            let (memory, chunks) = sent(index, rng);
            may.insert(index, memory.clone());
            // Refused, it has changed nothing.
            if install(store, &chunks).is_ok() {
                *now = memory;
                certain = index;
            }
            continue;
        }
        let (mut one, mut other) = (rng.clone(), rng.clone());
        change_state(now, index, &mut one);
        let mut tx = store.begin();
        change_state(&mut tx, index, &mut other);
        tx.finish(mark(index));
        *rng = one;
        if rng.chance(300) {
            may.insert(index, now.clone());
            if store.flush().is_ok() {
                certain = index;
            }
        }
    }
    certain
}

#[test]
fn through_many_lives_the_state_is_one_that_was_flushed_or_installed() {
    over_seeds("through_many_lives_the_state_is_one_that_was_flushed_or_installed", |rng| {
        let mut disk = SimDisk::default();
        let mut may = BTreeMap::from([(0, Memory::new())]);
        let mut certain = 0;
        for _ in 0..LIVES {
            let power = trouble(&disk, rng);
            if let Ok(store) = open_state(&disk) {
                let found = store.applied().index;
                assert!(found >= certain, "the state of entry {certain} was flushed, and that of entry {found} is there");
                let mut now = may.get(&found).unwrap_or_else(|| panic!("the state of entry {found} was never flushed")).clone();
                // An installation that was refused for the lack of a sync may still have happened.
                certain = certain.max(change_states(&store, rng, &mut now, &mut may));
                assert!(disk.hired().len() <= 1, "nobody has waited for a thread");
            }
            disk = next_life(&disk, power, rng, |disk| drop(open_state(disk)));
            let store = open_state(&disk).expect("a member opens after any crash");
            let found = store.applied();
            assert!(found.index >= certain, "the state of entry {certain} was flushed, and that of entry {} is there", found.index);
            let memory = may.get(&found.index).unwrap_or_else(|| panic!("the state of entry {} was never flushed", found.index));
            assert!(found.index == 0 || found == mark(found.index), "{found:?}");
            assert_eq!(rows(&store.latest()), rows(memory));
            (certain, may) = (found.index, BTreeMap::from([(found.index, memory.clone())]));
            drop(store);
            disk = disk.killed();
        }
    });
}

#[test]
#[should_panic(expected = "the log holds what it never was")]
fn a_disk_that_says_it_has_synced_and_has_not_is_found_out() {
    over_seeds("a_disk_that_says_it_has_synced_and_has_not_is_found_out", |rng| {
        let disk = SimDisk::default();
        drop(open_log(&disk).expect("an empty disk takes a log"));
        let disk = disk.killed();
        disk.faults().lie();
        let (log, _) = open_log(&disk).expect("it is there");
        let mut past = vec![LogModel::default()];
        let acknowledged = Arc::new(AtomicUsize::new(0));
        change_log(&log, &disk, rng, &mut past, &acknowledged);
        let disk = disk.cut(rng);
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        let found = open_log(&disk).map(|(log, recovered)| LogModel::of(&log, recovered));
        let kept = found.as_ref().is_ok_and(|found| past[acknowledged..].contains(found));
        assert!(kept, "after write {acknowledged} was acknowledged, the log holds what it never was: {:?}", found.err());
    });
}
