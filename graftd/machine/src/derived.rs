//! Derived tables: lists and counts for people, kept in the same step as what they are derived from.
//!
//! They hold nothing that the other tables do not say, and no command reads one to decide anything but the next value of a count. So a
//! state that was written before they existed needs no other log: they are made again, once, from the records that are there
//! ([`rebuild_derived`]), and are then what they would be if they had been kept from the first command on. `Meta` says whether that is done.
//!
//! | table | is made of |
//! |---|---|
//! | `TaskList` | every record of `Tasks` |
//! | `DeadLetters` | those of them that are dead letters |
//! | `StatusCounts` | every record of `Workflows`, counted |
//! | `AttemptEvents` | every event of a failed or lost attempt that is still kept |
//! | `Counters`, those of [`CounterName::DERIVED`] | every record of `Tasks`, by what it waits for, and of `Timers`, counted for the whole cluster |

use crate::event::{Event, Happened};
use crate::ids::{EventPos, TaskId};
use crate::state::{StateRead, StateTx};
use crate::tables::{
    AttemptEvents, AttemptKey, Counter, CounterKey, CounterName, Counters, DeadLetterKey, DeadLetters, Events, Meta, MetaKey, MetaRecord,
    Prefix, StatusCountKey, StatusCounts, Table, TaskList, TaskListKey, Tasks, Timers, Workflows,
};
use crate::task::{Task, TaskState};
use crate::view::LastWorkflow;
use crate::workflow::{StatusKind, Workflow};

/// Which derived tables there are, and what is in them; raised whenever that changes, so that a state with others is given these.
pub const DERIVED_TABLES: u32 = 2;

/// Records that the rebuild holds in memory at once: they may have a megabyte each.
const REBUILD_PAGE: usize = 64;

/// Where a task stands in the list of tasks.
pub(crate) fn listed(workflow: &Workflow, id: TaskId, task: &Task) -> TaskListKey {
    TaskListKey { namespace: workflow.namespace.clone(), node: task.node.clone(), run: workflow.run, task: id }
}

/// Where a task stands in the list of dead letters, if it is one.
pub(crate) fn dead_letter(workflow: &Workflow, id: TaskId, task: &Task) -> Option<DeadLetterKey> {
    match task.state() {
        TaskState::DeadLettered(dead) => {
            Some(DeadLetterKey { namespace: workflow.namespace.clone(), at: dead.at, run: workflow.run, task: id })
        }
        TaskState::Ready(_) | TaskState::Delayed(_) | TaskState::Blocked(_) => None,
    }
}

/// Where an event stands in the list of failed attempts, if it is one's.
pub(crate) fn attempt(event: &Event, at: EventPos) -> Option<AttemptKey> {
    match event.happened.as_ref()? {
        Happened::Failed(failed) => Some(AttemptKey::of(event.run, failed.task, at)),
        _ => None,
    }
}

/// One workflow more, or one less, has a status.
pub(crate) fn count(tx: &mut impl StateTx, namespace: &str, status: StatusKind, by: i64) {
    let key = StatusCountKey { namespace: namespace.to_owned(), status: status as u8 };
    let counted = tx.get::<StatusCounts>(&key).map_or(0, |counter| counter.value);
    match counted.checked_add_signed(by).expect("a status counts every workflow that has it") {
        0 => tx.delete::<StatusCounts>(&key),
        value => tx.put::<StatusCounts>(key, Counter { value }),
    }
}

/// By how much the counters of the whole cluster change with a command. They are written together when it is over, and only those that differ:
/// a step from one task to the next changes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes([i64; CounterName::DERIVED.len()]);

impl Changes {
    /// A task is there (`to`) that was not, is gone (`from`), or waits for something else.
    pub(crate) fn task(&mut self, from: Option<&TaskState>, to: Option<&TaskState>) {
        for (state, by) in [(from, -1), (to, 1)] {
            if let Some(state) = state {
                self.add(counter(state), by);
            }
        }
    }

    /// So many timers more.
    pub(crate) fn timers(&mut self, by: i64) {
        self.add(CounterName::Timers, by);
    }

