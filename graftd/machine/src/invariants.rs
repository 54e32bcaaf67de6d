//! What is true of every state, between any two commands. For tests and the simulation: it reads everything.
//!
//! Besides the bullets in the records' own docs: lists and indexes say what the records say, and nothing else; a join counts exactly what
//! is open under it (S8); a workflow that ended has nothing open, one that completed has no dead letter that its policy keeps (S9); attempts
//! and failures stay within the policy (S16); no task is lost: each that was created is open, a dead letter, or resolved in the history
//! (S17). A workflow that is being swept or deleted is between two truths; what is allowed meanwhile is said where it is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use serde_json::Value;

use crate::command::{FIRST_MACHINE_VERSION, MACHINE_VERSION};
use crate::content::canonical;
use crate::derived;
use crate::event::{Event, Happened};
use crate::ids::{EventPos, OUTERMOST, Run, ScopeId, TaskId};
use crate::limits::STATE_BYTES_MAX;
use crate::state::StateRead;
use crate::step::{ready, sweep};
use crate::tables::{
    AttemptEvents, BlockedTasks, Counter, CounterName, Counters, DeadLetters, EventKey, Events, ExpiryKey, IdempotencyKey, IdempotencyKeys,
    LabelKey, LabelList, NameKey, Names, Prefix, ReadyTasks, RequestExpiry, Requests, RunEvents, RunKey, ScopeKey, Scopes, SessionKey,
    Sessions, StatusCountKey, StatusCounts, StatusKey, StatusList, Table, TaskEvents, TaskKey, TaskList, Tasks, TimeKey, TimeList,
    TimerKey, TimerKind, Timers, Workflows,
};
use crate::task::{Scope, Task, TaskState};
use crate::time::Millis;
use crate::view;
use crate::workflow::{Status, StatusKind, Workflow};

/// Records read at a time.
const PAGE: usize = 1_000;

/// Checks the whole state; the error lists everything that is wrong with it.
pub fn check(state: &impl StateRead) -> Result<(), Vec<String>> {
    let mut check = Check {
        now: view::meta(state).time,
        workflows: all::<Workflows>(state),
        tasks: all::<Tasks>(state),
        scopes: all::<Scopes>(state),
        wrong: Vec::new(),
    };
    check.runs(state);
    check.names(state);
    check.workflows();
    check.tasks(state);
    check.scopes();
    check.ready_order(state);
    check.timers(state);
    check.lists(state);
    check.derived(state);
    check.history(state);
    check.requests(state);
    check.versions(state);
    if check.wrong.is_empty() { Ok(()) } else { Err(check.wrong) }
}

fn all<T: Table>(state: &impl StateRead) -> BTreeMap<T::Key, Arc<T::Value>> {
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page = state.scan::<T>(Prefix::new().as_bytes(), after.as_ref(), PAGE);
        let last = page.len() < PAGE;
        after = page.last().map(|(key, _)| key.clone());
        found.extend(page);
        if last {
            return found;
        }
    }
}

fn keys<T: Table>(state: &impl StateRead) -> BTreeSet<T::Key> {
    all::<T>(state).into_keys().collect()
}

struct Check {
    now: Millis,
    workflows: BTreeMap<RunKey, Arc<Workflow>>,
    tasks: BTreeMap<TaskKey, Arc<Task>>,
    scopes: BTreeMap<ScopeKey, Arc<Scope>>,
    wrong: Vec<String>,
}

impl Check {
    fn that(&mut self, holds: bool, object: impl Display, rule: impl Display) {
        if !holds {
            self.wrong.push(format!("{object}: {rule}"));
        }
    }

    fn same<K: Ord + std::fmt::Debug>(&mut self, table: &str, found: &BTreeSet<K>, wanted: &BTreeSet<K>) {
        for key in found.difference(wanted) {
            self.wrong.push(format!("{table}: holds {key:?}, which nothing stands for"));
        }
        for key in wanted.difference(found) {
            self.wrong.push(format!("{table}: lacks {key:?}"));
        }
    }

