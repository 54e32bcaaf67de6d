//! Feeds damaged inputs to whatever reads any: see `graft_tests::fuzz`.
//!
//! `fuzz --target NAME|all --cases N --seed S` makes N cases of each target (`--seconds` bounds the time for each); `fuzz --target NAME --input FILE` repeats one; `fuzz --list`
//! names the targets; `--grow N` adds inputs that were taken to a corpus until it has N. It ends with 1 if something was found: the input is in `tests/corpus/TARGET/found-..`, with the command that repeats it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use graft_tests::fuzz::engine::{CASES, Report, grow, keep, repeat, run};
use graft_tests::fuzz::targets::{ALL, Make};

struct Asked {
    target: String,
    cases: u64,
    seed: u64,
    within: Duration,
    input: Option<PathBuf>,
    list: bool,
    grow: usize,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked { target: "all".into(), cases: 100_000, seed: 1, within: Duration::MAX, input: None, list: false, grow: 0 };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--target" => asked.target = value()?,
            "--cases" => asked.cases = value()?.replace('_', "").parse().map_err(|error| format!("--cases: {error}"))?,
            "--seed" => asked.seed = value()?.parse().map_err(|error| format!("--seed: {error}"))?,
            "--seconds" => asked.within = Duration::from_secs(value()?.parse().map_err(|error| format!("--seconds: {error}"))?),
            "--input" => asked.input = Some(value()?.into()),
            "--grow" => asked.grow = value()?.parse().map_err(|error| format!("--grow: {error}"))?,
            "--list" => asked.list = true,
            other => return Err(format!("{other} is no flag")),
        }
    }
    if asked.target != "all" && !ALL.iter().any(|(name, _)| *name == asked.target) {
        return Err(format!("there is no target {:?}: --list names them", asked.target));
    }
    Ok(asked)
}

/// In a thread with a name by which the engine tells panics of cases from others.
fn in_a_thread<T: Send + 'static>(name: &'static str, work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().name(format!("{CASES}{name}")).spawn(work).expect("a thread").join().expect("cases are caught")
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!(
                "fuzz: {why}\nusage: fuzz [--target NAME|all] [--cases N] [--seed S] [--seconds S] [--input FILE] [--grow N] [--list]"
            );
            return ExitCode::from(2);
        }
    };
    let chosen: Vec<(&'static str, Make)> =
        ALL.iter().copied().filter(|(name, _)| asked.target == "all" || *name == asked.target).collect();
    if asked.list {
        chosen.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    if let Some(file) = &asked.input {
        let input = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for (name, make) in chosen {
            let input = input.clone();
            println!("{name}: {:?}", in_a_thread(name, move || repeat(&mut make(), &input)));
        }
        return ExitCode::SUCCESS;
    }
    let (mut all, mut found) = (0, 0);
    println!("{:<14} {:>10} {:>7} {:>9} {:>11}", "target", "cases", "taken", "cases/s", "longest ms");
    for (name, make) in chosen {
        let (cases, seed, within) = (asked.cases, asked.seed, asked.within);
        let Report { cases, taken, took, longest, ways_in, found: wrong } =
            in_a_thread(name, move || run(&mut make(), cases, seed, within));
        all += cases;
        let rate = cases as f64 / took.as_secs_f64().max(0.001);
        println!("{name:<14} {cases:>10} {:>6}% {rate:>9.0} {:>11.2}", taken * 100 / cases.max(1), longest.as_secs_f64() * 1e3);
        if asked.grow > 0 {
            grow(name, ways_in, asked.grow);
        }
        if let Some((input, why)) = wrong {
            found += 1;
            println!("  FOUND: {}\n  repeat: {}", why.chars().take(2_000).collect::<String>(), keep(name, &input));
        }
    }
    let peak = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()));
    println!("{all} cases with seed {}, {found} findings, peak memory {} MB", asked.seed, peak.unwrap_or(0) / 1_024);
    ExitCode::from(u8::from(found > 0))
}
