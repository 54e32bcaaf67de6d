//! `graft dead-letter get`

use crate::cli::which::TaskTarget;
use crate::commands::{Session, task};
use crate::error::CliResult;
use crate::output::note;

/// Shows a dead letter: its input, and what every attempt said.
pub(crate) async fn run(session: &Session, args: &TaskTarget) -> CliResult {
    let letter = task::handle(session, &args.task).get_dead_letter().await?;
    session.output.show(&letter)?;
    if session.output.is_for_people() {
        note(&format!("Give it another chance with: graft dead-letter redrive {}", args.task));
    }
    Ok(())
}
