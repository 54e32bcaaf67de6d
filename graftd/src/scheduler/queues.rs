//! Ready tasks in memory: one queue for each node of each namespace, ordered by priority, then by the start of their workflow.
//!
//! A queue is a window on the head of its part of the ready table. `horizon` is the last place up to which memory knows every ready task;
//! `None`: it knows them all. What lies beyond is left in the table and read when the window runs low, so a backlog of any size costs the
//! memory of a window.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use graft_machine::effect::Offer;
use graft_machine::ids::{AttemptRef, Run, TaskId, TaskRef};
use graft_machine::tables::{Descending, ReadyKey};
use graft_machine::time::Millis;

use super::sessions::SessionId;

/// Names a queue. Handed out in order of appearance.
pub type QueueId = usize;

/// How many priorities of a queue are looked at for the task that waits longest.
const PRIORITIES_LOOKED_AT: usize = 16;

/// A place in the order of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// High first.
    pub priority: Descending,
    /// See [`graft_machine::task::Ready::rank`].
    pub rank: Millis,
    /// The run.
    pub run: Run,
    /// The task.
    pub task: TaskId,
}

impl Place {
    /// The place that a key of the ready table names within its queue.
    pub fn of(key: &ReadyKey) -> Self {
        Self { priority: key.priority, rank: key.rank, run: key.run, task: key.task }
    }

    /// Behind every task.
    pub(super) fn last() -> Self {
        Self { priority: Descending(i32::MIN), rank: Millis::MAX, run: Run::MAX, task: TaskId::MAX }
    }

    /// The task.
    pub fn task_ref(&self) -> TaskRef {
        TaskRef { run: self.run, task: self.task }
    }

    /// The key in the ready table.
    pub(super) fn key(&self, namespace: &str, node: &str) -> ReadyKey {
        let (namespace, node) = (namespace.to_owned(), node.to_owned());
        ReadyKey { namespace, node, fairness: String::new(), priority: self.priority, rank: self.rank, run: self.run, task: self.task }
    }

    /// A key behind every key of the queue, whatever its fairness key.
    pub(super) fn key_after_all(&self, namespace: &str, node: &str) -> ReadyKey {
        ReadyKey { fairness: char::MAX.to_string(), ..self.key(namespace, node) }
    }
}

/// A ready task that waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The attempt's number.
    pub attempt: u32,
    /// Longest execution, in milliseconds; 0 = none.
    pub timeout: Millis,
    /// Ready since.
    pub since: Millis,
    /// The session that executed the step before it: it has the workflow at hand.
    pub(super) prefer: Option<SessionId>,
}

impl Waiting {
    /// A task that nobody is preferred for.
    pub fn of(offer: &Offer) -> Self {
        Self { attempt: offer.attempt, timeout: offer.timeout, since: offer.since, prefer: None }
    }
}

/// The ready tasks of one node.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) namespace: String,
    pub(super) node: String,
    /// To be handed out.
    ready: BTreeMap<Place, Waiting>,
    /// Older than the term, while a session that serves the node is silent: it may be executing them.
    withheld: BTreeMap<Place, Waiting>,
    horizon: Option<Place>,
    reading: bool,
    /// Sessions that take one now.
    pub(super) takers: BTreeSet<SessionId>,
    /// Who was given the last one.
    pub(super) last_taker: SessionId,
}

impl Queue {
    fn len(&self) -> usize {
        self.ready.len() + self.withheld.len()
    }

    fn last_place(&self) -> Option<Place> {
        let (a, b) = (self.ready.last_key_value(), self.withheld.last_key_value());
        a.map(|(place, _)| *place).max(b.map(|(place, _)| *place))
    }

    fn remove(&mut self, place: &Place) -> Option<Waiting> {
        self.ready.remove(place).or_else(|| self.withheld.remove(place))
    }

    /// Since when the task waits that waits longest, of those that are next in line in the [`PRIORITIES_LOOKED_AT`] highest priorities in memory. Looks once
    /// for each: behind them may be one that is ready for longer, of a workflow that was started later.
    pub(super) fn waiting_since(&self) -> Option<Millis> {
        let mut oldest = None;
        for tasks in [&self.ready, &self.withheld] {
            let mut next = tasks.first_key_value();
            for _ in 0..PRIORITIES_LOOKED_AT {
                let Some((place, waiting)) = next else { break };
                oldest = Some(oldest.map_or(waiting.since, |oldest: Millis| oldest.min(waiting.since)));
                let last = Place { priority: place.priority, ..Place::last() };
                next = tasks.range((Bound::Excluded(last), Bound::Unbounded)).next();
            }
        }
        oldest
    }

    /// Whether a task can be handed out.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

/// All queues.
#[derive(Debug)]
pub(super) struct Queues {
    list: Vec<Queue>,
    names: BTreeMap<String, BTreeMap<String, QueueId>>,
    places: BTreeMap<TaskRef, (QueueId, Place)>,
    low: BTreeSet<QueueId>,
    window: usize,
}

impl Queues {
    pub(super) fn new(window: usize) -> Self {
        Self { list: Vec::new(), names: BTreeMap::new(), places: BTreeMap::new(), low: BTreeSet::new(), window: window.max(4) }
    }

