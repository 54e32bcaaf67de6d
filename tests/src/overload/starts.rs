//! Ten times the starts that can be worked off: completions go on as before, the rest is refused fast, and memory has a bound.
//!
//! What can be worked off (the peak) is measured first, by clients that each start a workflow and wait for its end. Then starts are offered at ten
//! times that rate for as long, by a process of its own on the other core, which neither waits nor repeats. Goodput is what was completed in
//! that time.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graft_client::{Client, Next};
use serde_json::Value;

use super::flood::Flooded;
use super::{Found, Size, beside, memory, pinned, yielding};
use crate::cluster::Cluster;
use crate::command;
use crate::http;
use crate::wait;
use crate::workers::{ChainConfig, WorkerProcess};

/// Steps of a workflow: so many that ten times what is worked off can be offered by one core.
pub const STEPS: u32 = 10;
/// Workflows that are in flight while the peak is measured.
const LANES: usize = 256;
/// How many times the peak is offered.
const TIMES: u64 = 10;
/// Least goodput under overload, in hundredths of the peak.
const GOODPUT_MIN: u64 = 80;
/// Most memory of the member, in bytes: what it may use with a queue full of starts, and the overlay and caches full.
pub(super) const MEMORY_MAX: u64 = 1 << 30;
/// Longest time of a refusal at the 99th percentile, in milliseconds.
const REFUSAL_MS_MAX: u64 = 50;
/// Longest time until starts are taken again, once the load is over.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);

/// Workflows that have completed so far.
pub(super) fn completed(address: &str) -> u64 {
    let (_, text) = http::get(address, "/api/v1/namespaces/default/workflow-counts").expect("it answers");
    let counts: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    counts["counts"]["completed"].as_u64().expect("a count")
}

/// What `LANES` clients complete in this time, a second.
async fn peak(client: &Client, address: &str, time: Duration) -> u64 {
    let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let lanes: Vec<_> = (0..LANES)
        .map(|_| {
            let (client, stop, number) = (client.clone(), stop.clone(), number.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("peak-{}", number.fetch_add(1, Ordering::Relaxed));
                    client.start(id.as_str()).node(Next::named("chain", ChainConfig { left: STEPS - 1 })).await.expect("it is started");
                    client.workflow(&id).wait().await.expect("it ends");
                }
            })
        })
        .collect();
    tokio::time::sleep(time / 6).await;
    let (before, began) = (completed(address), Instant::now());
    tokio::time::sleep(time).await;
    let done = completed(address) - before;
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    for lane in lanes {
        lane.await.expect("no panic");
    }
    done * 1_000 / took.as_millis() as u64
}

/// See the module.
pub async fn run(size: Size) -> Found {
    let mut found = Found::default();
    let mut cluster = Cluster::prepare(1, "");
    pinned(|| yielding(|| cluster.members[0].start()));
    cluster.members[0].ready().await;
    let (url, address) = (cluster.members[0].url(), cluster.members[0].client_address.clone());
    let _workers: Vec<WorkerProcess> = pinned(|| (1..=2).map(|i| WorkerProcess::start(&url, &format!("w{i}"))).collect());
    let client = Client::connect(url.as_str()).expect("an address");

    let peak = peak(&client, &address, size.phase / 2).await;
    found.figure("peak_workflows_per_s", peak);
    let pid = cluster.members[0].process_id().expect("it runs");
    found.figure("memory_at_peak_bytes", memory(pid).0);

    let rate = (peak * TIMES).max(1);
    let seconds = size.phase.as_secs();
    let mut flood = command("overload");
    flood.args(["flood", &url, &rate.to_string(), &seconds.to_string()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let flood = beside(|| flood.spawn()).expect("it starts");
    let ended = tokio::task::spawn_blocking(move || flood.wait_with_output());
    // Until the flood is there.
    tokio::time::sleep(size.phase / 10).await;
    let (before, began) = (completed(&address), Instant::now());
    tokio::time::sleep(size.phase * 8 / 10).await;
    let goodput = (completed(&address) - before) * 1_000 / began.elapsed().as_millis() as u64;
    let output = ended.await.expect("no panic").expect("our own child can be waited for");
    let flooded: Flooded = serde_json::from_slice(&output.stdout).expect("it says what became of the starts");
    let over = Instant::now();

    found.figure("offered_starts_per_s", flooded.offered / seconds.max(1));
    found.figure("offered_times_peak", flooded.offered as f64 / (seconds.max(1) * peak.max(1)) as f64);
    found.figure("goodput_workflows_per_s", goodput);
    found.figure("goodput_percent_of_peak", goodput * 100 / peak.max(1));
    found.figure("accepted", flooded.accepted);
    found.figure("refused", flooded.refused);
    found.figure("refusal_p99_ms", flooded.refusal_p99_us as f64 / 1_000.0);
    found.figure("accepted_p99_ms", flooded.accepted_p99_us as f64 / 1_000.0);
    found.figure("held_back", flooded.held_back);
    found.figure("failed_otherwise", serde_json::to_value(&flooded.failed).expect("counts are JSON"));
    found.figure("memory_max_bytes", memory(pid).1);
    found.bound(goodput * 100 >= peak * GOODPUT_MIN, format!("goodput {goodput}/s is below {GOODPUT_MIN} % of the peak, {peak}/s"));
    found.bound(memory(pid).1 <= MEMORY_MAX, format!("the member took {} bytes, at most {MEMORY_MAX} are allowed", memory(pid).1));
    found.must(flooded.failed.is_empty(), format!("starts were neither accepted nor refused: {:?}", flooded.failed));
    found.bound(
        flooded.refusal_p99_us <= REFUSAL_MS_MAX * 1_000,
        format!("a refusal took {} ms at the 99th percentile, at most {REFUSAL_MS_MAX}", flooded.refusal_p99_us / 1_000),
    );

    // A start is taken again, and what was accepted is completed.
    client.start("after").node(Next::named("chain", ChainConfig { left: STEPS - 1 })).await.expect("it is started");
    found.figure("start_after_ms", over.elapsed().as_millis() as u64);
    found.bound(over.elapsed() <= RECOVERED_WITHIN, "no start was taken for 10 s after the load was over");
    let open = flooded.accepted.saturating_sub(completed(&address));
    found.figure("open_when_it_was_over", open);
    let left = Duration::from_secs(60 + open / (peak / 4).max(1));
    wait::until("everything that was accepted to complete", left, || async {
        match client.list(graft_client::ListFilter::new().status(graft_proto::v1::WorkflowStatus::Running).limit(1)).await {
            Ok(page) if page.workflows.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    found.figure("worked_off_after_s", over.elapsed().as_secs());
    found
}
