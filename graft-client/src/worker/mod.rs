//! The worker: executes nodes for the cluster.
//!
//! A worker process keeps one stream to every member; the one that leads hands it tasks, as many as its credit allows. Four parts, each
//! knowing only the one before it:
//!
//! - `attempt` runs one attempt: reads state and config, asks `can_start`, calls the node, catches its panic, and writes the outcome;
//!   `execution` puts the [layers](crate::middleware) and the timeout around it.
//! - `engine` is the protocol as a synchronous state machine: what came in, and what is to be done about it. It knows no clock and no socket,
//!   so every race can be written down as a test. Its essay lists what it promises.
//! - `shell` waits: for messages, for attempts that end, for time; it tells the engine and does what the engine says.
//! - `builder` is what people see.
//!
//! Bounds: attempts at once by the capacity of each node; results that wait for an acknowledgement by the capacity once more (then no new
//! work is asked for); messages by the largest message; members by [`MEMBERS_MAX`](engine::MEMBERS_MAX). The channels between the parts hold
//! at most what those bounds let through.
mod attempt;
mod builder;
mod detour;
mod engine;
mod execution;
mod links;
mod reading;
mod registry;
mod shell;
mod signal;

pub(crate) use attempt::Handler;
pub use builder::{DRAIN_GRACE_DEFAULT, Worker, WorkerBuilder};
#[cfg(feature = "testing")]
pub(crate) use engine::fitting;
#[cfg(feature = "testing")]
pub(crate) use execution::Execution;
#[cfg(feature = "testing")]
pub(crate) use registry::Registry;
pub use registry::{CONCURRENCY_DEFAULT, NodeOptions};
pub use signal::shutdown_signal;