    fn workflow(&self, run: Run) -> Option<&Arc<Workflow>> {
        self.workflows.get(&RunKey { run })
    }

    /// Its retention is over: it may be half deleted.
    fn retiring(&self, workflow: &Workflow) -> bool {
        workflow.ended_at().is_some_and(|ended| ended.saturating_add(workflow.retention) <= self.now)
    }

    /// Its open tasks and scopes are deleted, or being deleted.
    fn dissolving(&self, workflow: &Workflow) -> bool {
        sweep::removes_tasks(workflow.kind()) || self.retiring(workflow)
    }

    fn runs(&mut self, state: &impl StateRead) {
        let started = view::runs_started(state);
        let last = self.workflows.keys().next_back().map_or(0, |key| key.run);
        self.that(last <= started, format!("run {last}"), format!("is above the counter of runs ({started})"));
    }

    fn names(&mut self, state: &impl StateRead) {
        let names = all::<Names>(state);
        for (NameKey { namespace, id }, name) in &names {
            let found = self.workflow(name.run).is_some_and(|w| w.namespace == *namespace && w.id == *id);
            self.that(found, format!("name {namespace}/{id}"), format!("stands for run {}, which is not that workflow", name.run));
        }
        for workflow in self.workflows.clone().values() {
            let key = NameKey { namespace: workflow.namespace.clone(), id: workflow.id.clone() };
            let current = names.get(&key).map(|name| name.run);
            let right = current == Some(workflow.run) || (workflow.kind().is_final() && current.is_none_or(|run| run > workflow.run));
            self.that(right, format!("run {}", workflow.run), format!("is not what its name stands for ({current:?})"));
        }
    }

    fn workflows(&mut self) {
        for (key, w) in self.workflows.clone() {
            let run = format!("run {} ({})", key.run, w.kind().as_str());
            self.that(w.run == key.run, &run, "is stored under another number");
            self.that(w.state.len() <= STATE_BYTES_MAX, &run, "state is too large");
            match serde_json::from_slice::<Value>(&w.state) {
                Ok(value @ Value::Object(_)) => {
                    self.that(canonical(&value) == w.state, &run, "state is not canonical");
                    self.that(!has_null(&value), &run, "state has a null member");
                }
                _ => self.that(false, &run, "state is not a JSON object"),
            }
            self.that(w.revision >= 1, &run, "has no revision");
            self.that(w.created <= self.now, &run, "was created in the future");
            let tasks: Vec<_> = self.tasks_of(key.run).collect();
            let count = |wanted: fn(&TaskState) -> bool| tasks.iter().filter(|(_, task)| wanted(task.state())).count() as u32;
            let dead = count(|state| matches!(state, TaskState::DeadLettered(_)));
            let blocked = count(|state| matches!(state, TaskState::Blocked(_)));
            let open = tasks.len() as u32 - dead;
            let last = tasks.last().map_or(0, |(id, _)| *id);
            let kept = tasks.iter().any(|(_, task)| matches!(task.state(), TaskState::DeadLettered(_)) && !task.is_passed_over());
            let by = match w.status() {
                Status::Failed(by) => Some(by.task),
                Status::Paused(paused) => Some(paused.task),
                _ => None,
            };
            // A dead letter that failed or paused its workflow may have been discarded, but is not open.
            let open_task =
                |wanted: TaskId| tasks.iter().any(|(id, task)| *id == wanted && !matches!(task.state(), TaskState::DeadLettered(_)));
            let named = by.is_none_or(|by| !open_task(by));
            self.that(w.open_tasks == open, &run, format!("counts {} open tasks, has {open}", w.open_tasks));
            self.that(w.dead_letters == dead, &run, format!("counts {} dead letters, has {dead}", w.dead_letters));
            self.that(w.blocked_tasks == blocked, &run, format!("counts {} blocked tasks, has {blocked}", w.blocked_tasks));
            self.that(last < w.next_task, &run, format!("has a task {last} from its next number {} on", w.next_task));
            self.that(w.kind() != StatusKind::Cancelling || open > 0, &run, "is being cancelled with no task open");
            self.that(named || self.retiring(&w), &run, "names a task that is no dead letter");
            if w.kind() == StatusKind::Completed {
                self.that(open == 0, &run, "has open tasks");
                self.that(!kept, &run, "has a dead letter that its policy does not pass over");
            }
            if sweep::removes_tasks(w.kind()) && w.sweep_due == 0 {
                self.that(open == 0, &run, "has open tasks and no sweep");
            }
            if w.sweep_due == 0 {
                self.that(
                    w.sweep_cursor == 0 && !w.sweep_again && !w.sweep_wakes_only && w.sweep_touched.is_empty(),
                    &run,
                    "remembers a sweep that is over",
                );
            }
        }
    }

