//! Verbs of `graft dead-letter`. What `redrive` and `discard` have in common: what a filter finds is looked at first, shown, and agreed to.
pub(super) mod discard;
pub(super) mod get;
pub(super) mod list;
pub(super) mod redrive;

use std::time::SystemTime;

use graft_client::{DeadLetterFilter, DeadLetterName, DeadLetterOutcome, Resolved};

use super::Session;
use crate::cli::task::OneOrMany;
use crate::cli::value::TaskRef;
use crate::cli::which::DeadLetterWhich;
use crate::error::{CliError, CliResult};
use crate::output::spinner::Spinner;
use crate::output::task::{Done, What, name};
use crate::output::{ask, note};

/// Most rows that are shown before it is asked.
const SHOWN_MAX: usize = 10;

/// The filter that was asked for.
fn filter(which: &DeadLetterWhich) -> DeadLetterFilter {
    let now = SystemTime::now();
    let mut filter = DeadLetterFilter::new().workflow(&which.workflow).run(which.run).node(&which.node).error_contains(&which.error);
    if let Some(since) = which.since {
        filter = filter.since(since.at(now));
    }
    if let Some(until) = which.until {
        filter = filter.until(until.at(now));
    }
    filter
}

/// What is meant: one, or what a filter finds. Everything must be meant, not forgotten.
enum Meant<'a> {
    One(&'a TaskRef),
    Many(DeadLetterFilter),
}

fn meant(args: &OneOrMany, what: What) -> CliResult<Meant<'_>> {
    match (&args.one, args.every) {
        (Some(one), _) => Ok(Meant::One(one)),
        (None, false) if args.which.is_all() => Err(CliError::Usage(format!(
            "say which: WORKFLOW/TASK, or a filter such as --node NAME; --every for all\n  See what there is with `graft dead-letter list`, and \
             what a filter would {what} with --dry-run."
        ))),
        (None, _) => Ok(Meant::Many(filter(&args.which))),
    }
}

/// What is asked of the server.
enum Call {
    /// What a filter finds; only what it would be, or for good.
    All { dry_run: bool },
    /// Exactly these.
    These(Vec<DeadLetterName>),
}

/// Does something with all that a filter finds. Unless it was agreed to beforehand, what it would be is shown first; what is agreed to then is
/// exactly what was shown, whatever the filter finds by now.
async fn bulk(session: &Session, args: &OneOrMany, what: What, call: impl AsyncFn(Call) -> CliResult<Resolved>) -> CliResult {
    let mut next_cursor = None;
    let (spinner, answer) = if args.consent.dry_run || !args.consent.yes {
        let mut plan = call(Call::All { dry_run: true }).await?;
        if args.consent.dry_run || plan.done() == 0 {
            let (refused, of, stopped) = (plan.refused(), plan.results.len(), plan.stopped.take());
            planned(session, what, plan)?;
            return match stopped {
                Some(error) => Err(error.into()),
                // Nothing was to be agreed to, because nothing can be done.
                None if !args.consent.dry_run && refused > 0 => Err(CliError::Partly { done: what.done(), refused, of }),
                None => Ok(()),
            };
        }
        if let Some(error) = plan.stopped {
            return Err(error.into());
        }
        let count = plan.done();
        let doable: Vec<_> = plan.results.iter().filter(|found| found.refused.is_none()).collect();
        if session.output.can_ask() {
            for found in doable.iter().take(SHOWN_MAX) {
                note(&format!("  {}  {}", name(&found.workflow_id, found.task), found.node));
            }
            if count > SHOWN_MAX {
                note(&format!("  … and {} more", count - SHOWN_MAX));
            }
            if plan.refused() > 0 {
                note(&format!("  {} more would be refused: --dry-run says why", plan.refused()));
            }
        }
        ask::agreed(session.output, &args.consent, &format!("{what} {count} dead letters"), &count.to_string()).await?;
        let names = doable.into_iter().map(DeadLetterName::from).collect();
        next_cursor = plan.next_cursor;
        let spinner = Spinner::start(&format!("{what}: under way"));
        (spinner, call(Call::These(names)).await?)
    } else {
        let spinner = Spinner::start(&format!("{what}: under way"));
        (spinner, call(Call::All { dry_run: false }).await?)
    };
    drop(spinner);
    let mut done = Done { answer, what };
    // What comes behind those that were shown is for later only if all of those were asked for.
    if done.answer.stopped.is_none() {
        done.answer.next_cursor = done.answer.next_cursor.or(next_cursor);
    }
    session.output.show(&done)?;
    if session.output.is_for_people() && done.answer.results.is_empty() {
        note("Nothing that was given up matches.");
    }
    if let Some(cursor) = &done.answer.next_cursor {
        note(&format!("There may be more that match: go on with --cursor {cursor}"));
    }
    if let Some(error) = done.answer.stopped {
        return Err(error.into());
    }
    match done.answer.refused() {
        0 => Ok(()),
        refused => Err(CliError::Partly { done: what.done(), refused, of: done.answer.results.len() }),
    }
}

/// The answer that one alone has.
fn only(outcome: DeadLetterOutcome, dry_run: bool) -> Resolved {
    Resolved { results: vec![outcome], next_cursor: None, stopped: None, dry_run }
}

/// Shows what would be done.
fn planned(session: &Session, what: What, plan: Resolved) -> CliResult {
    let (count, refused, next) = (plan.done(), plan.refused(), plan.next_cursor.clone());
    session.output.show(&Done { answer: plan, what })?;
    if session.output.is_for_people() {
        let done = what.done();
        note(&match (count, refused) {
            (0, 0) => "Nothing that was given up matches.".to_owned(),
            (_, 0) => format!("{count} would be {done}. Nothing was changed."),
            (_, _) => format!("{count} would be {done}, {refused} refused. Nothing was changed."),
        });
        if let Some(cursor) = next {
            note(&format!("There may be more: --limit says how many at once, --cursor {cursor} goes on behind these."));
        }
    }
    Ok(())
}
