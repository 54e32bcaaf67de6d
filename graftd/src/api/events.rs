//! `EventService`: everything that becomes true, in the order of the log.
//!
//! A subscription is a filter and a place in the log. Positions are the same on every member, so that a subscriber goes on at any of them. The
//! first answer tells its position at once; whoever hears nothing that was asked for is told from time to time how far the log has been
//! looked through. Far behind, it reads large pages from a view; having caught up, it reads the few new events of the newest state whenever
//! something was applied.
//!
//! Each entry wakes those who have caught up, and each look locks the newest state: so each of them looks at most once in a time that grows
//! with their number ([`LOOK_SHARE`]). All together look at most 2 500 times a second, however many entries are applied; 256 subscribers hear
//! of news within about 100 ms, a few at once. A reader that all share would look less often, but would have to know who is how far.
//!
//! A task reads ahead by a few answers. A subscriber that takes none of them for 30 s is let go, with the position to go on from: its place is
//! free for another at once, and what waited for it is thrown away. What has been handed to its connection already stays until the client
//! reads or goes, so there is a bound on the streams that are open, too ([`STREAMS_MAX`]).

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::taken::{self, Giver, Ungiven};
use super::{Shared, history};
use graft_convert::{cursors, events, names};
use graft_proto::errors::{ErrorCode, Fault, nearest, quoted};

/// Most subscribers of a member at once.
pub const SUBSCRIBERS_MAX: usize = 256;
/// Most streams to subscribers, with those that were let go and have not noticed.
pub const STREAMS_MAX: usize = 2 * SUBSCRIBERS_MAX;
/// Answers that wait for a subscriber.
const ANSWERS_QUEUED: usize = 2;
/// Time between two looks at the newest state, for each subscriber that there is: so many of them look once in so many of it.
const LOOK_SHARE: Duration = Duration::from_micros(400);
/// How often a subscriber is told how far the log was looked through, if nothing was found.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Events that are read at once: each may be large.
const SCAN_STEP: usize = 16;
/// Events that are looked at in one turn in the newest state, which is locked meanwhile.
const NEWS_PAGE: usize = 64;
/// Events that are looked at in one turn in a view.
const BACKLOG_PAGE: usize = 4_096;
/// An answer ends early when its events have so many bytes together. Some answers wait for each subscriber that is slow, decoded and encoded.
const ANSWER_BYTES: usize = 256 << 10;
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
        let place = admit(&self.shared.subscribers, "subscribers", SUBSCRIBERS_MAX)?;
        let stream = admit(&self.shared.subscriber_streams, "streams to subscribers", STREAMS_MAX)?;
        let epoch = history::epoch(&self.shared.latest());
        if epoch == 0 {
            return Err(Fault::new(ErrorCode::NoLeader, "this member", "belongs to no cluster yet").into());
        }
        let after = self.place(epoch, &after).await?;
        let from = cursors::position(epoch, after.index, after.ordinal);
        let metrics = self.shared.api.metrics.clone();
        metrics.api.event_subscribers.inc();
        let counted = Counted(metrics.api.event_subscribers.clone(), place);
        let applied = self.shared.api.consensus.applied();
        let reader =
            Reader { shared: self.shared.clone(), filter, epoch, after, behind: true, applied, told: None, looked: Instant::now() };
        let (giver, taker) = taken::pair(ANSWERS_QUEUED, self.shared.api.info.take_max, from);
        tokio::spawn(async move {
            let fault = pump(Box::pin(reader.into_stream()), &giver).await;
            drop(counted);
            if let Some(fault) = fault {
                if fault.code == ErrorCode::SubscriberTooSlow {
                    metrics.api.event_subscribers_dropped.inc();
                    tracing::info!(%fault, "a subscriber is let go");
                }
                giver.end(fault.into());
            }
        });
        Ok(Response::new(Box::pin(taker.map(move |answer| {
            let _held = &stream;
            answer
        }))))
    }
}