    /// The queue of a node, made if it is new.
    pub(super) fn id(&mut self, namespace: &str, node: &str) -> QueueId {
        if let Some(id) = self.names.get(namespace).and_then(|nodes| nodes.get(node)) {
            return *id;
        }
        let id = self.list.len();
        self.names.entry(namespace.to_owned()).or_default().insert(node.to_owned(), id);
        self.list.push(Queue {
            namespace: namespace.to_owned(),
            node: node.to_owned(),
            ready: BTreeMap::new(),
            withheld: BTreeMap::new(),
            horizon: None,
            reading: false,
            takers: BTreeSet::new(),
            last_taker: 0,
        });
        id
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, id: QueueId) -> &Queue {
        &self.list[id]
    }

    pub(super) fn get_mut(&mut self, id: QueueId) -> &mut Queue {
        &mut self.list[id]
    }

    /// Ready tasks in memory.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Every queue with its namespace, its node, and how many tasks of it wait in memory.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (QueueId, &str, &str, u64)> {
        self.list.iter().enumerate().map(|(id, queue)| (id, queue.namespace.as_str(), queue.node.as_str(), queue.len() as u64))
    }

    /// Puts a task into its place, unless a newer attempt of it waits already or the place lies beyond the horizon.
    pub(super) fn insert(&mut self, id: QueueId, place: Place, waiting: Waiting, withhold: bool) {
        let queue = &self.list[id];
        if queue.horizon.is_some_and(|horizon| place > horizon) {
            return;
        }
        if let Some((old_id, old)) = self.places.get(&place.task_ref()).copied() {
            let queue = &self.list[old_id];
            let known = queue.ready.get(&old).or_else(|| queue.withheld.get(&old)).expect("every place in the index is taken");
            if known.attempt > waiting.attempt || (known.attempt == waiting.attempt && old == place) {
                return;
            }
            self.forget(place.task_ref());
        }
        let queue = &mut self.list[id];
        if withhold {
            queue.withheld.insert(place, waiting)
        } else {
            queue.ready.insert(place, waiting)
        };
        self.places.insert(place.task_ref(), (id, place));
        while queue.len() > self.window {
            let last = queue.last_place().expect("a full queue has a last place");
            queue.remove(&last);
            self.places.remove(&last.task_ref());
            queue.horizon = queue.last_place();
        }
    }

    /// Takes the next page of the ready table into account: from here on everything up to its end is known.
    pub(super) fn page_read(&mut self, id: QueueId, last: Option<Place>, complete: bool) {
        let queue = &mut self.list[id];
        queue.reading = false;
        queue.horizon = if complete { None } else { last.or(queue.horizon) };
        self.note_low(id);
    }

    /// The first task of a queue that may be handed out; it leaves the queue.
    pub(super) fn pop(&mut self, id: QueueId) -> Option<(Place, Waiting)> {
        let (place, waiting) = self.list[id].ready.pop_first()?;
        self.places.remove(&place.task_ref());
        self.note_low(id);
        Some((place, waiting))
    }

    /// Forgets a task, whatever its attempt.
    pub(super) fn forget(&mut self, task: TaskRef) -> Option<(QueueId, Place, Waiting)> {
        let (id, place) = self.places.remove(&task)?;
        let waiting = self.list[id].remove(&place).expect("every place in the index is taken");
        self.note_low(id);
        Some((id, place, waiting))
    }

    /// Forgets a task if it waits as this attempt (or an older one).
    pub(super) fn forget_attempt(&mut self, at: AttemptRef) -> Option<(QueueId, Place, Waiting)> {
        let (id, place) = self.places.get(&at.task_ref())?;
        let queue = &self.list[*id];
        let known = queue.ready.get(place).or_else(|| queue.withheld.get(place)).expect("every place in the index is taken");
        if known.attempt <= at.attempt { self.forget(at.task_ref()) } else { None }
    }

    /// Forgets the tasks of a run; the queues that had some.
    pub(super) fn forget_run(&mut self, run: Run) -> BTreeSet<QueueId> {
        let tasks: Vec<TaskRef> =
            self.places.range(TaskRef { run, task: 0 }..=TaskRef { run, task: TaskId::MAX }).map(|(task, _)| *task).collect();
        tasks.into_iter().filter_map(|task| self.forget(task)).map(|(id, _, _)| id).collect()
    }

    /// Nothing is withheld in this queue any more.
    pub(super) fn release_withheld(&mut self, id: QueueId) {
        let queue = &mut self.list[id];
        queue.ready.append(&mut queue.withheld);
    }

    /// Queues whose window has run low, with the place after which the next page begins.
    pub(super) fn wanted_pages(&mut self) -> Vec<(String, String, Place)> {
        let mut pages = Vec::new();
        for id in std::mem::take(&mut self.low) {
            let queue = &mut self.list[id];
            if let Some(after) = queue.horizon.filter(|_| !queue.reading && queue.len() <= self.window / 4) {
                queue.reading = true;
                pages.push((queue.namespace.clone(), queue.node.clone(), after));
            }
        }
        pages
    }

    fn note_low(&mut self, id: QueueId) {
        let queue = &self.list[id];
        if queue.horizon.is_some() && queue.len() <= self.window / 4 {
            self.low.insert(id);
        }
    }
}
