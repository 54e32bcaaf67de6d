//! `graft workflow list`

use graft_client::proto::WorkflowStatus;
use graft_client::{ListFilter, ListPage};

use super::page_size;
use crate::cli::{List, Status};
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::json::ListJson;
use crate::output::{say, table, time};

/// Lists workflows, a page or all of them.
pub(crate) async fn run(session: &Session, args: &List) -> CliResult {
    let filter = args.status.iter().fold(ListFilter::new(), |filter, status| filter.status(wire(*status)));
    let filter = filter.id_prefix(&args.prefix).limit(page_size(&args.page)).cursor(&args.page.cursor);
    let mut page = session.client.list(filter.clone()).await?;
    while let Some(cursor) = page.next_cursor.take_if(|_| args.page.all) {
        let ListPage { workflows, next_cursor } = session.client.list(filter.clone().cursor(cursor)).await?;
        page.workflows.extend(workflows);
        page.next_cursor = next_cursor;
    }
    if session.output.is_json() {
        return session.output.document(&ListJson::from(&page));
    }
    session.output.lines(&table::workflows(&page.workflows, time::now_ms()))?;
    if let Some(words) = remark(session.client.namespace(), args, &page) {
        say(&words);
    }
    Ok(())
}

/// What is to be said about a page: where the next one is, or why nothing is on this one. The server looks through so many workflows for a
/// page and no more, so a page on which nothing matched need not be the last.
fn remark(namespace: &str, args: &List, page: &ListPage) -> Option<String> {
    let filtered = !args.status.is_empty() || !args.prefix.is_empty();
    match (&page.next_cursor, page.workflows.is_empty()) {
        (Some(cursor), true) => Some(format!("Nothing on this page matches; --all looks on, --cursor {cursor} shows the next page.")),
        (Some(cursor), false) => Some(format!("There may be more: --all shows them, --cursor {cursor} the next page.")),
        (None, false) => None,
        (None, true) if !args.page.cursor.is_empty() => Some("There are no more.".to_owned()),
        (None, true) if filtered => Some(format!("No workflow of namespace \"{namespace}\" matches.")),
        (None, true) => Some(format!("There is no workflow in namespace \"{namespace}\".")),
    }
}

fn wire(status: Status) -> WorkflowStatus {
    match status {
        Status::Running => WorkflowStatus::Running,
        Status::Paused => WorkflowStatus::Paused,
        Status::Cancelling => WorkflowStatus::Cancelling,
        Status::Completed => WorkflowStatus::Completed,
        Status::Failed => WorkflowStatus::Failed,
        Status::Cancelled => WorkflowStatus::Cancelled,
        Status::Terminated => WorkflowStatus::Terminated,
        Status::TimedOut => WorkflowStatus::TimedOut,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::cli::Page;

    #[test]
    fn an_empty_page_is_told_from_an_empty_list() {
        let said = |status: &[Status], at: &str, next: Option<&str>, rows| {
            let args =
                List { status: status.to_vec(), prefix: String::new(), page: Page { limit: None, all: false, cursor: at.to_owned() } };
            let page = ListPage { workflows: vec![Default::default(); rows], next_cursor: next.map(str::to_owned) };
            remark("sales", &args, &page).unwrap_or_default()
        };
        assert_eq!(said(&[], "", None, 0), "There is no workflow in namespace \"sales\".");
        assert_eq!(said(&[Status::Paused], "", None, 0), "No workflow of namespace \"sales\" matches.");
        assert_eq!(
            said(&[Status::Paused], "", Some("c"), 0),
            "Nothing on this page matches; --all looks on, --cursor c shows the next page."
        );
        assert_eq!(said(&[], "", Some("c"), 3), "There may be more: --all shows them, --cursor c the next page.");
        assert_eq!(said(&[], "b", None, 0), "There are no more.");
        assert_eq!(said(&[], "", None, 3), "");
    }

    #[test]
    fn a_status_is_asked_for_with_the_word_that_answers_use() {
        for status in Status::value_variants() {
            let word = status.to_possible_value().unwrap();
            assert_eq!(word.get_name(), graft_client::status_name(wire(*status)));
        }
    }
}
