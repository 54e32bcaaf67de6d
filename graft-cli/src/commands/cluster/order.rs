//! `graft cluster promote`, `remove`, `transfer-leader` and `drain`: what is done to a member.

use graft_client::proto::Member;
use graft_proto::documents;

use crate::cli::place::{DrainArgs, MemberName, RemoveArgs, TransferArgs};
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::style::{Line, Tone};
use crate::output::{Answer, View, ask, note};

/// Makes a learner a voter.
pub(super) async fn promote(session: &Session, which: MemberName) -> CliResult {
    session.output.show(&Done { member: session.client.promote_member(which.member).await?, what: "votes" })
}

/// Takes a member out. It cannot be undone: a terminal is asked.
pub(super) async fn remove(session: &Session, args: RemoveArgs) -> CliResult {
    let RemoveArgs { which: MemberName { member }, consent } = args;
    if consent.dry_run {
        session.output.show(&Done { member: session.client.remove_member(member, true).await?, what: "would be removed" })?;
        note("Nothing was changed.");
        return Ok(());
    }
    ask::agreed(session.output, &consent, &format!("take member {member} out of the cluster for ever"), &member).await?;
    session.output.show(&Done { member: session.client.remove_member(member, false).await?, what: "is removed" })
}

/// Hands leadership over.
pub(super) async fn transfer_leader(session: &Session, args: TransferArgs) -> CliResult {
    session.output.show(&Done { member: session.client.transfer_leader(args.to).await?, what: "leads" })
}

/// Drains a member.
pub(super) async fn drain(session: &Session, args: DrainArgs) -> CliResult {
    let DrainArgs { which: MemberName { member }, undo } = args;
    let what = if undo { "takes part again" } else { "is drained" };
    session.output.show(&Done { member: session.client.drain_member(member, undo).await?, what })
}

/// The member, and what became of it.
struct Done {
    member: Member,
    what: &'static str,
}

impl Answer for Done {
    type Document = documents::Member;

    fn document(&self) -> documents::Member {
        (&self.member).into()
    }

    fn names(&self) -> Vec<String> {
        vec![self.member.name.clone()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        vec![Line::of(Tone::Strong, self.member.name.clone()).add(Tone::Plain, format!("  {}", self.what))]
    }
}
