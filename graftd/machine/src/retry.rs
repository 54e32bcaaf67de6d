//! When a failed attempt may be tried again: exponential backoff whose jitter is a hash of the ids, so that every member computes the same.

use xxhash_rust::xxh3::xxh3_64;

use crate::ids::TaskRef;
use crate::limits::ATTEMPTS_MAX;
use crate::task::RetryPolicy;
use crate::time::Millis;

impl RetryPolicy {
    /// What a task gets that names no policy: 5 attempts, 1 s, doubling up to 60 s, shortened by up to 20 %.
    pub const fn standard() -> Self {
        Self { max_attempts: 5, initial: 1_000, max: 60_000, factor_permille: 2_000, jitter_permille: 200 }
    }

    /// Whether the policy makes sense; otherwise what is wrong, as a fragment that reads after "its retry policy".
    pub fn check(&self) -> Result<(), String> {
        if self.max_attempts == 0 || self.max_attempts > ATTEMPTS_MAX {
            return Err(format!("asks for {} attempts; allowed are 1 to {ATTEMPTS_MAX}", self.max_attempts));
        }
        if self.factor_permille < 1_000 {
            return Err(format!("has a factor of {} thousandths; it must be at least 1000 (no growth)", self.factor_permille));
        }
        if self.jitter_permille > 1_000 {
            return Err(format!("has a jitter of {} thousandths; at most 1000 are allowed", self.jitter_permille));
        }
        Ok(())
    }

    /// How long to wait after the `failures`-th failure (from 1), in milliseconds. `seed` decides the jitter.
    pub fn delay_after(&self, failures: u32, seed: u64) -> Millis {
        let max = u128::from(self.max);
        let mut delay = u128::from(self.initial).min(max);
        for _ in 1..failures {
            let grown = (delay * u128::from(self.factor_permille) / 1_000).min(max);
            if grown == delay {
                break;
            }
            delay = grown;
        }
        let cut = delay * u128::from(self.jitter_permille) * u128::from(seed % 1_001) / 1_000_000;
        (delay - cut) as Millis
    }
}

/// The seed of a task's jitter: differs between tasks and from failure to failure.
pub fn seed(task: TaskRef, failures: u32) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&task.run.to_be_bytes());
    bytes[8..12].copy_from_slice(&task.task.to_be_bytes());
    bytes[12..].copy_from_slice(&failures.to_be_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_only_shortens_them() {
        let policy = RetryPolicy { jitter_permille: 0, ..RetryPolicy::standard() };
        let waits: Vec<_> = (1..=8).map(|failures| policy.delay_after(failures, 7)).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        for failures in 1..50 {
            let seed = seed(TaskRef { run: 3, task: 9 }, failures);
            let (plain, cut) = (policy.delay_after(failures, seed), RetryPolicy::standard().delay_after(failures, seed));
            assert!(cut <= plain && cut >= plain * 8 / 10, "{cut} of {plain}");
        }
    }

    #[test]
    fn the_largest_policy_overflows_nowhere() {
        let policy =
            RetryPolicy { max_attempts: 10_000, initial: u64::MAX, max: u64::MAX, factor_permille: u32::MAX, jitter_permille: 1_000 };
        assert_eq!(policy.check(), Ok(()));
        assert_eq!(policy.delay_after(10_000, 1_000), 0);
        assert_eq!(policy.delay_after(10_000, 0), u64::MAX);
    }

    #[test]
    fn senseless_policies_are_refused() {
        let good = RetryPolicy::standard();
        for bad in [
            RetryPolicy { max_attempts: 0, ..good },
            RetryPolicy { max_attempts: ATTEMPTS_MAX + 1, ..good },
            RetryPolicy { factor_permille: 999, ..good },
            RetryPolicy { jitter_permille: 1_001, ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
