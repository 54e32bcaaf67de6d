//! The workers' streams to this member, whether it leads or not.
//!
//! A worker that does not read holds up nobody: what its channel does not take waits here, for a bounded time and in bounded number; then
//! its stream is closed, with the reason. Also one that reads nothing and has been told little is found out: it would renew its leases with
//! heartbeats for ever, and never execute what it was assigned.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::message::StreamId;
use super::{SessionHello, ToWorker};

/// How long a stream may take nothing before it is closed, in milliseconds.
const STUCK_MS_MAX: u64 = 5_000;
/// Messages that may wait for a stream that takes nothing.
const WAITING_MAX: usize = 10_000;
/// How often a stuck stream is tried again, in milliseconds.
pub(super) const STUCK_POLL_MS: u64 = 10;

struct Stream {
    hello: SessionHello,
    outbound: mpsc::Sender<ToWorker>,
    waiting: VecDeque<ToWorker>,
    stuck_since: u64,
    /// Messages that the channel was given, and how many of them had been taken from it at the last look.
    given: u64,
    taken: u64,
    /// When one was taken last, or nothing was left to take.
    taken_at: u64,
}

impl Stream {
    fn give(&mut self, message: ToWorker) -> Result<(), TrySendError<ToWorker>> {
        self.outbound.try_send(message)?;
        self.given += 1;
        Ok(())
    }

    /// Whether something has lain in the channel for long, and nothing was taken.
    fn takes_nothing(&mut self, now: u64) -> bool {
        let queued = (self.outbound.max_capacity() - self.outbound.capacity()) as u64;
        let taken = self.given - queued;
        if queued == 0 || taken != self.taken {
            (self.taken, self.taken_at) = (taken, now);
        }
        now.saturating_sub(self.taken_at) > STUCK_MS_MAX
    }
}

/// All streams.
#[derive(Default)]
pub(super) struct Streams {
    all: BTreeMap<StreamId, Stream>,
    stuck: BTreeSet<StreamId>,
    /// Streams that ended since it was last asked: by the worker or the network, by this member.
    ended: [u64; 2],
}

impl Streams {
    pub(super) fn add(&mut self, stream: StreamId, hello: SessionHello, outbound: mpsc::Sender<ToWorker>) {
        let stream_of = Stream { hello, outbound, waiting: VecDeque::new(), stuck_since: 0, given: 0, taken: 0, taken_at: 0 };
        self.all.insert(stream, stream_of);
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        self.ended[0] += u64::from(self.forget(stream).is_some());
    }

    fn forget(&mut self, stream: StreamId) -> Option<Stream> {
        self.stuck.remove(&stream);
        self.all.remove(&stream)
    }

    /// How many streams have ended since the last call: by the worker or the network, and by this member.
    pub(super) fn take_ended(&mut self) -> [u64; 2] {
        std::mem::take(&mut self.ended)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Every stream and who speaks on it.
    pub(super) fn hellos(&self) -> Vec<(StreamId, SessionHello)> {
        self.all.iter().map(|(id, stream)| (*id, stream.hello.clone())).collect()
    }

    /// Whether some stream takes nothing at the moment.
    pub(super) fn some_stuck(&self) -> bool {
        !self.stuck.is_empty()
    }

    /// Sends, or lets wait. False: the stream is gone.
    pub(super) fn send(&mut self, id: StreamId, message: ToWorker, now: u64) -> bool {
        let Some(stream) = self.all.get_mut(&id) else { return true };
        if stream.takes_nothing(now) {
            self.close_unread(id);
            return false;
        }
        let message = if stream.waiting.is_empty() {
            match stream.give(message) {
                Ok(()) => return true,
                Err(TrySendError::Closed(_)) => {
                    self.remove(id);
                    return false;
                }
                Err(TrySendError::Full(message)) => {
                    stream.stuck_since = now;
                    self.stuck.insert(id);
                    message
                }
            }
        } else {
            message
        };
        stream.waiting.push_back(message);
        true
    }

    /// Tries the stuck streams again; those that are gone, or had to be closed.
    pub(super) fn push_on(&mut self, now: u64) -> Vec<StreamId> {
        let mut gone = Vec::new();
        for id in self.stuck.clone() {
            let Some(stream) = self.all.get_mut(&id) else { continue };
            let mut closed = false;
            while let Some(message) = stream.waiting.pop_front() {
                match stream.give(message) {
                    Ok(()) => stream.stuck_since = now,
                    Err(TrySendError::Full(message)) => {
                        stream.waiting.push_front(message);
                        break;
                    }
                    Err(TrySendError::Closed(_)) => {
                        closed = true;
                        break;
                    }
                }
            }
            if closed || stream.waiting.len() > WAITING_MAX || (now - stream.stuck_since > STUCK_MS_MAX && !stream.waiting.is_empty()) {
                self.close_unread(id);
                gone.push(id);
            } else if stream.waiting.is_empty() {
                self.stuck.remove(&id);
            }
        }
        gone
    }

    fn close_unread(&mut self, id: StreamId) {
        if let Some(stream) = self.all.get(&id) {
            tracing::warn!(worker = %stream.hello.worker, waiting = stream.waiting.len(), "a worker's stream took nothing: closed");
        }
        self.close(id, "the worker does not read its stream: it is closed");
    }

    /// Closes a stream; the reason is sent if there is room for it.
    pub(super) fn close(&mut self, id: StreamId, reason: &str) {
        if let Some(stream) = self.forget(id) {
            let _ = stream.outbound.try_send(ToWorker::Closing { reason: reason.to_owned() });
            self.ended[1] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(channel: usize) -> (Streams, mpsc::Receiver<ToWorker>) {
        let (outbound, taken) = mpsc::channel(channel);
        let hello = SessionHello { worker: "w".to_owned(), ..SessionHello::default() };
        let mut streams = Streams::default();
        streams.add(1, hello, outbound);
        (streams, taken)
    }

    fn ack() -> ToWorker {
        ToWorker::HeartbeatAck { term: 1, echo: 1, leading: true }
    }

    #[test]
    fn a_worker_that_reads_nothing_is_closed_though_its_channel_has_room() {
        let (mut streams, mut taken) = streams(256);
        assert!(streams.send(1, ack(), 1_000), "it has its time");
        assert!(streams.send(1, ack(), 1_000 + STUCK_MS_MAX));
        assert!(!streams.send(1, ack(), 1_001 + STUCK_MS_MAX));
        assert!(streams.hellos().is_empty());
        let told: Vec<ToWorker> = std::iter::from_fn(|| taken.try_recv().ok()).collect();
        assert!(matches!(told.last(), Some(ToWorker::Closing { reason }) if reason.contains("does not read")), "{told:?}");
    }

    #[test]
    fn a_worker_that_reads_slowly_or_is_told_seldom_is_not() {
        let (mut streams, mut taken) = streams(256);
        for round in 1..20 {
            // More than it takes; and then nothing for long.
            assert!(streams.send(1, ack(), round * STUCK_MS_MAX));
            assert!(streams.send(1, ack(), round * STUCK_MS_MAX + 1));
            taken.try_recv().expect("a message");
        }
        while taken.try_recv().is_ok() {}
        assert!(streams.send(1, ack(), 1_000 * STUCK_MS_MAX));
    }
}
