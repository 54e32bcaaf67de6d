//! A connection of HTTP/2 whose other side asks for nothing, and that without end, is closed.
//!
//! Pings and settings have to be answered, streams that are opened and given up at once cost a request each, and none of it brings anybody anything: the
//! library does what it is asked to, as fast as it is asked. So the frames that come are looked at on their way in, and each of these kinds costs a piece of a budget that
//! grows with time and with what is sent to the other side. Who uses the protocol never comes near its end: a client that measures its bandwidth by pings does it
//! while it is sent much, and one that gives calls up has waited for them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Frames that the other side may send at once without asking for anything by them.
const BUDGET_MAX: u64 = 2_000;
/// How many more it may send in a second.
const PER_SECOND: u64 = 500;
/// How many bytes are sent to it for one more.
const BYTES_FOR_ONE: u64 = 1_024;

/// Bytes that a client of HTTP/2 sends before its first frame (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// Bytes of a frame's head, and what stands in it (section 4.1).
const HEAD_BYTES: usize = 9;
/// Types of frames, and flags (section 6).
const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// A stream of HTTP/2 frames that fails when too many of them ask for nothing.
pub(super) struct Calm<S> {
    stream: S,
    /// `None`: what comes is no HTTP/2.
    frames: Option<Frames>,
}

impl<S> Calm<S> {
    pub(super) fn new(stream: S, http2: bool) -> Self {
        Self { stream, frames: http2.then(|| Frames::new(Instant::now())) }
    }

    fn sent(&mut self, bytes: usize) {
        if let Some(frames) = &mut self.frames {
            frames.sent += bytes as u64;
        }
    }
}

/// Where in the frames it is, and what is left of the budget.
struct Frames {
    /// Bytes to pass over: of the preface, then of a frame's payload.
    pass: usize,
    head: [u8; HEAD_BYTES],
    filled: usize,
    left: u64,
    /// Since when it has not grown.
    since: Instant,
    /// Bytes sent to the other side that it has not grown by.
    sent: u64,
}

impl Frames {
    fn new(now: Instant) -> Self {
        Self { pass: PREFACE_BYTES, head: [0; HEAD_BYTES], filled: 0, left: BUDGET_MAX, since: now, sent: 0 }
    }

    /// Looks at what has come. False: the budget is used up.
    fn take(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let passed = self.pass.min(bytes.len());
            (self.pass, bytes) = (self.pass - passed, &bytes[passed..]);
            let taken = (HEAD_BYTES - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            (self.filled, bytes) = (self.filled + taken, &bytes[taken..]);
            if self.filled == HEAD_BYTES {
                let [high, middle, low, kind, flags, ..] = self.head;
                let length = u32::from_be_bytes([0, high, middle, low]) as usize;
                (self.pass, self.filled) = (length, 0);
                if asks_for_nothing(kind, flags, length) && !self.spend() {
                    return false;
                }
            }
        }
        true
    }

    fn spend(&mut self) -> bool {
        if self.left == 0 {
            let now = Instant::now();
            let grown = now.duration_since(self.since).as_millis() as u64 * PER_SECOND / 1_000 + self.sent / BYTES_FOR_ONE;
            (self.left, self.since, self.sent) = (grown.min(BUDGET_MAX), now, 0);
        }
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(1);
        enough
    }
}

fn asks_for_nothing(kind: u8, flags: u8, length: usize) -> bool {
    match kind {
        PING | SETTINGS => flags & ACK == 0,
        RST_STREAM | PRIORITY | CONTINUATION => true,
        DATA => length == 0 && flags & END_STREAM == 0,
        _ => false,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Calm<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if self.frames.as_mut().is_none_or(|frames| frames.take(&buffer.filled()[before..])) {
            return Poll::Ready(Ok(()));
        }
        // Whoever is told of an error has read nothing.
        buffer.set_filled(before);
        Poll::Ready(Err(io::Error::other("the other side sends frames without end that ask for nothing")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Calm<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bytes))?;
        self.sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &[0; 4], payload].concat()
    }

    /// How many of these frames are taken, in pieces of this size.
    fn taken(frame: &[u8], piece: usize) -> u64 {
        let mut frames = Frames::new(Instant::now());
        assert!(frames.take(&[0; PREFACE_BYTES]));
        (0..BUDGET_MAX * 2).take_while(|_| frame.chunks(piece).all(|piece| frames.take(piece))).count() as u64
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_ask_for_nothing_are_taken_up_to_the_budget_however_they_are_cut() {
        for piece in [1, 4, 100] {
            for (kind, flags, payload) in
                [(PING, 0, &[0; 8][..]), (SETTINGS, 0, &[]), (RST_STREAM, 0, &[0; 4]), (CONTINUATION, 4, &[0; 90]), (DATA, 0, &[])]
            {
                assert_eq!(taken(&frame(kind, flags, payload), piece), BUDGET_MAX, "{kind} in pieces of {piece}");
            }
            for (kind, flags, payload) in
                [(PING, ACK, &[0; 8][..]), (SETTINGS, ACK, &[]), (DATA, 0, &[PING; 300]), (DATA, END_STREAM, &[]), (1, 4, &[9; 40])]
            {
                assert_eq!(taken(&frame(kind, flags, payload), piece), BUDGET_MAX * 2, "{kind} in pieces of {piece}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_grows_with_time_and_with_what_is_sent() {
        let mut frames = Frames::new(Instant::now());
        assert!(frames.take(&[0; PREFACE_BYTES]));
        let ping = frame(PING, 0, &[0; 8]);
        let spent = |frames: &mut Frames| (0..).take_while(|_| frames.take(&ping)).count() as u64;
        assert_eq!(spent(&mut frames), BUDGET_MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(spent(&mut frames), PER_SECOND);
        frames.sent += 10 * BYTES_FOR_ONE;
        assert_eq!(spent(&mut frames), 10);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(spent(&mut frames), BUDGET_MAX, "never more than at first");
    }

    #[tokio::test]
    async fn a_connection_that_is_not_calm_fails_and_one_that_is_no_http2_is_not_looked_at() {
        let flood = [vec![0; PREFACE_BYTES], frame(PING, 0, &[0; 8]).repeat(BUDGET_MAX as usize + 1)].concat();
        for http2 in [true, false] {
            let (near, mut far) = duplex(flood.len());
            far.write_all(&flood).await.expect("room");
            drop(far);
            let read = Calm::new(near, http2).read_to_end(&mut Vec::new()).await;
            assert_eq!(read.is_err(), http2, "{read:?}");
        }
    }
}
