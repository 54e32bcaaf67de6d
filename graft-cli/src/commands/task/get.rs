//! `graft task get`

use crate::cli::which::TaskTarget;
use crate::commands::{Session, task};
use crate::error::CliResult;

/// Shows a task with every attempt that failed.
pub(crate) async fn run(session: &Session, args: &TaskTarget) -> CliResult {
    session.output.show(&task::handle(session, &args.task).get().await?)
}
