//! `graft workflow terminate`

use super::{handle, steered};
use crate::cli::workflow::Control;
use crate::commands::Session;
use crate::error::CliResult;

/// Ends a workflow at once.
pub(crate) async fn run(session: &Session, args: Control) -> CliResult {
    let summary = handle(session, &args.target).terminate(args.reason).await?;
    steered(session, &summary)
}
