//! Whatever reads bytes or texts, on every test run: its corpus, and some thousand cases made from it. `cargo run --release -p graft-tests --bin
//! fuzz` makes millions; what it finds is put into the corpus.

use std::time::{Duration, SystemTime};

use graft_tests::figure;
use graft_tests::fuzz::engine::{CASES, keep, run};
use graft_tests::fuzz::targets::ALL;

/// Cases of each target, at most.
const CASES_EACH: u64 = 3_000;
/// These go through a daemon, or through files.
const SLOWER: [&str; 4] = ["http", "grpc", "configuration", "certificates"];
const CASES_OF_SLOWER: u64 = 300;
/// No target may take longer; on a slow machine it then makes fewer cases.
const SLOW: Duration = Duration::from_secs(20);

#[test]
fn no_input_of_any_corpus_and_no_case_made_from_it_is_handled_wrongly() {
    // A new one each time, so that every run looks somewhere else.
    let of_today = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    let seed = std::env::var("GRAFT_SEED").map_or(of_today, |seed| seed.parse().expect("GRAFT_SEED is a number"));
    let (mut cases, mut wrong) = (0, Vec::new());
    for (name, make) in ALL {
        let count = if SLOWER.contains(name) { CASES_OF_SLOWER } else { CASES_EACH };
        let thread = std::thread::Builder::new().name(format!("{CASES}{name}"));
        let report = thread.spawn(move || run(&mut make(), count, seed, SLOW)).expect("a thread").join().expect("cases are caught");
        cases += report.cases;
        assert!(report.taken > 0, "{name}: nothing was taken: its corpus is none");
        if let Some((input, why)) = report.found {
            wrong.push(format!("{name}: {}\n  repeat: {}", why.chars().take(1_000).collect::<String>(), keep(name, &input)));
        }
    }
    figure(format_args!("{cases} cases of {} targets", ALL.len()));
    assert!(wrong.is_empty(), "seed {seed} (GRAFT_SEED):\n{}", wrong.join("\n"));
}

#[test]
fn a_target_that_panics_is_caught_and_its_input_made_small() {
    use graft_tests::fuzz::{Target, Verdict};
    let run_it = || {
        let mut target = Target {
            name: "planted",
            words: &["bug"],
            longest: 256,
            seeds: vec![b"this is all right".to_vec()],
            run: Box::new(|bytes: &[u8]| {
                assert!(!bytes.windows(3).any(|at| at == b"bug"), "planted");
                Ok(Verdict::Taken)
            }),
        };
        run(&mut target, 100_000, 1, SLOW)
    };
    let planted = std::thread::Builder::new().name(format!("{CASES}planted")).spawn(run_it).expect("a thread");
    let (input, why) = planted.join().expect("cases are caught").found.expect("it is found");
    assert_eq!(input, b"bug");
    assert!(why.contains("planted") && why.contains("inputs.rs"), "{why}");
}