    fn tasks_of(&self, run: Run) -> impl Iterator<Item = (TaskId, &Arc<Task>)> {
        let range = TaskKey { run, task: 0 }..=TaskKey { run, task: u32::MAX };
        self.tasks.range(range).map(|(key, task)| (key.task, task))
    }

    fn tasks(&mut self, state: &impl StateRead) {
        let first_uses = all::<IdempotencyKeys>(state);
        let mut blocked = BTreeSet::new();
        for (key, task) in self.tasks.clone() {
            let name = format!("task {}/{}", key.run, key.task);
            let Some(workflow) = self.workflow(key.run).cloned() else {
                self.that(false, name, "has no workflow");
                continue;
            };
            let dead = matches!(task.state(), TaskState::DeadLettered(_));
            self.that(task.attempt >= 1, &name, "has no attempt");
            self.that(task.thawed <= workflow.reopened, &name, "became ready in a future life of its workflow");
            let thawed = task.thawed == workflow.reopened || workflow.sweep_due != 0 || workflow.kind() != StatusKind::Running;
            self.that(
                thawed || !matches!(task.state(), TaskState::Ready(_)),
                &name,
                "is offered under the attempt that it was frozen with",
            );
            self.that(task.failures <= task.attempt - u32::from(!dead), &name, "has failed more often than it was tried");
            self.that(task.failures <= task.retry.max_attempts, &name, "has failed more often than its policy allows");
            self.that(dead || task.failures < task.retry.max_attempts, &name, "has used up its attempts and is no dead letter");
            self.that(serde_json::from_slice::<Value>(&task.config).is_ok(), &name, "config is not JSON");
            if let TaskState::Blocked(state) = task.state() {
                blocked.insert(key.clone());
                let told = state.since_revision >= workflow.revision || !state.wake_on.is_empty() || workflow.sweep_due != 0;
                let goes_on = matches!(workflow.kind(), StatusKind::Running | StatusKind::Paused);
                self.that(told || !goes_on, &name, "waits for any change of the state and was not told of one");
            }
            let counted = !(dead && task.is_passed_over());
            if counted && !self.dissolving(&workflow) {
                let scope = ScopeKey { run: key.run, scope: task.scope };
                self.that(self.scopes.contains_key(&scope), &name, format!("is in scope {}, which is not open", task.scope));
            }
            if !task.idempotency_key.is_empty() && !self.retiring(&workflow) {
                let key_of = IdempotencyKey { run: key.run, key: task.idempotency_key.clone() };
                let first = first_uses.get(&key_of).map(|first| first.task);
                self.that(first == Some(key.task), &name, format!("has the idempotency key of task {first:?}"));
            }
        }
        for (key, first) in &first_uses {
            let right = self.workflow(key.run).is_some_and(|workflow| first.task < workflow.next_task);
            self.that(right, format!("idempotency key {:?} of run {}", key.key, key.run), "names a task that never was");
        }
        self.same("BlockedTasks", &keys::<BlockedTasks>(state), &blocked);
    }

