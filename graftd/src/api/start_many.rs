//! Many starts in one call: each is a request of its own, with a request id and an answer of its own.
//!
//! The stream is read as fast as starts are taken: [`AT_ONCE`] of them are under way, and answered in the order in which they came. So a
//! client that sends ten thousand, or large ones, is slowed down and not refused, and the starts of one call share log entries.
//!
//! Starts of such calls have places and room of their own ([`Bulk`]), which they wait for: single starts, which are refused when there are too
//! many, never find theirs taken by a queue. Three tasks share the work of a call, so that what one of them waits for is held by none of the
//! others: one reads, and takes a place in the queue of answers before it reads; each start runs by itself, and gives its place back when it
//! is answered, whoever reads the answer; one tells the answers, and lets go a client that takes none.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use graft_machine::access::Right;
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1;
use graft_proto::v1::start_many_response::Result as Answer;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

use super::access::Asker;
use super::requests::Starter;
use super::taken::{self, Giver, Ungiven};
use super::{STARTS_IN_FLIGHT_MAX, Shared, start};

/// Calls of many starts that are read at once on a member: each holds a message that was read, or a part of one. More wait.
const CALLS_MAX: usize = 64;
/// Starts of such calls that are under way at once on a member, beside the single ones.
const STARTS_MAX: usize = STARTS_IN_FLIGHT_MAX / 4;
/// Bytes of those together: well below what may wait in consensus, which refuses what is more.
const STARTS_BYTES_MAX: usize = 64 << 20;
/// Starts of one call that are under way at once, or answered and not told.
const AT_ONCE: usize = 512;
/// Answers that wait for the client.
const ANSWERS_QUEUED: usize = 16;
/// Most starts of one call.
pub const STARTS_PER_CALL_MAX: u64 = 100_000;
/// How long the next start may take to arrive.
const NEXT_MAX: Duration = Duration::from_secs(20);
/// How long a start is tried again that finds too much waiting.
const OVERLOADED_MAX: Duration = Duration::from_secs(20);
/// Least pause before it is.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// What `StartMany` answers with.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<v1::StartManyResponse, Status>> + Send>>;

/// A start as it comes in: one that makes no sense by itself (inner) is answered like any other that is refused; one that cannot be read at
/// all (outer) is the last.
pub(super) type Start = Result<Result<v1::StartRequest, Fault>, Status>;

/// Places for the starts of such calls, on one member.
pub(crate) struct Bulk {
    calls: Arc<Semaphore>,
    starts: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Bulk {
    pub(crate) fn new() -> Self {
        Self::of(CALLS_MAX, STARTS_MAX, STARTS_BYTES_MAX)
    }

    fn of(calls: usize, starts: usize, bytes: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { calls: semaphore(calls), starts: semaphore(starts), bytes: semaphore(bytes) }
    }

    /// A place among the calls that are read.
    async fn call(&self) -> Option<OwnedSemaphorePermit> {
        self.calls.clone().acquire_owned().await.ok()
    }

    /// A place for a start of so many bytes, once there is one.
    async fn start(&self, bytes: usize) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let bytes = u32::try_from(bytes.min(STARTS_BYTES_MAX)).unwrap_or(u32::MAX);
        // In this order everywhere, so that no two wait for what the other has.
        let room = self.bytes.clone().acquire_many_owned(bytes).await.ok()?;
        Some((room, self.starts.clone().acquire_owned().await.ok()?))
    }
}

/// The starts of a gRPC call.
pub(super) fn messages(starts: Streaming<v1::StartRequest>) -> impl Stream<Item = Start> + Send {
    starts.map(|start| start.map(Ok).map_err(super::methods::explained))
}

/// The answers, one for each start and in their order. A start that cannot be read ends the stream, after the answers of those before it.
pub(super) fn start_many(
    shared: Arc<Shared>,
    starter: Starter,
    asker: Asker,
    starts: impl Stream<Item = Start> + Send + 'static,
) -> Answers {
    let (queue, under_way) = mpsc::channel(AT_ONCE);
    let (giver, taker) = taken::pair(ANSWERS_QUEUED, shared.api.info.take_max, 0);
    let reading = Reading { shared, starter, asker, starts: Box::pin(starts), count: 0 };
    tokio::spawn(reading.run(queue));
    tokio::spawn(tell(under_way, giver));
    Box::pin(taker)
}

/// What becomes of a start; the end is why no more are read.
enum Step {
    UnderWay(JoinHandle<Result<v1::StartResponse, Fault>>),
    Refused(Fault),
    End(Status),
}

struct Reading {
    shared: Arc<Shared>,
    starter: Starter,
    asker: Asker,
    starts: Pin<Box<dyn Stream<Item = Start> + Send>>,
    count: u64,
}

impl Reading {
    /// Reads starts until there are none, or nobody wants to know.
    async fn run(mut self, queue: mpsc::Sender<Step>) {
        let stop = self.shared.shutdown.clone();
        let end = tokio::select! {
            end = self.read(&queue) => end,
            () = queue.closed() => None,
            () = stop.cancelled() => Some(Fault::shutting_down().into()),
        };
        if let Some(status) = end {
            let _ = queue.send(Step::End(status)).await;
        }
    }

