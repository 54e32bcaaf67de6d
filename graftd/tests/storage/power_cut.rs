//! The power goes at any write: what was acknowledged is there, and what is there is one moment of the past, never a mixture.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use graft_machine::memory::Memory;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{NameKey, NameRecord, Names, Prefix};
use graftd::storage::{LogOptions, LogStore, StateOptions, StateStore, StoredEntry};

use crate::disk::{Disk, Random};
use crate::state::mark;

const SEEDS: u64 = 200;
/// Writes and syncs after which the power is cut, at most.
const LONGEST: u64 = 600;

/// Runs one seed, or the one in `GRAFT_SEED`.
fn over_seeds(test: &str, run: impl Fn(&mut Random)) {
    let chosen = std::env::var("GRAFT_SEED").ok().map(|seed| seed.parse().expect("GRAFT_SEED is a number"));
    for seed in chosen.map_or(0..SEEDS, |seed: u64| seed..seed + 1) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut Random(seed))));
        if let Err(panic) = outcome {
            eprintln!("seed {seed} failed; repeat: GRAFT_SEED={seed} cargo test -p graftd --test storage {test}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// What the cut leaves, now and then after a second cut while the file is being repaired.
fn after_cut(disk: &Disk, random: &mut Random, open: impl Fn(Disk) -> bool) -> Vec<u8> {
    let image = disk.image(random);
    if random.below(3) > 0 {
        return image;
    }
    let again = Disk::of(image);
    again.cut_after(random.below(30));
    open(again.clone());
    again.image(random)
}

#[derive(Clone, Debug, Default, PartialEq)]
struct LogModel {
    entries: BTreeMap<u64, Bytes>,
    vote: Option<Bytes>,
    purged: Option<(u64, Bytes)>,
}

#[test]
fn a_power_cut_takes_nothing_from_the_log_that_was_acknowledged() {
    let options = LogOptions { cache_bytes: 1 << 20, tail_bytes: 4000 };
    over_seeds("a_power_cut_takes_nothing_from_the_log_that_was_acknowledged", |random| {
        let disk = Disk::default();
        // A file may have been written with quick repair and be opened without, and the other way round.
        let [before, quick_repair, after] = [(); 3].map(|()| random.below(2) == 0);
        // A file gets its name when it is whole: the cut comes later.
        drop(LogStore::open_backend(disk.clone(), options.clone(), before).unwrap());
        disk.cut_after(random.below(LONGEST));
        let mut past = vec![LogModel::default()];
        let acknowledged = Arc::new(AtomicUsize::new(0));
        if let Ok((log, _)) = LogStore::open_backend(disk.clone(), options.clone(), quick_repair) {
            let mut next = 1;
            while log.failure().is_none() {
                let mut model = past.last().unwrap().clone();
                let number = past.len();
                let acknowledged = acknowledged.clone();
                let (sender, receiver) = std::sync::mpsc::channel();
                let done = Box::new(move |outcome: Result<(), _>| {
                    if outcome.is_ok() {
                        acknowledged.fetch_max(number, Ordering::SeqCst);
                    }
                    let _ = sender.send(());
                });
                match random.below(8) {
                    0 => {
                        let vote = Bytes::from(format!("vote {number}"));
                        model.vote = Some(vote.clone());
                        past.push(model);
                        log.save_vote(vote, done);
                    }
                    1 if next > 3 && model.entries.contains_key(&(next - 3)) => {
                        next -= 2;
                        model.entries.retain(|index, _| *index < next);
                        past.push(model);
                        log.truncate_after(next - 1, done);
                    }
                    2 if next > 10 => {
                        let index = next - 10 + random.below(12);
                        next = next.max(index + 1);
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
                        let count = 1 + random.below(5);
                        let length = random.below(3000) as usize;
                        let entries: Vec<_> = (next..next + count)
                            .map(|index| StoredEntry { index, bytes: Bytes::from(format!("{number:0length$}")) })
                            .collect();
                        next += count;
                        model.entries.extend(entries.iter().map(|entry| (entry.index, entry.bytes.clone())));
                        past.push(model);
                        log.append(entries, done);
                    }
                }
                if random.below(4) > 0 {
                    receiver.recv().unwrap();
                }
            }
        }
        let image = after_cut(&disk, random, |disk| LogStore::open_backend(disk, options.clone(), after).is_ok());
        let (log, recovered) = LogStore::open_backend(Disk::of(image), options.clone(), after).unwrap();
        let entries = log.read(0, u64::MAX, usize::MAX).unwrap();
        let found = LogModel {
            entries: entries.into_iter().map(|entry| (entry.index, entry.bytes)).collect(),
            vote: recovered.vote,
            purged: recovered.purged,
        };
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        assert!(
            past[acknowledged..].contains(&found),
            "after write {acknowledged} of {} was acknowledged, the log holds what it never was: {found:?}",
            past.len() - 1
        );
    });
}

#[test]
fn after_a_power_cut_the_state_is_one_that_was_flushed() {
    let options = StateOptions { cache_bytes: 1 << 20, overlay_bytes: 64 << 20, flush_interval_ms: 3_600_000 };
    let name = |id: u64| NameKey { namespace: "default".into(), id: format!("{id}") };
    over_seeds("after_a_power_cut_the_state_is_one_that_was_flushed", |random| {
        let disk = Disk::default();
        drop(StateStore::open_backend(disk.clone(), options.clone()).unwrap());
        disk.cut_after(random.below(LONGEST));
        let mut past = vec![Memory::new()];
        let (mut acknowledged, mut flushing) = (0, vec![0]);
        if let Ok(store) = StateStore::open_backend(disk.clone(), options.clone()) {
            while store.failure().is_none() {
                let index = past.len() as u64;
                let mut model = past.last().unwrap().clone();
                let mut tx = store.begin();
                for _ in 0..random.below(30) {
                    let id = random.below(300);
                    if random.below(3) == 0 {
                        tx.delete::<Names>(&name(id));
                        model.delete::<Names>(&name(id));
                    } else {
                        tx.put::<Names>(name(id), NameRecord { run: index });
                        model.put::<Names>(name(id), NameRecord { run: index });
                    }
                }
                tx.finish(mark(index));
                past.push(model);
                if random.below(3) == 0 {
                    flushing.push(index);
                    if let Ok(flushed) = store.flush() {
                        assert_eq!(flushed, mark(index));
                        acknowledged = index;
                    }
                }
            }
        }
        let image = after_cut(&disk, random, |disk| StateStore::open_backend(disk, options.clone()).is_ok());
        let store = StateStore::open_backend(Disk::of(image), options.clone()).unwrap();
        let found = store.applied();
        assert!(found.index >= acknowledged && flushing.contains(&found.index), "{found:?}, acknowledged {acknowledged}");
        if found.index > 0 {
            assert_eq!(found, mark(found.index));
        }
        let records = store.latest().scan::<Names>(Prefix::new().as_bytes(), None, usize::MAX);
        assert_eq!(records, past[found.index as usize].scan::<Names>(Prefix::new().as_bytes(), None, usize::MAX));
    });
}
