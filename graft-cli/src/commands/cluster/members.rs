//! `graft cluster members`

use std::ops::ControlFlow;

use graft_client::proto::ClusterStatusResponse;
use graft_proto::documents::MemberList;

use super::together;
use crate::cli::Global;
use crate::cli::which::Watching;
use crate::commands::{Session, watching};
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::{Answer, View, compact, table};

/// Lists the members.
pub(crate) async fn run(session: &Session, global: &Global, watched: &Watching) -> CliResult {
    watching::show(session, watched, async || Ok(ControlFlow::Continue(Members(together::status(session, global).await?)))).await?;
    Ok(())
}

struct Members(ClusterStatusResponse);

impl Answer for Members {
    type Document = MemberList;

    fn document(&self) -> MemberList {
        (&self.0).into()
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.document().members.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.0.members.iter().map(|member| member.name.clone()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        table::members(&self.0, view)
    }
}
