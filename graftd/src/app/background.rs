//! Tasks beside the floors: started together, ended together, and whose failure is the daemon's.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::Failure;

/// Dropping it ends the tasks at their next wait.
#[derive(Debug, Default)]
pub(super) struct Background {
    tasks: TaskTracker,
    stop: CancellationToken,
    failures: Failures,
}

/// Takes the first failure of the daemon. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    first: Arc<watch::Sender<Option<Failure>>>,
}

impl Background {
    /// Runs a task until it ends or all are ended.
    pub(super) fn spawn(&self, task: impl Future<Output = Result<(), Failure>> + Send + 'static) {
        let (stop, failures) = (self.stop.clone(), self.failures.clone());
        self.tasks.spawn(async move {
            if let Some(Err(failure)) = stop.run_until_cancelled(task).await {
                failures.report(failure);
            }
        });
    }

    /// A token that is cancelled together with the tasks, if not before.
    pub(super) fn stop_token(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Where failures are reported.
    pub(super) fn failures(&self) -> Failures {
        self.failures.clone()
    }

    /// Waits for the first failure.
    pub(super) async fn failed(&self) -> Failure {
        let mut first = self.failures.first.subscribe();
        let failure = first.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        failure.unwrap_or_else(|| Failure::fatal("a part of the daemon ended without a reason"))
    }

    /// Ends the tasks and waits for them.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Failures {
    /// The first one counts; what follows from it is no news.
    pub(super) fn report(&self, failure: Failure) {
        self.first.send_if_modified(|first| {
            let news = first.is_none();
            if news {
                *first = Some(failure);
            }
            news
        });
    }
}
