//! `graft workflow resume`

use super::{ended, handle, steered};
use crate::cli::workflow::Resume;
use crate::commands::Session;
use crate::error::CliResult;

/// Offers the tasks of a workflow again; with `--wait`, waits for its end.
pub(crate) async fn run(session: &Session, args: Resume) -> CliResult {
    let workflow = handle(session, &args.control.target);
    let summary = workflow.resume(args.control.reason).await?;
    match args.waiting.wait {
        Some(wait) => ended(session, &workflow.run(summary.run), wait, &[]).await,
        None => steered(session, &summary),
    }
}
