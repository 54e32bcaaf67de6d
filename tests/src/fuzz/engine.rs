//! Runs the cases of a target: what it begins with, what it makes of it, what it reports.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use super::mutate::mutate;
use super::{Target, Verdict};
use crate::loop_sim::rng::Rng;

/// Longest time that one case may take (in a release build, on a quiet machine: milliseconds).
pub const CASE_MAX: Duration = Duration::from_secs(1);
/// A case that takes so long has not only met a busy machine: the process ends, with the case.
const HANGS: Duration = Duration::from_secs(20);
/// Inputs that were taken, and are built upon.
const POOL_MAX: usize = 1_024;
/// Tries to make a failing input smaller.
const SMALLER_TRIES: usize = 4_000;
/// A slow case counts if it is slow so often in turn.
const SLOW_TRIES: usize = 3;

/// What came of many cases.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases that were run.
    pub cases: u64,
    /// Of them, those that were read.
    pub taken: u64,
    /// How long that took.
    pub took: Duration,
    /// The longest case.
    pub longest: Duration,
    /// Some of the inputs that were taken and are not in the corpus.
    pub ways_in: Vec<Vec<u8>>,
    /// What was found: the input, made small, and what it did.
    pub found: Option<(Vec<u8>, String)>,
}

/// The folder of a target's corpus.
pub fn corpus_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

/// The inputs of a target's corpus, by name.
pub fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(corpus_of(name)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable corpus").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a readable corpus"))).collect()
}

/// One case; `Err` says what is wrong, a panic included.
fn case(target: &mut Target, input: &[u8]) -> Result<Verdict, String> {
    quiet();
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

/// Panics of cases are results: they are not printed. The place is kept.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match std::thread::current().name() {
            Some(name) if name.starts_with(CASES) => {
                *PLACE.lock().expect("no panic in the hook") = panic.location().map(ToString::to_string).unwrap_or_default();
            }
            _ => loud(panic),
        }));
    });
}

/// Name of the threads that run cases.
pub const CASES: &str = "cases of ";
/// Where the last panic was.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Runs the seeds and the corpus of a target as they are, and then cases that are made from them: `cases`, or as many as `within` lets. Stops
/// at the first that fails.
pub fn run(target: &mut Target, cases: u64, seed: u64, within: Duration) -> Report {
    let begun = Instant::now();
    let mut report = Report::default();
    let watch = Watch::start(target.name, seed);
    let mut pool: Vec<Vec<u8>> = corpus(target.name).into_iter().map(|(_, input)| input).chain(target.seeds.clone()).collect();
    pool.push(Vec::new());
    for input in pool.clone() {
        if !step(target, &input, &mut report, &watch) {
            break;
        }
    }
    let given = pool.len();
    // Each target has a stream of its own, so that its cases do not depend on what else is run.
    let rng = &mut Rng::new(target.name.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)));
    let mut input = Vec::new();
    while report.found.is_none() && report.cases < cases && begun.elapsed() < within {
        let (base, other) = (rng.below(pool.len() as u64) as usize, rng.below(pool.len() as u64) as usize);
        input.clone_from(&pool[base]);
        mutate(rng, &mut input, &pool[other], target.words, target.longest);
        let taken = report.taken;
        step(target, &input, &mut report, &watch);
        // What was taken is a way in: later cases begin there. A few of the others are kept too, for what they hold.
        if report.taken > taken && rng.chance(50) {
            if pool.len() < POOL_MAX {
                pool.push(input.clone());
            } else {
                let at = given + rng.below((POOL_MAX - given.min(POOL_MAX - 1)) as u64) as usize;
                if let Some(place) = pool.get_mut(at) {
                    place.clone_from(&input);
                }
            }
        }
    }
    if let Some((input, why)) = report.found.take() {
        let small = smaller(target, input, &why);
        report.found = Some((small, why));
    }
    report.took = begun.elapsed();
    report.ways_in = pool.split_off(given.min(pool.len()));
    report
}

