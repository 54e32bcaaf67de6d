//! `graft completions`

use clap::CommandFactory;

use crate::cli::Cli;
use crate::cli::local::{Completions, Program};
use crate::error::CliResult;
use crate::output::Output;

/// Writes what the shell needs.
pub(crate) fn run(output: Output, args: &Completions) -> CliResult {
    let mut script = Vec::new();
    let (name, mut command) = match args.of {
        Program::Graft => ("graft", Cli::command()),
        Program::Graftd => ("graftd", graftd::config::Cli::command()),
    };
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output.text(&String::from_utf8_lossy(&script))
}