    /// Whether they come to nothing.
    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Writes what the counters are now.
    pub(crate) fn write(&self, tx: &mut impl StateTx) {
        for (name, by) in CounterName::DERIVED.into_iter().zip(self.0).filter(|(_, by)| *by != 0) {
            let key = CounterKey { name: name as u8 };
            let counted = tx.get::<Counters>(&key).map_or(0, |counter| counter.value);
            set(tx, name, counted.checked_add_signed(by).expect("a counter counts everything that there is"));
        }
    }

    fn add(&mut self, name: CounterName, by: i64) {
        let at = CounterName::DERIVED.iter().position(|derived| *derived == name).expect("a counter that is derived");
        self.0[at] += by;
    }
}

/// What counts the tasks that wait for this.
pub(crate) fn counter(state: &TaskState) -> CounterName {
    match state {
        TaskState::Ready(_) => CounterName::ReadyTasks,
        TaskState::Delayed(_) => CounterName::DelayedTasks,
        TaskState::Blocked(_) => CounterName::BlockedTasks,
        TaskState::DeadLettered(_) => CounterName::DeadLetters,
    }
}

fn set(tx: &mut impl StateTx, name: CounterName, value: u64) {
    match (CounterKey { name: name as u8 }, value) {
        (key, 0) => tx.delete::<Counters>(&key),
        (key, value) => tx.put::<Counters>(key, Counter { value }),
    }
}

/// Whether a state has the derived tables of this version. One that nothing was ever applied to has them: they are empty.
pub fn up_to_date(state: &impl StateRead) -> bool {
    state.get::<Meta>(&MetaKey {}).is_none_or(|meta| meta.derived_tables == DERIVED_TABLES)
}

/// Makes the derived tables of a state that has none, or those of another version. Whatever was in them goes first. It reads the whole
/// state, a page at a time; whoever stores it must take over all of it or nothing, or call it again. `seen` is told after each page how many
/// records have been read so far.
pub fn rebuild_derived(tx: &mut impl StateTx, mut seen: impl FnMut(u64)) {
    let Some(meta) = tx.get::<Meta>(&MetaKey {}) else { return };
    clear::<TaskList>(tx);
    clear::<DeadLetters>(tx);
    clear::<StatusCounts>(tx);
    clear::<AttemptEvents>(tx);
    CounterName::DERIVED.into_iter().for_each(|name| set(tx, name, 0));
    let (mut records, mut last) = (0, LastWorkflow::default());
    let mut read = |page: usize| {
        records += page as u64;
        seen(records);
    };
    each::<Workflows, _>(tx, &mut read, |tx, _, workflow| count(tx, &workflow.namespace, workflow.kind(), 1));
    let mut counted = Changes::default();
    each::<Tasks, _>(tx, &mut read, |tx, key, task| {
        counted.task(None, Some(task.state()));
        let workflow = last.of(tx, key.run);
        if let Some(key) = dead_letter(&workflow, key.task, task) {
            tx.put::<DeadLetters>(key, ());
        }
        tx.put::<TaskList>(listed(&workflow, key.task, task), ());
    });
    each::<Events, _>(tx, &mut read, |tx, key, event| {
        if let Some(key) = attempt(event, EventPos { index: key.index, ordinal: key.ordinal }) {
            tx.put::<AttemptEvents>(key, ());
        }
    });
    each::<Timers, _>(tx, &mut read, |_, _, ()| counted.timers(1));
    counted.write(tx);
    tx.put::<Meta>(MetaKey {}, MetaRecord { derived_tables: DERIVED_TABLES, ..MetaRecord::clone(&meta) });
}

/// Visits every record of a table that the visits do not change, and tells how many each page had.
fn each<T: Table, S: StateTx>(tx: &mut S, read: &mut impl FnMut(usize), mut visit: impl FnMut(&mut S, &T::Key, &T::Value)) {
    let mut after = None;
    loop {
        let page = tx.scan::<T>(Prefix::new().as_bytes(), after.as_ref(), REBUILD_PAGE);
        for (key, record) in &page {
            visit(tx, key, record);
        }
        read(page.len());
        match page.into_iter().next_back() {
            Some((key, _)) => after = Some(key),
            None => return,
        }
    }
}

fn clear<T: Table>(tx: &mut impl StateTx) {
    loop {
        let page = tx.scan::<T>(Prefix::new().as_bytes(), None, REBUILD_PAGE);
        if page.is_empty() {
            return;
        }
        for (key, _) in &page {
            tx.delete::<T>(key);
        }
    }
}
