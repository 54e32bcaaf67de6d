//! A few seeds of simulation B on every test run; the binary `cluster-simulation` runs more of them. And mistakes that are made on purpose, which it
//! has to find.

use graft_tests::cluster_sim::{Planted, run, run_with};

/// Seeds of one run, unless `GRAFT_SEEDS` says otherwise; they begin with `GRAFT_SEED`.
const SEEDS: u64 = 2;
/// Seeds in which a planted mistake is looked for.
const SEEDS_FOR_MISTAKES: u64 = 20;

/// A number from the environment, if it is set.
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}

#[test]
fn a_few_seeds_keep_every_promise() {
    let (first, count) = (from_environment("GRAFT_SEED").unwrap_or(1), from_environment("GRAFT_SEEDS").unwrap_or(SEEDS));
    for seed in first..first + count {
        match run(seed) {
            Ok(met) => println!("seed {seed}: {met:?}"),
            Err(wrong) => {
                panic!("seed {seed}: {wrong}\nrun it again: GRAFT_SEED={seed} GRAFT_SEEDS=1 cargo test -p graft-tests --test cluster_sim")
            }
        }
    }
}

fn is_found(planted: Planted) {
    let found = (1..=SEEDS_FOR_MISTAKES).find_map(|seed| Some((seed, run_with(seed, Some(planted)).err()?)));
    let (seed, wrong) = found.unwrap_or_else(|| panic!("{planted:?}: no seed has found it"));
    println!("{planted:?} is found by seed {seed}: {wrong}");
}

#[test]
fn what_is_acknowledged_before_it_is_durable_is_found_out() {
    is_found(Planted::LogsThatLie);
}

#[test]
fn members_that_go_on_under_their_old_id_with_an_empty_disk_are_found_out() {
    is_found(Planted::MembersThatForget);
}
