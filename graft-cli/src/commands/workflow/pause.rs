//! `graft workflow pause`

use super::{handle, steered};
use crate::cli::workflow::Control;
use crate::commands::Session;
use crate::error::CliResult;

/// Stops offering the tasks of a workflow.
pub(crate) async fn run(session: &Session, args: Control) -> CliResult {
    let summary = handle(session, &args.target).pause(args.reason).await?;
    steered(session, &summary)
}
