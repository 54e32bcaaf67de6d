//! Who waits for news of a run. Apply looks a run up for every event that it wrote; nobody waiting costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use graft_machine::ids::Run;
use tokio::sync::watch;

/// The subscriptions of this member.
#[derive(Clone, Default)]
pub(crate) struct Subscriptions {
    runs: Arc<Mutex<HashMap<Run, watch::Sender<()>>>>,
}

impl Subscriptions {
    pub(crate) fn subscribe(&self, run: Run) -> RunSubscription {
        let news = self.runs().entry(run).or_insert_with(|| watch::Sender::new(())).subscribe();
        RunSubscription { run, news: Some(news), all: self.clone() }
    }

    /// These runs have news. The same run may be named several times.
    pub(crate) fn wake(&self, runs: impl Iterator<Item = Run>) {
        let waiting = self.runs();
        if waiting.is_empty() {
            return;
        }
        for run in runs {
            if let Some(news) = waiting.get(&run) {
                news.send_replace(());
            }
        }
    }

    /// Everything may have changed (a snapshot was installed).
    pub(crate) fn wake_all(&self) {
        self.runs().values().for_each(|news| news.send_replace(()));
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<Run, watch::Sender<()>>> {
        self.runs.lock().expect("no panic while the subscriptions are held")
    }
}

/// Wakes when a run has new events.
pub struct RunSubscription {
    run: Run,
    /// Always there, until it is dropped.
    news: Option<watch::Receiver<()>>,
    all: Subscriptions,
}

impl RunSubscription {
    /// Waits for news since the last call (or since the subscription was made).
    pub async fn changed(&mut self) {
        let Some(news) = &mut self.news else { return };
        news.changed().await.expect("the sender stays while there is a subscription");
    }
}

impl Drop for RunSubscription {
    fn drop(&mut self) {
        let mut runs = self.all.runs();
        // Gone before the lock is, or two that end together would each leave the entry to the other.
        drop(self.news.take());
        if runs.get(&self.run).is_some_and(|news| news.receiver_count() == 0) {
            runs.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_the_named_run_wakes_and_only_once() {
        let all = Subscriptions::default();
        let (mut seven, mut eight) = (all.subscribe(7), all.subscribe(8));
        all.wake([7, 7].into_iter());
        seven.changed().await;
        assert!(seven.changed().now_or_never().is_none());
        assert!(eight.changed().now_or_never().is_none());
    }

    #[test]
    fn two_that_end_together_leave_nothing_behind() {
        let all = Subscriptions::default();
        for _ in 0..2_000 {
            let pair = [all.subscribe(7), all.subscribe(7)];
            let barrier = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                for one in pair {
                    scope.spawn(|| {
                        barrier.wait();
                        drop(one);
                    });
                }
            });
            assert!(all.runs().is_empty());
        }
    }

    #[test]
    fn the_last_subscription_of_a_run_leaves_nothing_behind() {
        let all = Subscriptions::default();
        let (first, second) = (all.subscribe(7), all.subscribe(7));
        drop(first);
        assert_eq!(all.runs().len(), 1);
        drop(second);
        assert!(all.runs().is_empty());
    }
}
