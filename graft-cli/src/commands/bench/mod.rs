//! `graft bench`: how fast a server is, as workers and clients see it.
//!
//! Everything goes through gRPC, as in real life: workers of the SDK ([`workload`]) execute the steps, and as many [`lanes`] as workflows are to be
//! in flight each start one, wait for its end, note how long that took, and start the next. The figures are those of a window in time:
//! after the warm-up, the [`server`]'s counters are read twice, and between the two everything that ends is counted. [`disk`] says what a
//! plain fdatasync costs here, before and after. [`report`] puts it together. What does not end is an error, and is terminated.
//!
//! The bench shares the machine with what it measures, so it is frugal: states are passed on as bytes, a lane keeps no list, and nothing is
//! printed while it runs. Names of nodes are unique to the run, so that what an earlier one left behind disturbs nobody.
mod disk;
mod lanes;
mod latency;
pub(crate) mod report;
mod server;
mod workload;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use graft_client::{Client, ClientError};
use tokio::signal::ctrl_c;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client;
use super::reach::reach;
use crate::cli::Global;
use crate::cli::local::Bench;
use crate::contexts::Place;
use crate::error::{CliError, CliResult};
use crate::output::spinner::Spinner;
use crate::output::{Output, note, say};
use disk::Disk;
use lanes::{Lanes, Tally};
use server::{Counted, Here, Leader};
use workload::Plan;

/// Longest wait until the workers are known to the leader.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Tells when Ctrl-C was pressed. The bench ends by itself then: what it has in flight on the server must not stay behind.
struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// What `work` comes to, unless it is interrupted.
    async fn or<T>(&self, work: impl Future<Output = CliResult<T>>) -> CliResult<T> {
        let mut seen = self.0.clone();
        tokio::select! {
            done = work => done,
            Ok(_) = seen.wait_for(|pressed| *pressed) => Err(CliError::Interrupted),
        }
    }
}

/// Runs the bench. The first Ctrl-C ends it in good order, a second one at once.
pub(crate) async fn run(global: &Global, output: Output, args: &Bench) -> CliResult {
    let (press, pressed) = watch::channel(false);
    let interrupt = Interrupt(pressed);
    let mut bench = pin!(bench(global, output, args, &interrupt));
    tokio::select! {
        done = &mut bench => return done,
        Ok(()) = ctrl_c() => {}
    }
    say("stopping: what is in flight is terminated");
    press.send_replace(true);
    tokio::select! {
        done = bench => done,
        Ok(()) = ctrl_c() => Err(CliError::Interrupted),
    }
}

/// Measures, and prints the figures. Workflows that went wrong are counted, not fatal.
async fn bench(global: &Global, output: Output, args: &Bench, interrupt: &Interrupt) -> CliResult {
    // Load goes only where somebody said so for this command: the current context may be a cluster that serves others.
    let place = Place::of(global)?;
    let named = place.is_named;
    let directory = args.fsync_dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let mut disk = Disk::default();
    probe(&mut disk, &directory).await;
    let (place, here) = if named {
        (place, None)
    } else {
        let here = interrupt.or(Here::start(&directory)).await?;
        // A server of this process knows no token, whichever is shown to others.
        (Place { addr: here.addr(), token_file: None, ..place }, Some(here))
    };
    client(&place, global.timeout)?; // an address that is none is a mistake, whether anybody answers or not
    let spinner = Spinner::start("measuring");
    let figures = match interrupt.or(reach(&place.addr, global.timeout)).await {
        Ok(()) => measured(&place, global.timeout, args, interrupt).await,
        Err(error) => Err(error),
    };
    if let Some(here) = here {
        here.stop().await;
    }
    drop(spinner);
    let (plan, window) = figures?;
    probe(&mut disk, &directory).await;
    if let Some(error) = &window.first_error {
        say(&format!("{} workflows went wrong, the first so: {error}", window.wrong));
    }
    if let Some(id) = &window.first_unfinished {
        let grace = lanes::END_GRACE.as_secs();
        say(&format!("{} workflows had not ended after {grace} s more and were terminated, {id:?} the first", window.unfinished));
    }
    if window.server.is_none() {
        say("The leader changed while it was measured: figures of the server are not known.");
    }
    report::print(output, args, &plan, &window, &disk, !named)?;
    if named && output.is_for_people() {
        let minutes = workload::RETENTION.as_secs() / 60;
        note(&format!("Its workflows stay in namespace {:?} for {minutes} minutes.", place.namespace));
    }
    Ok(())
}

