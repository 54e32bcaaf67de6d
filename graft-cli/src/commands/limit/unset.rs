//! `graft limit unset`

use super::of;
use crate::cli::task::LimitWhich;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::limit::Changed;
use crate::output::note;

/// Takes a limit away.
pub(crate) async fn run(session: &Session, args: &LimitWhich) -> CliResult {
    let change = session.client.unset_limit(of(args)).await?;
    let was_there = change.before.as_ref().is_some_and(|limit| limit.max > 0);
    session.output.show(&Changed { node: args.node.clone(), change })?;
    if session.output.is_for_people() && !was_there {
        note("There was no such limit; nothing was changed.");
    }
    Ok(())
}
