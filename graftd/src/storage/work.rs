//! The work that a store does beside its callers, in steps, so that it need not be a thread that takes them.
//!
//! The log writes what is queued, the state flushes its overlay. A thread waits and steps for ever ([`thread`]). Where time is not real,
//! somebody else steps when it is time ([`super::Disk::hire`]); nobody may then wait for a thread that is not there, so whoever needs a step
//! takes it.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Work that comes up again and again.
pub trait Work: Send + Sync {
    /// Waits until it is time for a step; false: it never will be any more.
    fn wait(&self) -> bool;

    /// Does what there is to do now, and never waits for more of it.
    fn step(&self);

    /// Whether somebody waits for a step.
    fn is_due(&self) -> bool;

    /// Whether there never will be anything to do any more.
    fn is_over(&self) -> bool;
}

/// A thread that does the work until it is over.
///
/// # Errors
/// The system has no thread left.
pub fn thread(name: &str, work: Arc<dyn Work>) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.into()).spawn(move || {
        while work.wait() {
            work.step();
        }
    })
}
