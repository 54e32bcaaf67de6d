//! Looking at workflows, and saying what they should be like. A failed assertion prints the whole story.

use std::fmt::Write;

use graft_convert::{events, tasks, workflows};
use graft_machine::ids::{EventPos, Run};
use graft_machine::limits::PAGE_MAX;
use graft_machine::tables::RunEventKey;
use graft_machine::view;
use graft_proto::v1::{Event, TaskSummary, WorkflowStatus, WorkflowSummary};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::engine::{SEED_VARIABLE, TestEngine};
use super::events::{Seen, line, span};
use crate::handle::status_name;
use graft_proto::json::RawJson;

/// Workflows whose stories are printed when all of them are.
const STORIES_MAX: usize = 5;

/// A workflow in a [`TestEngine`], as it is now.
#[derive(Clone, Copy, Debug)]
pub struct TestWorkflow<'a> {
    engine: &'a TestEngine,
    run: Run,
}

impl TestEngine {
    /// The current run of a workflow.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn workflow(&self, id: &str) -> TestWorkflow<'_> {
        self.find(id).unwrap_or_else(|| {
            let known: Vec<String> = self.workflows().iter().map(|workflow| format!("{:?}", workflow.summary().workflow_id)).collect();
            panic!("no workflow is called {id:?} in the engine; there are: {}", known.join(", "))
        })
    }

    /// The current run of a workflow, if there is one.
    pub fn find(&self, id: &str) -> Option<TestWorkflow<'_>> {
        let found = view::find(&self.machine.state, self.client.namespace(), id, 0)?;
        Some(TestWorkflow { engine: self, run: found.run })
    }

    /// The first thousand workflows, the youngest first.
    pub fn workflows(&self) -> Vec<TestWorkflow<'_>> {
        let runs = view::youngest(&self.machine.state, self.client.namespace(), PAGE_MAX);
        runs.into_iter().map(|run| TestWorkflow { engine: self, run }).collect()
    }

    /// The stories of a few workflows.
    pub(super) fn tell_all(&self) -> String {
        let workflows = self.workflows();
        let mut told: Vec<String> = workflows.iter().take(STORIES_MAX).map(TestWorkflow::tell).collect();
        if workflows.len() > STORIES_MAX {
            told.push(format!("and {} workflows more", workflows.len() - STORIES_MAX));
        }
        told.join("\n")
    }
}

