//! Threads that read pages, and write them down. How large a page is, and how many are asked for, decides whoever asks, and work must go on beside it:
//! so there are threads for half of the cores, and the system lets them run a thirtieth as long as others while those want to run (nice 15). A reader takes
//! what is left: all of it, where nobody else is busy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, available_parallelism};

use graft_proto::errors::{ErrorCode, Fault};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How much less urgent they are. A thread cannot be made more urgent again without a privilege, so these threads do nothing else.
const NICE: i32 = 15;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Readers {
    jobs: Sender<Job>,
    /// One for each thread, so that nothing waits in the queue of jobs.
    places: Arc<Semaphore>,
}

/// Leave to use a thread, until it is dropped.
pub(crate) type ReadersPlace = OwnedSemaphorePermit;

impl Readers {
    /// For half of the cores.
    pub(crate) fn start() -> Self {
        let (jobs, taken) = channel();
        let taken = Arc::new(Mutex::new(taken));
        let threads = available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1));
        for _ in 0..threads {
            let taken = taken.clone();
            Builder::new().name("graft-pages".to_owned()).spawn(move || work(&taken)).expect("the system has a thread left when it starts");
        }
        Self { jobs, places: Arc::new(Semaphore::new(threads)) }
    }

    /// Waits for a thread.
    pub(crate) async fn place(&self) -> ReadersPlace {
        self.places.clone().acquire_owned().await.expect("nobody closes this semaphore")
    }

    /// Has a thread do this. It is done also if nobody waits for it any more; the place is free then, and not before.
    pub(crate) async fn run<T: Send + 'static>(&self, place: ReadersPlace, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        let (told, done) = oneshot::channel();
        let job = move || {
            let _place = place;
            // Whoever asked may have gone.
            let _ = told.send(work());
        };
        let failed = || Fault::new(ErrorCode::Internal, "reading a page", "failed: the log says why");
        self.jobs.send(Box::new(job)).map_err(|_| failed())?;
        done.await.map_err(|_| failed())
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    // Of this thread alone, on Linux. Where it is not allowed, a page is as urgent as anything else.
    let _ = rustix::process::nice(NICE);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic has been told, and whoever asked is told by what it drops.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_read_is_not_urgent_and_a_panic_takes_no_thread_with_it() {
        let readers = Readers::start();
        let nice = async || {
            let place = readers.place().await;
            readers.run(place, || rustix::process::getpriority_process(None)).await
        };
        let ours = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(nice().await.unwrap().unwrap(), (ours + NICE).min(19));
        for _ in 0..available_parallelism().unwrap().get() {
            let place = readers.place().await;
            readers.run(place, || panic!("as planned")).await.unwrap_err();
        }
        assert!(nice().await.is_ok());
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), ours, "nobody else is meant");
    }
}
