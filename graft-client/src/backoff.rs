//! How long to wait between tries: exponential, with jitter, so that many clients do not come back at the same moment.

use std::time::Duration;

/// Waits that grow from `first` by doubling up to `most`; each is then shortened by up to half.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    first: Duration,
    most: Duration,
    noise: u64,
}

impl Backoff {
    /// Begins with `first`. The seed decides the jitter.
    pub(crate) fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { next: first, first, most, noise: seed | 1 }
    }

    /// With a seed that differs from process to process and from call to call.
    pub(crate) fn seeded(first: Duration, most: Duration) -> Self {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        Self::new(first, most, seed)
    }

    /// The wait before the next try.
    pub(crate) fn wait(&mut self) -> Duration {
        let full = self.next;
        self.next = (self.next * 2).min(self.most);
        // xorshift: enough to spread clients, and repeatable from a seed.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let permille = u32::try_from(self.noise % 500).unwrap_or(0);
        full - full * permille / 1000
    }

    /// After a success: begin again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_and_are_shortened_by_at_most_half() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(1000), seed);
            for full in [100, 200, 400, 800, 1000, 1000] {
                let wait = backoff.wait().as_millis();
                assert!(wait * 2 >= full && wait <= full, "seed {seed}: waited {wait} ms of {full} ms");
            }
            backoff.reset();
            assert!(backoff.wait().as_millis() <= 100);
        }
    }
}