/// Counts a subscriber, and keeps its place, as long as it lives.
struct Counted(IntGauge, #[allow(dead_code, reason = "it is held")] OwnedSemaphorePermit);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A place among those who have one.
fn admit(places: &Arc<Semaphore>, what: &str, max: usize) -> Result<OwnedSemaphorePermit, Fault> {
    places.clone().try_acquire_owned().map_err(|_| {
        let fault = Fault::new(ErrorCode::Overloaded, "this member", format!("has {max} {what} already"));
        Fault { retry_after_ms: RETRY_AFTER_MS, ..fault.remedy("subscribe at another member, or try again later") }
    })
}

/// How long a subscriber leaves the newest state alone after it has looked, where there are so many.
fn pause(subscribers: usize) -> Duration {
    LOOK_SHARE.saturating_mul(u32::try_from(subscribers).unwrap_or(u32::MAX))
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

/// Waits for news, and for this time: what is applied until then is seen with one look.
async fn applied_more(applied: &mut watch::Receiver<u64>, not_before: Instant) -> Result<(), Fault> {
    applied.changed().await.map_err(|_| Fault::shutting_down())?;
    tokio::time::sleep_until(not_before).await;
    Ok(())
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
    /// When it last looked for news.
    looked: Instant,
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
            let subscribers = SUBSCRIBERS_MAX - self.shared.subscribers.available_permits();
            tokio::select! {
                changed = applied_more(&mut self.applied, self.looked + pause(subscribers)) => changed?,
                () = progress => {}
                () = self.shared.shutdown.cancelled() => return Err(Fault::shutting_down()),
            }
        }
    }

    async fn read(&mut self) -> Result<Page, Fault> {
        self.looked = Instant::now();
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

/// Hands answers on until the subscriber is gone (`None`), they end with a fault, or the subscriber takes none for too long.
async fn pump(
    mut source: impl Stream<Item = Result<v1::SubscribeResponse, Fault>> + Unpin,
    giver: &Giver<String, v1::SubscribeResponse>,
) -> Option<Fault> {
    loop {
        let answer = tokio::select! {
            answer = source.next() => match answer? {
                Ok(answer) => answer,
                Err(fault) => return Some(fault),
            },
            () = giver.gone() => return None,
        };
        match giver.give(answer.position.clone(), answer).await {
            Ok(()) => {}
            Err(Ungiven::Gone) => return None,
            Err(Ungiven::NotTaken(position)) => return Some(too_slow(&position, giver.take_max())),
        }
    }
}

fn too_slow(position: &str, take_max: Duration) -> Fault {
    let detail = format!("has taken none of its events for {} s; those up to position {position} were told", take_max.as_secs());
    let remedy = format!("subscribe again after position {position}, and read faster");
    Fault::new(ErrorCode::SubscriberTooSlow, "the subscriber", detail).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TAKE_MAX;
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
        let place = admit(&places, "subscribers", 1).expect("the first");
        assert_eq!(admit(&places, "subscribers", 1).expect_err("the second").code, ErrorCode::Overloaded);
        drop(place);
        drop(admit(&places, "subscribers", 1).expect("free again"));
    }

    #[test]
    fn all_subscribers_together_look_no_more_often_than_a_few() {
        let looks_a_second = |subscribers: usize| subscribers as f64 / pause(subscribers).as_secs_f64();
        for subscribers in [1, 10, SUBSCRIBERS_MAX] {
            assert!((looks_a_second(subscribers) - 2_500.0).abs() < 1.0, "{subscribers}");
        }
        assert!(pause(SUBSCRIBERS_MAX) < PROGRESS_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn one_look_sees_all_that_was_applied_since_the_last_and_the_first_news_are_seen_at_once() {
        const ENTRIES: u64 = 1_000;
        let (apply, mut applied) = watch::channel(0);
        let applying = tokio::spawn(async move {
            for index in 1..=ENTRIES {
                tokio::time::sleep(Duration::from_millis(1)).await;
                apply.send_replace(index);
            }
            apply
        });
        let (began, rest) = (Instant::now(), pause(SUBSCRIBERS_MAX));
        let (mut looked, mut looks) = (began - rest, Vec::new());
        while looks.last().is_none_or(|(_, seen)| *seen < ENTRIES) {
            applied_more(&mut applied, looked + rest).await.expect("news");
            looked = Instant::now();
            looks.push((looked - began, *applied.borrow_and_update()));
        }
        assert_eq!(looks[0].1, 1, "who has not looked for long does not wait");
        assert!(looks.len() as u32 <= 2 + looked.duration_since(began).as_millis() as u32 / rest.as_millis() as u32, "{looks:?}");
        drop(applying.await.expect("no panic"));
        assert_eq!(applied_more(&mut applied, looked).await.expect_err("the end").code, ErrorCode::ShuttingDown);
    }

    /// Answers without end; their positions count them.
    fn endless() -> impl Stream<Item = Result<v1::SubscribeResponse, Fault>> + Unpin {
        stream::iter(1..).map(|n: u64| Ok(v1::SubscribeResponse { events: vec![], position: n.to_string() }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_takes_nothing_for_too_long_is_let_go_with_the_position_to_go_on_from() {
        let (giver, mut taker) = taken::pair(ANSWERS_QUEUED, TAKE_MAX, "0".to_owned());
        let began = Instant::now();
        let pumped = tokio::spawn(async move {
            let fault = pump(endless(), &giver).await.expect("let go");
            giver.end(fault.into());
        });
        assert_eq!(taker.next().await.expect("an answer").expect("an answer").position, "1");
        pumped.await.expect("no panic");
        assert_eq!(began.elapsed(), TAKE_MAX);
        // What waited for it is gone; the error names the last that it took.
        let status = taker.next().await.expect("a word").expect_err("the end");
        assert!(status.code() == tonic::Code::Aborted && status.message().contains("subscribe again after position 1"), "{status}");
        assert!(taker.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_goes_ends_the_reading_also_while_there_is_nothing_to_tell() {
        for silent in [false, true] {
            let (giver, taker) = taken::pair(1, TAKE_MAX, String::new());
            let source = if silent { stream::pending().left_stream() } else { endless().right_stream() };
            let pumped = tokio::spawn(async move { pump(source, &giver).await });
            drop(taker);
            assert_eq!(pumped.await.expect("no panic"), None);
        }
    }
}
