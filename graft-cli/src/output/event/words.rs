//! An event as one line for people.

use graft_client::proto::event::{self, Happened};
use graft_client::proto::{CreatedTask, Event, OnExhausted, on_exhausted};

use crate::output::style::{Line, Tone};
use crate::output::time::{clock, duration_ms, duration_us};

/// Most successors that a line names.
const NAMED_MAX: usize = 4;

/// The event on one line: number, time of day in UTC, what happened.
pub(crate) fn line(event: &Event) -> Line {
    let head = Line::of(Tone::Dim, format!("{:>5}  {}  ", event.number, clock(event.time_ms)));
    head.join(match &event.happened {
        Some(Happened::Started(e)) => {
            word(Tone::Busy, "started").add(Tone::Plain, created("→", &e.created)).add(Tone::Dim, by(&e.principal))
        }
        Some(Happened::TaskCompleted(e)) => completed(e),
        Some(Happened::TaskFailed(e)) => {
            let again = match e.retry_at_ms {
                0 => String::new(),
                at => format!("  again in {}", duration_ms(at.saturating_sub(event.time_ms))),
            };
            word(Tone::Bad, "failed")
                .add(Tone::Plain, task(e.task, &e.node))
                .add(Tone::Plain, format!("  attempt {}  {}: {}", e.attempt, e.kind, e.message))
                .add(Tone::Waiting, again)
        }
        Some(Happened::TaskBlocked(e)) => {
            let wait = if e.wake_on.is_empty() { "a change of the state".to_owned() } else { e.wake_on.join(" ") };
            word(Tone::Waiting, "blocked").add(Tone::Plain, task(e.task, &e.node)).add(Tone::Plain, format!("  waits for {wait}"))
        }
        Some(Happened::ScopeClosed(e)) => {
            let joined = word(Tone::Good, "joined").add(Tone::Plain, format!("scope {}", e.scope));
            joined.add(Tone::Plain, created("  →", e.continuation.as_slice()))
        }
        Some(Happened::TaskDeadLettered(e)) => word(Tone::Bad, "given up")
            .add(Tone::Plain, task(e.task, &e.node))
            .add(Tone::Plain, format!("  {}", e.error))
            .add(Tone::Waiting, follows(e.then.as_ref()))
            .add(Tone::Plain, created("  →", e.error_task.as_slice())),
        Some(Happened::TaskHandedBack(e)) => word(Tone::Waiting, "given back").add(Tone::Plain, attempt(e)),
        Some(Happened::LateResultIgnored(e)) => word(Tone::Dim, "too late").add(Tone::Plain, attempt(e)),
        Some(Happened::DeadLetterRedriven(e)) => {
            let changed = match (e.config.is_some(), e.state_patch.is_some()) {
                (true, true) => "  with another config and state",
                (true, false) => "  with another config",
                (false, true) => "  with another state",
                (false, false) => "",
            };
            let line = word(Tone::Busy, "redriven").add(Tone::Plain, task(e.task, &e.node)).add(Tone::Plain, changed);
            line.add(Tone::Plain, because(&e.reason)).add(Tone::Dim, by(&e.principal))
        }
        Some(Happened::DeadLetterDiscarded(e)) => {
            let line = word(Tone::Waiting, "discarded").add(Tone::Plain, task(e.task, &e.node));
            line.add(Tone::Plain, because(&e.reason)).add(Tone::Dim, by(&e.principal))
        }
        Some(Happened::TaskRetried(e)) => {
            let line = word(Tone::Busy, "retried").add(Tone::Plain, task(e.task, &e.node));
            line.add(Tone::Plain, because(&e.reason)).add(Tone::Dim, by(&e.principal))
        }
        Some(Happened::Paused(e)) => controlled(Tone::Waiting, "paused", e),
        Some(Happened::Resumed(e)) => controlled(Tone::Busy, "resumed", e),
        Some(Happened::Cancelling(e)) => controlled(Tone::Waiting, "cancelling", e),
        Some(Happened::Completed(e)) => ended(Tone::Good, "completed", e),
        Some(Happened::Failed(e)) => ended(Tone::Bad, "failed", e),
        Some(Happened::Cancelled(e)) => ended(Tone::Dim, "cancelled", e),
        Some(Happened::Terminated(e)) => ended(Tone::Dim, "terminated", e),
        Some(Happened::TimedOut(e)) => ended(Tone::Bad, "timed out", e),
        None => Line::of(Tone::Dim, "something that this version of graft does not know"),
    })
}

