//! `graft workflow resume`

use super::{handle, steered};
use crate::cli::Control;
use crate::commands::Session;
use crate::error::CliResult;

/// Offers the tasks of a workflow again.
pub(crate) async fn run(session: &Session, args: Control) -> CliResult {
    let summary = handle(session, &args.target).resume(args.reason).await?;
    steered(session, &summary)
}
