//! What more than enough does to a cluster: more starts than it can work off, a million open workflows, ten thousand sessions, workers that
//! do not read, subscribers that do not keep up, histories and states without measure, connections that mean harm.
//!
//! Each [`case`](Case) starts real processes, puts them under its load, and gives figures, and says what of them broke a bound; the bounds stand
//! beside the case. Nothing here is asserted in a timed test: figures are those of one machine in one run, so where a case compares, both
//! sides are measured in the same run.
//!
//! The members, the workers and whoever offers the load share a machine. So that what is measured does not depend on how the system shares
//! it out among them, the processes are [`pinned`]: members and workers to the first core, the load to the others. Workers stand for machines of
//! their own, which no member takes time from: where that matters members are started [`yielding`] to them.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

pub mod flood;
pub mod hostile;
pub mod million;
pub mod sessions;
pub mod sizes;
pub mod starts;

/// What a case found.
#[derive(Debug, Default)]
pub struct Found {
    /// Figures, by name.
    pub figures: BTreeMap<&'static str, Value>,
    /// Bounds of these figures that were broken, in words: a matter of speed and size, and so of the machine and of what else it does.
    pub broken: Vec<String>,
    /// What is wrong on any machine.
    pub wrong: Vec<String>,
}

impl Found {
    /// Notes a figure.
    pub fn figure(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        eprintln!("    {name}: {value}");
        self.figures.insert(name, value);
    }

    /// Notes whether figures are within their bound.
    pub fn bound(&mut self, within: bool, what: impl Into<String>) {
        if !within {
            let what = what.into();
            eprintln!("    BROKEN: {what}");
            self.broken.push(what);
        }
    }

    /// Notes what must be so at any speed.
    pub fn must(&mut self, so: bool, what: impl Into<String>) {
        if !so {
            let what = what.into();
            eprintln!("    WRONG: {what}");
            self.wrong.push(what);
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({ "figures": self.figures, "broken": self.broken, "wrong": self.wrong })
    }
}

/// How much of a case is to be done: all of it, or enough to see that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Time of one measured phase.
    pub phase: Duration,
    /// Workflows that are open at once, at most.
    pub open: u64,
    /// Workflows that run beside those.
    pub beside: u64,
    /// Sessions.
    pub sessions: usize,
    /// Events of one workflow.
    pub events: u64,
}

impl Size {
    /// What the figures are asked for.
    pub const FULL: Self = Self { phase: Duration::from_secs(60), open: 1_000_000, beside: 4_000, sessions: 10_000, events: 100_000 };
    /// What a test has time for.
    pub const SMALL: Self = Self { phase: Duration::from_secs(3), open: 3_000, beside: 200, sessions: 50, events: 2_000 };
}

/// The cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Ten times the starts that can be worked off.
    Starts,
    /// A million open workflows.
    Million,
    /// Ten thousand sessions; workers that are deaf or slow.
    Sessions,
    /// A long history, states that are too large, subscribers that do not keep up.
    Sizes,
    /// Connections that mean harm.
    Hostile,
}

impl Case {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("starts", Self::Starts),
        ("million", Self::Million),
        ("sessions", Self::Sessions),
        ("sizes", Self::Sizes),
        ("hostile", Self::Hostile),
    ];

    /// Does it.
    pub async fn run(self, size: Size) -> Found {
        match self {
            Self::Starts => starts::run(size).await,
            Self::Million => million::run(size).await,
            Self::Sessions => sessions::run(size).await,
            Self::Sizes => sizes::run(size).await,
            Self::Hostile => hostile::run(size).await,
        }
    }
}

/// The cores of this machine that the process may use.
fn cores() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("this process is told where it runs");
    (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).collect()
}

fn keep_to(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core).expect("a core of this machine"));
    sched_setaffinity(Pid::from_raw(0), &set).expect("a process may choose among its own cores");
}

/// What `start` starts runs on the first core alone, if there is another one for the rest.
pub fn pinned<T>(start: impl FnOnce() -> T) -> T {
    let all = cores();
    if all.len() > 1 {
        keep_to(&all[..1]);
    }
    let started = start();
    keep_to(&all);
    started
}

/// What `start` starts takes no time that another process of the same core wants.
pub fn yielding<T: Send>(start: impl FnOnce() -> T + Send) -> T {
    // A thread's nice value is its own, and handed down to what it starts; nobody but root could take it back.
    let nice = || rustix::process::nice(19).map(|_| start()).expect("whoever runs this may be nicer");
    std::thread::scope(|scope| scope.spawn(nice).join().expect("no panic"))
}

/// What `start` starts leaves the first core to others.
pub fn beside<T>(start: impl FnOnce() -> T) -> T {
    let all = cores();
    if all.len() > 1 {
        keep_to(&all[1..]);
    }
    let started = start();
    keep_to(&all);
    started
}

/// Resident memory of a process now and at its most, in bytes.
pub fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    (kilobytes("VmRSS") * 1_024, kilobytes("VmHWM") * 1_024)
}

/// The value below which so many hundredths lie, of values that are sorted here; 0 of none.
pub fn percentile(values: &mut [u64], hundredths: usize) -> u64 {
    values.sort_unstable();
    let at = (values.len() * hundredths / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(0)
}
