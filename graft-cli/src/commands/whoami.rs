//! `graft whoami`

use graft_client::proto::WhoAmIResponse;
use graft_proto::documents::WhoAmI;

use super::Session;
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::table::facts;
use crate::output::{Answer, View, note};

/// Shows who asks, as the cluster sees it.
pub(crate) async fn run(session: &Session) -> CliResult {
    let answer = session.client.who_am_i().await?;
    session.output.show(&answer)?;
    if session.output.is_for_people() && !answer.required {
        note("Nobody has to show who it is there: whoever reaches the port may do everything.");
    }
    Ok(())
}

impl Answer for WhoAmIResponse {
    type Document = WhoAmI;

    fn document(&self) -> WhoAmI {
        self.into()
    }

    fn names(&self) -> Vec<String> {
        self.document().name.into_iter().collect()
    }

    fn people(&self, _: View) -> Vec<Line> {
        let name = if self.name.is_empty() { "nobody knows" } else { &self.name };
        let may = if self.grants.is_empty() { "nothing".to_owned() } else { self.grants.join(" ") };
        facts(&[("name", name.to_owned()), ("shown by", self.shown_by.clone()), ("may", may)])
    }
}