/// What a plain fdatasync costs is measured beside the runtime's threads. Where nothing can be written there is no figure.
async fn probe(disk: &mut Disk, directory: &Path) {
    let directory = directory.to_owned();
    match tokio::task::spawn_blocking(move || disk::samples(&directory)).await {
        Ok(Ok(samples)) => disk.add(samples),
        Ok(Err(error)) => say(&format!("fdatasync is not measured: {error}. Name a directory that can be written with --fsync-dir.")),
        Err(error) => say(&format!("fdatasync is not measured: {error}")),
    }
}

/// Starts workers and lanes, measures, and stops them again. However it ends, nothing stays in flight.
async fn measured(place: &Place, timeout: Duration, args: &Bench, interrupt: &Interrupt) -> CliResult<(Arc<Plan>, report::Window)> {
    let plan = Arc::new(Plan::new(args));
    let connect = || client(place, timeout);
    let (stop_workers, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    for number in 0..args.workers {
        let mut stopped = stopped.clone();
        let worker = plan.worker(connect()?, number)?;
        workers.spawn(worker.run_until(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }));
    }
    let (tally, mut lanes) = (Arc::new(Tally::default()), Lanes::new());
    let client = connect()?;
    let counted = tokio::select! {
        counted = interrupt.or(counters(&plan, args, &client, connect, &tally, &mut lanes)) => counted,
        ended = workers.join_next() => Err(ended_early(ended)),
    };
    lanes.cut().await;
    let _ = stop_workers.send(true);
    while workers.join_next().await.is_some() {}
    let Counters { took, steps, server } = counted?;
    let window = report::Window {
        took,
        steps,
        repeats: plan.repeats(),
        latencies: tally.latencies(),
        wrong: tally.errors(),
        first_error: tally.first_error(),
        unfinished: tally.unfinished(),
        first_unfinished: tally.first_unfinished(),
        server,
    };
    Ok((plan, window))
}

fn ended_early(ended: Option<Result<Result<(), ClientError>, tokio::task::JoinError>>) -> CliError {
    match ended {
        Some(Ok(Err(error))) => error.into(),
        Some(Err(error)) => CliError::Other(format!("a worker of the bench panicked: {error}")),
        Some(Ok(Ok(()))) | None => CliError::Other("a worker of the bench ended by itself".into()),
    }
}

/// What was counted in the window.
struct Counters {
    /// How long it was.
    took: Duration,
    /// Steps that the workers executed in it.
    steps: u64,
    /// What the leader counted; `None` if another one leads now.
    server: Option<Counted>,
}

/// Lets it run for the warm-up, counts in the window, and lets what is in flight end.
///
/// A reading of the server's counters takes a while under load, in which steps go on. So they are compared with each other (the window's entries
/// with the window's commands), and with the steps that the workers executed only where nothing moves: before the first lane and after the last.
async fn counters(
    plan: &Arc<Plan>,
    args: &Bench,
    client: &Client,
    connect: impl Fn() -> CliResult<Client>,
    tally: &Arc<Tally>,
    lanes: &mut Lanes,
) -> CliResult<Counters> {
    let leader = Leader::find(client).await?;
    workers_known(plan, args, client).await?;
    let first = leader.read().await?;
    lanes.start(plan, tally, args.concurrency, connect)?;
    sleep(args.warmup).await;
    let before = leader.read().await?;
    let (begun, steps_before) = (Instant::now(), plan.executed());
    tally.measure(true);
    sleep(args.duration).await;
    tally.measure(false);
    let (took, steps) = (begun.elapsed(), plan.executed() - steps_before);
    let after = leader.read().await?;
    lanes.drain().await;
    let last = leader.read().await?;
    let same_leader = Leader::find(client).await.is_ok_and(|now| now == leader);
    let server = same_leader.then(|| Counted::of([&first, &before, &after, &last], plan.executed())).flatten();
    Ok(Counters { took, steps, server })
}

/// Waits until the leader knows the workers: from then on a start finds who executes it.
async fn workers_known(plan: &Plan, args: &Bench, client: &Client) -> CliResult {
    let until = Instant::now() + WORKERS_TIMEOUT;
    loop {
        let known = client.workers().await?;
        let connected = known.workers.iter().filter(|worker| worker.connected && plan.is_mine(&worker.worker_id)).count();
        if connected >= args.workers as usize {
            return Ok(());
        }
        if Instant::now() >= until {
            let seconds = WORKERS_TIMEOUT.as_secs();
            return Err(CliError::Other(format!(
                "the leader knows {connected} of the {} workers of this bench after {seconds} s. See `graft worker list` and `graft cluster status`.",
                args.workers
            )));
        }
        sleep(LOOK_EVERY).await;
    }
}
