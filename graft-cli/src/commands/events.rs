//! `graft events`

use futures::StreamExt;
use graft_client::EventFilter;
use graft_client::proto::WorkflowEvent;
use graft_proto::documents;
use tokio::time::timeout;

use super::Session;
use crate::cli::place::Events;
use crate::error::CliResult;
use crate::output::event::line;
use crate::output::style::{Line, Tone};
use crate::output::{Answer, View, note};

/// Columns that the id of a workflow has at least.
const ID_WIDTH: usize = 20;

/// Follows what becomes true in the cluster, until as many events have come as were asked for, or none for long enough.
pub(crate) async fn run(session: &Session, args: &Events) -> CliResult {
    let mut filter = EventFilter::new().id_prefix(&args.prefix).after(&args.after);
    for name in &args.types {
        filter = filter.event_type(name);
    }
    if args.all_namespaces {
        filter = filter.all_namespaces();
    }
    let mut batches = session.client.events(filter);
    let (mut told, mut position) = (0, String::new());
    let enough = |told| args.limit.is_some_and(|limit| told >= limit);
    while !enough(told) {
        let next = async {
            loop {
                match batches.next().await.transpose()? {
                    // Nothing that was asked for: that is no sign of life.
                    Some(batch) if batch.events.is_empty() => {}
                    batch => return CliResult::Ok(batch),
                }
            }
        };
        let batch = match args.idle {
            Some(idle) => match timeout(idle, next).await {
                Ok(batch) => batch?,
                Err(_elapsed) => break,
            },
            None => next.await?,
        };
        let Some(batch) = batch else { break };
        for event in batch.events {
            session.output.show_next(&event)?;
            position = event.event.map(|event| event.position).unwrap_or_default();
            told += 1;
            if enough(told) {
                break;
            }
        }
    }
    if session.output.is_for_people() && !position.is_empty() {
        note(&format!("Go on from here with: graft events --after {position}"));
    }
    Ok(())
}

impl Answer for WorkflowEvent {
    type Document = documents::WorkflowEvent;

    fn document(&self) -> documents::WorkflowEvent {
        self.clone().into()
    }

    fn names(&self) -> Vec<String> {
        self.event.iter().map(|event| event.position.clone()).collect()
    }

    fn people(&self, _: View) -> Vec<Line> {
        let event = self.event.clone().unwrap_or_default();
        vec![Line::of(Tone::Strong, format!("{:<ID_WIDTH$}", self.workflow_id)).join(line(&event))]
    }
}
