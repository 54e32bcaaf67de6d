//! A state that was written before there were derived tables: opened, or received as a snapshot, it has them.

use graft_machine::command::{Command, ENTRY_FORMAT, Envelope, FailTask, LogEntry, MACHINE_VERSION, StartWorkflow};
use graft_machine::ids::AttemptRef;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{AttemptEvents, DeadLetters, Meta, MetaKey, MetaRecord, Prefix, StatusCounts, Table, TaskList};
use graft_machine::task::{NewTask, RetryPolicy};
use graft_machine::{apply_entry, derived, invariants};
use graftd::storage::{StateOptions, StateStore};

use crate::state::{chunks, install, mark};

const IDLE: StateOptions = StateOptions { cache_bytes: 1 << 20, overlay_bytes: 64 << 20, flush_interval_ms: 3_600_000 };
/// More than the rebuild holds in memory at once.
const WORKFLOWS: u64 = 150;

fn entry(commands: Vec<Command>) -> LogEntry {
    let commands = commands.into_iter().map(|command| Envelope::internal("test", command)).collect();
    LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time: 1_000, commands }
}

fn forget<T: Table>(tx: &mut impl StateTx) {
    for (key, _) in tx.scan::<T>(Prefix::new().as_bytes(), None, usize::MAX) {
        tx.delete::<T>(&key);
    }
}

/// A state with workflows, some of which have failed, flushed as an earlier version would have.
fn older(store: &StateStore) {
    let retry = Some(RetryPolicy { max_attempts: 1, ..RetryPolicy::standard() });
    let nodes = vec![NewTask { node: "charge".into(), retry, ..Default::default() }, NewTask { node: "ship".into(), ..Default::default() }];
    let start = |n| StartWorkflow { namespace: "default".into(), id: format!("w{n}"), nodes: nodes.clone(), ..Default::default() };
    let fail = |run| FailTask { at: AttemptRef { run, task: 1, attempt: 1 }, message: "broke".into(), ..Default::default() };
    let mut tx = store.begin();
    apply_entry(&mut tx, 1, &entry((1..=WORKFLOWS).map(|n| Command::Start(start(n))).collect()));
    apply_entry(&mut tx, 2, &entry((1..=WORKFLOWS).step_by(2).map(|run| Command::Fail(fail(run))).collect()));
    forget::<TaskList>(&mut tx);
    forget::<DeadLetters>(&mut tx);
    forget::<StatusCounts>(&mut tx);
    forget::<AttemptEvents>(&mut tx);
    let meta = MetaRecord::clone(&tx.get::<Meta>(&MetaKey {}).expect("written"));
    tx.put::<Meta>(MetaKey {}, MetaRecord { derived_tables: 0, ..meta });
    tx.finish(mark(2));
    store.flush().expect("a good disk");
}

fn is_right(store: &StateStore) {
    let view = store.view();
    assert!(derived::up_to_date(&view));
    assert_eq!(invariants::check(&view), Ok(()));
    assert_eq!(view.scan::<DeadLetters>(Prefix::new().as_bytes(), None, usize::MAX).len() as u64, WORKFLOWS / 2);
    assert_eq!(store.flushed(), mark(2), "it is the state of the same index");
}

#[test]
fn a_file_of_an_earlier_version_has_the_derived_tables_once_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, IDLE, None).unwrap();
    older(&store);
    assert!(!derived::up_to_date(&store.view()));
    drop(store);
    // Opened a second time, it is right already.
    for _ in 0..2 {
        is_right(&StateStore::open(&path, IDLE, None).unwrap());
    }
}

#[test]
fn a_snapshot_of_an_earlier_version_has_the_derived_tables_once_it_is_installed() {
    let directory = tempfile::tempdir().unwrap();
    let sender = StateStore::open(&directory.path().join("sender.redb"), IDLE, None).unwrap();
    older(&sender);
    let path = directory.path().join("receiver.redb");
    let receiver = StateStore::open(&path, IDLE, None).unwrap();
    assert_eq!(install(&receiver, &chunks(sender.snapshot())).unwrap(), mark(2));
    is_right(&receiver);
    drop(receiver);
    is_right(&StateStore::open(&path, IDLE, None).unwrap());
}
