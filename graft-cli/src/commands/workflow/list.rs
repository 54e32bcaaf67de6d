//! `graft workflow list`

use std::ops::ControlFlow;
use std::time::SystemTime;

use graft_client::proto::WorkflowStatus;
use graft_client::{ListFilter, ListPage, status_name};
use graft_proto::documents::{WorkflowCounts, WorkflowList, WorkflowSummary};

use crate::cli::workflow::{List, Status};
use crate::commands::paging::{self, Paged};
use crate::commands::{Session, watching};
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::{Answer, View, compact, note, table};

/// Lists workflows, a page or all of them; or counts them.
pub(crate) async fn run(session: &Session, args: &List) -> CliResult {
    if args.counts {
        let ask = async || Ok(ControlFlow::Continue(Counts(session.client.counts().await?)));
        watching::show(session, &args.watching, ask).await?;
        return Ok(());
    }
    let filter = filter(args);
    let ask = async |limit, cursor: String| Ok(session.client.list(filter.clone().limit(limit).cursor(cursor)).await?);
    let page = paging::show(session, (&args.page, &args.watching), "workflows", ask).await?;
    let nothing = || nothing(session.client.namespace(), args);
    if session.output.is_for_people()
        && let Some(words) = paging::remark(&args.page, page.next_cursor.as_deref(), page.workflows.len(), nothing)
    {
        note(&words);
    }
    Ok(())
}

fn filter(args: &List) -> ListFilter {
    let now = SystemTime::now();
    let filter = args.status.iter().fold(ListFilter::new(), |filter, status| filter.status(wire(*status)));
    let filter = args.labels.iter().fold(filter, |filter, (key, value)| filter.label(key, value));
    let mut filter = filter.id_prefix(&args.prefix).node(&args.node);
    if let Some(since) = args.since {
        filter = filter.created_since(since.at(now));
    }
    if let Some(until) = args.until {
        filter = filter.created_until(until.at(now));
    }
    filter
}

/// What is said where there is none.
fn nothing(namespace: &str, args: &List) -> String {
    let List { status, node, labels, since, until, prefix, .. } = args;
    let all = status.is_empty() && prefix.is_empty() && node.is_empty() && labels.is_empty() && since.is_none() && until.is_none();
    match all {
        true => format!("There is no workflow in namespace \"{namespace}\"."),
        false => format!("No workflow of namespace \"{namespace}\" matches."),
    }
}

impl Paged for ListPage {
    fn next_cursor(&mut self) -> &mut Option<String> {
        &mut self.next_cursor
    }

    fn rows(&self) -> usize {
        self.workflows.len()
    }

    fn append(&mut self, more: Self) {
        self.workflows.extend(more.workflows);
        self.next_cursor = more.next_cursor;
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

/// How many workflows are in each status.
struct Counts(Vec<(WorkflowStatus, u64)>);

impl Answer for Counts {
    type Document = WorkflowCounts;

    fn document(&self) -> WorkflowCounts {
        WorkflowCounts {
            total: self.0.iter().map(|(_, count)| count).sum(),
            counts: self.0.iter().map(|(status, count)| ((*status).into(), *count)).collect(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().filter(|(_, count)| *count > 0).map(|(status, _)| status_name(*status).to_owned()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |(status, count): &(WorkflowStatus, u64)| vec![status_name(*status).to_owned(), count.to_string()];
        let total = vec!["total".to_owned(), self.document().total.to_string()];
        table::table(view, &[table::column("STATUS"), table::column("WORKFLOWS")], self.0.iter().map(row).chain([total]))
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
    fn a_list_that_is_empty_for_its_filter_says_so() {
        let said = |flags: &str| {
            let words = ["graft", "workflow", "list"].into_iter().chain(flags.split_whitespace());
            let Noun::Workflow(Workflow::List(args)) = Cli::try_parse_from(words).unwrap().noun else { panic!("another verb") };
            nothing("sales", &args)
        };
        assert_eq!(said(""), "There is no workflow in namespace \"sales\".");
        for filter in ["--status paused", "--node a", "--label a=b", "--since 1h", "--until 1h", "--prefix x"] {
            assert_eq!(said(filter), "No workflow of namespace \"sales\" matches.");
        }
    }

    #[test]
    fn a_status_is_asked_for_with_the_word_that_answers_use() {
        for status in Status::value_variants() {
            let word = status.to_possible_value().unwrap();
            assert_eq!(word.get_name(), status_name(wire(*status)));
        }
    }
}
