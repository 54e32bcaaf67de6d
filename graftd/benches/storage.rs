//! What quick repair costs the log per commit, and what it saves when the log is opened after `kill -9` (decision 0003).
//! `cargo bench -p graftd --bench storage --profile dev`; `GRAFT_BENCH_MB` is the size of the log that is killed (default 200).

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use bytes::Bytes;
use graftd::storage::{LogOptions, LogStore, StoredEntry};
use redb::backends::FileBackend;

const COMMITS: u64 = 500;

fn open(path: &Path, quick_repair: bool) -> LogStore {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
    let options = LogOptions { cache_bytes: 64 << 20, tail_bytes: 1 << 20 };
    LogStore::open_backend(FileBackend::new(file).unwrap(), options, quick_repair).unwrap().0
}

fn append(log: &LogStore, indexes: std::ops::Range<u64>, bytes: usize) {
    let (sender, receiver) = mpsc::channel();
    let entries = indexes.map(|index| StoredEntry { index, bytes: Bytes::from(vec![7; bytes]) }).collect();
    log.append(entries, Box::new(move |outcome| sender.send(outcome).unwrap()));
    receiver.recv().unwrap().unwrap();
}

/// The child: fills the log, says so, and goes on writing until it is killed.
fn fill(path: &Path, quick_repair: bool, megabytes: u64) {
    let log = open(path, quick_repair);
    for index in 0.. {
        append(&log, index * 1024..(index + 1) * 1024, 1024);
        if index == megabytes {
            println!("full");
        }
    }
}

fn main() {
    let megabytes = std::env::var("GRAFT_BENCH_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, path, quick_repair] = arguments.as_slice()
        && command == "fill"
    {
        return fill(Path::new(path), quick_repair == "true", megabytes);
    }
    let directory = tempfile::tempdir().unwrap();
    for quick_repair in [false, true, false, true] {
        let path = directory.path().join("log.redb");
        let log = open(&path, quick_repair);
        let mut micros: Vec<u128> = (0..COMMITS)
            .map(|index| {
                let begin = Instant::now();
                append(&log, index..index + 1, 250);
                begin.elapsed().as_micros()
            })
            .collect();
        micros.sort_unstable();
        drop(log);
        std::fs::remove_file(&path).unwrap();

        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg("fill").arg(&path).arg(quick_repair.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let begin = Instant::now();
        drop(open(&path, quick_repair));
        println!(
            "quick repair {quick_repair}: commit of one entry p50 {} us, p99 {} us; reopening {megabytes} MB after a kill {} ms",
            micros[micros.len() / 2],
            micros[micros.len() * 99 / 100],
            begin.elapsed().as_millis()
        );
        std::fs::remove_file(&path).unwrap();
    }
}
