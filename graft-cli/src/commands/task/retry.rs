//! `graft task retry`

use crate::cli::task::TaskRetry;
use crate::commands::{Session, task};
use crate::error::CliResult;
use crate::output::note;

/// Makes a task that waits ready now, and shows it.
pub(crate) async fn run(session: &Session, args: &TaskRetry) -> CliResult {
    let named = &args.target.task;
    let run = task::handle(session, named).retry(&args.reason).await?;
    if session.output.is_for_people() {
        note(&format!("Task {} of workflow \"{}\" is ready now.", named.task, named.workflow));
    }
    // The run that was changed: another may have taken its place.
    let handle = session.client.workflow(&named.workflow).run(run).task(named.task);
    session.output.show(&handle.get().await?)
}
