//! A million open workflows: what they cost in memory, at a start of the daemon, and each step of others beside them.
//!
//! The open ones wait for a worker of a node that nobody serves. At each size the daemon is killed and started again, then the same load runs
//! beside them, and the processor time that the daemon took is divided by the steps: it must be flat. So must be what it takes in memory once they
//! are there. While they are started it takes more: what is not flushed yet, twice, and what is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graft_client::{Client, Next, StartWorkflow};
use serde_json::json;

use super::starts::STEPS;
use super::{Found, Size, memory, pinned};
use crate::cluster::Cluster;
use crate::workers::{ChainConfig, WorkerProcess};

/// Sizes at which it is looked.
const AT: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Workflows of the load beside them that are in flight.
const LANES: usize = 64;
/// Starts of one call.
const PORTION: u64 = 50_000;
/// How much more a step may cost beside the most than beside the fewest, in hundredths.
const STEP_COST_MAX: u64 = 150;
/// Cache of the daemon's state, and most memory with that at rest, in bytes.
const CACHE: &str = "128MiB";
const AT_REST_MAX: u64 = 400 << 20;
/// Most memory while they are started, in bytes: the overlay, twice, the caches and the queues full, as under any other load.
const MEMORY_MAX: u64 = super::starts::MEMORY_MAX;
/// Longest time from start to ready, in milliseconds.
const READY_MS_MAX: u64 = 3_000;

/// Processor time that a process has taken, in milliseconds.
fn processor_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // The name may hold blanks; user and system time are the 12th and 13th field behind it, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum::<u64>() * 10
}

async fn open(client: &Client, from: u64, to: u64) {
    for first in (from..to).step_by(PORTION as usize) {
        let starts = (first..to.min(first + PORTION)).map(|number| {
            let start = StartWorkflow::<()>::new(format!("open-{number}")).node(Next::named("nobody", ()));
            start.state(&json!({ "customer": number, "items": ["a", "b"], "note": "waits until somebody comes" })).expect("a state")
        });
        for answer in client.start_many(starts).await.expect("the server takes them") {
            answer.expect("it is started");
        }
    }
}

/// Runs the load beside, and says how long it took and how many steps it had.
async fn beside(client: &Client, prefix: &str, workflows: u64) -> (Duration, u64) {
    let (number, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let lanes: Vec<_> = (0..LANES)
        .map(|_| {
            let (client, number, prefix) = (client.clone(), number.clone(), prefix.to_owned());
            tokio::spawn(async move {
                loop {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    if number >= workflows {
                        return;
                    }
                    let id = format!("{prefix}-{number}");
                    client.start(id.as_str()).node(Next::named("chain", ChainConfig { left: STEPS - 1 })).await.expect("it is started");
                    client.workflow(&id).wait().await.expect("it ends");
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.expect("no panic");
    }
    (began.elapsed(), workflows * u64::from(STEPS))
}

/// See the module.
pub async fn run(size: Size) -> Found {
    let mut found = Found::default();
    // The disk of this machine may be small; what is tested here is another thing.
    let mut cluster = Cluster::prepare(1, &format!("\n[storage]\ncache = {CACHE:?}\n"));
    cluster.members[0].start();
    cluster.members[0].ready().await;
    let url = cluster.members[0].url();
    let (mut rows, mut there) = (Vec::new(), 0);
    for open_now in AT.into_iter().filter(|at| *at <= size.open) {
        let client = Client::connect(url.as_str()).expect("an address");
        let began = Instant::now();
        open(&client, there, open_now).await;
        let per_second = (open_now - there) * 1_000 / (began.elapsed().as_millis() as u64).max(1);
        there = open_now;
        let after_starts = memory(cluster.members[0].process_id().expect("it runs")).0;

        cluster.members[0].kill();
        let began = Instant::now();
        pinned(|| cluster.members[0].start());
        cluster.members[0].ready().await;
        let ready_ms = began.elapsed().as_millis() as u64;
        let pid = cluster.members[0].process_id().expect("it runs");
        let at_rest = memory(pid).0;

        let worker = pinned(|| WorkerProcess::start(&url, "w1"));
        beside(&client, &format!("warm-{open_now}"), size.beside / 8).await;
        let before = processor_ms(pid);
        let (took, steps) = beside(&client, &format!("beside-{open_now}"), size.beside).await;
        let us_per_step = (processor_ms(pid) - before) * 1_000 / steps;
        drop(worker);
        let row = json!({
            "open": open_now, "starts_per_s": per_second, "memory_after_starts_bytes": after_starts, "ready_ms_after_kill": ready_ms,
            "memory_at_rest_bytes": at_rest, "memory_under_load_bytes": memory(pid).0, "processor_us_per_step": us_per_step,
            "steps_per_s": steps * 1_000 / took.as_millis() as u64, "data_bytes": cluster.members[0].data_bytes(),
        });
        eprintln!("    {row}");
        found.bound(ready_ms <= READY_MS_MAX, format!("with {open_now} open it was ready after {ready_ms} ms, at most {READY_MS_MAX}"));
        rows.push((row, us_per_step, at_rest, memory(pid).1.max(after_starts)));
    }
    let (fewest, most) = (rows.first().expect("a size").1.max(1), rows.last().expect("a size").1);
    found.figure("cost_of_a_step_percent", most * 100 / fewest);
    found.bound(
        most * 100 <= fewest * STEP_COST_MAX,
        format!("a step cost {most} us beside {there} open workflows, {fewest} us beside few"),
    );
    let at_rest = rows.iter().map(|row| row.2).max().unwrap_or(0);
    found.figure("memory_at_rest_max_bytes", at_rest);
    found.bound(at_rest <= AT_REST_MAX, format!("the daemon took {at_rest} bytes at rest, at most {AT_REST_MAX}"));
    let memory = rows.iter().map(|row| row.3).max().unwrap_or(0);
    found.figure("memory_max_bytes", memory);
    found.bound(memory <= MEMORY_MAX, format!("the daemon took {memory} bytes while they were started, at most {MEMORY_MAX}"));
    found.figure("sizes", rows.into_iter().map(|row| row.0).collect::<Vec<_>>());
    found
}
