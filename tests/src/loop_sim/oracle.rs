//! What must never be otherwise. Ids are those of the invariants' list: S1 no acknowledged start is lost, S2 replicas agree, S3 a request
//! id means one thing, S4 a task completes at most once, S5 and S6 fencing and one live lease, S7 the state is the fold of accepted
//! completions, S8 a join fires once, S9 what has ended stays so, S10 and S11 nothing is dispatched of what is paused or cancelled, S12
//! limits, S15 timers, S16 attempts, S22 what completed was executed. And no workflow completes that has a dead letter which its policy keeps;
//! what is redriven is tried again; and the lists and counts for people say what the history says.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::Applied;
use graft_machine::command::{Command, Envelope, LogEntry};
use graft_machine::event::{CreatedTask, Event, Happened};
use graft_machine::ids::{AttemptRef, Lease, Run, ScopeId, TaskRef};
use graft_machine::invariants;
use graft_machine::limits::PAGE_MAX;
use graft_machine::memory::Memory;
use graft_machine::reply::{Answer, RejectionCode, Reply};
use graft_machine::tables::LimitKey;
use graft_machine::task::{Exhausted, TaskState};
use graft_machine::view;
use graft_machine::workflow::StatusKind;

/// Applied entries between two looks at the whole state.
const CHECK_EVERY: usize = 150;

/// What is known of a run from its history.
#[derive(Debug, Default)]
struct RunFacts {
    completions: u64,
    ended: bool,
    /// What the history says that it is.
    status: Option<StatusKind>,
    /// The last that was heard of it is that a dead letter was discarded, or a join that this has closed.
    discarding: bool,
}

/// Watches everything.
#[derive(Debug, Default)]
pub struct Oracle {
    /// What the first member to apply each entry saw.
    seen: Vec<(u64, Vec<Applied>)>,
    time: u64,
    minted: BTreeMap<AttemptRef, BTreeMap<Lease, String>>,
    executions: BTreeSet<(AttemptRef, Lease)>,
    answers: BTreeMap<String, Answer>,
    started: BTreeMap<String, Run>,
    /// What each request id that took effect said, hashed.
    accepted: BTreeMap<String, u64>,
    runs: BTreeMap<Run, RunFacts>,
    completed: BTreeSet<TaskRef>,
    joins: BTreeSet<(Run, ScopeId)>,
    not_before: BTreeMap<TaskRef, u64>,
    attempts: BTreeMap<TaskRef, u32>,
    /// Dead letters, and whether their policy passes over them.
    dead: BTreeMap<TaskRef, bool>,
    /// Redriven, and not tried yet.
    redriven: BTreeSet<TaskRef>,
    /// How often each task has failed or was lost.
    failed: BTreeMap<TaskRef, usize>,
    /// Completions, failures and losses, late results, lost leases: what a run of many seeds should have met.
    pub met: BTreeMap<&'static str, u64>,
}

type Verdict = Result<(), String>;

macro_rules! must {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(format!($($words)*));
        }
    };
}

