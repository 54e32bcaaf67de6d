//! Tasks and dead letters, for programs and for people.

use std::fmt;

use graft_client::proto::{DeadLetter, FailedAttempt, OnExhausted, TaskOfWorkflow, TaskSummary, on_exhausted};
use graft_client::{ClientError, DeadLetterOutcome, DeadLetterPage, RawJson, Resolved, TaskDetails, TaskPage, is_final, status_name};
use graft_proto::documents;

use super::event::line;
use super::json::some;
use super::style::{Line, Tone};
use super::table::{column, cut, facts, last_words, short, table, task_state, tone, wide};
use super::time::{ago, duration_ms, duration_us, rfc3339};
use super::{Answer, View, compact};
use crate::cli::value::TaskRef;
use crate::error::CliResult;

/// `WORKFLOW/TASK`, as people read it.
pub(crate) fn name(workflow: &str, task: u32) -> String {
    TaskRef { workflow: workflow.to_owned(), run: 0, task }.to_string()
}

/// `WORKFLOW/TASK@RUN`, as other verbs take it: it stays that task, whatever run comes next.
fn exact(workflow: &str, run: u64, task: u32) -> String {
    TaskRef { workflow: workflow.to_owned(), run, task }.to_string()
}

fn summary(task: &TaskOfWorkflow) -> &TaskSummary {
    static NONE: std::sync::LazyLock<TaskSummary> = std::sync::LazyLock::new(TaskSummary::default);
    task.task.as_ref().unwrap_or(&NONE)
}

impl Answer for TaskPage {
    type Document = documents::TaskList;

    fn document(&self) -> documents::TaskList {
        documents::TaskList { tasks: self.tasks.iter().map(Into::into).collect(), next_cursor: self.next_cursor.clone() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.tasks.iter().map(|task| compact(&documents::Task::from(task))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.tasks.iter().map(|task| exact(&task.workflow_id, task.run, summary(task).task)).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |of: &TaskOfWorkflow| {
            let task = summary(of);
            vec![
                name(&of.workflow_id, task.task),
                task.node.clone(),
                task_state(task, view.now_ms),
                format!("{}/{}", task.failures, task.max_attempts),
                of.run.to_string(),
                task.scope.to_string(),
                task.priority.to_string(),
                short(last_words(task)),
            ]
        };
        let columns = [
            column("TASK"),
            column("NODE"),
            column("STATE"),
            column("FAILED"),
            wide("RUN"),
            wide("SCOPE"),
            wide("PRIORITY"),
            column("LAST WORDS"),
        ];
        table(view, &columns, self.tasks.iter().map(row))
    }
}

impl Answer for TaskDetails {
    type Document = documents::TaskDetail;

    fn document(&self) -> documents::TaskDetail {
        let error_node = match self.on_exhausted.as_ref().and_then(|then| then.then.as_ref()) {
            Some(on_exhausted::Then::ErrorNode(node)) => some(node),
            _ => None,
        };
        documents::TaskDetail {
            task: documents::Task { workflow_id: self.workflow_id.clone(), run: self.run, task: (&self.task).into() },
            workflow_status: self.workflow_status.into(),
            on_exhausted: documents::task::OnExhausted::of(self.on_exhausted.as_ref()),
            error_node,
            workflow_state: self.state.clone(),
            failed_attempts: self.failed_attempts.iter().map(Into::into).collect(),
            resolution: self.resolution.clone().map(Into::into),
        }
    }

    fn names(&self) -> Vec<String> {
        vec![exact(&self.workflow_id, self.run, self.task.task)]
    }

    fn people(&self, view: View) -> Vec<Line> {
        let task = &self.task;
        let looks = match task.state.as_str() {
            "dead-lettered" => Tone::Bad,
            "resolved" => Tone::Good,
            "ready" => Tone::Busy,
            _ => Tone::Waiting,
        };
        let mut lines = vec![
            Line::of(Tone::Strong, name(&self.workflow_id, task.task))
                .add(Tone::Plain, format!("  {}  ", task.node))
                .add(looks, task_state(task, view.now_ms)),
        ];
        // Of one that has resolved nothing is left but what its history tells.
        let still = |text: String| if task.state == "resolved" { String::new() } else { text };
        let failures = if task.max_attempts > 0 { format!("{} of {}", task.failures, task.max_attempts) } else { String::new() };
        lines.extend(facts(&[
            ("run", self.run.to_string()),
            ("attempt", task.attempt.to_string()),
            ("failed", failures),
            ("waits until", rfc3339(task.until_ms).unwrap_or_default()),
            ("if given up", still(follows(self.on_exhausted.as_ref()))),
            ("progress", task.progress.clone()),
            ("config", still(cut(&RawJson::from_payload(task.config.clone()).to_string()))),
        ]));
        let word = if is_final(self.workflow_status) { "has ended as" } else { "is" };
        lines.push(
            Line::of(Tone::Dim, "workflow     ")
                .add(Tone::Plain, format!("{word} "))
                .add(tone(self.workflow_status), status_name(self.workflow_status)),
        );
        lines.extend(facts(&[("state now  ", cut(&self.state.to_string()))]));
        lines.extend(self.attempts(view));
        if let Some(event) = &self.resolution {
            lines.extend([Line::default(), line(event)]);
        }
        lines
    }
}

/// Attempts that failed, as a table; none at all if none did.
trait Attempts {
    fn attempts(&self, view: View) -> Vec<Line>;
}

impl Attempts for TaskDetails {
    fn attempts(&self, view: View) -> Vec<Line> {
        if self.failed_attempts.is_empty() {
            return Vec::new();
        }
        let or_none = |text: String, is: bool| if is { text } else { "-".to_owned() };
        let row = |failed: &FailedAttempt| {
            let again = failed.retry_at_ms.saturating_sub(failed.time_ms);
            vec![
                failed.attempt.to_string(),
                failed.kind.clone(),
                ago(failed.time_ms, view.now_ms),
                or_none(duration_us(failed.execution_us), failed.execution_us > 0),
                or_none(duration_ms(again), failed.retry_at_ms > 0),
                failed.worker.clone(),
                failed.message.clone(),
            ]
        };
        let columns = [
            column("ATTEMPT"),
            column("KIND"),
            column("WHEN"),
            column("TOOK"),
            column("AGAIN AFTER"),
            wide("WORKER"),
            column("WHAT IT SAID"),
        ];
        let rows = table(view, &columns, self.failed_attempts.iter().map(row));
        [Line::default()].into_iter().chain(rows).collect()
    }
}

/// What follows the last failure of a task.
fn follows(then: Option<&OnExhausted>) -> String {
    match then.and_then(|then| then.then.as_ref()) {
        None | Some(on_exhausted::Then::Fail(_)) => "the workflow fails".to_owned(),
        Some(on_exhausted::Then::Pause(_)) => "the workflow is paused".to_owned(),
        Some(on_exhausted::Then::Continue(_)) => "the workflow goes on without it".to_owned(),
        Some(on_exhausted::Then::ErrorNode(node)) => format!("node \"{node}\" takes its place"),
    }
}

impl Answer for DeadLetterPage {
    type Document = documents::DeadLetterList;

    fn document(&self) -> documents::DeadLetterList {
        let dead_letters = self.dead_letters.iter().map(Into::into).collect();
        documents::DeadLetterList { dead_letters, next_cursor: self.next_cursor.clone() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.dead_letters.iter().map(|letter| compact(&documents::DeadLetter::from(letter))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.dead_letters.iter().map(|letter| exact(&letter.workflow_id, letter.run, letter.task)).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |letter: &DeadLetter| {
            vec![
                name(&letter.workflow_id, letter.task),
                letter.node.clone(),
                ago(letter.given_up_ms, view.now_ms),
                letter.failures.to_string(),
                status_name(letter.workflow_status()).to_owned(),
                letter.run.to_string(),
                short(&letter.error),
            ]
        };
        let columns =
            [column("TASK"), column("NODE"), column("GIVEN UP"), column("FAILURES"), column("WORKFLOW"), wide("RUN"), column("ERROR")];
        table(view, &columns, self.dead_letters.iter().map(row))
    }
}

/// What is done to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// They get another chance.
    Redrive,
    /// They are given up for good.
    Discard,
}

impl What {
    /// As it reads when it has happened.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Redrive => "redriven",
            Self::Discard => "discarded",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redrive => "redrive",
            Self::Discard => "discard",
        })
    }
}

