//! `graft`: manage workflows and clusters of graftd.
//!
//! [`cli`] is the tree of commands and nothing else; [`commands`] has one file per verb; [`contexts`] knows which cluster is meant; [`output`] writes
//! answers in every form; [`error`] says what went wrong and with which exit code. Data goes to stdout, words to stderr.
mod cli;
mod commands;
mod contexts;
mod error;
mod output;

use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches};

fn main() -> ExitCode {
    let started = Instant::now();
    let command = cli::Cli::command().color(cli::color_of(std::env::args_os()));
    let cli = match command.try_get_matches().and_then(|matches| cli::Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && cli::format_of(std::env::args_os()).is_for_programs() => {
            return ExitCode::from(error::CliError::from(error).report(cli::format_of(std::env::args_os())));
        }
        Err(error) => error.exit(),
    };
    let output = output::Output::new(&cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(commands::threads(&cli)).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(error::CliError::Other(format!("failed to start: {error}")).report(output.format())),
    };
    let code = match runtime.block_on(commands::run(cli, output)) {
        Ok(()) => 0,
        Err(error) => error.report(output.format()),
    };
    output::detail(&format!("took {}", output::time::duration_us(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX))));
    // Whatever still waits (a blocking read of stdin, say) must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(code)
}
