//! Verbs of `graft workflow`.
pub(super) mod cancel;
pub(super) mod export;
pub(super) mod get;
pub(super) mod graph;
pub(super) mod history;
pub(super) mod list;
pub(super) mod many;
pub(super) mod pause;
pub(super) mod resume;
pub(super) mod start;
pub(super) mod terminate;
pub(super) mod watch;

use graft_client::WorkflowHandle;
use graft_client::proto::{WorkflowStatus, WorkflowSummary};
use graft_proto::documents;

use super::Session;
use crate::cli::value::Wait;
use crate::cli::which::Target;
use crate::error::{CliError, CliResult};
use crate::output::style::Line;
use crate::output::{Answer, View, table};

/// The workflow, or the run of it, that was named.
fn handle(session: &Session, target: &Target) -> WorkflowHandle {
    session.client.workflow(&target.id).run(target.run)
}

/// What the end of a workflow that was waited for means for the command: every end but one has an exit code of its own.
fn verdict(id: &str, status: WorkflowStatus, reason: &str) -> CliResult {
    match status {
        WorkflowStatus::Completed => Ok(()),
        status => Err(CliError::Ended { id: id.to_owned(), status, reason: reason.to_owned() }),
    }
}

/// Waits for the end of a run and shows it. What is `wanted` beside completion is no failure.
pub(in crate::commands) async fn ended(session: &Session, workflow: &WorkflowHandle, wait: Wait, wanted: &[WorkflowStatus]) -> CliResult {
    let ended = match wait {
        Wait::Forever => Some(workflow.wait().await?),
        Wait::AtMost(time) => workflow.wait_for(time).await?,
    };
    let Some(ended) = ended else {
        let status = workflow.get().await?.status();
        return Err(CliError::StillRunning { id: workflow.id().to_owned(), status });
    };
    session.output.show(&ended)?;
    if wanted.contains(&ended.status()) { Ok(()) } else { verdict(workflow.id(), ended.status(), &ended.summary.reason) }
}

/// What a verb that steers answers.
fn steered(session: &Session, summary: &WorkflowSummary) -> CliResult {
    session.output.show(summary)
}

impl Answer for WorkflowSummary {
    type Document = documents::WorkflowSummary;

    fn document(&self) -> documents::WorkflowSummary {
        self.into()
    }

    fn names(&self) -> Vec<String> {
        vec![self.workflow_id.clone()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        table::steered(self)
    }
}
