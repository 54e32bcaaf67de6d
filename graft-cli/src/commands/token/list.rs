//! `graft token list`

use crate::cli::access::TokenList;
use crate::commands::{Session, paging};
use crate::error::CliResult;
use crate::output::note;

/// Lists tokens, a page or all of them.
pub(super) async fn run(session: &Session, args: &TokenList) -> CliResult {
    let ask = async |limit, cursor: String| Ok(session.client.tokens(limit, &cursor).await?);
    let page = paging::show(session, (&args.page, &args.watching), "tokens", ask).await?;
    let nothing = || "There is no token that you could have made. Make one with: graft token create NAME --grant GRANT".to_owned();
    if session.output.is_for_people()
        && let Some(words) = paging::remark(&args.page, page.next_cursor.as_deref(), page.tokens.len(), nothing)
    {
        note(&words);
    }
    Ok(())
}