    async fn read(&mut self, queue: &mpsc::Sender<Step>) -> Option<Status> {
        let _place = self.shared.bulk.call().await?;
        loop {
            // First room for its answer: a call whose answers nobody takes reads nothing and holds nothing.
            let room = queue.reserve().await.ok()?;
            let start = match self.next().await {
                Ok(Some(start)) => start,
                Ok(None) => return None,
                Err(status) => return Some(status),
            };
            let start = start.and_then(|start| {
                self.asker.may(&self.shared, "WorkflowService.start_many", Right::Operate, &start.namespace).map(|()| start)
            });
            room.send(match start {
                Err(fault) => Step::Refused(fault),
                Ok(start) => {
                    let place = self.shared.bulk.start(start.encoded_len()).await?;
                    let (shared, starter) = (self.shared.clone(), self.starter.clone());
                    Step::UnderWay(tokio::spawn(async move {
                        let _place = place;
                        patiently(&shared, starter, start).await
                    }))
                }
            });
        }
    }

    async fn next(&mut self) -> Result<Option<Result<v1::StartRequest, Fault>>, Status> {
        let next = tokio::time::timeout(NEXT_MAX, self.starts.next()).await.map_err(|_| too_slow(self.count))?.transpose()?;
        self.count += u64::from(next.is_some());
        if self.count > STARTS_PER_CALL_MAX {
            let detail = format!("has more than {STARTS_PER_CALL_MAX} starts");
            return Err(Fault::too_large("the call", detail).remedy("send the rest with another call").into());
        }
        Ok(next)
    }
}

/// Starts it, and where too much waits tries again: such a refusal has changed nothing.
async fn patiently(shared: &Arc<Shared>, starter: Starter, start: v1::StartRequest) -> Result<v1::StartResponse, Fault> {
    let deadline = tokio::time::Instant::now() + OVERLOADED_MAX;
    loop {
        match start::one(shared, starter.clone(), start.clone()).await {
            Err(fault) if fault.code == ErrorCode::Overloaded && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(fault.retry_after_ms).max(PAUSE_MIN)).await;
            }
            answer => return answer,
        }
    }
}

/// Tells the answers in their order, as long as somebody takes them.
async fn tell(mut under_way: mpsc::Receiver<Step>, giver: Giver<u64, v1::StartManyResponse>) {
    let told = async {
        let mut index = 0;
        while let Some(step) = under_way.recv().await {
            let answer = match step {
                Step::UnderWay(start) => {
                    start.await.unwrap_or_else(|error| Err(Fault::new(ErrorCode::Internal, "a start", format!("was given up: {error}"))))
                }
                Step::Refused(fault) => Err(fault),
                Step::End(status) => return Some(Err(status)),
            };
            let result = match answer {
                Ok(started) => Answer::Started(started),
                Err(fault) => Answer::Refused(v1::Refusal { detail: Some(fault.detail()), message: fault.to_string() }),
            };
            match giver.give(index + 1, v1::StartManyResponse { index, result: Some(result) }).await {
                Ok(()) => index += 1,
                Err(Ungiven::Gone) => return None,
                Err(Ungiven::NotTaken(count)) => return Some(Ok(not_taken(count, giver.take_max()))),
            }
        }
        None
    };
    let end = tokio::select! {
        end = told => end,
        () = giver.gone() => None,
    };
    match end {
        Some(Ok(fault)) => giver.end(fault.into()),
        Some(Err(status)) => giver.end(status),
        None => {}
    }
}

fn too_slow(count: u64) -> Status {
    let detail = format!("has not arrived within {} s", NEXT_MAX.as_secs());
    Fault::new(ErrorCode::TooSlow, format!("start {count}"), detail).remedy("send those that were not answered again").into()
}

fn not_taken(count: u64, take_max: Duration) -> Fault {
    let detail = format!(
        "has taken none of its answers for {} s: {count} starts were answered, and some behind them may have taken effect",
        take_max.as_secs()
    );
    let remedy = "send those that were not answered again, with the same request ids, and read while you write";
    Fault::new(ErrorCode::OutcomeUnknown, "the client", detail).remedy(remedy)
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn starts_wait_for_places_and_for_bytes_and_are_not_refused() {
        let bulk = Bulk::of(1, 2, 10);
        let first = bulk.start(6).await.expect("room");
        let mut second = pin!(bulk.start(5));
        assert!(poll!(&mut second).is_pending(), "eleven bytes of ten");
        drop(first);
        let second = second.await.expect("room");
        let third = bulk.start(5).await.expect("room");
        let mut fourth = pin!(bulk.start(0));
        assert!(poll!(&mut fourth).is_pending(), "three of two");
        drop((second, third));
        drop(fourth.await.expect("room"));
        let call = bulk.call().await.expect("a place");
        let mut other = pin!(bulk.call());
        assert!(poll!(&mut other).is_pending());
        drop(call);
        drop(other.await.expect("a place"));
    }

    /// A start that is answered at once.
    fn answered() -> Step {
        Step::Refused(Fault::invalid("it", "is none"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_answers_is_let_go_and_told_how_far_it_came() {
        let (queue, under_way) = mpsc::channel(AT_ONCE);
        let (giver, mut taker) = taken::pair(ANSWERS_QUEUED, taken::TAKE_MAX, 0);
        let telling = tokio::spawn(tell(under_way, giver));
        for _ in 0..AT_ONCE {
            queue.send(answered()).await.expect("it is read");
        }
        assert_eq!(taker.next().await.expect("an answer").expect("an answer").index, 0);
        // Nobody wants what is read: the reader notices, and ends.
        queue.closed().await;
        telling.await.expect("no panic");
        let status = taker.next().await.expect("a word").expect_err("the end");
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(status.message().contains("for 30 s: 1 starts were answered"), "{status}");
        assert!(taker.next().await.is_none());
    }
}
