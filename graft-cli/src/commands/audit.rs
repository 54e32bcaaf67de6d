//! `graft audit`

use graft_client::ActPage;
use graft_client::proto::Act;
use graft_proto::documents::{self, ActList};

use super::Session;
use crate::cli::access::Audit;
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::table::{column, short, table, wide};
use crate::output::time::ago;
use crate::output::{Answer, View, compact, note};

/// Shows what administrators did, the latest first.
pub(crate) async fn run(session: &Session, args: &Audit) -> CliResult {
    let page = session.client.acts(args.limit, args.before.unwrap_or(0)).await?;
    session.output.show(&page)?;
    if session.output.is_for_people() {
        match page.acts.last() {
            Some(last) if page.more => note(&format!("There are earlier ones: graft audit --before {}", last.number)),
            None if args.before.is_none() => note("No administrator has done anything."),
            _ => {}
        }
    }
    Ok(())
}

impl Answer for ActPage {
    type Document = ActList;

    fn document(&self) -> ActList {
        ActList { acts: self.acts.iter().map(documents::Act::from).collect(), more: self.more }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.document().acts.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.acts.iter().map(|act| act.number.to_string()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |act: &Act| {
            let ended = if act.outcome.is_empty() { "not known" } else { &act.outcome };
            let asked = if view.wide { act.object.clone() } else { short(&act.object) };
            let (number, at) = (act.number.to_string(), ago(act.time_ms, view.now_ms));
            vec![number, at, act.principal.clone(), act.from.clone(), act.member.clone(), act.method.clone(), asked, short(ended)]
        };
        let columns = [
            column("NUMBER"),
            column("BEGUN"),
            column("WHO"),
            wide("FROM"),
            wide("MEMBER"),
            column("METHOD"),
            column("ASKED"),
            column("OUTCOME"),
        ];
        table(view, &columns, self.acts.iter().map(row))
    }
}
