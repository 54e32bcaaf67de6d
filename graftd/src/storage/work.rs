//! The work that a store does beside its callers, in steps, so that it need not be a thread that takes them.
//!
//! The log writes what is queued, the state flushes its overlay. A thread waits and steps for ever ([`thread`]). Where time is not real,
//! somebody else steps when it is time ([`super::Disk::hire`]); nobody may then wait for a thread that is not there, so whoever needs a step
//! takes it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

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

/// Since when a step goes on. On a disk that hangs none ends, and nobody else can tell.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<Option<Instant>>);

impl Busy {
    /// Does something that may take long.
    pub(super) fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        self.set(Some(Instant::now()));
        let done = work();
        self.set(None);
        done
    }

    /// How long it has been going on; `None`: nothing is.
    pub(super) fn elapsed(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}
