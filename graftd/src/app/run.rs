//! The process: configuration, log, runtime, the first lines, signals, exit code.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::error::{EXIT_CONFIG, Failure, StartError};
use super::{Daemon, Prepared};
use crate::config::{Config, Flags, LogFormat, Sources, load};
use crate::observability::logging::{self, Signature};
use crate::shutdown::{EXIT_AT_ONCE, Signals};
use crate::storage::Disk;

/// Fewest threads of the runtime: on a small machine a long apply must not starve heartbeats.
const THREADS_MIN: usize = 4;
/// Longest wait for blocking work when the process ends.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// Runs a daemon until it is told to end or cannot go on.
pub fn run(flags: &Flags, disk: Arc<dyn Disk>) -> ExitCode {
    let loaded = load(flags, &Sources::of_process()).and_then(|loaded| {
        let warnings = loaded.warnings.clone();
        Ok((loaded.accepted()?, warnings))
    });
    let (config, warnings) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("graftd: the configuration is refused\n{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let json = logging::is_json(match config.log.format {
        LogFormat::Auto => None,
        LogFormat::Text => Some(false),
        LogFormat::Json => Some(true),
    });
    let signature = match logging::start(json, &config.log.level) {
        Ok(signature) => signature,
        Err(error) => {
            eprintln!("graftd: the configuration is refused\n{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    die_of_panics();
    for warning in warnings {
        tracing::warn!(key = warning.what, said_in = warning.said_in, remedy = warning.remedy, "{}: {}", warning.what, warning.why);
    }
    let ended = runtime().and_then(|runtime| {
        let ended = runtime.block_on(serve(config, disk, &signature));
        if ended.is_ok() {
            runtime.shutdown_timeout(BLOCKING_GRACE);
        } else {
            // Something is wrong: nobody waits for it, and what was acknowledged is on disk.
            runtime.shutdown_background();
        }
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if json => {
            tracing::error!(exit_code = failure.exit_code, "{failure}");
            ExitCode::from(failure.exit_code)
        }
        Err(failure) => {
            eprintln!("graftd: {failure}");
            ExitCode::from(failure.exit_code)
        }
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let built = Builder::new_multi_thread().worker_threads(cores.max(THREADS_MIN)).thread_name("graftd").enable_all().build();
    built.map_err(|e| Failure::fatal(format!("failed to start the runtime: {e}")))
}

async fn serve(config: Config, disk: Arc<dyn Disk>, signature: &Signature) -> Result<(), Failure> {
    let started = Instant::now();
    let mut signals = Signals::listen().map_err(|e| Failure::fatal(format!("failed to listen for signals: {e}")))?;
    let prepared = Prepared::with_disk(config, disk).await?;
    signature.member(prepared.member_name());
    // Whoever started the daemon may not be reading any more; that is no reason to stop.
    let mut out = std::io::stdout();
    let _ = out.write_all(prepared.banner().as_bytes()).and_then(|()| out.flush());
    let daemon = tokio::select! {
        daemon = prepared.open() => daemon?,
        // Nobody was served yet, so there is nothing to drain.
        _ = signals.next() => return Ok(()),
    };
    let name = attend(&daemon, &mut signals, signature, started).await?;
    tracing::info!("{name}: draining");
    tokio::select! {
        () = daemon.shutdown() => {}
        name = signals.next() => {
            tracing::warn!("{name} again: ending at once");
            std::process::exit(EXIT_AT_ONCE);
        }
    }
    tracing::info!("drained");
    Ok(())
}

/// A panic anywhere in the daemon ends it at once: what is acknowledged is on disk, and a member that goes on with a broken invariant is
/// worse than one that is down. (Not a matter of the build profile, since workers catch the panics of their nodes.)
fn die_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        tracing::error!(%panic, "this member has met a broken invariant or an IO error below it, and stops");
        std::process::abort();
    }));
}

/// Says when it is ready, and waits for a signal or a failure.
async fn attend(daemon: &Daemon, signals: &mut Signals, signature: &Signature, started: Instant) -> Result<&'static str, Failure> {
    let news = async {
        signature.cluster(&daemon.cluster_id().await);
        if daemon.ready().await.is_ok() {
            tracing::info!("ready after {} ms: {}", started.elapsed().as_millis(), daemon.client_url());
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        name = signals.next() => Ok(name),
        failure = daemon.failed() => Err(failure),
        () = news => unreachable!("news never ends"),
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { exit_code: error.exit_code(), reason: error.to_string() }
    }
}
