//! How long a state takes to reach another member's disk: read as a snapshot, received, checked, made into a file, and put in the place of what was
//! there. `cargo bench -p graftd --bench snapshot`; `GRAFT_BENCH_MB` is the size of the records (default 1024), `TMPDIR` says on which disk. The network
//! between members is not part of it.

use std::time::Instant;

use bytes::Bytes;
use graft_machine::command::{Command, Envelope, StartWorkflow};
use graft_machine::task::NewTask;
use graft_machine::time::Stamp;
use graftd::storage::{AppliedMark, StateOptions, StateStore};

/// Bytes of the state of one workflow.
const STATE_BYTES: usize = 2 << 10;
/// Workflows that one entry starts.
const PER_ENTRY: u64 = 512;

fn open(directory: &std::path::Path) -> StateStore {
    let options = StateOptions { cache_bytes: 256 << 20, overlay_bytes: 128 << 20, flush_interval_ms: 1_000 };
    StateStore::open(&directory.join("state.redb"), options, None).expect("a store")
}

/// Starts workflows until their states have so many bytes.
fn fill(store: &StateStore, bytes: usize) -> u64 {
    let workflows = (bytes / STATE_BYTES) as u64;
    let mut index = 0;
    let mut number = 0_u64;
    while number < workflows {
        index += 1;
        store.wait_for_room();
        let mut tx = store.begin();
        for ordinal in 0..PER_ENTRY.min(workflows - number) {
            number += 1;
            // No two states are alike, and none is easy on the disk.
            let noise: String =
                (0..STATE_BYTES / 16).map(|part| format!("{:016x}", (number ^ part as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
            let start = StartWorkflow {
                namespace: "default".into(),
                id: format!("workflow-{number}"),
                state: Bytes::from(format!("{{\"noise\":{noise:?}}}")),
                nodes: vec![NewTask { node: "nobody".into(), ..NewTask::default() }],
                retention: 1_000,
                ..StartWorkflow::default()
            };
            let stamp = Stamp { time: 1_000 + index, index, ordinal: u32::try_from(ordinal).expect("few") * 16 };
            let applied = graft_machine::apply(&mut tx, stamp, &Envelope::internal("bench", Command::Start(start)));
            assert!(applied.reply.is_ok(), "{:?}", applied.reply);
        }
        tx.finish(AppliedMark { index, log_id: index.to_be_bytes().to_vec().into(), membership: Bytes::new() });
    }
    workflows
}

fn main() {
    let megabytes: usize = std::env::var("GRAFT_BENCH_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(1_024);
    let (leader, follower) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let from = open(leader.path());
    let began = Instant::now();
    let workflows = fill(&from, megabytes << 20);
    from.flush().expect("it is flushed");
    println!("{workflows} workflows, {megabytes} MB of states, written in {} ms", began.elapsed().as_millis());

    let to = open(follower.path());
    let began = Instant::now();
    let (mut reader, mut writer) = (from.snapshot(), to.receive_snapshot().expect("room for it"));
    let mut bytes = 0;
    while let Some(chunk) = reader.next_chunk().expect("it can be read") {
        bytes += chunk.len();
        writer.write_chunk(&chunk).expect("it can be written");
    }
    let received = began.elapsed();
    let checked = to.check(writer).expect("it is a snapshot");
    to.install(checked).expect("it takes the place");
    let installed = began.elapsed();
    println!(
        "a snapshot of {} MB: read and received in {} ms, installed after {} ms",
        bytes >> 20,
        received.as_millis(),
        installed.as_millis()
    );
}
