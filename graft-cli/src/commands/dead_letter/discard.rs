//! `graft dead-letter discard`

use super::{Call, Meant, bulk, meant, only, planned};
use crate::cli::task::Discard;
use crate::commands::{Session, task};
use crate::error::CliResult;
use crate::output::ask;
use crate::output::task::{Done, What};

/// Gives dead letters up for good. One that is named is done at once, unless a terminal can be asked.
pub(crate) async fn run(session: &Session, args: &Discard) -> CliResult {
    let args = &args.which;
    let how = |dry_run: bool| graft_client::Discard::new().reason(&args.reason).dry_run(dry_run);
    let one = match meant(args, What::Discard)? {
        Meant::One(one) => one,
        Meant::Many(filter) => {
            let all = |dry_run: bool| how(dry_run).limit(args.limit.unwrap_or_default()).cursor(&args.cursor);
            let call = async |call| match call {
                Call::All { dry_run } => Ok(session.client.discard_all(filter.clone(), all(dry_run)).await?),
                Call::These(names) => Ok(session.client.discard_several(names, how(false)).await?),
            };
            return bulk(session, args, What::Discard, call).await;
        }
    };
    let letter = task::handle(session, one);
    if args.consent.dry_run {
        return planned(session, What::Discard, only(letter.discard(how(true)).await?, true));
    }
    let name = one.to_string();
    ask::agreed_on_a_terminal(session.output, &args.consent, &format!("discard {name} for good"), &name).await?;
    let answer = only(letter.discard(how(false)).await?, false);
    session.output.show(&Done { answer, what: What::Discard })
}