    fn scopes(&mut self) {
        let mut open: BTreeMap<ScopeKey, u32> = BTreeMap::new();
        for (key, task) in &self.tasks {
            if !(matches!(task.state(), TaskState::DeadLettered(_)) && task.is_passed_over()) {
                *open.entry(ScopeKey { run: key.run, scope: task.scope }).or_default() += 1;
            }
        }
        for (key, scope) in &self.scopes {
            if key.scope != OUTERMOST {
                *open.entry(ScopeKey { run: key.run, scope: scope.parent }).or_default() += 1;
            }
        }
        for (key, scope) in self.scopes.clone() {
            let name = format!("scope {}/{}", key.run, key.scope);
            let Some(workflow) = self.workflow(key.run).cloned() else {
                self.that(false, name, "has no workflow");
                continue;
            };
            self.that(key.scope < workflow.next_scope, &name, "has a number that was not given out");
            if self.dissolving(&workflow) {
                self.that(workflow.sweep_due != 0 || self.retiring(&workflow), &name, "is left over from a workflow that has ended");
                continue;
            }
            let counted = open.get(&key).copied().unwrap_or(0);
            self.that(scope.open == counted, &name, format!("counts {} open, has {counted}", scope.open));
            self.that(scope.open > 0, &name, "is open and empty");
            self.that(key.scope != OUTERMOST || scope.parent == OUTERMOST, &name, "is the outermost and has a parent");
            if key.scope != OUTERMOST {
                let around: Option<&Arc<Scope>> = self.scopes.get(&ScopeKey { run: key.run, scope: scope.parent });
                let right = around.is_some_and(|around| around.depth + 1 == scope.depth);
                self.that(right, &name, format!("stands in scope {}, which is not open at the depth above it", scope.parent));
            }
        }
        for workflow in self.workflows.clone().values().filter(|workflow| !workflow.kind().is_final()) {
            let outermost = self.scopes.contains_key(&ScopeKey { run: workflow.run, scope: OUTERMOST as ScopeId });
            self.that(outermost, format!("run {}", workflow.run), "goes on without an outermost scope");
        }
    }

    fn ready_order(&mut self, state: &impl StateRead) {
        let listed = all::<ReadyTasks>(state);
        for (key, record) in &listed {
            let name = format!("ready entry {}/{}", key.run, key.task);
            let task = self.tasks.get(&TaskKey { run: key.run, task: key.task }).cloned();
            let (Some(task), Some(workflow)) = (task, self.workflow(key.run).cloned()) else {
                self.that(false, name, "has no task");
                continue;
            };
            let right = matches!(task.state(), TaskState::Ready(place) if ready::key(&workflow, key.task, &task, place) == *key);
            self.that(right, &name, "is not where its task belongs");
            self.that(record.attempt == task.attempt && record.timeout == task.timeout, &name, "names another attempt or timeout");
            let due = workflow.kind() == StatusKind::Running || workflow.sweep_due != 0;
            self.that(due, &name, format!("stands while its workflow is {}", workflow.kind().as_str()));
        }
        for (key, task) in self.tasks.clone() {
            let Some(workflow) = self.workflow(key.run).cloned() else { continue };
            if let (TaskState::Ready(place), StatusKind::Running, 0) = (task.state(), workflow.kind(), workflow.sweep_due) {
                let there = listed.contains_key(&ready::key(&workflow, key.task, &task, place));
                self.that(there, format!("task {}/{}", key.run, key.task), "is ready and not in the ready order");
            }
        }
    }

    fn timers(&mut self, state: &impl StateRead) {
        let mut found = keys::<Timers>(state);
        let mut wanted = BTreeSet::new();
        for (key, task) in &self.tasks {
            let due = match task.state() {
                TaskState::Delayed(delayed) => delayed.until,
                TaskState::Blocked(blocked) if blocked.recheck != 0 => blocked.recheck,
                _ => continue,
            };
            wanted.insert(TimerKey { due, kind: TimerKind::Task as u8, run: key.run, task: key.task });
        }
        for workflow in self.workflows.clone().values() {
            let timer = |due, kind: TimerKind| TimerKey { due, kind: kind as u8, run: workflow.run, task: 0 };
            if workflow.deadline != 0 && !workflow.kind().is_final() {
                wanted.insert(timer(workflow.deadline, TimerKind::Deadline));
            }
            if let Status::Cancelling(cancelling) = workflow.status() {
                wanted.insert(timer(cancelling.until, TimerKind::CancelGrace));
            }
            if workflow.sweep_due != 0 {
                wanted.insert(timer(workflow.sweep_due, TimerKind::Sweep));
            }
            let is_retention = |key: &TimerKey| key.kind == TimerKind::Retention as u8 && key.run == workflow.run;
            let retention: Vec<_> = found.iter().filter(|key| is_retention(key)).map(|key| key.due).collect();
            found.retain(|key| !is_retention(key));
            let right = match workflow.ended_at() {
                Some(ended) => retention.len() == 1 && retention[0] >= ended.saturating_add(workflow.retention),
                None => retention.is_empty(),
            };
            self.that(right, format!("run {}", workflow.run), format!("has retention timers at {retention:?}"));
        }
        self.same("Timers", &found, &wanted);
    }

