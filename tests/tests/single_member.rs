//! One real member: starts, restarts, and what it costs. Each test shows its figures.

use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt, stream};
use graft_client::{Client, Next, status_name};
use graft_tests::cluster::Cluster;
use graft_tests::load::Load;
use graft_tests::workers::WorkerProcess;
use graft_tests::{alone, figure, wait};
use serde_json::{Value, json};

/// Longest start after `kill -9`, with a gigabyte of data: a promise.
const READY_AFTER_KILL: Duration = Duration::from_secs(5);
/// Longest silence of a member that starts, in seconds: whoever waits for it should see that it is at work.
const SILENCE_MAX: f64 = 2.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_ready_soon_after_its_start_and_its_restart() {
    let _alone = alone().await;
    let begun = Instant::now();
    let mut cluster = Cluster::start(1, "").await;
    let fresh = begun.elapsed();
    let member = &mut cluster.members[0];
    assert!(member.terminate().await.success(), "SIGTERM ends with exit code 0");
    member.start();
    let again = member.ready().await;
    figure(format_args!("start to ready: {} ms with a new data directory, {} ms at a restart", fresh.as_millis(), again.as_millis()));
    assert!(again < READY_AFTER_KILL, "a restart with nothing to read took {again:?}");
}

/// Starts workflows with a state of `bytes` each, `count` of them; nobody works on them.
async fn fill(client: &Client, count: u64, bytes: usize) {
    let text = "x".repeat(bytes);
    stream::iter(0..count)
        .for_each_concurrent(32, |number| {
            let start = client
                .start(format!("filler-{number}"))
                .state(&json!({ "text": &text }))
                .expect("text is JSON")
                .node(Next::named("nobody-works-on-this", json!(null)));
            async move {
                start.await.expect("a start of a healthy member is acknowledged");
            }
        })
        .await;
}

/// The longest time between two lines of a log of JSON, the first counted from `started` and the last one that of readiness; in seconds.
fn longest_silence(started: SystemTime, said: &str) -> f64 {
    const DAY: f64 = 86_400.0;
    let mut last = started.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64() % DAY;
    let mut longest = 0.0_f64;
    for line in said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        // 2026-01-31T23:59:59.999999Z
        let of_day = line["ts"].as_str().and_then(|ts| ts.get(11..26)).unwrap_or_else(|| panic!("no time: {line}"));
        let at = of_day.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"));
        longest = longest.max((at - last).rem_euclid(DAY));
        last = at;
        if line["msg"].as_str().is_some_and(|msg| msg.starts_with("ready after")) {
            break;
        }
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_data_is_served_within_five_seconds_of_kill_9() {
    const WORKFLOWS: u64 = 10_500;
    let _alone = alone().await;
    // Flushed when the overlay is full only, so that as much as can be has to be replayed.
    let mut cluster = Cluster::start(1, "\n[storage]\nflush_interval = \"1h\"\n").await;
    // The state stands in the workflow and in the event of its start: 2 x 50 kB each.
    fill(&cluster.client(), WORKFLOWS, 50_000).await;
    let member = &mut cluster.members[0];
    member.kill();
    let (bytes, said_before) = (member.data_bytes(), member.log().len());
    let started = SystemTime::now();
    member.start();
    let took = member.ready().await;
    figure(format_args!("kill -9 to ready with {} MB of data files: {} ms", bytes / 1_000_000, took.as_millis()));
    assert!(bytes >= 1_000_000_000, "a gigabyte was wanted, {bytes} bytes are there");
    // It answers that it is ready a moment before it says so.
    let log = wait::until("the last word of the start", READY_AFTER_KILL, || async {
        let log = member.log();
        if log[said_before..].contains("ready after ") { Ok(log) } else { Err("nothing") }
    })
    .await;
    let said = &log[said_before..];
    assert!(took <= READY_AFTER_KILL, "it took {took:?}, having said:\n{said}");

    let at = |words: &str| said.find(words).unwrap_or_else(|| panic!("it never said {words:?}:\n{said}"));
    assert!(at("replaying log ") < at("replayed log ") && at("replayed log ") < at("ready after "), "{said}");
    let silence = longest_silence(started, said);
    figure(format_args!("longest silence meanwhile: {:.1} s", silence));
    assert!(silence <= SILENCE_MAX, "it was silent for {silence} s:\n{said}");

    let client = cluster.client();
    for number in [0, 1, WORKFLOWS / 2, WORKFLOWS - 1] {
        let found = client.workflow(format!("filler-{number}")).get().await.expect("an acknowledged start survives");
        assert_eq!(status_name(found.status()), "running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_any_moment_loses_nothing_that_was_acknowledged() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(1, "").await;
    let urls = cluster.urls();
    let _worker = WorkerProcess::start(&urls, "w1");
    let load = std::sync::Arc::new(Load::new(cluster.clients(), "crash", 2_000, 3, 10));
    let starting = tokio::spawn({
        let load = load.clone();
        async move { load.start_all().await }
    });
    for round in 1..=4 {
        wait::until("more acknowledged starts", Duration::from_secs(120), || async {
            let seen = load.acknowledged();
            if seen >= 400 * round { Ok(()) } else { Err(seen) }
        })
        .await;
        let member = &mut cluster.members[0];
        member.kill();
        member.start();
        figure(format_args!("restart {round} under load: ready after {} ms", member.ready().await.as_millis()));
    }
    starting.await.expect("all starts are acknowledged in the end");
    load.check_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_overlay_makes_writers_wait_and_memory_stays_bounded() {
    const WORKFLOWS: u64 = 2_000;
    const STATE_BYTES: usize = 100_000;
    const OVERLAY_BYTES: f64 = 1e6 * 1.048_576;
    /// Half of what goes through it, with room for the process itself, the caches and the requests that are under way.
    const PEAK_BYTES_MAX: f64 = 200e6;
    let _alone = alone().await;
    let small = "\n[storage]\noverlay = \"1MiB\"\nflush_interval = \"1h\"\ncache = \"8MiB\"\nlog_cache = \"8MiB\"\nlog_tail = \"8MiB\"\n";
    let cluster = Cluster::start(1, small).await;
    let member = &cluster.members[0];
    let (before, term) = (member.metric("process_peak_memory_bytes"), member.metric("graft_raft_term"));
    fill(&cluster.client(), WORKFLOWS, STATE_BYTES).await;
    let (stalls, overlay, peak) = (
        member.metric("graft_storage_overlay_stalls_total"),
        member.metric("graft_storage_overlay_bytes"),
        member.metric("process_peak_memory_bytes"),
    );
    // The state stands in the workflow and in the event of its start.
    figure(format_args!(
        "{} MB through an overlay of 1 MiB: {stalls} stalls, {overlay} bytes left in it, peak memory {} MB ({} MB before)",
        2 * WORKFLOWS * STATE_BYTES as u64 / 1_000_000,
        peak as u64 / 1_000_000,
        before as u64 / 1_000_000,
    ));
    assert!(stalls > 0.0, "it was never full");
    // Full is twice its size; the entry that makes it so is let in.
    assert!(overlay <= 2.0 * OVERLAY_BYTES + 2e6, "the overlay holds {overlay} bytes");
    assert!(peak <= PEAK_BYTES_MAX, "peak memory {peak}");
    assert_eq!(member.metric("graft_raft_term"), term, "the leader still leads: heartbeats do not wait for the flush");
}
