//! Finding dead letters: those of a namespace by the time they were given up at, or those of one run by number.
//!
//! Where they are is read first, and then one record after the other, with the workflow that was read last at hand: a task and its workflow
//! may have a megabyte each. A look ends after a bounded number of rows, and of bytes, whatever it has found by then; whoever looks goes on
//! behind the last row. A filter that names a workflow reads that run's own tasks, however many dead letters others have.

use graft_convert::{cursors, dead_letters};
use graft_machine::ids::{Run, TaskRef};
use graft_machine::limits::LIST_EXAMINED_MAX;
use graft_machine::state::StateRead;
use graft_machine::tables::{DeadLetterKey, TableKey};
use graft_machine::task::{Task, TaskState};
use graft_machine::view::{self, LastWorkflow};
use graft_machine::workflow::Workflow;
use graft_proto::errors::Fault;
use graft_proto::v1;
use prost::Message;

use super::super::list::{EXAMINED_BYTES_MAX, PAGE_BYTES_MAX};

/// Places that are read at once.
const PLACES_STEP: usize = 500;
/// Tasks that are read at once, where their places are not read before.
const TASKS_STEP: usize = 16;

/// Which dead letters.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) namespace: String,
    pub(super) filter: dead_letters::Filter,
}

/// How a look has ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// There are no more.
    Nothing,
    /// There may be more behind this one; none: from where it began.
    Behind(Option<DeadLetterKey>),
}

impl Query {
    /// What a cursor has to belong to.
    pub(super) fn question(&self, verb: &str) -> String {
        format!("{verb}\0{}\0{:?}", self.namespace, self.filter)
    }

    /// A page of a list.
    pub(super) fn page(&self, state: &impl StateRead, cursor: &str, limit: usize) -> Result<v1::ListDeadLettersResponse, Fault> {
        let question = self.question("dead letters");
        let after = cursors::read(&question, cursor)?.map(|key| read_key(&key, cursor)).transpose()?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let next = self.each(state, after, 0, |key, workflow, task| {
            let row = dead_letters::row(workflow, key.task, task);
            bytes += row.encoded_len();
            let fits = rows.len() < limit && (bytes <= PAGE_BYTES_MAX || rows.is_empty());
            if fits {
                rows.push(row);
            }
            fits
        });
        let next_cursor = match next {
            Next::Behind(Some(key)) => cursors::make(&question, &key.to_bytes()),
            Next::Behind(None) | Next::Nothing => String::new(),
        };
        Ok(v1::ListDeadLettersResponse { dead_letters: rows, next_cursor })
    }

    /// Shows `take` those that fit, behind `after`, until it says that there is no room for one, or enough has been looked at (`examined`
    /// rows count already).
    pub(super) fn each(
        &self,
        state: &impl StateRead,
        after: Option<DeadLetterKey>,
        examined: usize,
        take: impl FnMut(&DeadLetterKey, &Workflow, &Task) -> bool,
    ) -> Next {
        let look = Look { query: self, state, take, after, examined, first: true, bytes: 0, workflows: LastWorkflow::default() };
        match self.filter.workflow() {
            None => look.in_namespace(),
            Some((id, run)) => {
                // A cursor says in which run to go on, and it is only a text that somebody sends: whose run that is, the state knows.
                let run = look.after.as_ref().map_or(run, |key| key.run);
                match self.run(state, id, run) {
                    Some(run) => look.in_run(run),
                    None => Next::Nothing,
                }
            }
        }
    }

    fn run(&self, state: &impl StateRead, id: &str, run: Run) -> Option<Run> {
        view::find(state, &self.namespace, id, run).map(|workflow| workflow.run)
    }
}

/// The key in a cursor.
pub(super) fn read_key(bytes: &[u8], cursor: &str) -> Result<DeadLetterKey, Fault> {
    DeadLetterKey::from_bytes(bytes).ok_or_else(|| cursors::broken(cursor))
}

/// A look at rows, one after the other.
struct Look<'a, S, F> {
    query: &'a Query,
    state: &'a S,
    take: F,
    /// The last row that was looked at, and taken if it fits.
    after: Option<DeadLetterKey>,
    examined: usize,
    first: bool,
    bytes: usize,
    workflows: LastWorkflow,
}