    fn lists(&mut self, state: &impl StateRead) {
        let (mut by_status, mut by_label, mut by_time) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for w in self.workflows.values() {
            let (namespace, run) = (w.namespace.clone(), w.run);
            by_status.insert(StatusKey { namespace: namespace.clone(), status: w.kind() as u8, run });
            by_time.insert(TimeKey { namespace: namespace.clone(), age: u64::MAX - w.created, run });
            for (label, value) in &w.labels {
                by_label.insert(LabelKey { namespace: namespace.clone(), label: label.clone(), value: value.clone(), run });
            }
        }
        self.same("StatusList", &keys::<StatusList>(state), &by_status);
        self.same("LabelList", &keys::<LabelList>(state), &by_label);
        self.same("TimeList", &keys::<TimeList>(state), &by_time);
    }

    fn derived(&mut self, state: &impl StateRead) {
        self.that(derived::up_to_date(state), "Meta", "names derived tables of another version");
        let (mut listed, mut dead) = (BTreeSet::new(), BTreeSet::new());
        for (key, task) in &self.tasks {
            // A task without a workflow is found elsewhere.
            let Some(workflow) = self.workflow(key.run) else { continue };
            listed.insert(derived::listed(workflow, key.task, task));
            dead.extend(derived::dead_letter(workflow, key.task, task));
        }
        let mut counts: BTreeMap<StatusCountKey, u64> = BTreeMap::new();
        for w in self.workflows.values() {
            *counts.entry(StatusCountKey { namespace: w.namespace.clone(), status: w.kind() as u8 }).or_default() += 1;
        }
        let place = |key: &EventKey| EventPos { index: key.index, ordinal: key.ordinal };
        let attempts = all::<Events>(state).iter().filter_map(|(key, event)| derived::attempt(event, place(key))).collect();
        let counted = all::<StatusCounts>(state).into_iter().map(|(key, counter)| (key, Counter::clone(&counter).value)).collect();
        let mut cluster: BTreeMap<u8, u64> = BTreeMap::new();
        for task in self.tasks.values() {
            *cluster.entry(derived::counter(task.state()) as u8).or_default() += 1;
        }
        cluster.insert(CounterName::Timers as u8, keys::<Timers>(state).len() as u64);
        cluster.retain(|_, count| *count > 0);
        let of_cluster = all::<Counters>(state).into_iter().map(|(key, counter)| (key.name, counter.value));
        let of_cluster = of_cluster.filter(|(name, _)| CounterName::DERIVED.iter().any(|derived| *derived as u8 == *name)).collect();
        self.same("Counters", &of_cluster, &cluster.into_iter().collect());
        self.same("TaskList", &keys::<TaskList>(state), &listed);
        self.same("DeadLetters", &keys::<DeadLetters>(state), &dead);
        self.same("StatusCounts", &counted, &counts.into_iter().collect());
        self.same("AttemptEvents", &keys::<AttemptEvents>(state), &attempts);
    }

