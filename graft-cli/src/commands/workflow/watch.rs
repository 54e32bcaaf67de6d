//! `graft workflow watch`

use std::time::Duration;

use futures::{Stream, StreamExt};
use graft_client::ClientError;
use graft_client::proto::event::Happened;
use graft_client::proto::{Event, WorkflowStatus};
use graft_proto::documents;
use tokio::time::{MissedTickBehavior, interval};

use super::{handle, verdict};
use crate::cli::workflow::Watch;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::event::line;
use crate::output::graph::{Folding, Graph, tree};
use crate::output::progress::Progress;
use crate::output::screen::Screen;
use crate::output::style::Line;
use crate::output::{Answer, View, time};

/// How often the graph is drawn, at most.
const FRAME: Duration = Duration::from_millis(150);
/// Events that are taken at a time, at most, so that drawing has its turn.
const EVENTS_AT_ONCE: usize = 1_024;

/// How a run ended, and why.
type End = (WorkflowStatus, String);

/// Follows a workflow until it ends.
pub(crate) async fn run(session: &Session, args: &Watch) -> CliResult {
    let events = handle(session, &args.target).watch();
    let end = if session.output.is_live() { live(session, args, events).await? } else { told(session, events).await? };
    match end {
        Some((status, reason)) => verdict(&args.target.id, status, &reason),
        None => Ok(()),
    }
}

/// How the run ended, if this event says so.
fn end(event: &Event) -> Option<End> {
    let (status, end) = match event.happened.as_ref()? {
        Happened::Completed(end) => (WorkflowStatus::Completed, end),
        Happened::Failed(end) => (WorkflowStatus::Failed, end),
        Happened::Cancelled(end) => (WorkflowStatus::Cancelled, end),
        Happened::Terminated(end) => (WorkflowStatus::Terminated, end),
        Happened::TimedOut(end) => (WorkflowStatus::TimedOut, end),
        _ => return None,
    };
    Some((status, end.reason.clone()))
}

/// A line for each event, or a document.
async fn told(session: &Session, mut events: impl Stream<Item = Result<Event, ClientError>> + Unpin) -> CliResult<Option<End>> {
    let mut ended = None;
    while let Some(event) = events.next().await {
        let event = event?;
        ended = end(&event).or(ended);
        session.output.show_next(&event)?;
    }
    Ok(ended)
}

impl Answer for Event {
    type Document = documents::Event;

    fn document(&self) -> documents::Event {
        self.clone().into()
    }

    fn names(&self) -> Vec<String> {
        vec![self.number.to_string()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        vec![line(self)]
    }
}

/// A graph that grows.
async fn live(session: &Session, args: &Watch, events: impl Stream<Item = Result<Event, ClientError>> + Unpin) -> CliResult<Option<End>> {
    let mut ended = None;
    let mut events = events.ready_chunks(EVENTS_AT_ONCE);
    let mut progress = Progress::default();
    let folding = Folding::new(&args.unfold);
    let drawn = |progress: &Progress| tree::lines(&args.target.id, &Graph::of(progress, &folding, time::now_ms()));
    // The terminal is taken once there is something to see: an unknown workflow is answered with plain words.
    let mut screen: Option<Screen> = None;
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            chunk = events.next() => {
                let Some(chunk) = chunk else { break };
                for event in chunk {
                    let event = event?;
                    ended = end(&event).or(ended);
                    progress.take(&event);
                }
                if screen.is_none() {
                    screen = Some(Screen::take(session.output.colours())?);
                }
            }
            _ = frames.tick() => {
                if let Some(screen) = &mut screen {
                    screen.draw(&drawn(&progress))?;
                }
            }
        }
    }
    if let Some(screen) = screen {
        screen.finish(&drawn(&progress))?;
    }
    Ok(ended)
}