impl TestWorkflow<'_> {
    fn record(&self) -> std::sync::Arc<graft_machine::workflow::Workflow> {
        view::workflow(&self.engine.machine.state, self.run).expect("the engine is borrowed: nothing has deleted it")
    }

    /// Its status, counters and times.
    pub fn summary(&self) -> WorkflowSummary {
        workflows::summary(&self.record())
    }

    /// What it is doing.
    pub fn status(&self) -> WorkflowStatus {
        workflows::status(self.record().kind())
    }

    /// Its state as a type.
    ///
    /// # Panics
    /// If it does not fit.
    #[track_caller]
    pub fn state<T: DeserializeOwned>(&self) -> T {
        let (record, client) = (self.record(), &self.engine.client);
        let state = client.payloads(&record.id).state(RawJson::from_bytes(record.state.clone()).into_payload());
        let state = state.unwrap_or_else(|broken| self.wrong(&broken.into_error("read its state").to_string()));
        state.parse().unwrap_or_else(|error| {
            self.wrong(&format!("its state does not fit {}: {error}", std::any::type_name::<T>()));
        })
    }

    /// Its open tasks and dead letters.
    pub fn tasks(&self) -> Vec<TaskSummary> {
        let (state, mut found, mut after) = (&self.engine.machine.state, Vec::new(), 0);
        loop {
            let page = view::tasks(state, self.run, after, PAGE_MAX);
            found.extend(page.iter().map(|(number, task)| tasks::summary(*number, task)));
            match page.last() {
                Some((last, _)) if page.len() == PAGE_MAX => after = *last,
                _ => return found,
            }
        }
    }

    /// Its dead letters.
    pub fn dead_letters(&self) -> Vec<TaskSummary> {
        self.tasks().into_iter().filter(|task| task.state == "dead-lettered").collect()
    }

    /// Its history, as [`WorkflowHandle::history`](crate::WorkflowHandle::history) tells it.
    pub fn events(&self) -> Vec<Event> {
        let (state, mut found, mut after) = (&self.engine.machine.state, Vec::new(), None);
        loop {
            let page = view::events(state, self.run, after, PAGE_MAX);
            found.extend(page.iter().map(|(at, event)| {
                let EventPos { index, ordinal } = *at;
                events::event(1, &RunEventKey { run: self.run, index, ordinal }, event)
            }));
            match page.last() {
                Some((last, _)) if page.len() == PAGE_MAX => after = Some(*last),
                _ => return found,
            }
        }
    }

    /// How many such events there are.
    pub fn count(&self, seen: Seen) -> usize {
        self.events().iter().filter(|event| seen.is(event)).count()
    }

    /// It has this status.
    #[track_caller]
    pub fn assert_status(&self, status: WorkflowStatus) -> &Self {
        if self.status() != status {
            self.wrong(&format!("it is {}, and should be {}", status_name(self.status()), status_name(status)));
        }
        self
    }

    /// It has completed.
    #[track_caller]
    pub fn assert_completed(&self) -> &Self {
        self.assert_status(WorkflowStatus::Completed)
    }

    /// It has failed, with an error that contains `words`.
    #[track_caller]
    pub fn assert_failed_with(&self, words: &str) -> &Self {
        self.assert_status(WorkflowStatus::Failed);
        let reason = self.summary().reason;
        if !reason.contains(words) {
            self.wrong(&format!("it failed with {reason:?}, which does not contain {words:?}"));
        }
        self
    }

    /// Its state is exactly this.
    ///
    /// # Panics
    /// If it is not, or `expected` cannot be written as JSON.
    #[track_caller]
    pub fn assert_state<T: Serialize + ?Sized>(&self, expected: &T) -> &Self {
        let expected = serde_json::to_value(expected).unwrap_or_else(|error| panic!("the expected state is no JSON: {error}"));
        let state: Value = self.state();
        if state != expected {
            self.wrong(&format!("its state is {state}, and should be {expected}"));
        }
        self
    }

    /// Its state has this value at a JSON pointer (RFC 6901); `null` stands for nothing, too.
    ///
    /// # Panics
    /// If it has not, or `expected` cannot be written as JSON.
    #[track_caller]
    pub fn assert_state_at<T: Serialize + ?Sized>(&self, pointer: &str, expected: &T) -> &Self {
        let expected = serde_json::to_value(expected).unwrap_or_else(|error| panic!("the expected value is no JSON: {error}"));
        let state: Value = self.state();
        let found = state.pointer(pointer).unwrap_or(&Value::Null);
        if *found != expected {
            self.wrong(&format!("its state has {found} at {pointer:?}, and should have {expected}"));
        }
        self
    }

    /// Its history holds these events in this order, possibly with others between.
    #[track_caller]
    pub fn assert_seen(&self, wanted: impl IntoIterator<Item = Seen>) -> &Self {
        let events = self.events();
        let mut rest = events.iter();
        for (at, seen) in wanted.into_iter().enumerate() {
            if !rest.any(|event| seen.is(event)) {
                let anywhere = events.iter().any(|event| seen.is(event));
                let how = if anywhere { "does not come where it should" } else { "is not there at all" };
                self.wrong(&format!("event {} of those that it should have ({seen}) {how}", at + 1));
            }
        }
        self
    }

    /// Its history holds no such event.
    #[track_caller]
    pub fn assert_never(&self, unwanted: Seen) -> &Self {
        if let Some(event) = self.events().iter().find(|event| unwanted.is(event)) {
            self.wrong(&format!("its event {} is one that should never come: {unwanted}", event.number));
        }
        self
    }

    /// All its open tasks and dead letters are these, as `node state` (`ship blocked`), in the order of their numbers.
    #[track_caller]
    pub fn assert_tasks<'t>(&self, wanted: impl IntoIterator<Item = &'t str>) -> &Self {
        let found: Vec<String> = self.tasks().iter().map(|task| format!("{} {}", task.node, task.state)).collect();
        let wanted: Vec<&str> = wanted.into_iter().collect();
        if found != wanted {
            self.wrong(&format!("its tasks are {found:?}, and should be {wanted:?}"));
        }
        self
    }

    #[track_caller]
    fn wrong(&self, what: &str) -> ! {
        panic!("workflow {:?}: {what}\n{}", self.record().id, self.tell())
    }

    /// The workflow as people read it: status, state, tasks, history.
    pub fn tell(&self) -> String {
        let record = self.record();
        let summary = workflows::summary(&record);
        let mut told = format!("workflow {:?} (run {}) is {}", record.id, record.run, status_name(self.status()));
        if !summary.reason.is_empty() {
            let _ = write!(told, ": {}", summary.reason);
        }
        let _ = write!(told, ", {} after the engine's start", span(self.engine.elapsed()));
        if let Some(seed) = self.engine.seed {
            let _ = write!(told, ", with seed {seed} (repeat it with {SEED_VARIABLE}={seed} or .seed({seed}))");
        }
        let _ = write!(told, "\n  state: {}", String::from_utf8_lossy(&record.state));
        for task in self.tasks() {
            let _ = write!(told, "\n  task {} of node {}: {}", task.task, task.node, task.state);
            if !self.engine.capacities.contains_key(&task.node) {
                told.push_str(", and no node of that name is in the engine (add it, or stub it)");
            } else if self.engine.running.keys().any(|at| at.run == self.run && at.task == task.task) {
                told.push_str(", executed now");
            }
            if !task.last_error.is_empty() {
                let _ = write!(told, "; failed {} times, last with: {}", task.failures, task.last_error);
            }
        }
        told.push_str("\n  history:");
        for event in self.events() {
            let _ = write!(told, "\n  {}", line(&event));
        }
        told
    }
}