    fn history(&mut self, state: &impl StateRead) {
        let events: BTreeMap<EventKey, Arc<Event>> = all::<Events>(state);
        let mut of_run: BTreeMap<Run, Vec<(EventKey, u64)>> = BTreeMap::new();
        for key in keys::<RunEvents>(state) {
            let at = EventKey { index: key.index, ordinal: key.ordinal };
            let number = events.get(&at).filter(|event| event.run == key.run).map(|event| event.number);
            self.that(number.is_some(), format!("run {}", key.run), format!("lists {at:?}, which is no event of it"));
            of_run.entry(key.run).or_default().push((at, number.unwrap_or(0)));
        }
        let listed: usize = of_run.values().map(Vec::len).sum();
        self.that(listed == events.len(), "Events", format!("holds {} events, {listed} are listed by run", events.len()));
        for event in events.values() {
            self.that(event.at <= self.now, format!("event {} of run {}", event.number, event.run), "happened in the future");
        }
        for workflow in self.workflows.clone().values() {
            let numbers: Vec<_> = of_run.remove(&workflow.run).unwrap_or_default().into_iter().map(|(_, number)| number).collect();
            let first = if self.retiring(workflow) { workflow.events + 1 - numbers.len() as u64 } else { 1 };
            let right = numbers.iter().copied().eq(first..=workflow.events);
            self.that(right, format!("run {}", workflow.run), format!("has written {} events, has {numbers:?}", workflow.events));
        }
        self.that(of_run.is_empty(), "RunEvents", format!("lists events of runs that are gone: {:?}", of_run.keys()));

        let resolved = all::<TaskEvents>(state);
        for (key, at) in &resolved {
            let name = format!("task {}/{}", key.run, key.task);
            let event = events.get(&EventKey { index: at.index, ordinal: at.ordinal });
            let names_it = event.is_some_and(|event| event.run == key.run && resolved_task(event) == Some(key.task));
            let retiring = self.workflow(key.run).is_some_and(|workflow| self.retiring(workflow));
            self.that(names_it || retiring, &name, "is resolved by an event that does not say so");
            let open = self.tasks.get(key).is_some_and(|task| !matches!(task.state(), TaskState::DeadLettered(_)));
            self.that(!open, &name, "is open and resolved");
        }
        for workflow in self.workflows.clone().values() {
            if self.dissolving(workflow) {
                continue;
            }
            for task in 1..workflow.next_task {
                let key = TaskKey { run: workflow.run, task };
                let known = self.tasks.contains_key(&key) || resolved.contains_key(&key);
                self.that(known, format!("task {}/{task}", workflow.run), "is neither open nor resolved");
            }
        }
    }

    fn requests(&mut self, state: &impl StateRead) {
        let requests = all::<Requests>(state);
        let wanted = requests
            .iter()
            .map(|(key, record)| ExpiryKey { expires: record.expires, namespace: key.namespace.clone(), id: key.id.clone() })
            .collect();
        self.same("RequestExpiry", &keys::<RequestExpiry>(state), &wanted);
        for (SessionKey { incarnation }, session) in all::<Sessions>(state) {
            self.that(session.incarnation == incarnation, format!("session {incarnation}"), "is stored under another incarnation");
        }
    }

    /// A version that is in force was put into force at some index, later ones later.
    fn versions(&mut self, state: &impl StateRead) {
        let meta = view::meta(state);
        let now = meta.machine_version;
        self.that(now <= MACHINE_VERSION, "the machine version", "is one that this build cannot follow");
        self.that((now == 0) == meta.lineage.is_empty(), "the machine version", "is in force exactly where the cluster has a name");
        let rising = meta.versions.is_sorted_by(|a, b| a.version < b.version && a.from_index < b.from_index);
        let last = meta.versions.last().map_or(now.min(FIRST_MACHINE_VERSION), |last| last.version);
        self.that(rising && last == now, "the machine version", "is not the last one that was put into force");
    }
}

/// The task that an event resolves.
fn resolved_task(event: &Event) -> Option<TaskId> {
    match event.happened.as_ref()? {
        Happened::Completed(e) => Some(e.task),
        Happened::DeadLettered(e) => Some(e.task),
        Happened::Failed(e) => Some(e.task),
        Happened::HandedBack(e) => Some(e.task),
        _ => None,
    }
}

/// Whether an object member (outside arrays) is null.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(|member| member.is_null() || has_null(member)),
        _ => false,
    }
}
