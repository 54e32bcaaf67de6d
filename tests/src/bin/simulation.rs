//! Runs many seeds of simulation A and says what they met: `simulation --seeds 1000 [--from 1] [--threads 2] [--disks files] [--all]`.
//!
//! `--disks model|files|torn` passes over the seeds whose members keep their data otherwise (and counts only the others).
//! Ends at the first seed that breaks a promise, with code 1; `--all` goes on and lists every one of them.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use graft_tests::loop_sim::{Disks, EXPECTED, Met, Plan, run};

/// What the command line asks for.
struct Asked {
    from: u64,
    seeds: u64,
    threads: u64,
    all: bool,
    disks: Option<Disks>,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { from: 1, seeds: 1_000, threads: 2, all: false, disks: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            text.parse().map_err(|_| format!("{word} {text}: no number"))
        };
        match word.as_str() {
            "--from" => asked.from = number()?,
            "--seeds" => asked.seeds = number()?,
            "--threads" => asked.threads = number()?.max(1),
            "--all" => asked.all = true,
            "--disks" => {
                asked.disks = Some(match words.next().as_deref() {
                    Some("model") => Disks::Model,
                    Some("files") => Disks::Files,
                    Some("torn") => Disks::Torn,
                    other => return Err(format!("--disks {other:?}: there are model, files and torn")),
                });
            }
            _ => return Err(format!("unknown: {word}; there are --from N, --seeds N, --threads N, --disks KIND and --all")),
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let Asked { from, seeds, threads, all, disks } = match asked() {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    // A panic is a violation, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let wanted = |seed: &u64| disks.is_none_or(|disks| Plan::of(*seed).disks == disks);
    let seeds: Vec<u64> = (from..).filter(wanted).take(seeds as usize).collect();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (met, broken, done) = (Mutex::new(Met::default()), Mutex::new(Vec::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(at as usize).copied() else { return };
                    match run(seed) {
                        Ok(one) => met.lock().expect("nobody panics here").add(&one),
                        Err(wrong) => {
                            println!("seed {seed}: {wrong}\nrun it again: GRAFT_SEED={seed} cargo test -p graft-tests --test loop_sim -- one_seed");
                            broken.lock().expect("nobody panics here").push(seed);
                            stop.store(!all, Ordering::Relaxed);
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (met, broken) = (met.into_inner().expect("nobody panicked"), broken.into_inner().expect("nobody panicked"));
    let (done, seconds) = (done.into_inner(), began.elapsed().as_secs_f64());
    println!("{met:?}");
    let missing: Vec<_> = EXPECTED.iter().filter(|what| !met.counts.contains_key(**what)).collect();
    println!("never met: {missing:?}");
    println!(
        "{done} seeds from {from} in {seconds:.1} s ({:.1} seeds/s, {:.1} h of virtual time): {} violations{}",
        done as f64 / seconds,
        met.virtual_ms as f64 / 3_600_000.0,
        broken.len(),
        if broken.is_empty() { String::new() } else { format!(", seeds {broken:?}") }
    );
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