/// What became of dead letters.
pub(crate) struct Done {
    /// The answer.
    pub(crate) answer: Resolved,
    /// What was done to them.
    pub(crate) what: What,
}

impl Answer for Done {
    type Document = documents::DeadLetterResults;

    fn document(&self) -> documents::DeadLetterResults {
        let Resolved { results, next_cursor, dry_run, stopped: _ } = &self.answer;
        let results = results.iter().map(result).collect();
        documents::DeadLetterResults { dry_run: *dry_run, results, next_cursor: next_cursor.clone() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.answer.results.iter().map(|outcome| compact(&result(outcome))).collect()
    }

    fn names(&self) -> Vec<String> {
        let done = self.answer.results.iter().filter(|outcome| outcome.refused.is_none());
        done.map(|outcome| exact(&outcome.workflow_id, outcome.run, outcome.task)).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |outcome: &DeadLetterOutcome| {
            let became = match (&outcome.refused, self.answer.dry_run) {
                (Some(error), true) => format!("would be refused [{}]", error.code()),
                (Some(error), false) => format!("refused [{}]", error.code()),
                (None, true) => format!("would be {}", self.what.done()),
                (None, false) => self.what.done().to_owned(),
            };
            let why = outcome.refused.as_ref().map(|error| error.message().to_owned()).unwrap_or_default();
            vec![name(&outcome.workflow_id, outcome.task), outcome.node.clone(), became, outcome.run.to_string(), why]
        };
        let columns = [column("TASK"), column("NODE"), column("RESULT"), wide("RUN"), column("REASON")];
        table(view, &columns, self.answer.results.iter().map(row))
    }
}

fn result(outcome: &DeadLetterOutcome) -> documents::DeadLetterResult {
    documents::DeadLetterResult {
        workflow_id: outcome.workflow_id.clone(),
        run: outcome.run,
        task: outcome.task,
        node: outcome.node.clone(),
        refused: outcome.refused.as_ref().map(refused),
    }
}

/// Why one of many was refused, for programs.
pub(crate) fn refused(error: &ClientError) -> documents::Refused {
    let sentence = format!("{} {}", error.object(), error.message());
    documents::Refused {
        code: error.code().to_owned(),
        message: match error.remedy() {
            "" => sentence.trim().to_owned(),
            remedy => format!("{}; {remedy}", sentence.trim()),
        },
        object: some(error.object()),
        remedy: some(error.remedy()),
        retryable: error.is_retryable(),
        outcome_unknown: error.outcome_unknown(),
        retry_after_ms: error.retry_after().and_then(|time| u64::try_from(time.as_millis()).ok()),
    }
}
