//! `graft workflow get`

use super::handle;
use crate::cli::Target;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::json::WorkflowJson;
use crate::output::{table, time};

/// Shows a workflow with its state and open tasks.
pub(crate) async fn run(session: &Session, target: &Target) -> CliResult {
    let workflow = handle(session, target).get().await?;
    if session.output.is_json() {
        return session.output.document(&WorkflowJson::from(&workflow));
    }
    session.output.lines(&table::workflow(&workflow, time::now_ms()))
}
