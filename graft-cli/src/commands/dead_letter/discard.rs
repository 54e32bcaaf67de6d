//! `graft dead-letter discard`

use graft_client::Resolved;

use super::{Meant, bulk, meant, planned};
use crate::cli::task::Discard;
use crate::commands::{Session, task};
use crate::error::CliResult;
use crate::output::ask;
use crate::output::task::{Done, What};

/// Gives dead letters up for good. One that is named is done at once, unless a terminal can be asked.
pub(crate) async fn run(session: &Session, args: &Discard) -> CliResult {
    let args = &args.which;
    let how = |dry_run: bool| graft_client::Discard::new().reason(&args.reason).dry_run(dry_run).limit(args.limit.unwrap_or_default());
    let one = match meant(args, What::Discard)? {
        Meant::One(one) => one,
        Meant::Many(filter) => {
            let call = async |dry_run| Ok(session.client.discard_all(filter.clone(), how(dry_run)).await?);
            return bulk(session, args, What::Discard, call).await;
        }
    };
    let letter = task::handle(session, one);
    if args.consent.dry_run {
        let results = vec![letter.discard(how(true)).await?];
        return planned(session, What::Discard, Resolved { results, more: false, dry_run: true });
    }
    let name = one.to_string();
    ask::agreed_on_a_terminal(session.output, &args.consent, &format!("discard {name} for good"), &name).await?;
    let results = vec![letter.discard(how(false)).await?];
    session.output.show(&Done { answer: Resolved { results, more: false, dry_run: false }, what: What::Discard })
}
