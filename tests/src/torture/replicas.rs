//! In the end, the members themselves are compared: the same log has to have made the same bytes on each of them, and what it has made has to be a
//! state in which every invariant of the machine holds.
//!
//! Each member sends its whole state, as a backup. Those of one index must be the same, record by record.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use graft_client::Client;
use graft_machine::memory::Memory;
use graftd::storage::SnapshotParser;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use super::arena::Arena;

/// Longest wait for all members to have come to one index, with nobody asking for anything any more.
const QUIET_WITHIN: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How often all states are asked for before it is given up to get them of one index.
const TRIES: u32 = 6;
/// Largest state that is loaded as a whole and checked; a larger one is only compared.
const CHECKED_BYTES_MAX: u64 = 256 << 20;

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Replicas {
    /// Members whose states were of one index, and so could be compared.
    pub compared: u64,
    /// That index.
    pub index: u64,
    /// Records in the state.
    pub records: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Whether every invariant of the machine was checked on it.
    pub checked: bool,
    /// What is wrong.
    #[serde(skip)]
    pub wrong: Vec<String>,
}

struct Replica {
    member: String,
    file: PathBuf,
    index: u64,
    records: u64,
    hash: u64,
}

/// Compares them. Workers must be gone: a session that comes or goes is an entry of the log.
pub async fn compare(arena: &mut Arena, dir: &Path) -> Replicas {
    let mut found = Replicas::default();
    for _ in 0..TRIES {
        quiet(arena).await;
        // All at the same time: requests that are forgotten are entries, too, one every second, and a large state takes longer than that.
        let asked = (0..arena.size()).map(|at| {
            let (operator, name) = (arena.operator(at), arena.fighters[at].member.name.clone());
            let file = dir.join(format!("{name}.snapshot"));
            async move { replica(&operator, &name, file).await.map_err(|why| format!("the state of {name}: {why}")) }
        });
        let (asked, mut all) = (join_all(asked).await, Vec::new());
        for replica in asked {
            match replica {
                Ok(replica) => all.push(replica),
                Err(why) => found.wrong.push(why),
            }
        }
        let Some(first) = all.first() else { return found };
        if all.iter().any(|replica| replica.index != first.index) {
            continue;
        }
        (found.compared, found.index, found.records) = (all.len() as u64, first.index, first.records);
        found.bytes = fs::metadata(&first.file).map_or(0, |metadata| metadata.len());
        for other in &all[1..] {
            if (other.hash, other.records) != (first.hash, first.records) {
                found.wrong.push(format!("{} and {} have come to index {} and differ", first.member, other.member, first.index));
            }
        }
        if found.bytes <= CHECKED_BYTES_MAX {
            found.checked = true;
            found.wrong.extend(check(&first.file).err().into_iter().flatten());
        }
        if found.wrong.is_empty() {
            all.iter().for_each(|replica| drop(fs::remove_file(&replica.file)));
        }
        return found;
    }
    // What was not looked at is not clean.
    found.wrong.push(format!("the members' states were never of one index in {TRIES} tries: they were not compared"));
    found
}

/// Waits until all members say twice in a row that they have applied the same index.
async fn quiet(arena: &mut Arena) {
    let (begun, mut last) = (Instant::now(), None);
    while begun.elapsed() < QUIET_WITHIN {
        let mut seen = Vec::new();
        for at in 0..arena.size() {
            let status = arena.operator(at).cluster_status().await.ok();
            seen.push(status.and_then(|status| {
                status.members.into_iter().find(|member| member.raft_id == status.answered_by).map(|member| member.applied_index)
            }));
        }
        let one = seen.first().copied().flatten().filter(|first| seen.iter().all(|index| *index == Some(*first)));
        if one.is_some() && one == last {
            return;
        }
        last = one;
        arena.pass(LOOK_EVERY).await;
    }
}

async fn replica(client: &Client, member: &str, file: PathBuf) -> Result<Replica, String> {
    let mut out = BufWriter::new(File::create(&file).map_err(|error| error.to_string())?);
    let mut pieces = client.snapshot();
    while let Some(piece) = pieces.next().await {
        out.write_all(&piece.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    out.flush().map_err(|error| error.to_string())?;
    let mut parser = SnapshotParser::new(File::open(&file).map_err(|error| error.to_string())?)?;
    let (index, mut hash, mut records) = (parser.mark().index, Xxh3::new(), 0);
    while let Some((key, value)) = parser.next_record()? {
        for part in [key, value] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(&part);
        }
        records += 1;
    }
    Ok(Replica { member: member.to_owned(), file, index, records, hash: hash.digest() })
}

/// Loads a state and checks every invariant of the machine.
fn check(file: &Path) -> Result<(), Vec<String>> {
    let one = |why: String| vec![format!("the state in {}: {why}", file.display())];
    let mut parser = SnapshotParser::new(File::open(file).map_err(|error| one(error.to_string()))?).map_err(one)?;
    let mut bytes = Vec::new();
    while let Some((key, value)) = parser.next_record().map_err(one)? {
        // As `Memory` writes itself: the table, then key and value with their lengths.
        let Some((table, key)) = key.split_first() else { return Err(one("a record without a table".into())) };
        bytes.push(*table);
        for part in [key, value.as_slice()] {
            bytes.extend((part.len() as u32).to_be_bytes());
            bytes.extend(part);
        }
    }
    graft_machine::invariants::check(&Memory::decode(&bytes).map_err(one)?)
}
