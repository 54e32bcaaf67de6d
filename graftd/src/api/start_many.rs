//! Many starts in one call: each is a request of its own, with a request id and an answer of its own.
//!
//! The stream is read as fast as starts are taken: [`AT_ONCE`] of them are under way, and answered in the order in which they came. So a
//! client that sends ten thousand is slowed down and not refused, and the starts of one call share log entries.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1;
use graft_proto::v1::start_many_response::Result as Answer;
use tonic::{Status, Streaming};

use super::{Shared, start};

/// Starts of one call that are under way at once.
const AT_ONCE: usize = 512;
/// Most starts of one call.
pub const STARTS_PER_CALL_MAX: u64 = 100_000;
/// How long the next start may take to arrive.
const NEXT_MAX: Duration = Duration::from_secs(20);

/// What `StartMany` answers with.
pub(super) type Answers = Pin<Box<dyn Stream<Item = Result<v1::StartManyResponse, Status>> + Send>>;

/// A start as it comes in: one that makes no sense by itself (inner) is answered like any other that is refused; one that cannot be read at
/// all (outer) is the last.
pub(super) type Start = Result<Result<v1::StartRequest, Fault>, Status>;

/// The starts of a gRPC call.
pub(super) fn messages(starts: Streaming<v1::StartRequest>) -> impl Stream<Item = Start> + Send {
    starts.map(|start| start.map(Ok).map_err(super::methods::explained))
}

/// The answers, one for each start and in their order. A start that cannot be read ends the stream, after the answers of those before it.
pub(super) fn start_many(shared: Arc<Shared>, principal: String, starts: impl Stream<Item = Start> + Send + 'static) -> Answers {
    let read = Reading { shared: shared.clone(), starts: Box::pin(starts), count: 0 };
    let asked = stream::unfold(Some(read), |reading| async {
        let mut reading = reading?;
        match reading.next().await {
            Ok(Some(start)) => Some((Ok((reading.count - 1, start)), Some(reading))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    });
    let answered = asked.map(move |asked| {
        let (shared, principal) = (shared.clone(), principal.clone());
        async move {
            let (index, start) = asked?;
            let answer = match start {
                Ok(start) => one(&shared, principal, start).await,
                Err(fault) => Err(fault),
            };
            let result = match answer {
                Ok(started) => Answer::Started(started),
                Err(fault) => Answer::Refused(v1::Refusal { detail: Some(fault.detail()), message: fault.to_string() }),
            };
            Ok(v1::StartManyResponse { index, result: Some(result) })
        }
    });
    Box::pin(answered.buffered(AT_ONCE))
}

/// Waits for a place instead of being refused one: the stream behind it waits, too.
async fn one(shared: &Arc<Shared>, principal: String, start: v1::StartRequest) -> Result<v1::StartResponse, Fault> {
    let _place = shared.starts.acquire().await.map_err(|_| Fault::shutting_down())?;
    start::one(shared, principal, start).await
}

struct Reading {
    shared: Arc<Shared>,
    starts: Pin<Box<dyn Stream<Item = Start> + Send>>,
    count: u64,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Result<v1::StartRequest, Fault>>, Status> {
        let next = tokio::select! {
            next = tokio::time::timeout(NEXT_MAX, self.starts.next()) => next.map_err(|_| too_slow(self.count))?,
            () = self.shared.shutdown.cancelled() => return Err(Fault::shutting_down().into()),
        };
        let next = next.transpose()?;
        self.count += u64::from(next.is_some());
        if self.count > STARTS_PER_CALL_MAX {
            let detail = format!("has more than {STARTS_PER_CALL_MAX} starts");
            return Err(Fault::too_large("the call", detail).remedy("send the rest with another call").into());
        }
        Ok(next)
    }
}

fn too_slow(count: u64) -> Status {
    let detail = format!("has not arrived within {} s", NEXT_MAX.as_secs());
    Fault::new(ErrorCode::TooSlow, format!("start {count}"), detail).remedy("send those that were not answered again").into()
}
