//! Lists in pages: one, or all of them; again and again, if they are watched.

use std::ops::ControlFlow;

use super::{Session, watching};
use crate::cli::which::{Page, Watching};
use crate::error::CliResult;
use crate::output::Answer;
use crate::output::spinner::Spinner;

/// Rows of a page, unless somebody says otherwise.
const PAGE: u32 = 100;
/// The same where all pages are wanted.
pub(super) const PAGE_OF_ALL: u32 = 1_000;

/// A page of a list.
pub(super) trait Paged: Answer {
    /// Where the next one begins.
    fn next_cursor(&mut self) -> &mut Option<String>;

    /// How many rows it has.
    fn rows(&self) -> usize;

    /// Adds the rows of the page after it.
    fn append(&mut self, more: Self);
}

/// Rows that are asked for at a time: what was said, or else few for somebody who reads a page and many for somebody who wants all.
pub(super) fn page_size(page: &Page) -> u32 {
    page.limit.unwrap_or(if page.all { PAGE_OF_ALL } else { PAGE })
}

/// Shows the page, or all pages, that `ask` answers, which is given the size of a page and a cursor. Whoever reads line by line gets each page
/// when it comes.
pub(super) async fn show<P: Paged>(
    session: &Session,
    (page, watched): (&Page, &Watching),
    what: &str,
    ask: impl AsyncFn(u32, String) -> CliResult<P>,
) -> CliResult<P> {
    let limit = page_size(page);
    if page.all && watched.watch.is_none() && session.output.is_by_line() {
        let mut answer = ask(limit, String::new()).await?;
        loop {
            session.output.show(&answer)?;
            match answer.next_cursor().take() {
                Some(cursor) => answer = ask(limit, cursor).await?,
                None => return Ok(answer),
            }
        }
    }
    let whole = async || {
        let mut answer = ask(limit, page.cursor.clone()).await?;
        let mut spinner = None;
        while let Some(cursor) = answer.next_cursor().take_if(|_| page.all) {
            let spinner = spinner.get_or_insert_with(|| Spinner::start("listing"));
            spinner.say(|| format!("listing: {} {what}", answer.rows()));
            answer.append(ask(limit, cursor).await?);
        }
        Ok(ControlFlow::Continue(answer))
    };
    watching::show(session, watched, whole).await
}

/// What is to be said about a page: where the next one is, or why nothing is on this one. A server looks through so many rows for a page and
/// no more, so a page on which nothing matched need not be the last.
pub(super) fn remark(page: &Page, next_cursor: Option<&str>, rows: usize, nothing: impl FnOnce() -> String) -> Option<String> {
    match (next_cursor, rows) {
        (Some(cursor), 0) => Some(format!("Nothing on this page matches; --all looks on, --cursor {cursor} shows the next page.")),
        (Some(cursor), _) => Some(format!("There may be more: --all shows them, --cursor {cursor} the next page.")),
        (None, 1..) => None,
        (None, _) if !page.cursor.is_empty() => Some("There are no more.".to_owned()),
        (None, _) => Some(nothing()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_was_given_counts_with_all_pages_as_well() {
        let size = |limit, all| page_size(&Page { limit, all, cursor: String::new() });
        assert_eq!((size(None, false), size(None, true), size(Some(7), false), size(Some(7), true)), (100, 1_000, 7, 7));
    }

    #[test]
    fn an_empty_page_is_told_from_an_empty_list() {
        let said = |cursor: &str, next, rows| {
            let page = Page { cursor: cursor.to_owned(), ..Page::default() };
            remark(&page, next, rows, || "There is nothing.".to_owned()).unwrap_or_default()
        };
        assert_eq!(said("", None, 0), "There is nothing.");
        assert_eq!(said("", Some("c"), 0), "Nothing on this page matches; --all looks on, --cursor c shows the next page.");
        assert_eq!(said("", Some("c"), 3), "There may be more: --all shows them, --cursor c the next page.");
        assert_eq!(said("b", None, 0), "There are no more.");
        assert_eq!(said("", None, 3), "");
    }
}
