//! What a test looks for in a history, and how histories are printed.

use std::fmt;
use std::time::Duration;

use graft_proto::v1::event::Happened;
use graft_proto::v1::{CreatedTask, Event, Payload, WorkflowStatus};

use super::clock::START;
use crate::failure::cut;

/// Longest piece of a document or message that is printed of an event, in bytes.
const SHOWN_BYTES_MAX: usize = 200;

/// An event to look for: which kind, of which node, saying what. Made by [`completed`], [`failed`] and the others.
#[derive(Clone, Debug)]
pub struct Seen {
    kind: Kind,
    node: Option<String>,
    words: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Started,
    Completed,
    Failed,
    Blocked,
    Joined,
    DeadLettered,
    HandedBack,
    LateResultIgnored,
    Paused,
    Resumed,
    Cancelling,
    Ended(WorkflowStatus),
    Redriven,
    Discarded,
    Retried,
}

/// Writes one function for each kind of event: of a node, or of the workflow.
macro_rules! seen {
    ($($(#[doc = $doc:literal])+ $name:ident($($node:ident)?) = $kind:ident;)+) => {
        $(
            $(#[doc = $doc])+
            pub fn $name($($node: impl Into<String>)?) -> Seen {
                #[allow(unused_mut, unused_assignments, reason = "only the kinds of a node set it")]
                let mut of = None;
                $(of = Some($node.into());)?
                Seen { kind: Kind::$kind, node: of, words: None }
            }
        )+
    };
}

seen! {
    /// The workflow was accepted.
    started() = Started;
    /// A task of this node completed.
    completed(node) = Completed;
    /// An attempt of this node failed or was lost. [`Seen::saying`] looks at its kind (`lost`, `panic`, `timeout`, …) and its message.
    failed(node) = Failed;
    /// A task of this node could not start yet.
    blocked(node) = Blocked;
    /// A join fired, with a continuation of this node.
    joined(node) = Joined;
    /// A task of this node was given up.
    dead_lettered(node) = DeadLettered;
    /// An attempt of this node was given back untouched.
    handed_back(node) = HandedBack;
    /// A result of this node came too late to count.
    late_result_ignored(node) = LateResultIgnored;
    /// The workflow was paused.
    paused() = Paused;
    /// The workflow was resumed.
    resumed() = Resumed;
    /// The workflow is being cancelled.
    cancelling() = Cancelling;
    /// A dead letter of this node was tried again.
    redriven(node) = Redriven;
    /// A dead letter of this node was discarded.
    discarded(node) = Discarded;
    /// A waiting task of this node was made ready.
    retried(node) = Retried;
}

/// The workflow ended so.
pub fn ended(status: WorkflowStatus) -> Seen {
    Seen { kind: Kind::Ended(status), node: None, words: None }
}

impl Seen {
    /// Only events whose words (message, error, reason) contain this.
    pub fn saying(mut self, words: impl Into<String>) -> Self {
        self.words = Some(words.into());
        self
    }

    /// Whether this is such an event.
    pub fn is(&self, event: &Event) -> bool {
        let Some((kind, node, words)) = event.happened.as_ref().map(facts) else { return false };
        kind == self.kind
            && self.node.as_deref().is_none_or(|wanted| wanted == node)
            && self.words.as_deref().is_none_or(|wanted| words.contains(wanted))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self.kind))?;
        if let Some(node) = &self.node {
            write!(f, " {node}")?;
        }
        if let Some(words) = &self.words {
            write!(f, " saying {words:?}")?;
        }
        Ok(())
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Started => "started",
        Kind::Completed => "completed",
        Kind::Failed => "failed",
        Kind::Blocked => "blocked",
        Kind::Joined => "joined",
        Kind::DeadLettered => "dead-lettered",
        Kind::HandedBack => "handed back",
        Kind::LateResultIgnored => "late result ignored",
        Kind::Paused => "workflow paused",
        Kind::Resumed => "workflow resumed",
        Kind::Cancelling => "workflow cancelling",
        Kind::Ended(status) => match status {
            WorkflowStatus::Completed => "workflow completed",
            WorkflowStatus::Failed => "workflow failed",
            WorkflowStatus::Cancelled => "workflow cancelled",
            WorkflowStatus::Terminated => "workflow terminated",
            WorkflowStatus::TimedOut => "workflow timed out",
            WorkflowStatus::Unspecified | WorkflowStatus::Running | WorkflowStatus::Paused | WorkflowStatus::Cancelling => {
                "workflow ended, which this status is not"
            }
        },
        Kind::Redriven => "redriven",
        Kind::Discarded => "discarded",
        Kind::Retried => "retried",
    }
}

/// The kind of an event, its node, and its words.
fn facts(happened: &Happened) -> (Kind, &str, String) {
    match happened {
        Happened::Started(it) => (Kind::Started, "", it.principal.clone()),
        Happened::TaskCompleted(it) => (Kind::Completed, &it.node, String::new()),
        Happened::TaskFailed(it) => (Kind::Failed, &it.node, format!("({}) {}", it.kind, it.message)),
        Happened::TaskBlocked(it) => (Kind::Blocked, &it.node, it.wake_on.join(" ")),
        Happened::ScopeClosed(it) => (Kind::Joined, it.continuation.as_ref().map_or("", |task| &task.node), String::new()),
        Happened::TaskDeadLettered(it) => (Kind::DeadLettered, &it.node, it.error.clone()),
        Happened::TaskHandedBack(it) => (Kind::HandedBack, &it.node, it.reason.clone()),
        Happened::LateResultIgnored(it) => (Kind::LateResultIgnored, &it.node, it.reason.clone()),
        Happened::Paused(it) => (Kind::Paused, "", it.reason.clone()),
        Happened::Resumed(it) => (Kind::Resumed, "", it.reason.clone()),
        Happened::Cancelling(it) => (Kind::Cancelling, "", it.reason.clone()),
        Happened::Completed(it) => (Kind::Ended(WorkflowStatus::Completed), "", it.reason.clone()),
        Happened::Failed(it) => (Kind::Ended(WorkflowStatus::Failed), "", it.reason.clone()),
        Happened::Cancelled(it) => (Kind::Ended(WorkflowStatus::Cancelled), "", it.reason.clone()),
        Happened::Terminated(it) => (Kind::Ended(WorkflowStatus::Terminated), "", it.reason.clone()),
        Happened::TimedOut(it) => (Kind::Ended(WorkflowStatus::TimedOut), "", it.reason.clone()),
        Happened::DeadLetterRedriven(it) => (Kind::Redriven, &it.node, it.reason.clone()),
        Happened::DeadLetterDiscarded(it) => (Kind::Discarded, &it.node, it.reason.clone()),
        Happened::TaskRetried(it) => (Kind::Retried, &it.node, it.reason.clone()),
    }
}

/// One line of a history: number, time since the engine's start, what happened.
pub(super) fn line(event: &Event) -> String {
    let after = span(Duration::from_millis(event.time_ms.saturating_sub(START)));
    let Some(happened) = &event.happened else { return format!("{:>5}  {after}", event.number) };
    let (kind, node, words) = facts(happened);
    let mut line = format!("{:>5}  {after:>14}  {}", event.number, name(kind));
    if !node.is_empty() {
        line.push(' ');
        line.push_str(node);
    }
    if let Some((task, attempt)) = numbers(happened) {
        line.push_str(&format!(" (task {task}, attempt {attempt})"));
    }
    if !words.is_empty() {
        line.push_str(&format!(": {}", cut(words, SHOWN_BYTES_MAX)));
    }
    line.push_str(&more(happened));
    line
}

fn numbers(happened: &Happened) -> Option<(u32, u32)> {
    match happened {
        Happened::TaskCompleted(it) => Some((it.task, it.attempt)),
        Happened::TaskFailed(it) => Some((it.task, it.attempt)),
        Happened::TaskBlocked(it) => Some((it.task, it.attempt)),
        Happened::TaskHandedBack(it) | Happened::LateResultIgnored(it) => Some((it.task, it.attempt)),
        Happened::DeadLetterRedriven(it) => Some((it.task, it.attempt)),
        _ => None,
    }
}

/// What follows from it.
fn more(happened: &Happened) -> String {
    match happened {
        Happened::Started(it) => format!("; state {}{}", json(it.state.as_ref()), created(&it.created)),
        Happened::TaskCompleted(it) => {
            let patch = it.patch.as_ref().map(|patch| format!("; patch {}", json(Some(patch)))).unwrap_or_default();
            let operations = if it.operations.is_empty() { String::new() } else { format!("; {} operations", it.operations.len()) };
            format!("{patch}{operations}{}", created(&it.created))
        }
        Happened::TaskFailed(it) if it.retry_at_ms > 0 => {
            format!("; again at {}", span(Duration::from_millis(it.retry_at_ms.saturating_sub(START))))
        }
        _ => String::new(),
    }
}

fn json(payload: Option<&Payload>) -> String {
    cut(payload.map_or_else(|| "{}".to_owned(), |payload| String::from_utf8_lossy(&payload.data).into_owned()), SHOWN_BYTES_MAX)
}

fn created(tasks: &[CreatedTask]) -> String {
    const NAMED_MAX: usize = 8;
    if tasks.is_empty() {
        return String::new();
    }
    let named: Vec<String> = tasks.iter().take(NAMED_MAX).map(|task| format!("{} (task {})", task.node, task.task)).collect();
    let rest = if tasks.len() > NAMED_MAX { format!(" and {} more", tasks.len() - NAMED_MAX) } else { String::new() };
    format!("; then {}{rest}", named.join(", "))
}

/// A time span as people write it: `1d 2h`, `90.5s`.
pub(super) fn span(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let mut text = String::new();
    for (number, unit) in [(days, "d "), (hours, "h "), (minutes, "m ")] {
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    let seconds = seconds % 60;
    match (seconds, ms) {
        (0, 0) if !text.is_empty() => text.trim_end().to_owned(),
        (_, 0) => format!("{text}{seconds}s"),
        _ => format!("{text}{seconds}.{ms:03}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (ms, text) in [(0, "0s"), (90_500, "1m 30.500s"), (93_600_000, "1d 2h"), (1, "0.001s"), (86_401_000, "1d 1s")] {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
