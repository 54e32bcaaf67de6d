//! Where processor time goes: the stacks of all threads, sampled while they run, as a profile that `pprof` and its like can show.
//!
//! A timer of the system interrupts whichever thread is running, so many times in each second of processor time that the process uses, and its stack is
//! written down: a process that does nothing has no samples. Nothing is sampled unless somebody asks, and one at a time may: the timer is the
//! process's. What interrupts inside the C library is left out, since unwinding from there is not safe.
//!
//! Names are those of functions; the daemon that is shipped has no lines ([`pprof`] writes what there is).

pub mod pprof;

use std::time::Duration;

use ::pprof::ProfilerGuardBuilder;
use tokio::sync::Semaphore;

/// Samples in each second of processor time. No divisor of anything that happens regularly.
const FREQUENCY_HZ: i32 = 99;
/// Where nothing is sampled.
const NOT_IN: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];
/// Longest profile.
pub const DURATION_MAX: Duration = Duration::from_secs(60);
/// How long one takes if nobody says.
pub const DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// Largest profile, in bytes.
pub const PROFILE_BYTES_MAX: usize = 4 << 20;

/// The one who may.
static TURN: Semaphore = Semaphore::const_new(1);

/// A profile.
#[derive(Debug)]
pub struct Profile {
    /// As `perftools.profiles.Profile`.
    pub bytes: Vec<u8>,
    /// Samples in it.
    pub samples: u64,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Somebody else's is being made.
    #[error("is being profiled already")]
    Busy,
    /// The system does not let it.
    #[error("cannot be profiled: {0}")]
    Failed(String),
    /// It does not fit an answer.
    #[error("has a profile of {0} bytes, and at most {PROFILE_BYTES_MAX} are sent")]
    TooLarge(usize),
}

/// Samples this process for so long. Whoever drops it has the sampling stopped.
///
/// # Errors
/// See [`ProfileError`].
pub async fn profile(duration: Duration) -> Result<Profile, ProfileError> {
    let _turn = TURN.try_acquire().map_err(|_| ProfileError::Busy)?;
    let failed = |error: ::pprof::Error| ProfileError::Failed(error.to_string());
    let sampling = ProfilerGuardBuilder::default().frequency(FREQUENCY_HZ).blocklist(&NOT_IN).build().map_err(failed)?;
    tokio::time::sleep(duration).await;
    // Names are looked up in the program's own file, which takes its time.
    let written = tokio::task::spawn_blocking(move || sampling.report().build().map(|report| pprof::write(&report)));
    let profile = written.await.map_err(|error| ProfileError::Failed(error.to_string()))?.map_err(failed)?;
    if profile.bytes.len() > PROFILE_BYTES_MAX {
        return Err(ProfileError::TooLarge(profile.bytes.len()));
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use prost::Message;

    use super::*;

    /// Uses processor time, under a name that can be found.
    #[inline(never)]
    fn spins_for_the_profile(stop: &AtomicBool) -> u64 {
        let mut sum = 1u64;
        while !stop.load(Ordering::Relaxed) {
            sum = (0..1_000).fold(sum, |sum, n| std::hint::black_box(sum.rotate_left(5) ^ n));
        }
        sum
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_uses_the_processor_is_in_the_profile_and_one_at_a_time_is_made_for_who_waits() {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let spinning = std::thread::Builder::new().name("spinner".into()).spawn(move || spins_for_the_profile(&stopped)).expect("a thread");
        let first = tokio::spawn(profile(Duration::from_secs(1)));
        while TURN.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(profile(Duration::from_secs(1)).await, Err(ProfileError::Busy)));
        let mut made = first.await.expect("no panic").expect("a profile");
        // A machine that is busy with something else may have given it no time.
        while made.samples == 0 {
            made = profile(Duration::from_secs(1)).await.expect("a profile");
        }
        stop.store(true, Ordering::Relaxed);
        spinning.join().expect("no panic");
        let read = pprof::Profile::decode(made.bytes.as_slice()).expect("a profile");
        let counted: i64 = read.sample.iter().map(|sample| sample.value[0]).sum();
        assert_eq!(counted as u64, made.samples);
        let text = |at: i64| read.string_table[at as usize].as_str();
        assert!(read.function.iter().any(|function| text(function.name).contains("spins_for_the_profile")), "{:?}", read.string_table);
        let threads: Vec<&str> = read.sample.iter().flat_map(|sample| &sample.label).map(|label| text(label.str)).collect();
        assert!(threads.contains(&"spinner"), "{threads:?}");
        // One that nobody waits for any more is over.
        let dropped = tokio::time::timeout(Duration::from_millis(10), profile(Duration::from_secs(3_600))).await;
        assert!(dropped.is_err());
        profile(Duration::from_millis(10)).await.expect("it is over");
    }
}
