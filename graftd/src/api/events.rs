//! `EventService`: everything that becomes true, in the order of the log.
//!
//! A subscription is a filter and a place in the log. Positions are the same on every member, so that a subscriber goes on at any of them. The
//! first answer tells its position at once; whoever hears nothing that was asked for is told from time to time how far the log has been
//! looked through. Far behind, it reads large pages from a view; having caught up, it reads the few new events of the newest state whenever
//! something was applied.
//!
//! A task reads ahead by a few answers. A subscriber that takes none of them for [`TAKE_MAX`] is let go, with the position to go on from.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use graft_machine::event::Event;
use graft_machine::ids::{EventPos, Run};
use graft_machine::limits::ID_BYTES_MAX;
use graft_machine::state::StateRead;
use graft_machine::tables::{EventKey, Events as EventTable, Prefix, RunEventKey};
use graft_machine::view;
use graft_machine::workflow::Workflow;
use graft_proto::v1;
use graft_proto::v1::event_service_server::EventService;
use prometheus::IntGauge;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::{Shared, history};
use graft_convert::{cursors, events, names};
use graft_proto::errors::{ErrorCode, Fault, nearest, quoted};

/// Most subscribers of a member at once.
pub const SUBSCRIBERS_MAX: usize = 256;
/// How long a subscriber may take none of what is there.
pub const TAKE_MAX: Duration = Duration::from_secs(30);
/// Answers that wait for a subscriber.
const ANSWERS_QUEUED: usize = 2;
/// How often a subscriber is told how far the log was looked through, if nothing was found.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Events that are read at once: each may be large.
const SCAN_STEP: usize = 16;
/// Events that are looked at in one turn in the newest state, which is locked meanwhile.
const NEWS_PAGE: usize = 64;
/// Events that are looked at in one turn in a view.
const BACKLOG_PAGE: usize = 4_096;
/// An answer ends early when its events have so many bytes together.
const ANSWER_BYTES: usize = 1 << 20;
/// Advice to a subscriber for whom there was no place, in milliseconds.
const RETRY_AFTER_MS: u64 = 5_000;
/// The position before everything that is kept.
const EARLIEST: &str = "earliest";

/// What `Subscribe` answers with.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;

/// The service.
pub(super) struct Events {
    shared: Arc<Shared>,
}

impl Events {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The place in the log after which the subscriber is told everything.
    async fn place(&self, epoch: u64, after: &str) -> Result<EventPos, Fault> {
        let applied = || EventPos { index: self.shared.latest().mark().index, ordinal: u32::MAX };
        match after {
            EARLIEST => Ok(EventPos::default()),
            "" => {
                // "From now on" should not mean what this member has still to catch up with; where nobody leads, it is what is known here.
                let _ = self.shared.linearizable().await;
                Ok(applied())
            }
            text => {
                let at = cursors::read_position(epoch, text)?;
                if at.index > applied().index {
                    self.shared.linearizable().await?;
                    let last = applied().index;
                    if at.index > last {
                        let detail = format!("lies ahead of everything that this cluster has: its log ends at {last:x}");
                        return Err(Fault::new(ErrorCode::BadPosition, format!("position {}", quoted(text)), detail));
                    }
                }
                Ok(at)
            }
        }
    }
}

#[tonic::async_trait]
impl EventService for Events {
    type SubscribeStream = Answers;

    async fn subscribe(&self, request: Request<v1::SubscribeRequest>) -> Result<Response<Answers>, Status> {
        let request = request.into_inner();
        let after = request.after.clone();
        let filter = Filter::new(request)?;
        let place = admit(&self.shared.subscribers)?;
        let epoch = history::epoch(&self.shared.latest());
        if epoch == 0 {
            return Err(Fault::new(ErrorCode::NoLeader, "this member", "belongs to no cluster yet").into());
        }
        let after = self.place(epoch, &after).await?;
        let from = cursors::position(epoch, after.index, after.ordinal);
        let metrics = self.shared.api.metrics.clone();
        metrics.event_subscribers.inc();
        let counted = Counted(metrics.event_subscribers.clone(), place);
        let applied = self.shared.api.consensus.applied();
        let reader = Reader { shared: self.shared.clone(), filter, epoch, after, behind: true, applied, told: None };
        let (answers, waiting) = mpsc::channel(ANSWERS_QUEUED);
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let fault = pump(Box::pin(reader.into_stream()), answers, from, TAKE_MAX).await;
            if let Some(fault) = fault {
                if fault.code == ErrorCode::SubscriberTooSlow {
                    metrics.event_subscribers_dropped.inc();
                    tracing::info!(%fault, "a subscriber is let go");
                }
                let _ = end.send(fault);
            }
            drop(counted);
        });
        Ok(Response::new(delivered(waiting, ended)))
    }
}

