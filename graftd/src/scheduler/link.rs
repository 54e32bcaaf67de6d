//! The handles that the api holds: one of the scheduler, one for each worker's stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::driver::Driver;
use super::message::StreamId;
use super::options::SchedulerOptions;
use super::{FromWorker, LiveLimits, LiveSessions, SessionHello, ToWorker};
use crate::clock::Clock;
use crate::consensus::Consensus;
use crate::observability::metrics::Metrics;

/// Messages from workers that wait for the driver; beyond that, senders wait.
const INBOX_MESSAGES: usize = 4_096;

/// What the handles tell the driver.
pub(super) enum Inbound {
    /// A stream is there.
    Connect(StreamId, SessionHello, mpsc::Sender<ToWorker>),
    /// A worker says something.
    Worker(StreamId, FromWorker),
    /// A stream is gone.
    Broken(StreamId),
    /// See [`Scheduler::live`].
    Live(oneshot::Sender<Option<LiveSessions>>),
    /// See [`Scheduler::live_limits`].
    LiveLimits(oneshot::Sender<Option<LiveLimits>>),
}

/// The handle that worker sessions use, on every member. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler {
    inbox: mpsc::Sender<Inbound>,
    /// For streams that break while the inbox is full. At most one message for each stream.
    broken: mpsc::UnboundedSender<StreamId>,
    stop: Arc<watch::Sender<bool>>,
    last_stream: Arc<AtomicU64>,
}

/// A worker's stream, as the scheduler sees it. Dropping it says that the stream broke (the session lives on until its lease time is over).
pub struct SessionLink {
    stream: StreamId,
    inbox: mpsc::Sender<Inbound>,
    broken: mpsc::UnboundedSender<StreamId>,
}

/// The daemon is shutting down.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the scheduler has stopped")]
pub struct SchedulerStopped;

impl Scheduler {
    /// Starts the scheduler of this member: it follows the leadership that `consensus` tells. It ends when consensus has stopped, or when
    /// every handle and every [`SessionLink`] is dropped. `clock` must be the one that consensus was given.
    pub fn start(consensus: Consensus, options: SchedulerOptions, clock: Clock, metrics: Arc<Metrics>) -> (Self, JoinHandle<()>) {
        let (inbox, messages) = mpsc::channel(INBOX_MESSAGES);
        let (broken, gone) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let driver = Driver::new(consensus, options, clock, metrics, messages, gone, stopping);
        let task = tokio::spawn(driver.run());
        (Self { inbox, broken, stop: Arc::new(stop), last_stream: Arc::new(AtomicU64::new(0)) }, task)
    }

    /// A worker's stream has come. Messages for it go to `outbound`, the first is a `Welcome`; if it is full for long, the stream is closed
    /// with [`ToWorker::Closing`] and `outbound` is dropped.
    pub async fn connect(&self, hello: SessionHello, outbound: mpsc::Sender<ToWorker>) -> SessionLink {
        let stream = self.last_stream.fetch_add(1, Ordering::Relaxed) + 1;
        // If the driver is gone, so is `outbound`: the caller sees its stream end.
        let _ = self.inbox.send(Inbound::Connect(stream, hello, outbound)).await;
        SessionLink { stream, inbox: self.inbox.clone(), broken: self.broken.clone() }
    }

    /// Sessions connected here that the leader's scheduler knows (by incarnation), with attempts held per node; `None` if this member does
    /// not lead.
    pub async fn live(&self) -> Option<LiveSessions> {
        let (answer, live) = oneshot::channel();
        self.inbox.send(Inbound::Live(answer)).await.ok()?;
        live.await.ok()?
    }

    /// What is held and what waits of each node, as the leader's scheduler knows it; `None` if this member does not lead.
    pub async fn live_limits(&self) -> Option<LiveLimits> {
        let (answer, live) = oneshot::channel();
        self.inbox.send(Inbound::LiveLimits(answer)).await.ok()?;
        live.await.ok()?
    }

    /// Stops dispatch for good (drain): running attempts may finish, nothing new is assigned.
    pub fn stop_dispatch(&self) {
        self.stop.send_replace(true);
    }
}

impl SessionLink {
    /// Hands over a message; waits while the scheduler is behind. An error: the scheduler has stopped.
    pub async fn send(&self, message: FromWorker) -> Result<(), SchedulerStopped> {
        self.inbox.send(Inbound::Worker(self.stream, message)).await.map_err(|_| SchedulerStopped)
    }
}

impl Drop for SessionLink {
    fn drop(&mut self) {
        // In order behind what the stream has said, if there is room; else past it: what is lost so is repeated by the worker.
        if self.inbox.try_send(Inbound::Broken(self.stream)).is_err() {
            let _ = self.broken.send(self.stream);
        }
    }
}
