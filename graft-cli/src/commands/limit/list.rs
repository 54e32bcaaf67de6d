//! `graft limit list`

use std::ops::ControlFlow;

use crate::cli::task::LimitList;
use crate::commands::{Session, watching};
use crate::error::CliResult;
use crate::output::note;

/// Lists limits, and what is held under them.
pub(crate) async fn run(session: &Session, args: &LimitList) -> CliResult {
    let ask = async || {
        let limits = if args.all_namespaces { session.client.all_limits().await? } else { session.client.limits().await? };
        Ok(ControlFlow::Continue(limits))
    };
    let answer = watching::show(session, &args.watching, ask).await?;
    if session.output.is_for_people() {
        if answer.limits.is_empty() {
            note("There is no limit. Set one with: graft limit set NODE --max COUNT");
        }
        if !answer.live {
            note("The member that answered could not ask the leader: what is held and waits is not known.");
        }
    }
    Ok(())
}
