//! What a daemon costs that has nothing to do: how long it takes to be ready, and the memory and processor time that it takes when nobody asks.
//!
//! One member, with its defaults, on loopback. It is measured from outside, as the system sees it (`/proc`), so that any build of graftd can be.

use std::fs;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failover::percentile;
use crate::member::free_port;
use crate::{AS, http};

/// Longest start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// What is measured.
#[derive(Clone, Debug)]
pub struct Asks {
    /// The program: graftd.
    pub graftd: PathBuf,
    /// How often it is started on an empty data directory, and how often on one that is there.
    pub starts: u32,
    /// How long it is left alone before its memory is looked at, and while its processor time is.
    pub idle: Duration,
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub struct Footprint {
    /// Size of the program, in bytes.
    pub program_bytes: u64,
    /// From the start of the process to the first `/readyz` that says 200, on an empty data directory.
    pub fresh: Starts,
    /// The same, on the data directory of the start before.
    pub existing: Starts,
    /// What it takes when it is left alone.
    pub idle: Idle,
}

/// Times of several starts, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Starts {
    /// How many.
    pub count: usize,
    /// Half of them took no longer.
    pub median_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// A daemon that is left alone.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// For how long its processor time was measured, in seconds.
    pub seconds: f64,
    /// Memory in use, as the system counts it: what it has made, and what of its program was read.
    pub resident_bytes: u64,
    /// Of that, what it has made.
    pub anonymous_bytes: u64,
    /// Processor time, in per cent of one core.
    pub cpu_percent: f64,
    /// How often its threads went to sleep in a second, all together.
    pub sleeps_per_second: f64,
    /// Its threads.
    pub threads: usize,
}

/// Measures.
///
/// # Errors
/// If it cannot be started, does not become ready, or ends.
pub fn measure(asks: &Asks) -> Result<Footprint, Error> {
    let program_bytes = fs::metadata(&asks.graftd)?.len();
    let dir = tempfile::tempdir()?;
    let times = |of: &dyn Fn(u32) -> PathBuf| -> Result<Starts, Error> {
        let times = (0..asks.starts).map(|start| Running::start(&asks.graftd, &of(start))?.stop()).collect::<Result<Vec<_>, Error>>()?;
        let ms = |per_cent| percentile(&times, per_cent).as_secs_f64() * 1_000.0;
        Ok(Starts { count: times.len(), median_ms: ms(50), max_ms: ms(100) })
    };
    let fresh = times(&|start| dir.path().join(format!("fresh-{start}")))?;
    let existing = times(&|_| dir.path().join("fresh-0"))?;
    let left_alone = Running::start(&asks.graftd, &dir.path().join("idle"))?;
    std::thread::sleep(asks.idle);
    let idle = left_alone.idle(asks.idle)?;
    left_alone.stop()?;
    Ok(Footprint { program_bytes, fresh, existing, idle })
}

/// A daemon that is ready. Killed when dropped.
struct Running {
    process: Child,
    ready_after: Duration,
}

impl Running {
    fn start(graftd: &Path, data_dir: &Path) -> Result<Self, Error> {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(graftd);
        command.env(AS, "graftd-under-test").arg("--data-dir").arg(data_dir).args(["--listen", &address, "--log-level", "warn"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let mut started = Self { process: command.spawn()?, ready_after: Duration::ZERO };
        while !matches!(http::get(&address, "/readyz"), Ok((200, _))) {
            if let Some(ended) = started.process.try_wait()? {
                return Err(Error::other(format!("it ended with {ended}")));
            }
            if begun.elapsed() > READY_WITHIN {
                return Err(Error::other(format!("it was not ready within {READY_WITHIN:?}")));
            }
            std::thread::sleep(ASK_EVERY);
        }
        started.ready_after = begun.elapsed();
        Ok(started)
    }

    /// What it takes while nobody asks for anything.
    fn idle(&self, time: Duration) -> Result<Idle, Error> {
        let (before, begun) = (self.used()?, Instant::now());
        std::thread::sleep(time);
        let (after, seconds) = (self.used()?, begun.elapsed().as_secs_f64());
        let memory = fs::read_to_string(self.proc("status"))?;
        Ok(Idle {
            seconds,
            resident_bytes: field(&memory, "VmRSS:") * 1_024,
            anonymous_bytes: field(&memory, "RssAnon:") * 1_024,
            cpu_percent: (after.cpu - before.cpu).as_secs_f64() / seconds * 100.0,
            sleeps_per_second: (after.sleeps - before.sleeps) as f64 / seconds,
            threads: after.threads,
        })
    }

    /// What all of its threads have used so far.
    fn used(&self) -> Result<Used, Error> {
        let mut used = Used::default();
        for thread in fs::read_dir(self.proc("task"))? {
            let thread = thread?.path();
            // Nanoseconds on a processor come first.
            let times = fs::read_to_string(thread.join("schedstat"))?;
            let on_processor = times.split(' ').next().and_then(|time| time.parse().ok());
            used.cpu += Duration::from_nanos(on_processor.ok_or_else(|| Error::other("the system does not tell times of threads"))?);
            used.sleeps += field(&fs::read_to_string(thread.join("status"))?, "voluntary_ctxt_switches:");
            used.threads += 1;
        }
        Ok(used)
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.process.id()))
    }

    /// Has it drain; how long it took to be ready.
    fn stop(mut self) -> Result<Duration, Error> {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.process.id().cast_signed()), nix::sys::signal::Signal::SIGTERM)?;
        let ended = self.process.wait()?;
        if ended.success() { Ok(self.ready_after) } else { Err(Error::other(format!("it ended with {ended}"))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What threads have used.
#[derive(Debug, Default)]
struct Used {
    cpu: Duration,
    sleeps: u64,
    threads: usize,
}

/// The number behind a name.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
