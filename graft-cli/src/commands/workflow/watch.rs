//! `graft workflow watch`

use std::time::Duration;

use futures::{Stream, StreamExt};
use graft_client::ClientError;
use graft_client::proto::Event;
use tokio::time::{MissedTickBehavior, interval};

use super::handle;
use crate::cli::Target;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::event::{EventJson, line};
use crate::output::progress::Progress;
use crate::output::screen::Screen;
use crate::output::{time, tree};

/// How often the tree is drawn, at most.
const FRAME: Duration = Duration::from_millis(150);
/// Events that are taken at a time, at most, so that drawing has its turn.
const EVENTS_AT_ONCE: usize = 1_024;

/// Follows a workflow until it ends.
pub(crate) async fn run(session: &Session, target: &Target) -> CliResult {
    let events = handle(session, target).watch();
    if session.output.is_live() {
        return live(session, &target.id, events).await;
    }
    let mut events = events;
    while let Some(event) = events.next().await {
        let event = event?;
        if session.output.is_json() {
            session.output.document_line(&EventJson::from(event))?;
        } else {
            session.output.lines(&[line(&event)])?;
        }
    }
    Ok(())
}

async fn live(session: &Session, id: &str, events: impl Stream<Item = Result<Event, ClientError>> + Unpin) -> CliResult {
    let mut events = events.ready_chunks(EVENTS_AT_ONCE);
    let mut progress = Progress::default();
    // The terminal is taken once there is something to see: an unknown workflow is answered with plain words.
    let mut screen: Option<Screen> = None;
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            chunk = events.next() => {
                let Some(chunk) = chunk else { break };
                for event in chunk {
                    progress.take(&event?);
                }
                if screen.is_none() {
                    screen = Some(Screen::take(session.output.colours())?);
                }
            }
            _ = frames.tick() => {
                if let Some(screen) = &mut screen {
                    screen.draw(&tree::lines(id, &progress, time::now_ms()))?;
                }
            }
        }
    }
    match screen {
        Some(screen) => screen.finish(&tree::lines(id, &progress, time::now_ms())),
        None => Ok(()),
    }
}
