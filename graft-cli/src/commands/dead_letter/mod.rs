//! Verbs of `graft dead-letter`. What `redrive` and `discard` have in common: what a filter finds is looked at first, shown, and agreed to.
pub(super) mod discard;
pub(super) mod get;
pub(super) mod list;
pub(super) mod redrive;

use std::time::SystemTime;

use graft_client::{DeadLetterFilter, Resolved};

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

/// Does something with all that a filter finds: `call` with a dry run first, then, if it is agreed to, for good.
async fn bulk(session: &Session, args: &OneOrMany, what: What, call: impl AsyncFn(bool) -> CliResult<Resolved>) -> CliResult {
    if args.consent.dry_run || !args.consent.yes {
        let plan = call(true).await?;
        if args.consent.dry_run || plan.results.is_empty() {
            return planned(session, what, plan);
        }
        let count = plan.results.len();
        if session.output.can_ask() {
            for found in plan.results.iter().take(SHOWN_MAX) {
                note(&format!("  {}  {}", name(&found.workflow_id, found.task), found.node));
            }
            if count > SHOWN_MAX {
                note(&format!("  … and {} more", count - SHOWN_MAX));
            }
        }
        ask::agreed(session.output, &args.consent, &format!("{what} {count} dead letters"), &count.to_string()).await?;
    }
    let spinner = Spinner::start(&format!("{what}: under way"));
    let answer = call(false).await?;
    drop(spinner);
    let done = Done { answer, what };
    session.output.show(&done)?;
    if session.output.is_for_people() && done.answer.results.is_empty() {
        note("Nothing that was given up matches.");
    }
    if done.answer.more {
        note("There are more that match: say it again for the next, or --limit for more at once.");
    }
    match done.refused() {
        0 => Ok(()),
        refused => Err(CliError::Partly { done: what.done(), refused, of: done.answer.results.len() }),
    }
}

/// Shows what would be done.
fn planned(session: &Session, what: What, plan: Resolved) -> CliResult {
    let (count, more) = (plan.results.len(), plan.more);
    session.output.show(&Done { answer: plan, what })?;
    if session.output.is_for_people() {
        let done = what.done();
        note(&match (count, more) {
            (0, _) => "Nothing that was given up matches.".to_owned(),
            (_, true) => format!("{count} would be {done}, and there are more: --limit says how many at once. Nothing was changed."),
            (_, false) => format!("{count} would be {done}. Nothing was changed."),
        });
    }
    Ok(())
}
