//! A busy machine is no reason for an election: the processors are kept at a given load, and nobody may stand for election.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Trial;

/// How often the load is looked at and set anew.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A hog works for its part of so long, and sleeps for the rest.
const SLICE: Duration = Duration::from_millis(10);
/// How much of the difference is made good at each look, in thousandths of a processor.
const GAIN: f64 = 0.5;

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calm {
    /// How long.
    pub lasted: Duration,
    /// The load of all processors, on average, in per cent.
    pub cpu: f64,
    /// The load in the quietest and in the busiest second.
    pub cpu_range: (f64, f64),
    /// By how many terms the cluster is further: elections.
    pub elections: u64,
}

/// Keeps the processors at that load for that time: what the cluster, its workers and clients do, filled up by threads that do nothing but
/// work. Counts the elections.
pub async fn calm(trial: &Trial, time: Duration, per_cent: f64) -> Calm {
    let hogs = Hogs::begin();
    let term = trial.term();
    let (begun, mut last) = (Instant::now(), times());
    let (mut seconds, mut sum, mut range) = (0, 0.0, (100.0_f64, 0.0_f64));
    while begun.elapsed() < time {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = times();
        let busy = 100.0 * (now.0 - last.0) / (now.1 - last.1).max(1.0);
        last = now;
        hogs.adjust((per_cent - busy) / 100.0);
        // The first seconds find the right measure.
        if begun.elapsed() > LOOK_EVERY * 5 {
            (seconds, sum, range) = (seconds + 1, sum + busy, (range.0.min(busy), range.1.max(busy)));
        }
    }
    Calm { lasted: begun.elapsed(), cpu: sum / f64::from(seconds.max(1)), cpu_range: range, elections: trial.term() - term }
}

/// Time in which the processors worked, and all their time, from `/proc/stat`.
fn times() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").expect("the system tells the time of its processors");
    let first = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = first.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    let all: f64 = fields.iter().sum();
    // Idle, and waiting for a disk.
    (all - fields.get(3).unwrap_or(&0.0) - fields.get(4).unwrap_or(&0.0), all)
}

/// Threads that work for a part of their time, one for each processor.
struct Hogs {
    /// In thousandths.
    part: Arc<AtomicU32>,
    done: Arc<AtomicBool>,
}

impl Hogs {
    fn begin() -> Self {
        let (part, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (part, done) = (part.clone(), done.clone());
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let work = SLICE * part.load(Ordering::Relaxed) / 1_000;
                    let begun = Instant::now();
                    while begun.elapsed() < work {
                        std::hint::spin_loop();
                    }
                    thread::sleep(SLICE.saturating_sub(work));
                }
            });
        }
        Self { part, done }
    }

    /// `missing` is the part of the processors that is still to be kept busy.
    fn adjust(&self, missing: f64) {
        let part = f64::from(self.part.load(Ordering::Relaxed)) + 1_000.0 * GAIN * missing;
        self.part.store(part.clamp(0.0, 1_000.0) as u32, Ordering::Relaxed);
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
    }
}
