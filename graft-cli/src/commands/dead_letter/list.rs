//! `graft dead-letter list`

use graft_client::DeadLetterPage;

use super::filter;
use crate::cli::task::DeadLetterList;
use crate::commands::{Session, paging};
use crate::error::CliResult;
use crate::output::note;

/// Lists dead letters, a page or all of them.
pub(crate) async fn run(session: &Session, args: &DeadLetterList) -> CliResult {
    let filter = filter(&args.which);
    let ask = async |limit, cursor: String| Ok(session.client.dead_letters(filter.clone(), limit, &cursor).await?);
    let page = paging::show(session, (&args.page, &args.watching), "dead letters", ask).await?;
    let nothing = || match args.which.is_all() {
        true => format!("No task of namespace \"{}\" was given up.", session.client.namespace()),
        false => "Nothing that was given up matches.".to_owned(),
    };
    if session.output.is_for_people()
        && let Some(words) = paging::remark(&args.page, page.next_cursor.as_deref(), page.dead_letters.len(), nothing)
    {
        note(&words);
    }
    Ok(())
}

impl paging::Paged for DeadLetterPage {
    fn next_cursor(&mut self) -> &mut Option<String> {
        &mut self.next_cursor
    }

    fn rows(&self) -> usize {
        self.dead_letters.len()
    }

    fn append(&mut self, more: Self) {
        self.dead_letters.extend(more.dead_letters);
        self.next_cursor = more.next_cursor;
    }
}
