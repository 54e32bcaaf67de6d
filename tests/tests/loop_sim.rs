//! Many seeds of simulation A on every test run; the binary `simulation` runs more of them.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use graft_tests::loop_sim::{Disks, EXPECTED, Met, Plan, run};

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
                all.lock().expect("no other thread has failed").add(&met);
            }
        };
        let workers = [scope.spawn(work), scope.spawn(work)];
        for worker in workers {
            worker.join().expect("every seed keeps every promise");
        }
    });
    let met = all.into_inner().expect("no thread has failed");
    println!("{count} seeds from {first}: {met:?}");
    let terms = met.counts.get("term begun").copied().unwrap_or(0);
    assert!(terms > 2 * count, "leaders change: {terms} terms");
    let missing: BTreeSet<&str> = EXPECTED.iter().copied().filter(|what| !met.counts.contains_key(what)).collect();
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
fn a_disk_is_not_lost_that_only_a_leader_that_was_deposed_can_do_without() {
    // 5745: member 2 is cut off and leads on; the others remove it. It is asked to do without member 3, which the others need now.
    let seed = 5_745;
    if let Err(wrong) = run(seed) {
        panic!("{}", report(seed, &wrong));
    }
}

/// The first seed whose members keep their data so.
fn of(disks: Disks) -> u64 {
    (1..).find(|seed| Plan::of(*seed).disks == disks).expect("there is one")
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    // 77 keeps everything in memory; the others have the real stores under them, with threads of their own.
    for seed in [77, of(Disks::Files), of(Disks::Torn)] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
