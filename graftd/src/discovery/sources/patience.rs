//! How long a source waits for an answer, and for how long it leaves who failed in peace.

use std::time::Duration;

/// The waits of a source. Tests have less of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest wait for an answer.
    pub answer: Duration,
    /// Longest silence of what is expected to be silent at times, before it is asked anew.
    pub silence: Duration,
    /// Pause after the first failure; each further one doubles it.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            silence: Duration::from_secs(300),
            pause_min: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
        }
    }
}

/// The pauses between failures in a row.
#[derive(Debug)]
pub(super) struct Pauses {
    patience: Patience,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, next: patience.pause_min }
    }

    /// It worked: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.next = self.patience.pause_min;
    }

    /// How long to wait now. Between half and all of what it is meant to be, so that members that failed together do not come back together;
    /// `chance` is anything.
    pub(super) fn next(&mut self, chance: u64) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.patience.pause_max);
        now / 2 + (now / 2).mul_f64((chance % 1_000) as f64 / 1_000.0)
    }
}

/// Something that differs between members and calls.
pub(super) fn chance() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_never_shorter_than_half() {
        let patience = Patience::default();
        let mut pauses = Pauses::new(patience);
        let mut meant = patience.pause_min;
        for chance in [0, 999, 500, 1_001, 7, 999, 0, 123_456, 999, 999] {
            let pause = pauses.next(chance);
            assert!(pause >= meant / 2 && pause <= meant, "{pause:?} of {meant:?}");
            meant = (meant * 2).min(patience.pause_max);
        }
        assert_eq!(meant, patience.pause_max);
        pauses.reset();
        assert!(pauses.next(999) <= patience.pause_min);
    }
}
