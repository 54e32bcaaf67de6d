//! Real members and workers under load while things break, and a judge: see `graft_tests::torture`, and `torture -h`.
//!
//! The same binary is the members and the workers that it starts: a variable of their environment says so.

use std::process::ExitCode;

use graft_tests::being_another;
use graft_tests::torture::arena::network;
use graft_tests::torture::faults::possible;
use graft_tests::torture::plan::{Asked, HELP, Parsed};
use graft_tests::torture::run;

/// It cannot do what is asked, or came to no verdict.
const NO_VERDICT: u8 = 2;

fn main() -> ExitCode {
    if let Some(code) = being_another() {
        return code;
    }
    let asked = match Asked::parse(std::env::args().skip(1), possible) {
        Ok(Parsed::Run(asked)) => asked,
        Ok(Parsed::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("torture: {why}");
            return ExitCode::from(NO_VERDICT);
        }
    };
    let bridge = match network(&asked) {
        Ok(bridge) => bridge,
        Err(why) => {
            eprintln!("torture: {why}");
            return ExitCode::from(NO_VERDICT);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(run::run(&asked, bridge)) {
        Ok(report) => {
            if asked.json {
                println!("{}", serde_json::to_string_pretty(&report).expect("a report is JSON"));
                // What is wrong is told to people, too.
                if !report.is_clean() {
                    eprint!("{}", report.text());
                }
            } else {
                print!("{}", report.text());
            }
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(why) => {
            eprintln!("torture: {why}\nrun it again: {}", asked.command());
            ExitCode::from(NO_VERDICT)
        }
    }
}
