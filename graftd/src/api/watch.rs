//! Watching a run: its events as they become true, without a gap.
//!
//! A watcher is a subscription and a place in the run's history. It subscribes first and reads then, so that news that comes in between
//! wakes it. While it is far behind it reads large pages from a view; once it has caught up it reads the few new events from the newest
//! state. It reads the next page when the client has taken the last one: a slow client slows down its own stream and nothing else.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, stream};
use graft_machine::tables::RunEventKey;
use graft_proto::v1;
use prometheus::IntGauge;
use tonic::Status;

use super::requests::Target;
use super::{Shared, history};
use crate::consensus::RunSubscription;
use graft_convert::events;
use graft_proto::errors::Fault;

/// Events that are read at once from the newest state, which is locked meanwhile.
const NEWS_PAGE: usize = 32;
/// Events that are read at once from a view.
const BACKLOG_PAGE: usize = 256;

/// What `Watch` answers with.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// One client that watches one run.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    target: Target,
    from_number: u64,
    news: RunSubscription,
    /// Key of the last event that was sent (or skipped).
    after: Option<RunEventKey>,
    epoch: u64,
    behind: bool,
    ended: bool,
    _counted: Counted,
}

/// Counts a watcher as long as it lives.
struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Watcher {
    /// Subscribes to the run that the target names now. The state here has to be fresh.
    pub(super) async fn new(shared: Arc<Shared>, mut target: Target, from_number: u64) -> Result<Self, Fault> {
        let epoch = {
            let state = shared.latest();
            target.run = target.find(&state)?.run;
            history::epoch(&state)
        };
        let run = target.run;
        let news = shared.api.consensus.subscribe(run);
        let after = match from_number {
            0 | 1 => None,
            number => shared.read_view(move |view| history::key_before(view, run, number)).await?,
        };
        let gauge = shared.api.metrics.api.watchers.clone();
        gauge.inc();
        Ok(Self { shared, target, from_number, news, after, epoch, behind: true, ended: false, _counted: Counted(gauge) })
    }

    /// The stream; ends after the run has ended.
    pub(super) fn into_stream(self) -> EventStream {
        Box::pin(stream::try_unfold(self, Self::next))
    }

    async fn next(mut self) -> Result<Option<(v1::WatchResponse, Self)>, Status> {
        while !self.ended {
            let found = self.read().await?;
            if !found.is_empty() {
                return Ok(Some((v1::WatchResponse { events: found, run: self.target.run }, self)));
            }
            if self.ended || self.behind {
                continue;
            }
            tokio::select! {
                () = self.news.changed() => {}
                () = self.shared.shutdown.cancelled() => return Err(Fault::shutting_down().into()),
            }
        }
        Ok(None)
    }

    /// The next events, in order; `ended` and `behind` are set by what was seen.
    async fn read(&mut self) -> Result<Vec<v1::Event>, Fault> {
        let run = self.target.run;
        let (page, is_final) = if self.behind {
            let (target, after) = (self.target.clone(), self.after.clone());
            let read = move |view: &crate::consensus::View| {
                Ok::<_, Fault>((history::page(view, run, after.as_ref(), BACKLOG_PAGE), target.find(view)?.kind().is_final()))
            };
            self.shared.read_view(read).await??
        } else {
            let state = self.shared.latest();
            let is_final = self.target.find(&state)?.kind().is_final();
            (history::page(&state, run, self.after.as_ref(), NEWS_PAGE), is_final)
        };
        self.behind = page.more;
        // A run that has ended may have been deleted up to its record: what it has not any more is not waited for.
        // An end that a redrive took back is an event like any other.
        self.ended = !page.more && is_final;
        if let Some((key, _)) = page.events.last() {
            self.after = Some(key.clone());
        }
        let wanted = page.events.iter().filter(|(_, event)| event.number >= self.from_number);
        Ok(wanted.map(|(key, event)| events::event(self.epoch, key, event)).collect())
    }
}