fn word(tone: Tone, word: &str) -> Line {
    Line::of(tone, format!("{word:<10} "))
}

fn completed(e: &event::TaskCompleted) -> Line {
    let tries = if e.attempt > 1 { format!("  attempt {}", e.attempt) } else { String::new() };
    word(Tone::Good, "done")
        .add(Tone::Plain, task(e.task, &e.node))
        .add(Tone::Dim, format!("{tries}  {}", duration_us(e.execution_us)))
        .add(Tone::Plain, created("  →", &e.created))
}

fn task(task: u32, node: &str) -> String {
    format!("{node} #{task}")
}

fn attempt(e: &event::TaskHandedBack) -> String {
    format!("{}  attempt {}", task(e.task, &e.node), e.attempt)
}

/// `→ pick #3, pick #4 and 8 more`.
fn created(arrow: &str, created: &[CreatedTask]) -> String {
    if created.is_empty() {
        return String::new();
    }
    let name = |task_: &CreatedTask| match (task_.task, task_.skipped_for) {
        (0, first) => format!("{} (skipped: its key is that of #{first})", task_.node),
        (number, _) => task(number, &task_.node),
    };
    let named: Vec<String> = created.iter().take(NAMED_MAX).map(name).collect();
    let more = match created.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{arrow} {}{more}", named.join(", "))
}

fn follows(then: Option<&OnExhausted>) -> String {
    match then.and_then(|then| then.then.as_ref()) {
        None | Some(on_exhausted::Then::Fail(_)) => "  the workflow fails".to_owned(),
        Some(on_exhausted::Then::Pause(_)) => "  the workflow is paused".to_owned(),
        Some(on_exhausted::Then::Continue(_)) => "  the workflow goes on without it".to_owned(),
        Some(on_exhausted::Then::ErrorNode(node)) => format!("  {node} takes its place"),
    }
}

fn by(principal: &str) -> String {
    if principal.is_empty() { String::new() } else { format!("  by {principal}") }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!("  {reason}") }
}

fn controlled(tone: Tone, what: &str, e: &event::Controlled) -> Line {
    word(tone, what).add(Tone::Plain, e.reason.clone()).add(Tone::Dim, by(&e.principal))
}

fn ended(tone: Tone, what: &str, e: &event::Ended) -> Line {
    let task = if e.task > 0 { format!("  (task #{})", e.task) } else { String::new() };
    word(tone, what).add(Tone::Plain, e.reason.clone()).add(Tone::Dim, task)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(happened: Happened) -> String {
        line(&Event { number: 3, time_ms: 61_005, happened: Some(happened), ..Event::default() }).render(false)
    }

    #[test]
    fn a_done_task_names_what_follows_and_counts_the_rest() {
        let created = (5..15).map(|task| CreatedTask { task, node: "pick".into(), ..CreatedTask::default() }).collect();
        let done = event::TaskCompleted { task: 1, node: "plan".into(), attempt: 2, created, execution_us: 3_400, ..Default::default() };
        assert_eq!(
            text(Happened::TaskCompleted(done)),
            "    3  00:01:01.005  done       plan #1  attempt 2  3ms  → pick #5, pick #6, pick #7, pick #8 and 6 more"
        );
    }

    #[test]
    fn a_failed_attempt_says_why_and_when_it_is_tried_again() {
        let failed = event::TaskFailed {
            task: 1,
            node: "charge".into(),
            attempt: 1,
            kind: "retryable".into(),
            message: "gateway said 503".into(),
            retry_at_ms: 63_005,
            ..Default::default()
        };
        assert_eq!(
            text(Happened::TaskFailed(failed)),
            "    3  00:01:01.005  failed     charge #1  attempt 1  retryable: gateway said 503  again in 2.0s"
        );
    }

    #[test]
    fn an_end_says_why() {
        let ended = event::Ended { reason: "no stock".into(), task: 4 };
        assert_eq!(text(Happened::Failed(ended)), "    3  00:01:01.005  failed     no stock  (task #4)");
    }
}
