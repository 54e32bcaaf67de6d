//! `graft workflow cancel`

use graft_client::proto::WorkflowStatus;

use super::{ended, handle, steered};
use crate::cli::workflow::Cancel;
use crate::commands::Session;
use crate::error::CliResult;

/// Tells running attempts; the workflow ends when they have, or when the grace is over. With `--wait`, waits for that: to have been cancelled
/// is what was asked for, and so is success.
pub(crate) async fn run(session: &Session, args: Cancel) -> CliResult {
    let workflow = handle(session, &args.control.target);
    let summary = workflow.cancel_within(args.control.reason, args.grace).await?;
    match args.waiting.wait {
        Some(wait) => ended(session, &workflow.run(summary.run), wait, &[WorkflowStatus::Cancelled]).await,
        None => steered(session, &summary),
    }
}
