//! The workers' streams to this member, whether it leads or not.
//!
//! A worker that does not read holds up nobody: what its channel does not take waits here, for a bounded time and in bounded number; then
//! its stream is closed, with the reason.

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
}

/// All streams.
#[derive(Default)]
pub(super) struct Streams {
    all: BTreeMap<StreamId, Stream>,
    stuck: BTreeSet<StreamId>,
}

impl Streams {
    pub(super) fn add(&mut self, stream: StreamId, hello: SessionHello, outbound: mpsc::Sender<ToWorker>) {
        self.all.insert(stream, Stream { hello, outbound, waiting: VecDeque::new(), stuck_since: 0 });
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        self.all.remove(&stream);
        self.stuck.remove(&stream);
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
        let message = if stream.waiting.is_empty() {
            match stream.outbound.try_send(message) {
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
                match stream.outbound.try_send(message) {
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
                tracing::warn!(worker = %stream.hello.worker, waiting = stream.waiting.len(), "a worker's stream took nothing: closed");
                self.close(id, "the worker does not read its stream: it is closed");
                gone.push(id);
            } else if stream.waiting.is_empty() {
                self.stuck.remove(&id);
            }
        }
        gone
    }

    /// Closes a stream; the reason is sent if there is room for it.
    pub(super) fn close(&mut self, id: StreamId, reason: &str) {
        if let Some(stream) = self.all.get(&id) {
            let _ = stream.outbound.try_send(ToWorker::Closing { reason: reason.to_owned() });
        }
        self.remove(id);
    }
}