/// One case, counted; false if something was found.
fn step(target: &mut Target, input: &[u8], report: &mut Report, watch: &Watch) -> bool {
    report.cases += 1;
    watch.cases.store(report.cases, Ordering::Relaxed);
    if let Some(trace) = &watch.trace {
        fs::write(trace, input).expect("the trace can be written");
    }
    let begun = Instant::now();
    let outcome = case(target, input);
    let took = begun.elapsed();
    report.longest = report.longest.max(took);
    let outcome = match outcome {
        Ok(_) if took > CASE_MAX => slow(target, input).map_or(outcome, Err),
        outcome => outcome,
    };
    match outcome {
        Ok(verdict) => report.taken += u64::from(verdict == Verdict::Taken),
        Err(why) => {
            let place = std::mem::take(&mut *PLACE.lock().expect("no panic in the hook"));
            report.found = Some((input.to_vec(), if place.is_empty() { why } else { format!("{why} (at {place})") }));
        }
    }
    report.found.is_none()
}

/// Why an input is too slow, if it is so each time.
fn slow(target: &mut Target, input: &[u8]) -> Option<String> {
    let mut fastest = Duration::MAX;
    for _ in 0..SLOW_TRIES {
        let begun = Instant::now();
        let _ = case(target, input);
        fastest = fastest.min(begun.elapsed());
    }
    (fastest > CASE_MAX).then(|| format!("it takes {fastest:?}, at most {CASE_MAX:?} is allowed"))
}

/// Takes away what an input does not need to fail in the same way.
fn smaller(target: &mut Target, mut input: Vec<u8>, why: &str) -> Vec<u8> {
    // The place of a panic stands behind it.
    let kind = |why: &str| why.split(" (at ").next().unwrap_or_default().chars().take(24).collect::<String>();
    let mut tries = 0;
    let mut piece = input.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut shrunk = false;
        while at < input.len() && tries < SMALLER_TRIES {
            let mut candidate = input.clone();
            candidate.drain(at..(at + piece).min(input.len()));
            tries += 1;
            match case(target, &candidate) {
                Err(other) if kind(&other) == kind(why) => {
                    input = candidate;
                    shrunk = true;
                }
                _ => at += piece,
            }
        }
        if tries >= SMALLER_TRIES || piece == 1 && !shrunk {
            return input;
        }
        piece = (piece / 2).max(1);
    }
}

/// Ends the process if no case ends for long: nothing else can end a loop.
struct Watch {
    cases: Arc<AtomicU64>,
    /// Where each input is written before it is run: for what ends the whole process.
    trace: Option<PathBuf>,
}

impl Watch {
    fn start(name: &'static str, seed: u64) -> Self {
        let cases = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&cases);
        std::thread::spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let Some(cases) = watched.upgrade() else { return };
                let now = cases.load(Ordering::Relaxed);
                if now != last {
                    (last, since) = (now, Instant::now());
                } else if since.elapsed() > HANGS {
                    eprintln!(
                        "{name}: case {now} of seed {seed} has not ended for {HANGS:?}: with GRAFT_FUZZ_TRACE=FILE each input is kept before it is run"
                    );
                    std::process::exit(101);
                }
            }
        });
        Self { cases, trace: std::env::var_os("GRAFT_FUZZ_TRACE").map(PathBuf::from) }
    }
}

/// Adds the smallest of these inputs to the corpus of a target, until it has `most`.
pub fn grow(name: &str, mut ways_in: Vec<Vec<u8>>, most: usize) {
    ways_in.sort_by_key(Vec::len);
    ways_in.dedup();
    // Not only the very smallest: some of each size.
    let wanted = most.saturating_sub(corpus(name).len());
    let step = ways_in.len().div_ceil(wanted.max(1)).max(1);
    for (number, input) in ways_in.into_iter().skip(step / 2).step_by(step).take(wanted).enumerate() {
        fs::create_dir_all(corpus_of(name))
            .and_then(|()| fs::write(corpus_of(name).join(format!("way-in-{number}")), input))
            .expect("the corpus can be written");
    }
}

/// Writes an input that was found beside the corpus of its target, and returns the command that repeats it.
pub fn keep(name: &str, input: &[u8]) -> String {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let file = corpus_of(name).join(format!("found-{hash:016x}"));
    let written = fs::create_dir_all(corpus_of(name)).and_then(|()| fs::write(&file, input));
    match written {
        Ok(()) => format!("cargo run --release -p graft-tests --bin fuzz -- --target {name} --input {}", file.display()),
        Err(error) => format!("(it could not be written to {}: {error}) {input:?}", file.display()),
    }
}

/// One input, as it is.
pub fn repeat(target: &mut Target, input: &[u8]) -> Result<Verdict, String> {
    case(target, input)
}