/// Counts a subscriber, and keeps its place, as long as it lives.
struct Counted(IntGauge, #[allow(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A place among the subscribers.
fn admit(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Fault> {
    places.clone().try_acquire_owned().map_err(|_| {
        let fault = Fault::new(ErrorCode::Overloaded, "this member", format!("has {SUBSCRIBERS_MAX} subscribers already"));
        Fault { retry_after_ms: RETRY_AFTER_MS, ..fault.remedy("subscribe at another member, or try again later") }
    })
}

/// Which events a subscriber wants.
#[derive(Clone, Debug)]
struct Filter {
    namespace: Option<String>,
    id_prefix: String,
    /// None: all.
    types: BTreeSet<&'static str>,
}

impl Filter {
    fn new(request: v1::SubscribeRequest) -> Result<Self, Fault> {
        let prefix = request.workflow_id_prefix;
        if prefix.len() > ID_BYTES_MAX || prefix.chars().any(char::is_control) {
            let detail = format!("is no beginning of an id: at most {ID_BYTES_MAX} bytes, no control characters");
            return Err(Fault::invalid("workflow_id_prefix", detail));
        }
        let namespace = match request.namespace {
            all if all.is_empty() => None,
            name => Some(names::namespace(name)?),
        };
        let types = request.types.iter().map(|name| known_type(name)).collect::<Result<_, _>>()?;
        Ok(Self { namespace, id_prefix: prefix, types })
    }

    fn wants_type(&self, event: &Event) -> bool {
        self.types.is_empty() || event.happened.as_ref().is_some_and(|happened| self.types.contains(events::type_name(happened)))
    }

    fn wants_workflow(&self, workflow: &Workflow) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == workflow.namespace) && workflow.id.starts_with(&self.id_prefix)
    }
}

fn known_type(name: &str) -> Result<&'static str, Fault> {
    if let Some(known) = events::TYPES.into_iter().find(|known| *known == name) {
        return Ok(known);
    }
    let fault = Fault::invalid(format!("event type {}", quoted(name)), "is none");
    Err(fault.remedy(match nearest(name, events::TYPES) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("the types are {}", events::TYPES.join(", ")),
    }))
}

/// Some events in the order of the log, and how far it was looked through.
struct Page {
    events: Vec<v1::WorkflowEvent>,
    reached: EventPos,
    more: bool,
}

/// Looks at up to `limit` events after a place. `applied` is the index that the state shows.
fn page(state: &impl StateRead, applied: u64, epoch: u64, filter: &Filter, after: EventPos, limit: usize) -> Page {
    let mut page = Page { events: Vec::new(), reached: after, more: true };
    let mut workflows: BTreeMap<Run, Option<Arc<Workflow>>> = BTreeMap::new();
    let (mut examined, mut bytes) = (0, 0);
    while examined < limit && bytes < ANSWER_BYTES {
        let last = EventKey { index: page.reached.index, ordinal: page.reached.ordinal };
        let found = state.scan::<EventTable>(Prefix::new().as_bytes(), Some(&last), SCAN_STEP);
        let complete = found.len() < SCAN_STEP;
        for (EventKey { index, ordinal }, event) in found {
            examined += 1;
            page.reached = EventPos { index, ordinal };
            if !filter.wants_type(&event) {
                continue;
            }
            // The events of a workflow that has been deleted follow it soon.
            let workflow = workflows.entry(event.run).or_insert_with(|| view::workflow(state, event.run));
            let Some(workflow) = workflow.as_ref().filter(|workflow| filter.wants_workflow(workflow)) else { continue };
            let told = v1::WorkflowEvent {
                namespace: workflow.namespace.clone(),
                workflow_id: workflow.id.clone(),
                run: event.run,
                event: Some(events::event(epoch, &RunEventKey { run: event.run, index, ordinal }, &event)),
            };
            bytes += told.encoded_len();
            page.events.push(told);
            if bytes >= ANSWER_BYTES {
                return page;
            }
        }
        if complete {
            page.more = false;
            page.reached = page.reached.max(EventPos { index: applied, ordinal: u32::MAX });
            break;
        }
    }
    page
}

/// Reads the log for one subscriber.
struct Reader {
    shared: Arc<Shared>,
    filter: Filter,
    epoch: u64,
    after: EventPos,
    behind: bool,
    applied: watch::Receiver<u64>,
    /// The position of the last answer, and when it was given.
    told: Option<(EventPos, Instant)>,
}

impl Reader {
    fn into_stream(self) -> impl Stream<Item = Result<v1::SubscribeResponse, Fault>> + Send {
        stream::try_unfold(self, |mut reader| async move {
            let answer = reader.next().await?;
            Ok(Some((answer, reader)))
        })
    }

