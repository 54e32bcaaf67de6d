//! When this follower last had word of its leader. openraft names a leader until a later term begins, and who is cut off begins none, since it asks
//! before it stands for election (pre-vote): it would say for ever that somebody leads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// When something was last heard of.
#[derive(Debug)]
pub(crate) struct Heard {
    begun: Instant,
    silent_after: Duration,
    /// Milliseconds after `begun`; 0: never.
    at_ms: AtomicU64,
}

impl Heard {
    /// Nothing so far. It is silent when it has said nothing for so long.
    pub(crate) fn nothing(silent_after: Duration) -> Self {
        Self { begun: Instant::now(), silent_after, at_ms: AtomicU64::new(0) }
    }

    /// It has said something.
    pub(crate) fn note(&self) {
        self.at_ms.store((self.begun.elapsed().as_millis() as u64).max(1), Ordering::Relaxed);
    }

    /// Whether that is not long ago.
    pub(crate) fn lately(&self) -> bool {
        let at_ms = self.at_ms.load(Ordering::Relaxed);
        at_ms > 0 && self.begun.elapsed() < Duration::from_millis(at_ms) + self.silent_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_said_nothing_for_so_long_is_silent() {
        let heard = Heard::nothing(Duration::from_millis(600));
        assert!(!heard.lately(), "it never spoke");
        heard.note();
        tokio::time::advance(Duration::from_millis(590)).await;
        assert!(heard.lately());
        tokio::time::advance(Duration::from_millis(20)).await;
        assert!(!heard.lately());
        heard.note();
        assert!(heard.lately());
    }
}
