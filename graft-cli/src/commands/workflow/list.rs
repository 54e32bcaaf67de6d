//! `graft workflow list`

use graft_client::proto::WorkflowStatus;
use graft_client::{ListFilter, ListPage};

use crate::cli::{List, Status};
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::json::ListJson;
use crate::output::{say, table, time};

/// Rows that `--all` asks for at a time.
const PAGE_OF_ALL: u32 = 1_000;

/// Lists workflows, a page or all of them.
pub(crate) async fn run(session: &Session, args: &List) -> CliResult {
    let limit = if args.all { PAGE_OF_ALL } else { args.limit };
    let filter = args.status.iter().fold(ListFilter::new(), |filter, status| filter.status(wire(*status)));
    let filter = filter.id_prefix(&args.prefix).limit(limit).cursor(&args.cursor);
    let mut page = session.client.list(filter.clone()).await?;
    while let Some(cursor) = page.next_cursor.take_if(|_| args.all) {
        let ListPage { workflows, next_cursor } = session.client.list(filter.clone().cursor(cursor)).await?;
        page.workflows.extend(workflows);
        page.next_cursor = next_cursor;
    }
    if session.output.is_json() {
        return session.output.document(&ListJson::from(&page));
    }
    session.output.lines(&table::workflows(&page.workflows, time::now_ms()))?;
    if page.workflows.is_empty() {
        say(&format!("No workflow of namespace \"{}\" is like that.", session.client.namespace()));
    }
    if let Some(cursor) = &page.next_cursor {
        say(&format!("There are more: --all shows them, --cursor {cursor} the next page."));
    }
    Ok(())
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

    #[test]
    fn a_status_is_asked_for_with_the_word_that_answers_use() {
        for status in Status::value_variants() {
            let word = status.to_possible_value().unwrap();
            assert_eq!(word.get_name(), graft_client::status_name(wire(*status)));
        }
    }
}
