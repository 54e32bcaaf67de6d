//! `graft completions`

use clap::CommandFactory;

use crate::cli::Cli;
use crate::cli::local::Completions;
use crate::error::CliResult;
use crate::output::Output;

/// Writes what the shell needs.
pub(crate) fn run(output: Output, args: &Completions) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "graft", &mut script);
    output.text(&String::from_utf8_lossy(&script))
}
