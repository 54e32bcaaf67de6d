//! Bounds on the bodies of requests while they are read: how long that may take, and how many bytes of all of them are held at once.
//!
//! A client that sends all but the last byte of a large message, on as many streams as it may open, would otherwise hold that memory for as
//! long as it answers pings. A message that has been read is the queue's business, which has a bound of its own.
//!
//! There are several rooms, so that no kind of request fills that of another: one for messages, one for the bodies of many lines, which stay
//! until their lines have been started, and for each question about health a small one of its own: a probe is never told that the member is
//! full of something else.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::Status;

use graft_proto::errors::{ErrorCode, Fault};

/// How long the body of a request may take to arrive, from when it is first waited for.
pub const BODY_READ_MAX: Duration = Duration::from_secs(20);
/// Bytes of all messages that are being read at once on a member.
pub const BODY_BYTES_MAX: usize = 256 << 20;
/// Bytes of all bodies of many lines at once on a member: as far as they are read, and not started.
pub const LINES_BYTES_MAX: usize = 64 << 20;
/// Bytes of a question about health.
const QUESTION_BYTES_MAX: usize = 16 << 10;
/// Advice to a client whose request was shed, in milliseconds.
const RETRY_AFTER_MS: u64 = 500;

/// Room for the bytes of bodies.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    /// For messages that are being read.
    pub(super) fn for_messages() -> Self {
        Self::of(BODY_BYTES_MAX)
    }

    /// For bodies of many lines.
    pub(super) fn for_lines() -> Self {
        Self::of(LINES_BYTES_MAX)
    }

    /// For one question about health.
    pub(super) fn for_a_question() -> Self {
        Self::of(QUESTION_BYTES_MAX)
    }

    fn of(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes)), bytes }
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Fault> {
        self.free.clone().try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX)).map_err(|_| {
            let error =
                Fault::new(ErrorCode::Overloaded, "this member", format!("is reading {} bytes of such requests already", self.bytes));
            Fault { retry_after_ms: RETRY_AFTER_MS, ..error }
        })
    }
}

/// The body, with both bounds. For requests that end; a worker's stream does not.
pub(super) fn bounded(body: Body, room: Room) -> Body {
    Body::new(Bounded { body, room, held: None, deadline: None })
}

/// All of a body in the parts in which it came, with the room that it takes; within both bounds and one of its own.
pub(super) async fn collect(body: Body, room: &Room, bytes_max: usize) -> Result<(Vec<Bytes>, Option<OwnedSemaphorePermit>), Status> {
    let mut body = Bounded { body, room: room.clone(), held: None, deadline: None };
    let (mut parts, mut length) = (Vec::new(), 0);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(part) = frame?.into_data() else { continue };
        length += part.len();
        if length > bytes_max {
            return Err(Fault::too_large("the body", format!("is larger than {bytes_max} bytes")).into());
        }
        parts.push(part);
    }
    Ok((parts, body.held))
}

struct Bounded {
    body: Body,
    room: Room,
    held: Option<OwnedSemaphorePermit>,
    /// Set when the body is waited for the first time: most are there at once, and cost no timer.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.admit(&frame).map(|()| frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Status::from_error(Box::new(error))))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(BODY_READ_MAX)));
                deadline.as_mut().poll(cx).map(|()| Some(Err(too_slow())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl Bounded {
    fn admit(&mut self, frame: &Frame<Bytes>) -> Result<(), Status> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let more = self.room.take(bytes)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

fn too_slow() -> Status {
    let detail = format!("has not arrived within {} s", BODY_READ_MAX.as_secs());
    Fault::new(ErrorCode::TooSlow, "the message", detail).into()
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use tonic::Code;

    use super::*;

    fn body(parts: Vec<&'static [u8]>, ends: bool) -> Body {
        let parts = stream::iter(parts.into_iter().map(|part| Ok::<_, Status>(Bytes::from_static(part))));
        if ends { Body::from_stream(parts) } else { Body::from_stream(parts.chain(stream::pending())) }
    }

    async fn read(body: Body) -> Result<usize, Status> {
        let mut parts = body.into_data_stream();
        let mut bytes = 0;
        while let Some(part) = parts.next().await {
            bytes += part.map_err(|error| Status::from_error(Box::new(error)))?.len();
        }
        Ok(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_half_way_is_given_up() {
        assert_eq!(read(bounded(body(vec![b"ab", b"c"], true), Room::for_messages())).await.expect("all of it"), 3);
        let begun = tokio::time::Instant::now();
        let error = read(bounded(body(vec![b"ab"], false), Room::for_messages())).await.expect_err("it never ends");
        assert!(error.message().contains("has not arrived within 20 s"), "{error}");
        assert_eq!(begun.elapsed().as_secs(), BODY_READ_MAX.as_secs());
    }

    #[tokio::test]
    async fn bodies_that_are_too_much_together_are_shed_and_their_room_is_given_back() {
        let room = Room::of(4);
        let held = room.take(3).expect("free");
        let error = read(bounded(body(vec![b"a", b"b"], true), room.clone())).await.expect_err("room for one byte only");
        assert_eq!(error.code(), Code::ResourceExhausted);
        drop(held);
        assert_eq!(read(bounded(body(vec![b"abc", b"d"], true), room.clone())).await.expect("room"), 4);
        assert_eq!(room.free.available_permits(), 4);
    }

    #[tokio::test]
    async fn a_body_that_is_collected_keeps_its_room_and_has_a_bound_of_its_own() {
        let room = Room::of(4);
        let (parts, held) = collect(body(vec![b"ab", b"c"], true), &room, 3).await.expect("all of it");
        assert_eq!((parts.concat().as_slice(), room.free.available_permits()), (b"abc".as_slice(), 1));
        collect(body(vec![b"ab"], true), &room, 3).await.expect_err("no room");
        drop(held);
        let error = collect(body(vec![b"ab", b"cd"], true), &room, 3).await.expect_err("too large");
        assert!(error.message().starts_with("the body is larger than 3 bytes"), "{error}");
        assert_eq!(room.free.available_permits(), 4);
    }
}
