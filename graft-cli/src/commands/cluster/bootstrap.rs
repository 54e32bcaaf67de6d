//! `graft cluster bootstrap`

use graft_client::proto::BootstrapResponse;
use graft_proto::documents::Bootstrap;

use crate::cli::place::BootstrapArgs;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::table::{column, table};
use crate::output::{Answer, View, ask, note};

/// Names the first members. What they form can not be taken back, so a terminal is asked, after it has seen who they are.
pub(super) async fn run(session: &Session, args: BootstrapArgs) -> CliResult {
    let BootstrapArgs { members, consent } = args;
    if consent.dry_run || !consent.yes {
        let would = session.client.bootstrap(members.clone(), true).await?;
        if consent.dry_run {
            session.output.show(&would)?;
            note(&format!("{} would propose this cluster. Nothing was changed.", would.proposed_by));
            return Ok(());
        }
        let what = format!("form a cluster of {}", names(&would).join(", "));
        ask::agreed(session.output, &consent, &what, "yes").await?;
    }
    let formed = session.client.bootstrap(members, false).await?;
    session.output.show(&formed)?;
    note(&format!("{} proposes it to the others now. Follow it with: graft cluster status --watch", formed.proposed_by));
    Ok(())
}

fn names(answer: &BootstrapResponse) -> Vec<String> {
    answer.members.iter().map(|member| member.name.clone()).collect()
}

impl Answer for BootstrapResponse {
    type Document = Bootstrap;

    fn document(&self) -> Bootstrap {
        self.into()
    }

    fn names(&self) -> Vec<String> {
        names(self)
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |member: &graft_client::proto::Member| {
            vec![member.name.clone(), member.client_address.clone(), member.peer_address.clone(), member.raft_id.to_string()]
        };
        let columns = [column("MEMBER"), column("ADDRESS"), column("PEER ADDRESS"), column("RAFT ID")];
        table(view, &columns, self.members.iter().map(row))
    }
}
