//! A state that was written before there were derived tables is given them, and is then what its log makes now. The log and the state that it
//! made then are kept as hex in `fixtures/v1/`: one line for each entry; one line for each record, as table, key and value. Nothing here
//! can write them again.
//!
//! In them are workflows of every status, dead letters and attempts that failed or were lost, tasks in every state, a run that was replaced,
//! one that is gone, one whose tasks are half deleted and one whose history is.

use std::cell::Cell;
use std::sync::Arc;

use graft_machine::command::{Command, ENTRY_FORMAT, Envelope, ExpireRequests, LogEntry, MACHINE_VERSION};
use graft_machine::derived::{self, rebuild_derived};
use graft_machine::memory::Memory;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{
    AttemptEvents, Counter, CounterKey, CounterName, Counters, DeadLetterKey, DeadLetters, Events, Meta, MetaKey, MetaRecord, Prefix,
    StatusCountKey, StatusCounts, Table, TaskList, TaskListKey, Tasks, Timers, Workflows,
};
use graft_machine::{apply_entry, invariants};
use prost::Message;

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex digits");
    hex.as_bytes().chunks(2).map(byte).collect()
}

fn old_state() -> Memory {
    let mut encoded = Vec::new();
    for line in include_str!("fixtures/v1/state_before_derived.hex").lines() {
        let parts: Vec<&str> = line.split(' ').collect();
        encoded.push(parts[0].parse::<u8>().expect("a table"));
        for part in [bytes(parts[1]), bytes(parts[2])] {
            encoded.extend((part.len() as u32).to_be_bytes());
            encoded.extend(part);
        }
    }
    let state = Memory::decode(&encoded).expect("a state");
    assert!(state.encode() == encoded, "what an earlier version wrote is written alike");
    state
}

fn replayed() -> Memory {
    let mut state = Memory::new();
    for (at, line) in include_str!("fixtures/v1/log_before_derived.hex").lines().enumerate() {
        let entry = LogEntry::decode(bytes(line).as_slice()).expect("an entry");
        apply_entry(&mut state, at as u64 + 1, &entry);
    }
    state
}

fn records<T: Table>(state: &Memory) -> usize {
    state.scan::<T>(Prefix::new().as_bytes(), None, usize::MAX).len()
}

#[test]
fn a_state_of_before_the_derived_tables_becomes_what_its_log_makes_now() {
    let mut state = old_state();
    assert!(!derived::up_to_date(&state) && invariants::check(&state).is_err());
    rebuild_derived(&mut state, drop);
    assert!(derived::up_to_date(&state));
    assert_eq!(invariants::check(&state), Ok(()));
    let counted =
        [records::<TaskList>(&state), records::<DeadLetters>(&state), records::<StatusCounts>(&state), records::<AttemptEvents>(&state)];
    assert!(counted.iter().all(|count| *count >= 5), "the fixture is about something: {counted:?}");
    assert!(state.encode() == replayed().encode(), "rebuilt, and replayed, the states differ");
}

#[test]
fn what_stood_in_the_derived_tables_before_a_rebuild_is_gone_after_it() {
    let right = replayed();
    let mut state = right.clone();
    // As a version without these tables would leave them: it keeps the rows, and does not write the number.
    let meta = MetaRecord::clone(&state.get::<Meta>(&MetaKey {}).expect("named"));
    state.put::<Meta>(MetaKey {}, MetaRecord { derived_tables: 0, ..meta });
    for run in 1..200 {
        let (namespace, node) = (String::from("default"), String::from("gone"));
        state.put::<TaskList>(TaskListKey { namespace: namespace.clone(), node, run, task: 9 }, ());
        state.put::<DeadLetters>(DeadLetterKey { namespace, at: 1, run, task: 9 }, ());
    }
    state.put::<StatusCounts>(StatusCountKey { namespace: "default".into(), status: 1 }, Counter { value: 99 });
    state.put::<StatusCounts>(StatusCountKey { namespace: "nobody".into(), status: 1 }, Counter { value: 1 });
    state.put::<Counters>(CounterKey { name: CounterName::ReadyTasks as u8 }, Counter { value: 99 });
    rebuild_derived(&mut state, drop);
    assert!(state.encode() == right.encode());
    rebuild_derived(&mut state, drop);
    assert!(state.encode() == right.encode(), "a rebuild of what is right changes nothing");
}

#[test]
fn a_rebuild_reads_the_workflow_of_many_tasks_once_and_tells_how_far_it_is() {
    let mut state = Counted { state: old_state(), workflows: Cell::new(0) };
    let (runs, tasks) = (records::<Workflows>(&state.state) as u64, records::<Tasks>(&state.state) as u64);
    let others = (records::<Events>(&state.state) + records::<Timers>(&state.state)) as u64;
    assert!(tasks > runs, "the fixture has runs of many tasks: {tasks} in {runs}");
    let mut told = Vec::new();
    rebuild_derived(&mut state, |records| told.push(records));
    assert!(state.workflows.get() <= runs, "{} reads of {runs} workflows", state.workflows.get());
    assert!(told.is_sorted() && told.last() == Some(&(runs + tasks + others)), "{told:?}");
}

/// Counts how often a workflow is read.
struct Counted {
    state: Memory,
    workflows: Cell<u64>,
}

impl StateRead for Counted {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        if T::ID == Workflows::ID {
            self.workflows.set(self.workflows.get() + 1);
        }
        self.state.get::<T>(key)
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        self.state.scan::<T>(prefix, after, limit)
    }
}

impl StateTx for Counted {
    fn put_shared<T: Table>(&mut self, key: T::Key, value: Arc<T::Value>) {
        self.state.put_shared::<T>(key, value);
    }

    fn delete<T: Table>(&mut self, key: &T::Key) {
        self.state.delete::<T>(key);
    }
}

#[test]
fn an_empty_state_needs_no_rebuild() {
    let mut state = Memory::new();
    assert!(derived::up_to_date(&state));
    rebuild_derived(&mut state, drop);
    assert!(state.is_empty());
}

#[test]
#[should_panic(expected = "derived tables of another version")]
fn nothing_is_applied_to_a_state_without_its_derived_tables() {
    let commands = vec![Envelope::internal("scheduler", Command::ExpireRequests(ExpireRequests {}))];
    let entry = LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time: 9_000_000, commands };
    apply_entry(&mut old_state(), 1_000, &entry);
}
