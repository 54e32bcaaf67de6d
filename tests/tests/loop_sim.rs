//! Many seeds of the synchronous simulation on every test run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use graft_tests::loop_sim::{Met, run};

/// Seeds of one run, unless `GRAFT_SEEDS` says otherwise; they begin with `GRAFT_SEED_BASE`.
const SEEDS: u64 = 100;

/// A number from the environment, if it is set.
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}

fn report(seed: u64, wrong: &str) -> String {
    format!("seed {seed}: {wrong}\nrun it again: GRAFT_SEED={seed} cargo test -p graft-tests --test loop_sim -- one_seed")
}

#[test]
fn a_hundred_seeds_keep_every_promise() {
    // Without the variables, the same run everywhere.
    let (first, count) = (from_environment("GRAFT_SEED_BASE").unwrap_or(1), from_environment("GRAFT_SEEDS").unwrap_or(SEEDS));
    let next = AtomicU64::new(first);
    let all = Mutex::new(Met::default());
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return;
                }
                let met = run(seed).unwrap_or_else(|wrong| panic!("{}", report(seed, &wrong)));
                let mut all = all.lock().expect("no other thread has failed");
                all.terms += met.terms;
                for (what, count) in met.counts {
                    *all.counts.entry(what).or_default() += count;
                }
            }
        };
        let workers = [scope.spawn(work), scope.spawn(work)];
        for worker in workers {
            worker.join().expect("every seed keeps every promise");
        }
    });
    let Met { terms, counts } = all.into_inner().expect("no thread has failed");
    println!("{count} seeds from {first}: {terms} terms, {counts:?}");
    assert!(terms > 2 * count, "leaders change: {terms} terms");
    let expected = [
        "executed",
        "completed",
        "failed",
        "lost",
        "handed back",
        "blocked",
        "joined",
        "paused",
        "cancelled",
        "workflow completed",
        "leased again",
        "late result",
        "dead letter",
        "workflow failed",
        "request id used twice",
        "redriven",
        "reopened",
        "discarded",
        "retried",
    ];
    let missing: BTreeMap<&str, ()> = expected.into_iter().filter(|what| !counts.contains_key(what)).map(|what| (what, ())).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
}

/// The seed of the environment variable `GRAFT_SEED`, or one that is as good as any.
#[test]
fn one_seed() {
    let seed = from_environment("GRAFT_SEED").unwrap_or(4_711);
    match run(seed) {
        Ok(met) => println!("{met:?}"),
        Err(wrong) => panic!("{}", report(seed, &wrong)),
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let met = || format!("{:?}", run(77));
    assert_eq!(met(), met());
}
