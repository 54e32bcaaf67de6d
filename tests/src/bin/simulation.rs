//! Runs many seeds of simulation A and says what they met: `simulation --seeds 1000 [--from 1] [--threads 2] [--all]`.
//!
//! Ends at the first seed that breaks a promise, with code 1; `--all` goes on and lists every one of them.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use graft_tests::loop_sim::{EXPECTED, Met, run};

/// What the command line asks for.
struct Asked {
    from: u64,
    seeds: u64,
    threads: u64,
    all: bool,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { from: 1, seeds: 1_000, threads: 2, all: false };
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
            _ => return Err(format!("unknown: {word}; there are --from N, --seeds N, --threads N and --all")),
        }
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let Asked { from, seeds, threads, all } = match asked() {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    // A panic is a violation, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let (met, broken, done) = (Mutex::new(Met::default()), Mutex::new(Vec::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
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
