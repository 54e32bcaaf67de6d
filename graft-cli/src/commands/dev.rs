//! `graft dev`: a development server in this process.

use std::io::Write;

use graftd::app::{Daemon, Failure, Prepared, StartError};
use graftd::config::{Config, HostPort};
use graftd::observability::logging;
use graftd::shutdown::Signals;
use tempfile::TempDir;

use crate::cli::local::Dev;
use crate::error::{CliError, CliResult};
use crate::output::say;

/// What the server says in its log: only what somebody should look at.
const LOG_LEVEL: &str = "warn";

/// Runs until Ctrl-C or SIGTERM, then drains; a second signal ends it at once.
pub(crate) async fn run(args: &Dev) -> CliResult {
    let listen: HostPort = args.listen.parse().map_err(|error| CliError::Usage(format!("--listen {}: {error}", args.listen)))?;
    if !listen.is_loopback() {
        return Err(CliError::Usage(format!(
            "--listen {listen}: `graft dev` answers on this machine only, such as at 127.0.0.1:7420\n  `graftd --listen {listen} --insecure` serves \
             others, if the network keeps strangers away."
        )));
    }
    let mut signals = Signals::listen().map_err(|error| CliError::Other(format!("failed to listen for signals: {error}")))?;
    let log = logging::start(false, LOG_LEVEL).map_err(|error| CliError::Other(error.to_string()))?;
    let temporary = match &args.data_dir {
        Some(_) => None,
        None => Some(temporary()?),
    };
    let data_dir = args.data_dir.clone().or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned())).unwrap_or_default();
    let mut config = Config::in_process(data_dir);
    config.client.listen = listen;
    config.log.level = LOG_LEVEL.into();
    let prepared = Prepared::new(config).await.map_err(refused)?.with_log(log);
    // Whoever started the server may not be reading any more; that is no reason to stop.
    let mut out = std::io::stdout();
    let _ = out.write_all(prepared.banner().as_bytes()).and_then(|()| out.flush());
    let daemon = tokio::select! {
        daemon = prepared.open() => daemon.map_err(refused)?,
        _ = signals.next() => return Ok(()),
    };
    tokio::select! {
        _ = signals.next() => {}
        failure = daemon.failed() => return Err(failed(&failure)),
    }
    say(if temporary.is_some() { "stopping; the data is removed" } else { "stopping" });
    drain(daemon, &mut signals).await
}

async fn drain(daemon: Daemon, signals: &mut Signals) -> CliResult {
    tokio::select! {
        () = daemon.shutdown() => Ok(()),
        _ = signals.next() => Err(CliError::Interrupted),
    }
}

fn temporary() -> CliResult<TempDir> {
    tempfile::Builder::new()
        .prefix("graft-dev-")
        .tempdir()
        .map_err(|error| CliError::Other(format!("failed to make a temporary directory: {error}")))
}

/// Why the server did not start.
pub(crate) fn refused(error: StartError) -> CliError {
    CliError::Other(format!("the server does not start: {error}"))
}

/// Why the server cannot go on.
pub(crate) fn failed(failure: &Failure) -> CliError {
    CliError::Other(format!("the server cannot go on: {failure}"))
}