impl<S: StateRead, F: FnMut(&DeadLetterKey, &Workflow, &Task) -> bool> Look<'_, S, F> {
    fn in_namespace(mut self) -> Next {
        let Query { namespace, filter } = self.query;
        let oldest = |at: u64| DeadLetterKey { namespace: namespace.clone(), at: at - 1, run: Run::MAX, task: u32::MAX };
        let mut behind = self.after.clone().or_else(|| (filter.since > 0).then(|| oldest(filter.since)));
        loop {
            let places = view::dead_letters(self.state, namespace, behind.as_ref(), PLACES_STEP);
            let is_last = places.len() < PLACES_STEP;
            behind = places.last().cloned();
            for key in places {
                if key.at >= filter.until {
                    return Next::Nothing;
                }
                let task = view::task(self.state, TaskRef { run: key.run, task: key.task }).expect("a listed task is there");
                if !self.offer(key, &task) {
                    return Next::Behind(self.after);
                }
            }
            if is_last {
                return Next::Nothing;
            }
        }
    }

    fn in_run(mut self, run: Run) -> Next {
        let Query { namespace, filter } = self.query;
        let mut behind = self.after.as_ref().map_or(0, |key| key.task);
        loop {
            let tasks = view::tasks(self.state, run, behind, TASKS_STEP);
            for (number, task) in &tasks {
                let at = match task.state() {
                    TaskState::DeadLettered(dead) if (filter.since..filter.until).contains(&dead.at) => Some(dead.at),
                    _ => None,
                };
                let key = DeadLetterKey { namespace: namespace.clone(), at: at.unwrap_or_default(), run, task: *number };
                let goes_on = if at.is_some() { self.offer(key, task) } else { self.pass(key, task) };
                if !goes_on {
                    return Next::Behind(self.after);
                }
                behind = *number;
            }
            if tasks.len() < TASKS_STEP {
                return Next::Nothing;
            }
        }
    }

    /// Goes past a row. False: enough has been looked at.
    fn pass(&mut self, key: DeadLetterKey, task: &Task) -> bool {
        self.has_room(task) && {
            self.after = Some(key);
            true
        }
    }

    /// Shows a dead letter if it fits. False: it has to wait.
    fn offer(&mut self, key: DeadLetterKey, task: &Task) -> bool {
        if !self.has_room(task) {
            return false;
        }
        if self.query.filter.takes(task) {
            let workflow = self.workflows.of(self.state, key.run);
            if !(self.take)(&key, &workflow, task) {
                return false;
            }
        }
        self.after = Some(key);
        true
    }

    /// Whether another row may be looked at; at least one always may, so that every look gets on.
    fn has_room(&mut self, task: &Task) -> bool {
        let room = self.first || (self.examined < LIST_EXAMINED_MAX && self.bytes + self.workflows.bytes() < EXAMINED_BYTES_MAX);
        self.first = false;
        self.examined += 1;
        self.bytes += task.config.len();
        room
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use graft_machine::memory::Memory;
    use graft_machine::state::StateTx;
    use graft_machine::tables::{DeadLetters, NameKey, NameRecord, Names, RunKey, TaskKey, Tasks, Workflows};
    use graft_machine::task::{DeadLettered, Ready};
    use graft_machine::workflow::{Running, Status};

    use super::*;
    use crate::api::counted::Counted;

    /// Run `r` is of workflow `w-r` and has `letters` dead letters, given up one after the other, behind as many open tasks.
    fn state(runs: u64, letters: u32, config: usize) -> Counted {
        let mut state = Memory::new();
        for run in 1..=runs {
            let (namespace, id) = ("default".to_owned(), format!("w-{run}"));
            state.put::<Names>(NameKey { namespace: namespace.clone(), id: id.clone() }, NameRecord { run });
            let status = Some(Status::Running(Running {}));
            state.put::<Workflows>(RunKey { run }, Workflow { namespace: namespace.clone(), id, run, status, ..Workflow::default() });
            for task in 1..=2 * letters {
                let at = 1_000 * run + u64::from(task);
                let dead = TaskState::DeadLettered(DeadLettered { at, error: "no".into() });
                let now = if task <= letters { TaskState::Ready(Ready::default()) } else { dead };
                if task > letters {
                    state.put::<DeadLetters>(DeadLetterKey { namespace: namespace.clone(), at, run, task }, ());
                }
                let record = Task { node: format!("n-{run}"), config: vec![b'1'; config].into(), state: Some(now), ..Task::default() };
                state.put::<Tasks>(TaskKey { run, task }, record);
            }
        }
        Counted { state, reads: Cell::new(0) }
    }

    fn query(filter: v1::DeadLetterFilter) -> Query {
        Query { namespace: "default".into(), filter: dead_letters::Filter::new(Some(filter)).expect("good") }
    }

    fn pages(state: &Counted, query: &Query, limit: usize) -> (Vec<(u64, u32)>, usize) {
        let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = query.page(state, &cursor, limit).expect("a page");
            pages += 1;
            found.extend(page.dead_letters.iter().map(|row| (row.run, row.task)));
            if page.next_cursor.is_empty() {
                return (found, pages);
            }
            cursor = page.next_cursor;
        }
    }

    #[test]
    fn the_dead_letters_of_a_workflow_are_read_from_its_own_tasks_alone() {
        let state = state(300, 3, 0);
        for limit in [1, 2, 100] {
            let (found, _) = pages(&state, &query(v1::DeadLetterFilter { workflow_id: "w-200".into(), ..Default::default() }), limit);
            assert_eq!(found, [(200, 4), (200, 5), (200, 6)], "by number");
        }
        state.reads.set(0);
        let of_one = query(v1::DeadLetterFilter { workflow_id: "w-200".into(), run: 200, ..Default::default() });
        assert_eq!(pages(&state, &of_one, 100).0.len(), 3);
        assert!(state.reads.get() <= 10, "{} records were read for three", state.reads.get());
        let timed = v1::DeadLetterFilter { workflow_id: "w-2".into(), since_ms: 2_005, until_ms: 2_006, ..Default::default() };
        assert_eq!(pages(&state, &query(timed), 100).0, [(2, 5)]);
        let nobody = v1::DeadLetterFilter { workflow_id: "nobody".into(), ..Default::default() };
        assert_eq!(pages(&state, &query(nobody), 100), (Vec::new(), 1));
    }

    /// A cursor is a text that anybody can write.
    #[test]
    fn a_cursor_shows_nothing_of_another_run_than_the_workflow_s() {
        let mut state = state(3, 3, 0);
        let foreign = Workflow { namespace: "other".into(), id: "w-2".into(), run: 2, ..Workflow::default() };
        state.state.put::<Workflows>(RunKey { run: 2 }, foreign);
        for id in ["w-1", "w-2"] {
            let query = query(v1::DeadLetterFilter { workflow_id: id.into(), ..Default::default() });
            for run in [2, 3] {
                let key = DeadLetterKey { namespace: "default".into(), at: 0, run, task: 0 };
                let cursor = cursors::make(&query.question("dead letters"), &key.to_bytes());
                let page = query.page(&state, &cursor, 10).expect("a page");
                assert_eq!((page.dead_letters, page.next_cursor.as_str()), (vec![], ""), "{id} {run}");
            }
        }
    }

    #[test]
    fn a_workflow_is_read_once_for_its_dead_letters_that_stand_together() {
        let state = state(2, 50, 0);
        assert_eq!(pages(&state, &query(v1::DeadLetterFilter::default()), 1_000).0.len(), 100);
        assert!(state.reads.get() <= 102, "{} records were read for a hundred tasks of two workflows", state.reads.get());
    }

    #[test]
    fn a_look_ends_after_a_bounded_number_of_rows_and_of_bytes_and_the_next_goes_on() {
        let rare = |run: u64| query(v1::DeadLetterFilter { node: format!("n-{run}"), ..Default::default() });
        let many = state(3_000, 5, 0);
        let (found, looks) = pages(&many, &rare(3_000), 100);
        assert_eq!((found.len(), looks), (5, 3), "15,000 rows, 5,000 at a time");
        let large = state(5, 40, 1 << 20);
        let (found, looks) = pages(&large, &rare(5), 100);
        assert_eq!((found.len(), looks), (40, 4), "200 MiB, 64 at a time");
        let (found, looks) = pages(&large, &query(v1::DeadLetterFilter { workflow_id: "w-5".into(), ..Default::default() }), 100);
        assert_eq!((found.len(), looks), (40, 2), "80 MiB");
    }
}
