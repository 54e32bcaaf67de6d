//! `graft man`

use clap::CommandFactory;

use crate::cli::Cli;
use crate::cli::local::Man;
use crate::error::{CliError, CliResult};
use crate::output::note;

/// Writes a page for each verb, and one for each noun; and those of the daemon.
pub(crate) fn run(args: &Man) -> CliResult {
    let at = args.dir.display();
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .and_then(|()| clap_mangen::generate_to(graftd::config::Cli::command(), &args.dir))
        .map_err(|error| CliError::Other(format!("failed to write manual pages to {at}: {error}")))?;
    note(&format!("Read them with: man {}", args.dir.join("graft-workflow-start.1").display()));
    Ok(())
}
