//! Verbs of `graft workflow`.
pub(super) mod cancel;
pub(super) mod get;
pub(super) mod history;
pub(super) mod list;
pub(super) mod pause;
pub(super) mod resume;
pub(super) mod start;
pub(super) mod terminate;
pub(super) mod watch;

use graft_client::WorkflowHandle;
use graft_client::proto::WorkflowSummary;

use super::Session;
use crate::cli::Target;
use crate::error::CliResult;
use crate::output::json::SummaryJson;
use crate::output::table;

/// The workflow, or the run of it, that was named.
fn handle(session: &Session, target: &Target) -> WorkflowHandle {
    session.client.workflow(&target.id).run(target.run)
}

/// What a verb that steers answers.
fn steered(session: &Session, summary: &WorkflowSummary) -> CliResult {
    if session.output.is_json() {
        return session.output.document(&SummaryJson::from(summary));
    }
    session.output.lines(&table::steered(summary))
}
