//! The log agrees with an ordered map under random appends, truncations, purges, reads and reopenings.

use std::collections::BTreeMap;

use bytes::Bytes;
use graftd::storage::{LogOptions, LogStore, StoredEntry};
use proptest::prelude::*;

use crate::log::wait;

#[derive(Clone, Debug)]
enum Step {
    Append { count: u64, bytes: usize, wait: bool },
    Truncate { back: u64 },
    Purge { forward: u64 },
    Read { from: u64, length: u64, budget: usize },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..20_u64, 0..200_usize, any::<bool>()).prop_map(|(count, bytes, wait)| Step::Append { count, bytes, wait }),
        2 => (0..30_u64).prop_map(|back| Step::Truncate { back }),
        2 => (0..25_u64).prop_map(|forward| Step::Purge { forward }),
        6 => (0..150_u64, 0..80_u64, prop_oneof![Just(usize::MAX), 0..3000_usize])
            .prop_map(|(from, length, budget)| Step::Read { from, length, budget }),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_an_ordered_map(steps in proptest::collection::vec(step(), 1..60), first in 0..2_u64) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.redb");
        let options = LogOptions { cache_bytes: 1 << 20, tail_bytes: 2000 };
        let (mut log, _) = LogStore::open(&path, options.clone(), None).unwrap();
        let mut model: BTreeMap<u64, Bytes> = BTreeMap::new();
        let (mut next, mut purged, mut written) = (first, None, 0_u64);
        for step in steps {
            match step {
                Step::Append { count, bytes, wait: waits } => {
                    let entries: Vec<_> = (next..next + count)
                        .map(|index| {
                            written += 1;
                            StoredEntry { index, bytes: Bytes::from(format!("{written:0bytes$}")) }
                        })
                        .collect();
                    model.extend(entries.iter().map(|entry| (entry.index, entry.bytes.clone())));
                    next += count;
                    if waits {
                        wait(|done| log.append(entries, done)).unwrap();
                    } else {
                        log.append(entries, Box::new(|outcome| outcome.unwrap()));
                    }
                }
                Step::Truncate { back } => {
                    let Some(after) = next.checked_sub(back + 1).filter(|after| *after > 0 && model.contains_key(after)) else { continue };
                    log.truncate_after(after, Box::new(|outcome| outcome.unwrap()));
                    model.retain(|index, _| *index <= after);
                    next = after + 1;
                }
                Step::Purge { forward } => {
                    let index = purged.map_or(first, |(index, _): (u64, Bytes)| index) + forward;
                    let id = Bytes::from(format!("id {index}"));
                    log.purge(index, id.clone(), Box::new(|outcome| outcome.unwrap()));
                    model.retain(|kept, _| *kept > index);
                    next = next.max(index + 1);
                    purged = Some((index, id));
                }
                Step::Read { from, length, budget } => {
                    let found = log.read(from, from + length, budget).unwrap();
                    let mut room = budget;
                    let mut expected = Vec::new();
                    for (index, bytes) in model.range(from..from + length) {
                        if !expected.is_empty() && bytes.len() > room {
                            break;
                        }
                        room = room.saturating_sub(bytes.len());
                        expected.push(StoredEntry { index: *index, bytes: bytes.clone() });
                    }
                    prop_assert_eq!(found, expected);
                }
                Step::Reopen => {
                    drop(log);
                    let (reopened, recovered) = LogStore::open(&path, options.clone(), None).unwrap();
                    log = reopened;
                    prop_assert_eq!(recovered.purged, purged.clone());
                    prop_assert_eq!(recovered.last.map(|entry| entry.index), model.keys().next_back().copied());
                }
            }
        }
        let all: Vec<_> = model.into_iter().map(|(index, bytes)| StoredEntry { index, bytes }).collect();
        prop_assert_eq!(log.read(0, u64::MAX, usize::MAX).unwrap(), all);
    }
}
