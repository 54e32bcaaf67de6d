//! `graft cluster status`

use std::ops::ControlFlow;

use graft_client::proto::ClusterStatusResponse;
use graft_proto::documents::ClusterStatus;

use super::together;
use crate::cli::Global;
use crate::cli::which::Watching;
use crate::commands::{Session, watching};
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::{Answer, View, table};

/// Shows leader, members and log positions.
pub(crate) async fn run(session: &Session, global: &Global, watched: &Watching) -> CliResult {
    watching::show(session, watched, async || Ok(ControlFlow::Continue(together::status(session, global).await?))).await?;
    Ok(())
}

impl Answer for ClusterStatusResponse {
    type Document = ClusterStatus;

    fn document(&self) -> ClusterStatus {
        self.into()
    }

    fn names(&self) -> Vec<String> {
        vec![self.cluster_name.clone()]
    }

    fn people(&self, view: View) -> Vec<Line> {
        table::cluster(self, view)
    }
}
