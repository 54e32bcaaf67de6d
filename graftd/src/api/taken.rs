//! Answers of a stream that wait for their client, for a bounded time.
//!
//! A task makes answers and gives them; the response takes them when its connection has room. A client that takes none for long is let go:
//! what waits for it is thrown away at once, since a response that nobody reads is not asked for anything and would hold it for as long as
//! its connection lives. Each answer has a mark, and the mark of the last that was taken is known: so the word that ends the stream says
//! truly how far it came.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc;
use tonic::Status;

/// How long a client may take none of the answers that wait for it.
pub const TAKE_MAX: Duration = Duration::from_secs(30);

/// What waits between the two sides.
struct Waiting<M, T> {
    answers: mpsc::Receiver<(M, T)>,
    /// The mark of the last answer that was taken.
    taken: M,
    /// What ends the stream, behind the answers that wait.
    end: Option<Status>,
}

type Between<M, T> = Mutex<Waiting<M, T>>;

/// The side of the task.
pub(super) struct Giver<M, T> {
    answers: mpsc::Sender<(M, T)>,
    /// Not for ever: a response that is dropped takes the answers with it.
    waiting: Weak<Between<M, T>>,
    take_max: Duration,
}

/// The side of the response: the answers, then what ended them.
pub(super) struct Taker<M, T>(Arc<Between<M, T>>);

/// Why an answer could not be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ungiven<M> {
    /// The client has gone.
    Gone,
    /// It has taken none for too long; the last one it took has this mark.
    NotTaken(M),
}

/// Both sides, between which `queued` answers may wait. `begin` is the mark of who has taken nothing yet.
pub(super) fn pair<M, T>(queued: usize, take_max: Duration, begin: M) -> (Giver<M, T>, Taker<M, T>) {
    let (answers, waiting) = mpsc::channel(queued);
    let between = Arc::new(Mutex::new(Waiting { answers: waiting, taken: begin, end: None }));
    (Giver { answers, waiting: Arc::downgrade(&between), take_max }, Taker(between))
}

fn lock<M, T>(between: &Between<M, T>) -> MutexGuard<'_, Waiting<M, T>> {
    between.lock().expect("nothing panics while it holds this lock")
}

impl<M: Clone, T> Giver<M, T> {
    /// Gives an answer, once there is room for it. When that takes too long the answers that wait are thrown away.
    pub(super) async fn give(&self, mark: M, answer: T) -> Result<(), Ungiven<M>> {
        match tokio::time::timeout(self.take_max, self.answers.send((mark, answer))).await {
            Ok(given) => given.map_err(|_| Ungiven::Gone),
            Err(_elapsed) => {
                let between = self.waiting.upgrade().ok_or(Ungiven::Gone)?;
                let mut waiting = lock(&between);
                waiting.answers.close();
                while waiting.answers.try_recv().is_ok() {}
                Err(Ungiven::NotTaken(waiting.taken.clone()))
            }
        }
    }

    /// How long the client may take nothing.
    pub(super) fn take_max(&self) -> Duration {
        self.take_max
    }

    /// Waits until the client has gone.
    pub(super) async fn gone(&self) {
        self.answers.closed().await;
    }

    /// Ends the stream, behind the answers that wait.
    pub(super) fn end(self, why: Status) {
        if let Some(between) = self.waiting.upgrade() {
            lock(&between).end = Some(why);
        }
    }
}

impl<M, T> Stream for Taker<M, T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut waiting = lock(&self.0);
        waiting.answers.poll_recv(cx).map(|answer| match answer {
            Some((mark, answer)) => {
                waiting.taken = mark;
                Some(Ok(answer))
            }
            None => waiting.end.take().map(Err),
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use graft_proto::errors::{ErrorCode, Fault};
    use tokio::time::Instant;

    use super::*;

    fn why() -> Status {
        Fault::new(ErrorCode::SubscriberTooSlow, "the client", "is too slow").into()
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_thrown_away_and_the_stream_ends_with_why() {
        let answer = Arc::new(());
        let (giver, mut taker) = pair(2, TAKE_MAX, 0);
        giver.give(1, answer.clone()).await.expect("room");
        assert!(taker.next().await.expect("an answer").is_ok());
        for mark in [2, 3] {
            giver.give(mark, answer.clone()).await.expect("room");
        }
        let began = Instant::now();
        assert_eq!(giver.give(4, answer.clone()).await, Err(Ungiven::NotTaken(1)));
        assert_eq!(began.elapsed(), TAKE_MAX);
        assert_eq!(Arc::strong_count(&answer), 1, "nothing waits any more, though the response is still there");
        giver.end(why());
        let status = taker.next().await.expect("a word").expect_err("the end");
        assert_eq!(status.code(), tonic::Code::Aborted);
        assert!(taker.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_one_now_and_then_stays_and_who_goes_is_noticed() {
        let (giver, mut taker) = pair(1, TAKE_MAX, 0);
        let given = tokio::spawn(async move {
            for mark in 1..=20 {
                giver.give(mark, mark).await?;
            }
            giver.gone().await;
            giver.give(21, 21).await
        });
        for mark in 1..=20 {
            tokio::time::sleep(TAKE_MAX - Duration::from_secs(1)).await;
            assert_eq!(taker.next().await.expect("an answer").expect("an answer"), mark);
        }
        drop(taker);
        assert_eq!(given.await.expect("no panic"), Err(Ungiven::Gone));
    }

    #[tokio::test]
    async fn an_end_comes_behind_the_answers_that_wait() {
        let (giver, taker) = pair(2, TAKE_MAX, 0);
        giver.give(1, "a").await.expect("room");
        giver.give(2, "b").await.expect("room");
        giver.end(why());
        let told: Vec<_> = taker.map(|answer| answer.map_err(|status| status.code())).collect().await;
        assert_eq!(told, [Ok("a"), Ok("b"), Err(tonic::Code::Aborted)]);
    }
}
