//! Runs many seeds of simulation B and says what they met: `cluster-simulation --seeds 100 [--from 1] [--threads 2] [--seconds 0] [--all] [-o json]`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graft_tests::cluster_sim::run;
use graft_tests::loop_sim::Met;

const HELP: &str = "cluster-simulation: members with the daemon's real storage, consensus and scheduler, over a network, disks and clocks that are not real

  --seeds N     run so many seeds                                  [100]
  --from S      the first seed                                     [1]
  --threads N   so many at a time                                  [2]
  --seconds N   begin no seed after so long; 0: however long       [0]
  --all         go on after the first seed that breaks a promise
  -o json       the result as JSON
  -h            this

Ends with 1 if a seed has broken a promise. A seed repeats what it did as a rule, not for certain: openraft's election timeouts are not its own.";

/// What the command line asks for.
struct Asked {
    from: u64,
    seeds: u64,
    threads: u64,
    seconds: u64,
    all: bool,
    json: bool,
}

fn asked() -> Result<Option<Asked>, String> {
    let mut asked = Asked { from: 1, seeds: 100, threads: 2, seconds: 0, all: false, json: false };
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
            "--seconds" => asked.seconds = number()?,
            "--all" => asked.all = true,
            "-o" => match words.next().as_deref() {
                Some("json") => asked.json = true,
                other => return Err(format!("-o {other:?}: there is json")),
            },
            "-h" | "--help" => return Ok(None),
            _ => return Err(format!("unknown: {word}; -h says what there is")),
        }
    }
    Ok(Some(asked))
}

fn main() -> ExitCode {
    let Asked { from, seeds, threads, seconds, all, json } = match asked() {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    // Members whose disks fail panic where the daemon would end; a panic that means something is told as a violation.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let late = || seconds > 0 && began.elapsed() > Duration::from_secs(seconds);
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let (met, broken, done) = (Mutex::new(Met::default()), Mutex::new(Vec::new()), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && !late() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    match run(seed) {
                        Ok(one) => met.lock().expect("nobody panics here").add(&one),
                        Err(wrong) => {
                            eprintln!("seed {seed}: {wrong}");
                            eprintln!(
                                "run it again: cargo run --release -p graft-tests --bin cluster-simulation -- --seeds 1 --from {seed}"
                            );
                            broken.lock().expect("nobody panics here").push((seed, wrong));
                            stop.store(!all, Ordering::Relaxed);
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (met, broken) = (met.into_inner().expect("nobody panicked"), broken.into_inner().expect("nobody panicked"));
    let (done, took) = (done.into_inner(), began.elapsed().as_secs_f64());
    if json {
        let broken: Vec<_> = broken.iter().map(|(seed, wrong)| serde_json::json!({ "seed": seed, "wrong": wrong })).collect();
        let result = serde_json::json!({
            "seeds": done, "from": from, "seconds": took, "virtual_ms": met.virtual_ms, "met": met.counts, "violations": broken,
        });
        println!("{result}");
    } else {
        println!("{met:?}");
        println!(
            "{done} seeds from {from} in {took:.1} s ({:.2} s each on a thread, {:.2} h of virtual time): {} violations",
            took * threads as f64 / done.max(1) as f64,
            met.virtual_ms as f64 / 3_600_000.0,
            broken.len()
        );
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
