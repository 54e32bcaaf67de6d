//! `graft workflow terminate`

use super::{handle, steered};
use crate::cli::workflow::Terminate;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::{ask, note};

/// Ends a workflow at once. It cannot be undone: a terminal is asked.
pub(crate) async fn run(session: &Session, args: Terminate) -> CliResult {
    let Terminate { control, consent } = args;
    let workflow = handle(session, &control.target);
    if consent.dry_run {
        let found = workflow.get().await?;
        session.output.show(&found.summary)?;
        note(match found.has_ended() {
            true => "It has ended already: there is nothing to terminate.",
            false => "It would be terminated. Nothing was changed.",
        });
        return Ok(());
    }
    let id = &control.target.id;
    ask::agreed_on_a_terminal(session.output, &consent, &format!("terminate workflow {id}"), id).await?;
    steered(session, &workflow.terminate(control.reason).await?)
}
