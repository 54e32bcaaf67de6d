//! What more than enough does to a cluster: see `graft_tests::overload`.
//!
//! `overload [--case starts|million|sessions|sizes|hostile|all] [--small] [-o json]`. Ends with 1 if a bound was broken.

use std::process::ExitCode;
use std::time::Duration;

use graft_tests::being_another;
use graft_tests::overload::flood::flood;
use graft_tests::overload::starts::STEPS;
use graft_tests::overload::{Case, Size, hostile};
use serde_json::{Map, Value};

const HELP: &str = "overload: puts more than enough on real members, and gives figures

usage: overload [--case NAME] [--small] [-o json|text]

  --case NAME   starts, million, sessions, sizes, hostile, or all (default)
  --small       enough to see that it works; the figures say nothing
  -o FORMAT     text (default) or json

Figures go to standard error as they come. Ends with 1 if a bound was broken, with 2 if it was asked wrongly.";

struct Asked {
    cases: Vec<(&'static str, Case)>,
    size: Size,
    json: bool,
}

fn asked(words: &[String]) -> Result<Option<Asked>, String> {
    let mut asked = Asked { cases: Case::ALL.to_vec(), size: Size::FULL, json: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice().first().map(String::as_str)) {
            ("-h" | "--help", _) => return Ok(None),
            ("--small", _) => asked.size = Size::SMALL,
            ("--case", Some("all")) => drop(words.next()),
            ("--case", Some(name)) => {
                let known = Case::ALL.into_iter().filter(|(known, _)| *known == name).collect::<Vec<_>>();
                if known.is_empty() {
                    return Err(format!("--case {name}: there are starts, million, sessions, sizes, hostile and all"));
                }
                asked.cases = known;
                words.next();
            }
            ("-o", Some(format @ ("json" | "text"))) => {
                asked.json = format == "json";
                words.next();
            }
            _ => return Err(format!("{word}: not understood; -h says what is")),
        }
    }
    Ok(Some(asked))
}

/// This program, started by itself: offers starts, and prints what became of them.
async fn offer(words: &[String]) -> Result<(), String> {
    let [url, rate, seconds] = words else { return Err("flood needs URL RATE SECONDS".to_owned()) };
    let number = |text: &String| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let flooded = flood(url, "flood", STEPS, number(rate)?, Duration::from_secs(number(seconds)?)).await;
    println!("{}", serde_json::to_string(&flooded).expect("counts are JSON"));
    Ok(())
}

fn main() -> ExitCode {
    if let Some(ended) = being_another() {
        return ended;
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(run())
}

async fn run() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = match words.split_first() {
        Some((word, rest)) if word == "flood" => match offer(rest).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(why) => Err(why),
        },
        Some((word, rest)) if word == "hostile" => match hostile::main(rest).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(why) => Err(why),
        },
        _ => asked(&words),
    };
    let asked = match asked {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("overload: {why}");
            return ExitCode::from(2);
        }
    };
    let (mut report, mut broken) = (Map::new(), false);
    for (name, case) in asked.cases {
        eprintln!("{name}");
        let found = case.run(asked.size).await;
        broken |= !found.broken.is_empty() || !found.wrong.is_empty();
        report.insert(name.to_owned(), found.to_json());
    }
    if asked.json {
        println!("{}", serde_json::to_string_pretty(&Value::Object(report)).expect("figures are JSON"));
    }
    ExitCode::from(u8::from(broken))
}
