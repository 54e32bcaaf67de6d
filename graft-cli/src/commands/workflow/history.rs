//! `graft workflow history`

use graft_client::HistoryPage;
use graft_proto::documents::{Event, WorkflowHistory};

use super::handle;
use crate::cli::workflow::History;
use crate::commands::Session;
use crate::commands::paging::page_size;
use crate::error::CliResult;
use crate::output::event::line;
use crate::output::pager::Pages;
use crate::output::spinner::Spinner;
use crate::output::style::Line;
use crate::output::{Answer, View, compact, note};

/// Shows the events of a run, a page or all of them.
pub(crate) async fn run(session: &Session, args: &History) -> CliResult {
    let workflow = handle(session, &args.target);
    let limit = page_size(&args.page);
    let mut page = workflow.history(limit, &args.page.cursor).await?;
    // The run that the first page named: a new run must not get mixed in.
    let workflow = workflow.run(page.run);
    if !session.output.is_for_people() && !session.output.is_by_line() {
        let spinner = Spinner::start("reading the history");
        while let Some(cursor) = page.next_cursor.take_if(|_| args.page.all) {
            spinner.say(|| format!("reading the history: {} events", page.events.len()));
            let more = workflow.history(limit, &cursor).await?;
            page.events.extend(more.events);
            page.next_cursor = more.next_cursor;
        }
        drop(spinner);
        return session.output.show(&Told { workflow_id: args.target.id.clone(), page });
    }
    let mut pages = Pages::open(session.output, !args.no_pager);
    let mut told = Told { workflow_id: args.target.id.clone(), page };
    loop {
        if session.output.is_for_people() {
            pages.lines(&told.people(session.output.view()))?;
        } else {
            session.output.show(&told)?;
        }
        match told.page.next_cursor.take() {
            None => return Ok(()),
            Some(cursor) if args.page.all => told.page = workflow.history(limit, &cursor).await?,
            Some(cursor) => {
                drop(pages);
                note(&format!("There are more: --all shows them, --cursor {cursor} the next page."));
                return Ok(());
            }
        }
    }
}

/// Events of a run.
struct Told {
    workflow_id: String,
    page: HistoryPage,
}

impl Answer for Told {
    type Document = WorkflowHistory;

    fn document(&self) -> WorkflowHistory {
        let events = self.page.events.iter().cloned().map(Event::from).collect();
        WorkflowHistory { workflow_id: self.workflow_id.clone(), run: self.page.run, events, next_cursor: self.page.next_cursor.clone() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.page.events.iter().cloned().map(|event| compact(&Event::from(event))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.page.events.iter().map(|event| event.number.to_string()).collect()
    }

    fn people(&self, _: View) -> Vec<Line> {
        self.page.events.iter().map(line).collect()
    }
}
