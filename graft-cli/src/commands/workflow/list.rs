//! `graft workflow list`

use std::ops::ControlFlow;

use graft_client::proto::WorkflowStatus;
use graft_client::{ListFilter, ListPage};
use graft_proto::documents::{WorkflowList, WorkflowSummary};

use super::page_size;
use crate::cli::workflow::{List, Status};
use crate::commands::{Session, watching};
use crate::error::CliResult;
use crate::output::spinner::Spinner;
use crate::output::style::Line;
use crate::output::{Answer, View, compact, note, table};

/// Lists workflows, a page or all of them.
pub(crate) async fn run(session: &Session, args: &List) -> CliResult {
    let filter = args.status.iter().fold(ListFilter::new(), |filter, status| filter.status(wire(*status)));
    let filter = filter.id_prefix(&args.prefix).limit(page_size(&args.page)).cursor(&args.page.cursor);
    if args.page.all && args.watching.watch.is_none() && session.output.is_by_line() {
        return streamed(session, filter).await;
    }
    let ask = async || Ok(ControlFlow::Continue(pages(session, filter.clone(), args.page.all).await?));
    let page = watching::show(session, &args.watching, ask).await?;
    if session.output.is_for_people()
        && let Some(words) = remark(session.client.namespace(), args, &page)
    {
        note(&words);
    }
    Ok(())
}

/// One page, or all of them as one.
async fn pages(session: &Session, filter: ListFilter, all: bool) -> CliResult<ListPage> {
    let mut page = session.client.list(filter.clone()).await?;
    if page.next_cursor.is_none() || !all {
        return Ok(page);
    }
    let spinner = Spinner::start("listing");
    while let Some(cursor) = page.next_cursor.take() {
        spinner.say(|| format!("listing: {} workflows", page.workflows.len()));
        let ListPage { workflows, next_cursor } = session.client.list(filter.clone().cursor(cursor)).await?;
        page.workflows.extend(workflows);
        page.next_cursor = next_cursor;
    }
    Ok(page)
}

/// All pages, each written when it comes.
async fn streamed(session: &Session, filter: ListFilter) -> CliResult {
    let mut page = session.client.list(filter.clone()).await?;
    loop {
        session.output.show(&page)?;
        match page.next_cursor.take() {
            Some(cursor) => page = session.client.list(filter.clone().cursor(cursor)).await?,
            None => return Ok(()),
        }
    }
}

impl Answer for ListPage {
    type Document = WorkflowList;

    fn document(&self) -> WorkflowList {
        let workflows = self.workflows.iter().map(WorkflowSummary::from).collect();
        WorkflowList { workflows, next_cursor: self.next_cursor.clone() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.workflows.iter().map(|summary| compact(&WorkflowSummary::from(summary))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.workflows.iter().map(|summary| summary.workflow_id.clone()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        table::workflows(&self.workflows, view)
    }
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
    use clap::{Parser, ValueEnum};

    use super::*;
    use crate::cli::workflow::Workflow;
    use crate::cli::{Cli, Noun};

    #[test]
    fn an_empty_page_is_told_from_an_empty_list() {
        let said = |flags: &str, next: Option<&str>, rows| {
            let words = ["graft", "workflow", "list"].into_iter().chain(flags.split_whitespace());
            let Noun::Workflow(Workflow::List(args)) = Cli::try_parse_from(words).unwrap().noun else { panic!("another verb") };
            let page = ListPage { workflows: vec![Default::default(); rows], next_cursor: next.map(str::to_owned) };
            remark("sales", &args, &page).unwrap_or_default()
        };
        assert_eq!(said("", None, 0), "There is no workflow in namespace \"sales\".");
        for filter in ["--status paused", "--prefix x"] {
            assert_eq!(said(filter, None, 0), "No workflow of namespace \"sales\" matches.");
        }
        assert_eq!(said("--status paused", Some("c"), 0), "Nothing on this page matches; --all looks on, --cursor c shows the next page.");
        assert_eq!(said("", Some("c"), 3), "There may be more: --all shows them, --cursor c the next page.");
        assert_eq!(said("--cursor b", None, 0), "There are no more.");
        assert_eq!(said("", None, 3), "");
    }

    #[test]
    fn a_status_is_asked_for_with_the_word_that_answers_use() {
        for status in Status::value_variants() {
            let word = status.to_possible_value().unwrap();
            assert_eq!(word.get_name(), graft_client::status_name(wire(*status)));
        }
    }
}
