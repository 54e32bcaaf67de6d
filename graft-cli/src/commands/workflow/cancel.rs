//! `graft workflow cancel`

use super::{handle, steered};
use crate::cli::Cancel;
use crate::commands::Session;
use crate::error::CliResult;

/// Tells running attempts; the workflow ends when they have, or when the grace is over.
pub(crate) async fn run(session: &Session, args: Cancel) -> CliResult {
    let summary = handle(session, &args.control.target).cancel_within(args.control.reason, args.grace).await?;
    steered(session, &summary)
}
