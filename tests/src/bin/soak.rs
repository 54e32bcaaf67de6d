//! Writes to a cluster without rest, and looks for members that end: see `-h`.

use std::process::ExitCode;
use std::time::Duration;

use graft_tests::being_another;
use graft_tests::soak::{Asks, soak};

const HELP: &str = "\
soak: three members whose log never rests, with a snapshot point after every few entries.

  --minutes M         for how long [30]
  --snapshot-every N  entries between two snapshot points [1000]
  --batch N           commands that share an entry, at most [4]
  --lanes N           calls that are open at once [48]
  -o json|text        how the outcome is told [text]

A member that ends is started again. Ends with 1 if one did not come back as it should, or if any ended at all.";

fn asks() -> Result<Option<(Asks, bool)>, String> {
    let (mut minutes, mut asks, mut json) = (30.0, Asks { time: Duration::ZERO, snapshot_every: 1_000, batch: 4, lanes: 48 }, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "-h" || word == "--help" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value; -h tells of all"))?;
        let count = || value.parse::<u64>().ok().filter(|count| *count > 0).ok_or_else(|| format!("{word} {value}: no number above 0"));
        match word.as_str() {
            "--minutes" => {
                let number = value.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
                minutes = number.ok_or_else(|| format!("{word} {value}: no number above 0"))?;
            }
            "--snapshot-every" => asks.snapshot_every = count()?,
            "--batch" => asks.batch = count()?,
            "--lanes" => asks.lanes = count()? as usize,
            "-o" if value == "json" || value == "text" => json = value == "json",
            _ => return Err(format!("{word} {value}: unknown; -h tells of all")),
        }
    }
    asks.time = Duration::from_secs_f64(minutes * 60.0);
    Ok(Some((asks, json)))
}

fn main() -> ExitCode {
    if let Some(ended) = being_another() {
        return ended;
    }
    let (asks, json) = match asks() {
        Ok(Some(asks)) => asks,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("soak: {why}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let soaked = runtime.block_on(soak(asks));
    match json {
        true => println!("{}", serde_json::to_string_pretty(&soaked).expect("figures are JSON")),
        false => println!("{soaked:#?}"),
    }
    ExitCode::from(u8::from(!soaked.wrong.is_empty() || !soaked.ended.is_empty()))
}
