//! `graft limit set`

use super::of;
use crate::cli::task::LimitSet;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::limit::Changed;

/// Sets how many attempts may be held at once.
pub(crate) async fn run(session: &Session, args: &LimitSet) -> CliResult {
    let change = session.client.set_limit(of(&args.which), args.max).await?;
    session.output.show(&Changed { node: args.which.node.clone(), change })
}
