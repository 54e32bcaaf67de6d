//! How long whoever asks waits. The deadline of a request goes with it: as a value of the task that handles it, so that the floors between need not
//! know of it, and from a follower to the leader as the time that is left. What nobody waits for any more is not begun; what was begun is not undone.
//!
//! The deadlines of gRPC are passed on in this way: "gRPC over HTTP2", section Requests, and the guide on deadlines.

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    /// Of the request that this task handles.
    static PATIENCE: Patience;
}

/// Until when somebody waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience(Option<Instant>);

impl Patience {
    /// Whoever asks has not said that it waits no longer than that.
    pub const ENDLESS: Self = Self(None);
    /// The longest wait that is told; what is longer has no end.
    pub const MAX: Duration = Duration::from_secs(3_600);

    /// For so long from now on.
    pub fn of(wait: Duration) -> Self {
        Self((wait <= Self::MAX).then(|| Instant::now() + wait))
    }

    /// Handles a request of somebody who waits so long; what is proposed meanwhile, by the same task, knows it.
    pub async fn around<F: Future>(self, handling: F) -> F::Output {
        PATIENCE.scope(self, handling).await
    }

    /// Of whoever this task works for.
    pub(super) fn of_caller() -> Self {
        PATIENCE.try_with(|patience| *patience).unwrap_or(Self::ENDLESS)
    }

    /// As another member has told it: see [`Self::left_ms`].
    pub(super) fn told(left_ms: u32) -> Self {
        if left_ms == 0 { Self::ENDLESS } else { Self::of(Duration::from_millis(left_ms.into())) }
    }

    /// What is left of it, for another member, in milliseconds and begun ones; 0: it has no end.
    pub(super) fn left_ms(self, now: Instant) -> u32 {
        match self.0 {
            None => 0,
            Some(until) => until.saturating_duration_since(now).as_millis() as u32 + 1,
        }
    }

    pub(super) fn is_over(self, now: Instant) -> bool {
        self.0.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_a_request_is_known_where_it_is_handled_and_told_as_what_is_left() {
        assert_eq!(Patience::of_caller(), Patience::ENDLESS);
        let patience = Patience::of(Duration::from_millis(80));
        let told = patience.around(async {
            tokio::time::advance(Duration::from_millis(30)).await;
            Patience::of_caller().left_ms(Instant::now())
        });
        let told = told.await;
        assert_eq!(told, 51);
        let there = Patience::told(told);
        assert!(!there.is_over(Instant::now()));
        tokio::time::advance(Duration::from_millis(51)).await;
        assert!(there.is_over(Instant::now()) && patience.is_over(Instant::now()));
        assert_eq!(patience.left_ms(Instant::now()), 1, "0 would be: for ever");
    }

    #[test]
    fn what_has_no_end_is_told_as_such() {
        let now = Instant::now();
        assert_eq!((Patience::ENDLESS.left_ms(now), Patience::told(0)), (0, Patience::ENDLESS));
        assert_eq!(Patience::of(Duration::MAX), Patience::ENDLESS);
        assert!(!Patience::ENDLESS.is_over(now));
    }
}