    async fn next(&mut self) -> Result<v1::SubscribeResponse, Fault> {
        loop {
            let page = self.read().await?;
            (self.after, self.behind) = (page.reached, page.more);
            let silent_for = self.told.map_or(Duration::MAX, |(_, at)| at.elapsed());
            let news = self.told.is_none_or(|(told, _)| told != self.after);
            if !page.events.is_empty() || (news && silent_for >= PROGRESS_EVERY) {
                self.told = Some((self.after, Instant::now()));
                let position = cursors::position(self.epoch, self.after.index, self.after.ordinal);
                return Ok(v1::SubscribeResponse { events: page.events, position });
            }
            if self.behind {
                continue;
            }
            let progress = async {
                match news {
                    true => tokio::time::sleep(PROGRESS_EVERY.saturating_sub(silent_for)).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.applied.changed() => changed.map_err(|_| Fault::shutting_down())?,
                () = progress => {}
                () = self.shared.shutdown.cancelled() => return Err(Fault::shutting_down()),
            }
        }
    }

    async fn read(&mut self) -> Result<Page, Fault> {
        // What is applied from here on wakes the reader again.
        self.applied.borrow_and_update();
        let (epoch, after) = (self.epoch, self.after);
        if !self.behind {
            let state = self.shared.latest();
            return Ok(page(&state, state.mark().index, epoch, &self.filter, after, NEWS_PAGE));
        }
        let filter = self.filter.clone();
        self.shared.read_view(move |view| page(view, view.mark().index, epoch, &filter, after, BACKLOG_PAGE)).await
    }
}

/// Hands answers on until the subscriber is gone (`None`), they end with a fault, or the subscriber takes none for too long. `position` is
/// where it began.
async fn pump(
    mut source: impl Stream<Item = Result<v1::SubscribeResponse, Fault>> + Unpin,
    answers: mpsc::Sender<v1::SubscribeResponse>,
    mut position: String,
    take_max: Duration,
) -> Option<Fault> {
    loop {
        let answer = tokio::select! {
            answer = source.next() => match answer? {
                Ok(answer) => answer,
                Err(fault) => return Some(fault),
            },
            () = answers.closed() => return None,
        };
        let told = answer.position.clone();
        match tokio::time::timeout(take_max, answers.send(answer)).await {
            Ok(sent) => sent.ok()?,
            Err(_elapsed) => return Some(too_slow(&position, take_max)),
        }
        position = told;
    }
}

fn too_slow(position: &str, take_max: Duration) -> Fault {
    let detail = format!("has taken none of its events for {} s; those up to position {position} were told", take_max.as_secs());
    let remedy = format!("subscribe again after position {position}, and read faster");
    Fault::new(ErrorCode::SubscriberTooSlow, "the subscriber", detail).remedy(remedy)
}

/// The answers that wait, then what ended them.
fn delivered(waiting: mpsc::Receiver<v1::SubscribeResponse>, ended: oneshot::Receiver<Fault>) -> Answers {
    let answers = stream::unfold(waiting, |mut waiting| async { waiting.recv().await.map(|answer| (Ok(answer), waiting)) });
    let end = stream::once(ended).filter_map(|ended| async { ended.ok().map(|fault| Err(fault.into())) });
    Box::pin(answers.chain(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use graft_machine::event::{Happened, WorkflowEnded, WorkflowStarted};
    use graft_machine::memory::Memory;
    use graft_machine::state::StateTx;
    use graft_machine::tables::{RunKey, Workflows};

    /// Runs 1 to 3, two in `default` and one in `other`; each starts and completes, an entry for each round. The workflow of run 4 is deleted.
    fn state() -> Memory {
        let mut state = Memory::new();
        for (run, namespace, id) in [(1, "default", "order-1"), (2, "default", "bill-1"), (3, "other", "order-1")] {
            let workflow = Workflow { namespace: namespace.into(), id: id.into(), run, ..Default::default() };
            state.put::<Workflows>(RunKey { run }, workflow);
        }
        for (index, happened) in
            [(5, Happened::Started(WorkflowStarted::default())), (9, Happened::WorkflowCompleted(WorkflowEnded::default()))]
        {
            for run in 1..=4 {
                let event = Event { run, number: 1, at: 7, happened: Some(happened.clone()) };
                state.put::<EventTable>(EventKey { index, ordinal: run as u32 - 1 }, event);
            }
        }
        state
    }

    fn request() -> v1::SubscribeRequest {
        v1::SubscribeRequest::default()
    }

    /// Everything from the earliest on, in pages of that many, as (index of the entry, run); and where it ended.
    fn all(request: v1::SubscribeRequest, limit: usize) -> (Vec<(String, u64)>, EventPos) {
        let (state, filter, mut after) = (state(), Filter::new(request).expect("good"), EventPos::default());
        let mut told = Vec::new();
        loop {
            let page = page(&state, 12, 1, &filter, after, limit);
            told.extend(page.events.into_iter().map(|told| (told.event.expect("an event").position, told.run)));
            assert!(page.reached > after);
            after = page.reached;
            if !page.more {
                return (told, after);
            }
        }
    }

    #[test]
    fn events_are_told_in_the_order_of_the_log_each_once_without_those_of_deleted_workflows() {
        let expected = [("1-0-5-0", 1), ("1-0-5-1", 2), ("1-0-5-2", 3), ("1-0-9-0", 1), ("1-0-9-1", 2), ("1-0-9-2", 3)];
        for limit in [1, 16, 100] {
            let (told, end) = all(request(), limit);
            assert_eq!(told, expected.map(|(position, run)| (position.to_owned(), run)), "limit {limit}");
            assert_eq!(end, EventPos { index: 12, ordinal: u32::MAX }, "everything up to what was applied was told");
        }
    }

    #[test]
    fn a_filter_narrows_by_namespace_prefix_and_type() {
        let runs = |request| all(request, 16).0.into_iter().map(|(_, run)| run).collect::<Vec<_>>();
        assert_eq!(runs(v1::SubscribeRequest { namespace: "default".into(), ..request() }), [1, 2, 1, 2]);
        assert_eq!(runs(v1::SubscribeRequest { workflow_id_prefix: "order-".into(), ..request() }), [1, 3, 1, 3]);
        assert_eq!(runs(v1::SubscribeRequest { types: vec!["completed".into(), "failed".into()], ..request() }), [1, 2, 3]);
        assert_eq!(runs(v1::SubscribeRequest { types: vec!["failed".into()], ..request() }), [0; 0]);
    }

    #[test]
    fn an_unknown_type_is_answered_with_the_nearest_or_with_all() {
        let refused = |name: &str| Filter::new(v1::SubscribeRequest { types: vec![name.into()], ..request() }).expect_err(name);
        assert!(refused("task_complete").to_string().contains("did you mean task_completed?"));
        let error = refused("x");
        assert!(error.code == ErrorCode::Invalid && error.to_string().contains("started, task_completed, "), "{error}");
        Filter::new(v1::SubscribeRequest { workflow_id_prefix: "a\n".into(), ..request() }).expect_err("a control character");
    }

    #[test]
    fn there_are_so_many_places_and_no_more() {
        let places = Arc::new(Semaphore::new(1));
        let place = admit(&places).expect("the first");
        assert_eq!(admit(&places).expect_err("the second").code, ErrorCode::Overloaded);
        drop(place);
        drop(admit(&places).expect("free again"));
    }

    /// Answers without end; their positions count them.
    fn endless() -> impl Stream<Item = Result<v1::SubscribeResponse, Fault>> + Unpin {
        stream::iter(1..).map(|n: u64| Ok(v1::SubscribeResponse { events: vec![], position: n.to_string() }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_takes_nothing_for_too_long_is_let_go_with_the_position_to_go_on_from() {
        let (answers, waiting) = mpsc::channel(ANSWERS_QUEUED);
        let (end, ended) = oneshot::channel();
        let began = Instant::now();
        let fault = pump(endless(), answers, "0".into(), TAKE_MAX).await.expect("let go");
        assert_eq!(began.elapsed(), TAKE_MAX);
        end.send(fault).expect("it is waited for");
        // What waited for it is still told; the error names the last of it.
        let mut told: Vec<_> = delivered(waiting, ended).collect().await;
        let status = told.pop().expect("an end").expect_err("an error");
        let positions: Vec<_> = told.into_iter().map(|answer| answer.expect("an answer").position).collect();
        assert_eq!(positions, ["1", "2"]);
        assert!(status.code() == tonic::Code::Aborted && status.message().contains("subscribe again after position 2"), "{status}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_takes_one_answer_now_and_then_stays_and_one_that_goes_ends_the_reading() {
        let (answers, mut waiting) = mpsc::channel(ANSWERS_QUEUED);
        let pumped = tokio::spawn(pump(endless(), answers, "0".into(), TAKE_MAX));
        for n in 1..=20_u64 {
            tokio::time::sleep(TAKE_MAX - Duration::from_secs(1)).await;
            assert_eq!(waiting.recv().await.expect("an answer").position, n.to_string());
        }
        drop(waiting);
        assert_eq!(pumped.await.expect("no panic"), None);
        // Also one that goes while there is nothing to tell.
        let (answers, waiting) = mpsc::channel(1);
        let pumped = tokio::spawn(pump(stream::pending(), answers, "0".into(), TAKE_MAX));
        drop(waiting);
        assert_eq!(pumped.await.expect("no panic"), None);
    }
}
