//! The store agrees with the machine's state in memory under random entries, freezes, views and flushes; views stay as they were.

use graft_machine::memory::Memory;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{NameKey, NameRecord, Names, Prefix, TimerKey, Timers};
use graftd::storage::{StateOptions, StateStore, View};
use proptest::prelude::*;

use crate::disk::Disk;
use crate::state::mark;

#[derive(Clone, Debug)]
enum Write {
    Put(u8),
    /// As a machine that looks before it makes something.
    LookAndPut(u8),
    Delete(u8),
    PutTimer(u8),
    DeleteTimer(u8),
}

#[derive(Clone, Debug)]
enum Step {
    Entry(Vec<Write>),
    View,
    DropView,
    Flush,
    Scan { prefix: u8, after: Option<u8>, limit: usize },
}

fn write() -> impl Strategy<Value = Write> {
    let key = 0..40_u8;
    prop_oneof![
        key.clone().prop_map(Write::Put),
        key.clone().prop_map(Write::LookAndPut),
        key.clone().prop_map(Write::Delete),
        key.clone().prop_map(Write::PutTimer),
        key.prop_map(Write::DeleteTimer),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec(write(), 1..12).prop_map(Step::Entry),
        3 => Just(Step::View),
        1 => Just(Step::DropView),
        2 => Just(Step::Flush),
        6 => (0..5_u8, proptest::option::of(0..40_u8), 0..50_usize)
            .prop_map(|(prefix, after, limit)| Step::Scan { prefix, after, limit }),
    ]
}

fn name(key: u8) -> NameKey {
    NameKey { namespace: format!("ns{}", key % 4), id: format!("id{key}") }
}

fn timer(key: u8) -> TimerKey {
    TimerKey { due: u64::from(key / 8), kind: 1, run: u64::from(key), task: 0 }
}

fn apply(tx: &mut impl StateTx, writes: &[Write], index: u64) -> Vec<bool> {
    let mut seen = Vec::new();
    for write in writes {
        match write {
            Write::Put(key) => tx.put::<Names>(name(*key), NameRecord { run: index }),
            Write::LookAndPut(key) => {
                let known = tx.get::<Names>(&name(*key)).is_some();
                seen.push(known);
                if !known {
                    tx.put::<Names>(name(*key), NameRecord { run: index });
                }
            }
            Write::Delete(key) => tx.delete::<Names>(&name(*key)),
            Write::PutTimer(key) => tx.put::<Timers>(timer(*key), ()),
            Write::DeleteTimer(key) => tx.delete::<Timers>(&timer(*key)),
        }
    }
    seen
}

fn same(state: &impl StateRead, model: &Memory, prefix: u8, after: Option<u8>, limit: usize) -> Result<(), TestCaseError> {
    let names = if prefix == 4 { Prefix::new() } else { Prefix::new().text(&format!("ns{prefix}")) };
    let after_name = after.map(name);
    let found = state.scan::<Names>(names.as_bytes(), after_name.as_ref(), limit);
    prop_assert_eq!(found, model.scan::<Names>(names.as_bytes(), after_name.as_ref(), limit));
    let timers = if prefix == 4 { Prefix::new() } else { Prefix::new().number(u64::from(prefix)) };
    let after_timer = after.map(timer);
    let found = state.scan::<Timers>(timers.as_bytes(), after_timer.as_ref(), limit);
    prop_assert_eq!(found, model.scan::<Timers>(timers.as_bytes(), after_timer.as_ref(), limit));
    let key = name(after.unwrap_or(prefix));
    prop_assert_eq!(state.get::<Names>(&key), model.get::<Names>(&key));
    Ok(())
}

fn same_all(state: &impl StateRead, model: &Memory) -> Result<(), TestCaseError> {
    same(state, model, 4, None, usize::MAX)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_the_memory(steps in proptest::collection::vec(step(), 1..80), busy in any::<bool>()) {
        let (overlay_bytes, flush_interval_ms) = if busy { (2000, 1) } else { (1 << 20, 3_600_000) };
        let disk = Disk::default();
        let options = StateOptions { cache_bytes: 1 << 20, overlay_bytes, flush_interval_ms };
        let store = StateStore::open_backend(disk, options).unwrap();
        let mut model = Memory::new();
        let mut index = 0;
        let mut views: Vec<(View, Memory)> = Vec::new();
        for step in steps {
            match step {
                Step::Entry(writes) => {
                    index += 1;
                    let mut tx = store.begin();
                    let seen = apply(&mut tx, &writes, index);
                    prop_assert_eq!(seen, apply(&mut model, &writes, index));
                    same_all(&tx, &model)?;
                    tx.finish(mark(index));
                }
                Step::View => {
                    let view = store.view();
                    prop_assert_eq!(view.mark().index, index);
                    views.push((view, model.clone()));
                }
                Step::DropView => drop(views.pop()),
                Step::Flush => prop_assert_eq!(store.flush().unwrap().index, index),
                Step::Scan { prefix, after, limit } => {
                    same(&store.latest(), &model, prefix, after, limit)?;
                    if let Some((view, model)) = views.get(usize::from(prefix)) {
                        same(view, model, prefix, after, limit)?;
                    }
                }
            }
        }
        for (view, model) in &views {
            same_all(view, model)?;
        }
        store.flush().unwrap();
        same_all(&store.view(), &model)?;
    }
}
