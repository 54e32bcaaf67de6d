//! `graft cluster upgrade`

use graft_client::proto::RaiseMachineVersionResponse;
use graft_proto::documents::MachineVersion;

use crate::cli::place::UpgradeArgs;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::style::{Line, Tone};
use crate::output::{Answer, View, ask, note};

/// Raises the machine version. It cannot be undone: a terminal is asked, after it has heard what would be done.
pub(super) async fn run(session: &Session, args: UpgradeArgs) -> CliResult {
    let UpgradeArgs { to, consent } = args;
    let would = session.client.raise_machine_version(to, true).await?;
    if consent.dry_run || would.machine_version == would.before {
        session.output.show(&would)?;
        note("Nothing was changed.");
        return Ok(());
    }
    let what = format!("put machine version {} into force: an earlier graftd cannot take part any more", would.machine_version);
    ask::agreed(session.output, &consent, &what, "yes").await?;
    // What was agreed to, whatever has become possible meanwhile.
    session.output.show(&session.client.raise_machine_version(Some(would.machine_version), false).await?)
}

impl Answer for RaiseMachineVersionResponse {
    type Document = MachineVersion;

    fn document(&self) -> MachineVersion {
        self.into()
    }

    fn names(&self) -> Vec<String> {
        vec![self.machine_version.to_string()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        let (now, then) = (self.before, self.machine_version);
        let told = if now == then { "  is the highest that all can follow".to_owned() } else { format!("  after {now}") };
        vec![Line::of(Tone::Strong, format!("machine version {then}")).add(Tone::Plain, told)]
    }
}
