//! The process: configuration, log, runtime, the first lines, signals, exit code.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::error::{EXIT_CONFIG, EXIT_REMOVED, Failure, StartError};
use super::{Daemon, Prepared};
use crate::config::{Flags, Loaded, LogFormat, Sources, load};
use crate::observability::logging::{self, ProcessLog, Signature};
use crate::shutdown::{EXIT_AT_ONCE, Hangup, Hangups, Signals};
use crate::storage::Disk;

/// Fewest threads of the runtime: on a small machine a long apply must not starve heartbeats.
const THREADS_MIN: usize = 4;
/// Longest wait for blocking work when the process ends.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// Runs a daemon until it is told to end or cannot go on.
pub fn run(flags: &Flags, disk: Arc<dyn Disk>) -> ExitCode {
    let loaded = match load(flags, &Sources::of_process()).and_then(Loaded::good) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("graftd: the configuration is refused\n{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let json = logging::is_json(match loaded.config.log.format {
        LogFormat::Auto => None,
        LogFormat::Text => Some(false),
        LogFormat::Json => Some(true),
    });
    let log = match logging::start(json, &loaded.config.log.level) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("graftd: the configuration is refused\n{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    die_of_panics();
    for warning in &loaded.warnings {
        tracing::warn!(key = warning.what, said_in = warning.said_in, remedy = warning.remedy, "{}: {}", warning.what, warning.why);
    }
    let ended = runtime().and_then(|runtime| {
        let ended = runtime.block_on(serve(flags, loaded, disk, log));
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

async fn serve(flags: &Flags, loaded: Loaded, disk: Arc<dyn Disk>, log: ProcessLog) -> Result<(), Failure> {
    let started = Instant::now();
    let deaf = |e| Failure::fatal(format!("failed to listen for signals: {e}"));
    let (mut signals, mut hangups) = (Signals::listen().map_err(deaf)?, Hangups::listen().map_err(deaf)?);
    let signature = log.signature.clone();
    let prepared = Prepared::with_disk(loaded, disk).await?.with_log(log);
    // Whoever started the daemon may not be reading any more; that is no reason to stop.
    let mut out = std::io::stdout();
    let _ = out.write_all(prepared.banner().as_bytes()).and_then(|()| out.flush());
    let daemon = tokio::select! {
        daemon = prepared.open() => daemon?,
        // Nobody was served yet, so there is nothing to drain.
        _ = signals.next() => return Ok(()),
    };
    let (name, outcome) = tokio::select! {
        ended = attend(&daemon, &mut signals, &signature, started) => match ended {
            Ok(name) => (name, Ok(())),
            // Who asked for it may have asked here, and waits for the answer.
            Err(removed) if removed.exit_code == EXIT_REMOVED => ("taken out of the cluster", Err(removed)),
            Err(failure) => return Err(failure),
        },
        () = reload_until_hung_up(&daemon, &mut hangups, flags) => ("SIGHUP, and the terminal is gone", Ok(())),
    };
    tracing::info!("{name}: draining");
    tokio::select! {
        () = daemon.shutdown() => {}
        name = signals.next() => {
            tracing::warn!("{name} again: ending at once");
            std::process::exit(EXIT_AT_ONCE);
        }
    }
    tracing::info!("drained");
    outcome
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

/// Reads the configuration again whenever it is asked to. Ends when there is no terminal any more on which it could be ended.
async fn reload_until_hung_up(daemon: &Daemon, hangups: &mut Hangups, flags: &Flags) {
    while hangups.next().await == Hangup::Reload {
        tracing::info!("SIGHUP: reading the configuration again");
        let read = load(flags, &Sources::of_process());
        if let Ok(loaded) = &read {
            tracing::debug!(files = loaded.files.join(", "), "the files of the configuration were read");
        }
        // What came of it has been logged.
        let _ = daemon.reload(read);
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { exit_code: error.exit_code(), reason: error.to_string() }
    }
}
