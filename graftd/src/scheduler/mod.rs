//! The scheduler: decides, on the leader, which worker executes which attempt. Everything it knows is volatile.
//!
//! It sees consensus (to propose, to hear effects, to read a few records) and the machine's types; it never sees storage or a wire. It has
//! two halves:
//!
//! - the **core** ([`core::Core`]) decides. It is a synchronous value without clock or waiting: inputs go in with the time, outputs come
//!   out. It lives for one term. Ready tasks (`queues`), credit (`matching`), leases (`leases`), sessions (`sessions`), limits
//!   (`limits`), timers (`timers`), results (`results`), what workers say of attempts that they were not given here (`claims`), the take-over of a term (`recovery`) and what is told in metrics (`figures`) each have a
//!   file.
//! - the **driver** (`driver`) waits. One task per member: it keeps the workers' streams across terms, feeds a core while this member
//!   leads, and does what it says. It never waits for a proposal: many inputs make one turn, and a turn makes one proposal.
//!
//! What is certain is in the log; what is here may be lost at any moment. A lease is a promise of the leader alone, the fence is the
//! attempt's number in the machine. So a mistake here can cost work, but no correctness: a result counts once, or not at all.

mod claims;
pub mod core;
mod driver;
pub mod figures;
mod leases;
mod limits;
mod link;
mod matching;
pub mod message;
pub mod options;
pub mod queues;
pub mod reads;
pub mod recovery;
mod results;
mod sessions;
mod streams;
mod timers;

use std::collections::BTreeMap;

use bytes::Bytes;
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::reply::Resolution;
use graft_machine::result::TaskResult;
use graft_machine::trace::TraceParent;

pub use link::{Scheduler, SchedulerStopped, SessionLink};
pub use options::{SchedulerOptions, SeedLimits};

/// Who a worker is. (api checks names and sizes before.)
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionHello {
    /// UUID of the process.
    pub incarnation: String,
    /// Its name.
    pub worker: String,
    /// Its namespace.
    pub namespace: String,
    /// Nodes: name, capacity, declared cluster limit (0 = none).
    pub nodes: Vec<(String, u32, u32)>,
    /// Build.
    pub build: String,
}

/// What a worker sends after its hello.
#[derive(Clone, Debug)]
pub enum FromWorker {
    /// What it holds; answers a `Welcome` with `leading`.
    Inventory {
        /// Term that it answers.
        term: u64,
        /// What it holds.
        held: Vec<Held>,
    },
    /// How much it takes of a node: absolute.
    Credit {
        /// The node.
        node: String,
        /// Attempts of the node that may have been assigned to the stream since Welcome, in all.
        window: u64,
        /// An older one is ignored.
        sequence: u64,
    },
    /// A sign of life.
    Heartbeat {
        /// The worker's clock, echoed.
        sent_ms: u64,
        /// News of progress.
        progress: Vec<(AttemptRef, Lease, String)>,
    },
    /// Results.
    Results(Vec<TaskResult>),
    /// It leaves and holds nothing.
    Goodbye {
        /// Why.
        reason: String,
    },
}

/// An attempt that a worker holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The attempt.
    pub at: AttemptRef,
    /// Its lease.
    pub lease: Lease,
    /// Its node.
    pub node: String,
    /// Progress.
    pub progress: String,
}

/// What a member sends to a worker.
#[derive(Clone, Debug)]
pub enum ToWorker {
    /// After hello, and whenever term or leader change.
    Welcome {
        /// The term.
        term: u64,
        /// Whether this member leads and waits for the inventory.
        leading: bool,
        /// Attempt lease, in milliseconds.
        lease_ms: u64,
        /// Where the leader answers clients (`HOST:PORT`); empty = unknown.
        leader_address: String,
        /// Where all members answer clients.
        member_addresses: Vec<String>,
        /// The cluster.
        cluster_id: String,
    },
    /// Members have come, gone or moved.
    Members {
        /// The term in which it was so.
        term: u64,
        /// Where all members answer clients.
        addresses: Vec<String>,
    },
    /// Work.
    Tasks(Vec<Assignment>),
    /// What became of results; sent only once it is durable.
    Acks(Vec<(AttemptRef, Lease, Resolution)>),
    /// Answers a heartbeat.
    HeartbeatAck {
        /// The term.
        term: u64,
        /// Echo of `sent_ms`.
        echo: u64,
        /// Whether this member leads.
        leading: bool,
    },
    /// An attempt is to stop.
    Cancel {
        /// The attempt.
        at: AttemptRef,
        /// Its lease.
        lease: Lease,
        /// Why.
        reason: StopReason,
    },
    /// The stream is closed by the member.
    Closing {
        /// Why.
        reason: String,
    },
}

/// Why an attempt is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The workflow is being cancelled.
    WorkflowCancelled,
    /// The workflow has ended.
    WorkflowEnded,
    /// The lease was lost or superseded.
    LeaseLost,
    /// It ran longer than its timeout.
    TimedOut,
}

/// Sessions (by incarnation) with the attempts that they hold of each node.
pub type LiveSessions = Vec<(String, BTreeMap<String, u32>)>;

/// What counts against the limits now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveLimits {
    /// In the whole cluster.
    pub total: LiveCount,
    /// Of each node (namespace, name) of which something is held or waits.
    pub nodes: BTreeMap<(String, String), LiveCount>,
}

/// What is held and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveCount {
    /// Attempts that are held.
    pub held: u64,
    /// Ready tasks that wait in memory: at least so many wait.
    pub waiting: u64,
}

/// One attempt to execute.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The attempt.
    pub at: AttemptRef,
    /// The right to it.
    pub lease: Lease,
    /// Its node.
    pub node: String,
    /// Id of the workflow.
    pub workflow_id: String,
    /// Revision of the state.
    pub revision: u64,
    /// The state.
    pub state: Bytes,
    /// The config.
    pub config: Bytes,
    /// `sent_ms` of the heartbeat from which the lease counts.
    pub echo: u64,
    /// Longest execution, in milliseconds; 0 = none.
    pub timeout_ms: u64,
    /// The same for every attempt of the task.
    pub execution_key: String,
    /// Tries that failed before.
    pub failures: u32,
    /// Most tries.
    pub max_attempts: u32,
    /// Progress that the last ended attempt reported.
    pub progress: String,
    /// The workflow's labels.
    pub labels: BTreeMap<String, String>,
    /// What the spans of its node belong below; none: nothing.
    pub traceparent: Option<TraceParent>,
}

#[cfg(test)]
mod tests;
