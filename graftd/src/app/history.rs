//! The history of a run, for the exporter of spans: it sees no floor, and is handed this.

use std::sync::Arc;

use futures::FutureExt;
use graft_machine::event::Event;
use graft_machine::ids::Run;
use graft_machine::view;

use crate::consensus::Consensus;
use crate::observability::traces::export::History;

/// Events that are read at once.
const PAGE: usize = 100;

/// Reads it beside the runtime's threads: it may lie on disk.
pub(super) fn of(consensus: Consensus) -> History {
    Box::new(move |run, before| {
        let consensus = consensus.clone();
        let reading = async move {
            // A panic below is an IO error: it ends the process wherever it is met.
            tokio::task::spawn_blocking(move || read(&consensus, run, before)).await.unwrap_or_default()
        };
        reading.boxed()
    })
}

fn read(consensus: &Consensus, run: Run, before: u64) -> Vec<Arc<Event>> {
    let view = consensus.view();
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = view::events(&view, run, after, PAGE);
        let wanted = page.iter().take_while(|(_, event)| event.number < before);
        let count = events.len();
        events.extend(wanted.map(|(_, event)| event.clone()));
        match page.last() {
            Some((at, _)) if events.len() - count == PAGE => after = Some(*at),
            _ => return events,
        }
    }
}
