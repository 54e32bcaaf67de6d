//! `graft workflow history`

use super::{handle, page_size};
use crate::cli::History;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::event::{EventJson, HistoryJson, line};
use crate::output::say;

/// Shows the events of a run, a page or all of them.
pub(crate) async fn run(session: &Session, args: &History) -> CliResult {
    let workflow = handle(session, &args.target);
    let limit = page_size(&args.page);
    let mut page = workflow.history(limit, &args.page.cursor).await?;
    // The run that the first page named: a new run must not get mixed in.
    let workflow = workflow.run(page.run);
    if session.output.is_json() {
        let mut events: Vec<EventJson> = page.events.drain(..).map(Into::into).collect();
        while let Some(cursor) = page.next_cursor.take_if(|_| args.page.all) {
            page = workflow.history(limit, &cursor).await?;
            events.extend(page.events.drain(..).map(EventJson::from));
        }
        let (workflow_id, next_cursor) = (args.target.id.clone(), page.next_cursor);
        return session.output.document(&HistoryJson { workflow_id, run: page.run, events, next_cursor });
    }
    loop {
        session.output.lines(&page.events.iter().map(line).collect::<Vec<_>>())?;
        match page.next_cursor {
            None => return Ok(()),
            Some(cursor) if args.page.all => page = workflow.history(limit, &cursor).await?,
            Some(cursor) => {
                say(&format!("There are more: --all shows them, --cursor {cursor} the next page."));
                return Ok(());
            }
        }
    }
}