impl Oracle {
    fn meet(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// A member has applied the entry at `index` (from 1), written in `term`.
    pub fn applied(&mut self, index: usize, term: u64, entry: &LogEntry, applied: Vec<Applied>, state: &Memory) -> Verdict {
        if let Some((seen_term, seen)) = self.seen.get(index - 1) {
            must!(*seen_term == term, "S2: entry {index} is of term {term} here, of {seen_term} elsewhere");
            must!(*seen == applied, "S2: entry {index} came to something else here:\n{applied:?}\nelsewhere\n{seen:?}");
            return Ok(());
        }
        must!(index == self.seen.len() + 1, "entry {index} was applied before its predecessors");
        must!(entry.time >= self.time, "S15: the stamp of entry {index} goes back from {} to {}", self.time, entry.time);
        self.time = entry.time;
        for (envelope, applied) in entry.commands.iter().zip(&applied) {
            self.request(envelope, &applied.reply)?;
            if let Some(Command::Start(start)) = &envelope.command
                && let Ok(Reply::Started(started)) = &applied.reply
            {
                let first = *self.started.entry(start.id.clone()).or_insert(started.run);
                must!(first == started.run, "S3: {} was started as run {first} and as {}", start.id, started.run);
            }
            for event in &applied.events {
                self.event(term, event)?;
            }
        }
        self.seen.push((term, applied));
        if index.is_multiple_of(CHECK_EVERY) {
            self.check(state)?;
        }
        Ok(())
    }

    /// A request id means what took effect under it first: everything else under it is refused, as just that.
    fn request(&mut self, envelope: &Envelope, answer: &Answer) -> Verdict {
        let (id, hash) = (&envelope.request_id, envelope.payload_hash);
        match self.accepted.get(id) {
            Some(first) if *first != hash => {
                let code = answer.as_ref().err().map(|rejection| rejection.code);
                must!(code == Some(RejectionCode::RequestConflict as i32), "S3: request {id} had taken effect otherwise, then: {answer:?}");
                self.meet("request id used twice");
            }
            None if !id.is_empty() && answer.is_ok() => drop(self.accepted.insert(id.clone(), hash)),
            _ => {}
        }
        Ok(())
    }

    /// The whole state.
    pub fn check(&self, state: &Memory) -> Verdict {
        invariants::check(state).map_err(|wrong| format!("invariants of the state: {}", wrong.join("; ")))
    }

    fn created(&mut self, run: Run, created: &[CreatedTask]) {
        for task in created.iter().filter(|task| task.skipped_for == 0) {
            self.not_before.insert(TaskRef { run, task: task.task }, task.not_before);
        }
    }

    /// An attempt ended at machine's time `at`.
    fn ended(&mut self, task: TaskRef, attempt: u32, at: u64) -> Verdict {
        let not_before = self.not_before.get(&task).copied().unwrap_or(0);
        must!(at >= not_before, "S15: {task}#{attempt} ended at {at}, before it could start at {not_before}");
        let last = self.attempts.insert(task, attempt).unwrap_or(0);
        must!(attempt > last, "S16: attempt {attempt} of {task} ended after attempt {last}");
        must!(!self.dead.contains_key(&task), "attempt {attempt} of {task} ended, which is a dead letter");
        self.redriven.remove(&task);
        Ok(())
    }

    fn event(&mut self, term: u64, event: &Event) -> Verdict {
        let (run, at) = (event.run, event.at);
        let task_ref = |task| TaskRef { run, task };
        let happened = event.happened.as_ref().ok_or("an event without content")?;
        let facts = self.runs.entry(run).or_default();
        let ends = matches!(
            happened,
            Happened::WorkflowCompleted(_)
                | Happened::WorkflowFailed(_)
                | Happened::WorkflowCancelled(_)
                | Happened::WorkflowTerminated(_)
                | Happened::WorkflowTimedOut(_)
        );
        let reopens = matches!(happened, Happened::DeadLetterRedriven(redriven) if redriven.reopened);
        // The join of a dead letter that is discarded fires in a workflow that has failed, too; what it starts is frozen.
        let closes = facts.discarding && facts.status == Some(StatusKind::Failed) && matches!(happened, Happened::ScopeClosed(_));
        let discards = matches!(happened, Happened::DeadLetterDiscarded(_));
        let harmless = closes || discards || matches!(happened, Happened::LateResultIgnored(_));
        must!(!facts.ended || harmless || reopens, "S9: run {run} had ended, then: {happened:?}");
        must!(facts.ended || !reopens, "run {run} was reopened, and had not ended");
        let over = matches!(facts.status, Some(StatusKind::Cancelled | StatusKind::Terminated | StatusKind::TimedOut));
        must!(!reopens || !over, "S9: run {run} was reopened and is {:?}", facts.status);
        facts.ended = (facts.ended || ends) && !reopens;
        facts.discarding = discards || closes;
        facts.status = status_after(happened).or(facts.status);
        match happened {
            Happened::Started(e) => self.created(run, &e.created),
            Happened::Completed(e) => {
                facts.completions += 1;
                let task = task_ref(e.task);
                must!(self.completed.insert(task), "S4: {task} completed twice");
                self.ended(task, e.attempt, at)?;
                let attempt = AttemptRef { run, task: e.task, attempt: e.attempt };
                let minted = self.minted.get(&attempt).ok_or_else(|| format!("S5: {attempt} completed without a lease"))?;
                must!(minted.contains_key(&e.lease), "S5: {attempt} completed under {:?}, which nobody minted", e.lease);
                must!(
                    self.executions.contains(&(attempt, e.lease)),
                    "S22: {attempt} completed under {:?}, and nobody had begun it",
                    e.lease
                );
                // A leader knows what it minted itself. What an earlier one gave to a worker that is silent, it cannot know.
                let newest = minted.keys().filter(|lease| lease.term == term).max();
                must!(newest.is_none_or(|newest| *newest == e.lease), "S5: {attempt} completed under {:?}, after {newest:?}", e.lease);
                self.created(run, &e.created);
                self.meet("completed");
            }
            Happened::Failed(e) => {
                self.ended(task_ref(e.task), e.attempt, at)?;
                self.not_before.insert(task_ref(e.task), e.retry_at);
                *self.failed.entry(task_ref(e.task)).or_default() += 1;
                self.meet(if e.message.contains("lease ran out") || e.message.contains("went away") { "lost" } else { "failed" });
            }
            Happened::HandedBack(e) => {
                self.ended(task_ref(e.task), e.attempt, at)?;
                self.meet("handed back");
            }
            Happened::Blocked(e) => {
                self.ended(task_ref(e.task), e.attempt, at)?;
                self.meet("blocked");
            }
            Happened::ScopeClosed(e) => {
                must!(self.joins.insert((run, e.scope)), "S8: the join of scope {} of run {run} fired twice", e.scope);
                if let Some(continuation) = &e.continuation {
                    self.created(run, std::slice::from_ref(continuation));
                }
                self.meet("joined");
            }
            Happened::LateResultIgnored(_) => self.meet("late result"),
            Happened::Paused(_) => self.meet("paused"),
            Happened::WorkflowCancelled(_) => self.meet("cancelled"),
            Happened::DeadLettered(e) => {
                let policy = e.then.as_ref().and_then(|policy| policy.then.as_ref());
                let passed_over = matches!(policy, Some(Exhausted::Continue(()) | Exhausted::ErrorNode(_)));
                self.dead.insert(task_ref(e.task), passed_over);
                if let Some(task) = &e.error_task {
                    self.created(run, std::slice::from_ref(task));
                }
                self.meet("dead letter");
            }
            Happened::DeadLetterRedriven(e) => {
                let task = task_ref(e.task);
                must!(self.dead.remove(&task).is_some(), "{task} was redriven, and is no dead letter");
                must!(!self.joins.contains(&(run, e.scope)), "S8: {task} was redriven into scope {}, whose join has fired", e.scope);
                let last = self.attempts.get(&task).copied().unwrap_or(0);
                must!(e.attempt > last, "S5: {task} was redriven as attempt {}, after attempt {last}", e.attempt);
                self.not_before.insert(task, at);
                self.redriven.insert(task);
                self.meet("redriven");
                if e.reopened {
                    self.meet("reopened");
                }
            }
            Happened::DeadLetterDiscarded(e) => {
                must!(self.dead.remove(&task_ref(e.task)).is_some(), "{}/{} was discarded, and is no dead letter", run, e.task);
                self.meet("discarded");
            }
            Happened::TaskRetried(e) => {
                self.not_before.insert(task_ref(e.task), at);
                self.meet("retried");
            }
            Happened::WorkflowCompleted(_) => {
                let kept = self.dead.range(first_of(run)..=last_of(run)).find(|(_, passed_over)| !**passed_over);
                must!(kept.is_none(), "run {run} completed with a dead letter that its policy keeps: {kept:?}");
                self.meet("workflow completed");
            }
            Happened::WorkflowFailed(_) => self.meet("workflow failed"),
            _ => {}
        }
        Ok(())
    }

    /// A client was answered.
    pub fn answered(&mut self, request: &str, answer: &Answer) -> Verdict {
        if answer.is_ok() {
            let first = self.answers.entry(request.to_owned()).or_insert_with(|| answer.clone());
            must!(first == answer, "S3: request {request} was answered {first:?}, then {answer:?}");
        }
        Ok(())
    }

    /// The leader of `term` sends an assignment. `held` is every attempt that somebody holds: by the leader's count, or truly, at a worker
    /// whose lease still runs.
    pub fn minted(
        &mut self,
        term: u64,
        at: AttemptRef,
        lease: Lease,
        worker: &str,
        state: &Memory,
        held: &BTreeSet<AttemptRef>,
    ) -> Verdict {
        let leases = self.minted.entry(at).or_default();
        must!(lease.term == term, "a lease of term {} was minted in term {term}", lease.term);
        must!(leases.keys().all(|older| older.term < term), "S6: {at} was leased twice in term {term}");
        leases.insert(lease, worker.to_owned());
        let again = leases.len() > 1;
        if again {
            self.meet("leased again");
        }
        let task = view::task(state, at.task_ref()).ok_or_else(|| format!("S11: {at} was dispatched, but its task is gone"))?;
        let workflow = view::workflow(state, at.run).ok_or("a task without a workflow")?;
        must!(workflow.kind() == StatusKind::Running, "S10, S11: {at} was dispatched in a workflow that is {:?}", workflow.kind());
        must!(task.attempt == at.attempt, "S5: {at} was dispatched, but the attempt is {}", task.attempt);
        self.limits(at, state, held)
    }

    /// S12: with this attempt, nothing holds more than its limit.
    fn limits(&self, at: AttemptRef, state: &Memory, held: &BTreeSet<AttemptRef>) -> Verdict {
        let node_of = |at: &AttemptRef| {
            // What a workflow that has ended (a failed one keeps its tasks) still executes was told to stop, and is let go after a lease time:
            // code that does not look at its cancellation escapes, as the documentation says.
            view::workflow(state, at.run).filter(|workflow| !workflow.kind().is_final())?;
            let task = view::task(state, at.task_ref())?;
            (task.attempt == at.attempt && matches!(task.state(), TaskState::Ready(_))).then(|| task.node.clone())
        };
        let node = node_of(&at).ok_or("a dispatched task is ready")?;
        let nodes: Vec<String> = held.iter().filter_map(node_of).collect();
        let count = nodes.iter().filter(|held| **held == node).count();
        for (key, limit) in view::limits(state, None, 100) {
            let held = if key == LimitKey::total() {
                nodes.len()
            } else if key.node == node {
                count
            } else {
                continue;
            };
            must!(held <= limit.max as usize, "S12: {held} attempts are held under the limit {} of {key:?}, with {at}", limit.max);
        }
        for session in view::sessions(state, None, 100) {
            for declared in session.nodes.iter().filter(|declared| declared.node == node && declared.limit > 0) {
                must!(
                    count <= declared.limit as usize,
                    "S12: {count} attempts of {node}, declared limit {}, with {at}: {held:?}",
                    declared.limit
                );
            }
        }
        Ok(())
    }

    /// A worker begins an execution; `elsewhere`: another one executes the same attempt, and its lease still runs.
    pub fn execution(&mut self, at: AttemptRef, lease: Lease, worker: &str, elsewhere: Option<&str>) -> Verdict {
        must!(self.executions.insert((at, lease)), "S22: {at} was begun twice under {lease:?}");
        if let Some(other) = elsewhere {
            return Err(format!("S6: {at} is begun by {worker} while {other} holds it"));
        }
        self.meet("executed");
        Ok(())
    }

    /// At the end: what was acknowledged is there, every state is the fold of its completions, what was redriven was tried (unless its workflow
    /// was ended before), and what people are shown is what the history says.
    pub fn finish(&self, state: &Memory) -> Verdict {
        self.check(state)?;
        for task in &self.redriven {
            let status = self.runs.get(&task.run).and_then(|facts| facts.status);
            let ended = matches!(status, Some(StatusKind::Failed | StatusKind::Cancelled | StatusKind::Terminated));
            must!(ended, "{task} was redriven and never tried, in a workflow that is {status:?}");
        }
        let mut counts: BTreeMap<StatusKind, u64> = BTreeMap::new();
        for status in self.runs.values().filter_map(|facts| facts.status) {
            *counts.entry(status).or_default() += 1;
        }
        let counted = view::status_counts(state, "default");
        must!(counted == counts, "workflows are counted as {counted:?}; the history says {counts:?}");
        let listed = view::dead_letters(state, "default", None, PAGE_MAX);
        let listed: BTreeSet<TaskRef> = listed.into_iter().map(|key| TaskRef { run: key.run, task: key.task }).collect();
        must!(listed.iter().eq(self.dead.keys()), "dead letters are listed as {listed:?}; the history says {:?}", self.dead);
        for (task, failed) in &self.failed {
            let listed = view::failed_attempts(state, *task, None, PAGE_MAX).len();
            must!(listed == *failed, "{listed} failed attempts of {task} are listed, {failed} were heard of");
        }
        for (request, answer) in &self.answers {
            if let Ok(Reply::Started(started)) = answer {
                must!(view::workflow(state, started.run).is_some(), "S1: {request} was acknowledged as run {}, which is gone", started.run);
            }
        }
        for (run, facts) in &self.runs {
            let workflow = view::workflow(state, *run).ok_or_else(|| format!("S1: run {run} is gone"))?;
            let state: serde_json::Value = serde_json::from_slice(&workflow.state).map_err(|error| error.to_string())?;
            let counted = state.get("n").and_then(serde_json::Value::as_u64).unwrap_or(0);
            let accepted = facts.completions;
            must!(counted == accepted, "S7: run {run} counts {counted} steps, {accepted} completions were accepted");
        }
        Ok(())
    }
}

/// The status that a workflow has after an event; `None`: the one that it had.
fn status_after(happened: &Happened) -> Option<StatusKind> {
    Some(match happened {
        Happened::Started(_) | Happened::Resumed(_) => StatusKind::Running,
        Happened::DeadLetterRedriven(redriven) if redriven.reopened => StatusKind::Running,
        Happened::Paused(_) => StatusKind::Paused,
        Happened::Cancelling(_) => StatusKind::Cancelling,
        Happened::WorkflowCompleted(_) => StatusKind::Completed,
        Happened::WorkflowFailed(_) => StatusKind::Failed,
        Happened::WorkflowCancelled(_) => StatusKind::Cancelled,
        Happened::WorkflowTerminated(_) => StatusKind::Terminated,
        Happened::WorkflowTimedOut(_) => StatusKind::TimedOut,
        _ => return None,
    })
}

fn first_of(run: Run) -> TaskRef {
    TaskRef { run, task: 0 }
}

fn last_of(run: Run) -> TaskRef {
    TaskRef { run, task: u32::MAX }
}
