//! Answers that last (watches, subscriptions, a worker's stream) end when their caller may no longer ask: its token was revoked, or has expired, or
//! callers are asked for something else than when it was let in. Whoever comes again is looked at anew.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use graft_proto::errors::{ErrorCode, Fault};
use http::header;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;

use super::Shared;
use crate::auth::caller::Caller;

/// How often it is asked whether a caller may go on.
pub(super) const ASKED_EVERY: Duration = Duration::from_secs(2);
/// Frames of an answer that does not last: its message and its end.
const FRAMES_OF_ONE: u32 = 2;

/// See the module.
pub(super) struct Standing {
    body: Body,
    caller: Caller,
    shared: Arc<Shared>,
    is_grpc: bool,
    /// Set once the answer lasts.
    ask: Option<Pin<Box<Sleep>>>,
    frames: u32,
    over: bool,
}

impl Standing {
    /// The answer to this caller.
    pub(super) fn answer(body: Body, caller: Caller, shared: Arc<Shared>, is_grpc: bool) -> Body {
        Body::new(Self { body, caller, shared, is_grpc, ask: None, frames: 0, over: false })
    }

    /// Whether the caller may not go on, asked from time to time.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(ask) = &mut self.ask
            && ask.as_mut().poll(cx).is_ready()
        {
            if !self.shared.api.auth.still(&self.caller, &*self.shared) {
                return true;
            }
            self.ask = Some(Box::pin(tokio::time::sleep(ASKED_EVERY)));
        }
        false
    }
}

impl HttpBody for Standing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.is_over(cx) {
            self.over = true;
            if !self.is_grpc {
                return Poll::Ready(None);
            }
            let detail = "may not go on: its token was revoked or has expired, or callers have to show something else by now";
            let fault = Fault::new(ErrorCode::Unauthenticated, "the caller", detail);
            let mut trailers = Status::from(fault).into_http::<Body>().into_parts().0.headers;
            trailers.remove(header::CONTENT_TYPE);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.frames += u32::from(polled.is_ready());
        if self.ask.is_none() && (polled.is_pending() || self.frames > FRAMES_OF_ONE) {
            let mut ask = Box::pin(tokio::time::sleep(ASKED_EVERY));
            // From now on it wakes this task.
            let _ = ask.as_mut().poll(cx);
            self.ask = Some(ask);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
