//! Measures what a daemon costs that has nothing to do: see `-h`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use graft_tests::being_another;
use graft_tests::footprint::{Asks, Footprint, measure};

const HELP: &str = "\
footprint: one graftd on loopback with its defaults, and nobody who asks for anything.

  --graftd FILE    the program to measure [the daemon that was built with this one]
  --starts N       starts on an empty data directory, and as many on one that is there [20]
  --idle SECONDS   how long it is left alone before its memory is looked at, and while its processor time is [60]

Prints JSON. Aims: ready within 100 ms, 40 MB of memory, 0.5 % of a core. Ends with 1 if one is missed. Measure what is shipped
(`cargo build --profile dist -p graftd`), on a machine that has nothing else to do.";

/// Aims: the median of both kinds of starts, in milliseconds; memory, in bytes; processor time, in per cent of a core.
const READY_MS: f64 = 100.0;
const RESIDENT_BYTES: u64 = 40_000_000;
const CPU_PERCENT: f64 = 0.5;

fn asks() -> Result<Option<Asks>, String> {
    let mut asks = Asks { graftd: std::env::current_exe().map_err(|why| why.to_string())?, starts: 20, idle: Duration::from_secs(60) };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "-h" || word == "--help" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value; -h tells of all"))?;
        let count = || value.parse::<u32>().ok().filter(|count| *count > 0).ok_or_else(|| format!("{word} {value}: no number above 0"));
        match word.as_str() {
            "--graftd" => asks.graftd = PathBuf::from(value),
            "--starts" => asks.starts = count()?,
            "--idle" => asks.idle = Duration::from_secs(count()?.into()),
            _ => return Err(format!("{word}: unknown; -h tells of all")),
        }
    }
    Ok(Some(asks))
}

fn missed(figures: &Footprint) -> Vec<String> {
    let mut missed = Vec::new();
    for (what, starts) in [("fresh", &figures.fresh), ("existing", &figures.existing)] {
        if starts.median_ms >= READY_MS {
            missed.push(format!("a start on a {what} data directory takes {:.0} ms", starts.median_ms));
        }
    }
    if figures.idle.resident_bytes >= RESIDENT_BYTES {
        missed.push(format!("it takes {:.0} MB", figures.idle.resident_bytes as f64 / 1e6));
    }
    if figures.idle.cpu_percent >= CPU_PERCENT {
        missed.push(format!("it takes {:.2} % of a core", figures.idle.cpu_percent));
    }
    missed
}

fn main() -> ExitCode {
    if let Some(ended) = being_another() {
        return ended;
    }
    let asks = match asks() {
        Ok(Some(asks)) => asks,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("footprint: {why}");
            return ExitCode::from(2);
        }
    };
    let figures = match measure(&asks) {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("footprint: {}: {error}", asks.graftd.display());
            return ExitCode::FAILURE;
        }
    };
    println!("{}", serde_json::to_string_pretty(&figures).expect("figures are JSON"));
    let missed = missed(&figures);
    missed.iter().for_each(|missed| eprintln!("missed: {missed}"));
    ExitCode::from(u8::from(!missed.is_empty()))
}
