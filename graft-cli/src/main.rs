//! `graft`: manage workflows and clusters of graftd.
//!
//! [`cli`] is the tree of commands and nothing else; [`commands`] has one file per verb; [`output`] writes tables, JSON and the live tree;
//! [`error`] says what went wrong and with which exit code. Data goes to stdout, words to stderr.
mod cli;
mod commands;
mod error;
mod output;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(commands::threads(&cli)).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: failed to start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(commands::run(cli)) {
        Ok(()) => 0,
        Err(error) => error.report(),
    };
    // Whatever still waits (a blocking read of stdin, say) must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(code)
}
