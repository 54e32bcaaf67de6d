//! `graft bench`: how fast a server is, as workers and clients see it.
//!
//! Everything goes through gRPC, as in real life: workers of the SDK ([`workload`]) execute the steps, and as many [`lanes`] as workflows are to be
//! in flight each start one, wait for its end, note how long that took, and start the next. The figures are those of a window in time:
//! after the warm-up, the [`server`]'s counters are read twice, and between the two everything that ends is counted. [`disk`] says what a
//! plain fdatasync costs here, before and after. [`report`] puts it together.
//!
//! The bench shares the machine with what it measures, so it is frugal: states are passed on as bytes, a lane keeps no list, and nothing is
//! printed while it runs. Names of nodes are unique to the run, so that what an earlier one left behind disturbs nobody.
mod disk;
mod lanes;
mod latency;
mod report;
mod server;
mod workload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use graft_client::proto::StatsResponse;
use graft_client::{Client, ClientError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::client;
use super::reach::reach;
use crate::cli::{Bench, Global};
use crate::error::{CliError, CliResult};
use crate::output::{Output, say};
use disk::Disk;
use lanes::{Lanes, Tally};
use server::{Here, Leader};
use workload::Plan;

/// Longest wait until the workers are known to the leader.
const WORKERS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Tells when Ctrl-C was pressed. The bench ends by itself then: what it has in flight on the server must not stay behind.
#[derive(Clone)]
struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    fn listen() -> Self {
        let (pressed, seen) = watch::channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                let _ = pressed.send(true);
            }
            // Kept, so that who waits goes on waiting.
            pressed.closed().await;
        });
        Self(seen)
    }

    /// What `work` comes to, unless it is interrupted.
    async fn or<T>(&self, work: impl Future<Output = CliResult<T>>) -> CliResult<T> {
        let mut seen = self.0.clone();
        tokio::select! {
            done = work => done,
            Ok(_) = seen.wait_for(|pressed| *pressed) => Err(CliError::Interrupted),
        }
    }
}

/// Runs the bench and prints its figures. Workflows that went wrong are counted, not fatal.
pub(crate) async fn run(global: &Global, args: &Bench) -> CliResult {
    let interrupt = Interrupt::listen();
    let directory = args.fsync_dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let mut disk = Disk::default();
    probe(&mut disk, &directory).await;
    let (addr, here) = match &global.addr {
        Some(addr) => (addr.clone(), None),
        None => {
            let here = Here::start(&directory).await?;
            (here.addr(), Some(here))
        }
    };
    client(&addr, &global.namespace, global.timeout)?; // an address that is none is a mistake, whether anybody answers or not
    let figures = match interrupt.or(reach(&addr, global.timeout)).await {
        Ok(_) => measured(global, args, &addr, &interrupt).await,
        Err(error) => Err(error),
    };
    if let Some(here) = here {
        here.stop().await;
    }
    let (plan, window) = figures?;
    probe(&mut disk, &directory).await;
    if let Some(error) = &window.first_error {
        say(&format!("{} workflows went wrong, the first so: {error}", window.wrong));
    }
    if let Some(id) = &window.first_unfinished {
        let grace = lanes::END_GRACE.as_secs();
        say(&format!("{} workflows had not ended after {grace} s more and were terminated, {id:?} the first", window.unfinished));
    }
    if window.leader_changed {
        say("The leader changed while it was measured: figures of the server are not known.");
    }
    report::print(Output::new(global.output), args, &plan, &window, &disk, global.addr.is_none())
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

/// Starts workers and lanes, measures, and stops them again.
async fn measured(global: &Global, args: &Bench, addr: &str, interrupt: &Interrupt) -> CliResult<(Arc<Plan>, report::Window)> {
    let plan = Arc::new(Plan::new(args));
    let connect = || client(addr, &global.namespace, global.timeout);
    let (stop_workers, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    for number in 0..args.workers {
        let mut stopped = stopped.clone();
        let worker = plan.worker(connect()?, number)?;
        workers.spawn(worker.run_until(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }));
    }
    let client = connect()?;
    let window = tokio::select! {
        window = window(&plan, args, &client, connect, interrupt) => window,
        ended = workers.join_next() => Err(ended_early(ended)),
    };
    let _ = stop_workers.send(true);
    while workers.join_next().await.is_some() {}
    Ok((plan, window?))
}

fn ended_early(ended: Option<Result<Result<(), ClientError>, tokio::task::JoinError>>) -> CliError {
    match ended {
        Some(Ok(Err(error))) => error.into(),
        Some(Err(error)) => CliError::Other(format!("a worker of the bench panicked: {error}")),
        Some(Ok(Ok(()))) | None => CliError::Other("a worker of the bench ended by itself".into()),
    }
}

/// Lets it run for the warm-up, then reads the counters twice. However it ends, nothing stays in flight.
async fn window(
    plan: &Arc<Plan>,
    args: &Bench,
    client: &Client,
    connect: impl Fn() -> CliResult<Client>,
    interrupt: &Interrupt,
) -> CliResult<report::Window> {
    let leader = interrupt.or(Leader::find(client)).await?;
    interrupt.or(workers_known(plan, args, client)).await?;
    let tally = Arc::new(Tally::default());
    let lanes = Lanes::start(plan, &tally, args.concurrency, connect)?;
    let (took, steps, stats_before, stats_after) = match interrupt.or(counters(plan, args, &tally, &leader)).await {
        Ok(read) => read,
        Err(error) => {
            lanes.cut().await;
            return Err(error);
        }
    };
    let leader_changed = Leader::find(client).await.map_or(true, |now| now != leader);
    lanes.stop().await;
    let server = (!leader_changed).then(|| server::Counted::between(&stats_before, &stats_after)).flatten();
    Ok(report::Window {
        took,
        steps,
        repeats: plan.repeats(),
        latencies: tally.latencies(),
        wrong: tally.errors(),
        first_error: tally.first_error(),
        unfinished: tally.unfinished(),
        first_unfinished: tally.first_unfinished(),
        server,
        leader_changed,
    })
}

type Counters = (Duration, u64, StatsResponse, StatsResponse);

/// The window: how long it was, the steps that were executed in it, the server's counters before and after. Steps are counted on the far
/// side of each reading, so that what the server counts in a window is, if anything, a little more than the steps that it is divided by.
async fn counters(plan: &Plan, args: &Bench, tally: &Tally, leader: &Leader) -> CliResult<Counters> {
    sleep(args.warmup).await;
    let stats_before = leader.stats().await?;
    let steps_before = plan.executed();
    tally.measure(true);
    let begun = Instant::now();
    sleep(args.duration).await;
    tally.measure(false);
    let took = begun.elapsed();
    let steps = plan.executed() - steps_before;
    let stats_after = leader.stats().await?;
    Ok((took, steps, stats_before, stats_after))
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
