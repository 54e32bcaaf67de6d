//! `graft workflow get`

use std::ops::ControlFlow;

use graft_client::Workflow;
use graft_proto::documents;

use super::handle;
use crate::cli::workflow::Get;
use crate::commands::{Session, watching};
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::{Answer, View, table};

/// Shows a workflow with its state and open tasks; a watch ends with it.
pub(crate) async fn run(session: &Session, args: &Get) -> CliResult {
    let workflow = handle(session, &args.target);
    let ask = async || {
        let workflow = workflow.get().await?;
        Ok(if workflow.has_ended() { ControlFlow::Break(workflow) } else { ControlFlow::Continue(workflow) })
    };
    watching::show(session, &args.watching, ask).await?;
    Ok(())
}

impl Answer for Workflow {
    type Document = documents::Workflow;

    fn document(&self) -> documents::Workflow {
        let tasks = self.tasks.iter().map(Into::into).collect();
        documents::Workflow { summary: (&self.summary).into(), state: self.state.clone(), tasks }
    }

    fn names(&self) -> Vec<String> {
        vec![self.summary.workflow_id.clone()]
    }

    fn people(&self, view: View) -> Vec<Line> {
        table::workflow(self, view)
    }
}
