//! What lies on disks and travels between members: entries, records, keys, snapshots, votes, the small files.

use bytes::Bytes;
use graft_machine::command::{Command, ENTRY_FORMAT, Envelope, LogEntry, MACHINE_VERSION, StartWorkflow};
use graft_machine::memory::Memory;
use graft_machine::reply::StoredAnswer;
use graft_machine::tables::{self, Record, Table, TableId, TableKey};
use graft_machine::task::NewTask;
use graftd::consensus::codec::{SnapshotHead, Wire};
use graftd::consensus::types::{Entry, LogId, Membership, StoredMembership, Types, Vote};
use graftd::discovery::records::{Identity, Marker, Proposal};
use graftd::storage::{AppliedMark, SnapshotParser, decode_indexed, decode_mark, encode_indexed, encode_mark};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fuzz::{Outcome, Target, Verdict, same, taken};

/// Reads a message, writes it, and reads that: what is written must stay as it is. (What is read may be longer: a field that nobody knows is
/// left out, and one that was said twice counts once.)
pub(super) fn message<M: Message + Default + PartialEq>(bytes: &[u8]) -> Outcome {
    let Ok(first) = M::decode(bytes) else { return Ok(Verdict::Refused) };
    let written = first.encode_to_vec();
    let second = M::decode(written.as_slice()).map_err(|error| format!("what was written cannot be read: {error}"))?;
    // As a value, for maps have no order; or as bytes, for a float that is no number equals nothing.
    if first != second {
        same("a message", &written, &second.encode_to_vec())?;
    }
    Ok(Verdict::Taken)
}

/// A state in which something has happened.
fn busy() -> Memory {
    let mut state = Memory::new();
    let nodes =
        vec![NewTask { node: "charge".into(), ..Default::default() }, NewTask { node: "ship".into(), delay: 5, ..Default::default() }];
    for n in 0..3 {
        let start = StartWorkflow {
            namespace: "default".into(),
            id: format!("order-{n}"),
            nodes: nodes.clone(),
            state: Bytes::from_static(br#"{"a":[1,2]}"#),
            labels: [("till".to_owned(), n.to_string())].into(),
            ..Default::default()
        };
        graft_machine::apply_entry(&mut state, n + 1, &entry(Command::Start(start)));
    }
    state
}

fn entry(command: Command) -> LogEntry {
    let commands = vec![Envelope { request_id: "r-1".into(), ..Envelope::internal("test", command) }];
    LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time: 1_000, commands }
}

pub(super) fn log_entries() -> Target {
    let start = StartWorkflow { namespace: "default".into(), id: "w".into(), nodes: vec![NewTask::default()], ..Default::default() };
    let seeds = vec![entry(Command::Start(start)).encode_to_vec()];
    Target { name: "log-entries", words: &[], longest: 4_096, seeds, run: Box::new(message::<LogEntry>) }
}

/// Each record of a state, behind the number of its table.
fn stored_records() -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let bytes = busy().encode();
    let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
    let part = |rest: &mut &[u8]| {
        let (length, tail) = rest.split_at(4);
        let (part, tail) = tail.split_at(u32::from_be_bytes(length.try_into().expect("four bytes")) as usize);
        *rest = tail;
        part.to_vec()
    };
    while let Some((table, tail)) = rest.split_first() {
        rest = tail;
        let key = part(&mut rest);
        found.push((*table, key, part(&mut rest)));
    }
    found
}

pub(super) fn records() -> Target {
    let seeds = stored_records().into_iter().map(|(table, _, value)| [&[table], value.as_slice()].concat()).collect();
    let run = |bytes: &[u8]| {
        let Some((number, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        let table = TableId::ALL[usize::from(*number) % TableId::ALL.len()];
        let Ok(record) = Record::decode(table, rest) else { return Ok(Verdict::Refused) };
        let written = record.encode();
        same("the length of a record", &record.encoded_len(), &written.len())?;
        let again = Record::decode(table, &written).map_err(|error| format!("what was written cannot be read: {error}"))?;
        same("a record", &written, &again.encode())?;
        Ok(Verdict::Taken)
    };
    Target { name: "records", words: &[], longest: 2_048, seeds, run: Box::new(run) }
}

fn key<T: Table>(bytes: &[u8]) -> Outcome {
    let Some(key) = T::Key::from_bytes(bytes) else { return Ok(Verdict::Refused) };
    // A key has one encoding: two would be two records.
    same("a key", &bytes.to_vec(), &key.to_bytes())?;
    Ok(Verdict::Taken)
}

pub(super) fn keys() -> Target {
    const KEYS: [fn(&[u8]) -> Outcome; 24] = [
        key::<tables::Names>,
        key::<tables::Workflows>,
        key::<tables::Tasks>,
        key::<tables::Scopes>,
        key::<tables::ReadyTasks>,
        key::<tables::BlockedTasks>,
        key::<tables::Timers>,
        key::<tables::IdempotencyKeys>,
        key::<tables::Events>,
        key::<tables::RunEvents>,
        key::<tables::TaskEvents>,
        key::<tables::StatusList>,
        key::<tables::LabelList>,
        key::<tables::TimeList>,
        key::<tables::Requests>,
        key::<tables::RequestExpiry>,
        key::<tables::Sessions>,
        key::<tables::Limits>,
        key::<tables::Counters>,
        key::<tables::Meta>,
        key::<tables::TaskList>,
        key::<tables::DeadLetters>,
        key::<tables::StatusCounts>,
        key::<tables::AttemptEvents>,
    ];
    let at = |table: u8| TableId::ALL.iter().position(|known| *known as u8 == table).expect("a table of the machine") as u8;
    let seeds = stored_records().into_iter().map(|(table, key, _)| [&[at(table)], key.as_slice()].concat()).collect();
    let run = |bytes: &[u8]| {
        let Some((number, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        KEYS[usize::from(*number) % KEYS.len()](rest)
    };
    Target { name: "keys", words: &["\0\0", "\0\u{1}", "default"], longest: 512, seeds, run: Box::new(run) }
}

pub(super) fn states() -> Target {
    let run = |bytes: &[u8]| {
        let Ok(state) = Memory::decode(bytes) else { return Ok(Verdict::Refused) };
        let written = state.encode();
        let again = Memory::decode(&written).map_err(|error| format!("what was written cannot be read: {error}"))?;
        same("a state", &written, &again.encode())?;
        Ok(Verdict::Taken)
    };
    Target { name: "states", words: &[], longest: 8_192, seeds: vec![busy().encode()], run: Box::new(run) }
}

pub(super) fn answers() -> Target {
    let run = |bytes: &[u8]| {
        if let Some(answer) = StoredAnswer::decode(bytes).ok().and_then(StoredAnswer::into_answer) {
            let written = StoredAnswer::from(answer.clone()).encode_to_vec();
            let again = StoredAnswer::decode(written.as_slice()).ok().and_then(StoredAnswer::into_answer);
            same("an answer", &Some(answer), &again)?;
        }
        message::<StoredAnswer>(bytes)
    };
    let seeds = stored_records().into_iter().map(|(_, _, value)| value).collect();
    Target { name: "answers", words: &[], longest: 1_024, seeds, run: Box::new(run) }
}

/// Reads a value of openraft's, writes it, and reads that.
fn wire<W: Wire>(bytes: &[u8]) -> Outcome {
    let Ok(first) = W::decode(Bytes::copy_from_slice(bytes)) else { return Ok(Verdict::Refused) };
    let written = first.encode();
    let second = W::decode(written.clone()).map_err(|error| format!("{} that was written cannot be read: {error}", W::NAME))?;
    same(W::NAME, &written, &second.encode())?;
    Ok(Verdict::Taken)
}

pub(super) fn consensus() -> Target {
    const KINDS: [fn(&[u8]) -> Outcome; 13] = [
        wire::<LogId>,
        wire::<Vote>,
        wire::<Membership>,
        wire::<StoredMembership>,
        wire::<Entry>,
        wire::<AppendEntriesRequest<Types>>,
        wire::<StreamAppendResult<Types>>,
        wire::<VoteRequest<Types>>,
        wire::<VoteResponse<Types>>,
        wire::<TransferLeaderRequest<Types>>,
        wire::<TransferLeaderResponse<Types>>,
        wire::<SnapshotHead>,
        wire::<SnapshotResponse<Types>>,
    ];
    let log_id = LogId::new_term_index(3, 7);
    let nodes: std::collections::BTreeMap<u64, graftd::consensus::MemberInfo> = (1..=3).map(|id| (id, Default::default())).collect();
    let membership = Membership::new(vec![[1, 2].into(), [1, 2, 3].into()], nodes).expect("valid");
    let entries = vec![
        Entry { log_id, payload: openraft::EntryPayload::Membership(membership.clone()) },
        Entry { log_id, payload: openraft::EntryPayload::Blank },
    ];
    let (vote, stored) = (Vote::new_committed(4, 2), StoredMembership::new(Some(log_id), membership.clone()));
    let append = AppendEntriesRequest::<Types> { vote, prev_log_id: Some(log_id), leader_commit: None, entries: entries.clone() };
    let meta = graftd::consensus::types::SnapshotMeta { last_log_id: Some(log_id), last_membership: stored.clone() };
    let written = [
        log_id.encode(),
        vote.encode(),
        membership.encode(),
        stored.encode(),
        entries[0].encode(),
        append.encode(),
        StreamAppendResult::<Types>::Ok(Some(log_id)).encode(),
        VoteRequest::<Types>::new(vote, Some(log_id)).encode(),
        VoteResponse::<Types>::new(vote, None, true).encode(),
        TransferLeaderRequest::<Types>::new(vote, 2, Some(log_id)).encode(),
        TransferLeaderResponse::<Types>::Ok(()).encode(),
        SnapshotHead { vote, meta }.encode(),
        SnapshotResponse::<Types>::new(vote).encode(),
    ];
    let seeds = written.iter().enumerate().map(|(kind, bytes)| [&[kind as u8], &bytes[..]].concat()).collect();
    let run = |bytes: &[u8]| {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        KINDS[usize::from(*kind) % KINDS.len()](rest)
    };
    Target { name: "consensus", words: &[], longest: 2_048, seeds, run: Box::new(run) }
}

/// A snapshot that is good, written as `storage` describes it.
fn snapshot() -> Vec<u8> {
    let mut out = b"GRAFTSNP".to_vec();
    out.extend(1_u32.to_be_bytes());
    let part = |out: &mut Vec<u8>, bytes: &[u8]| {
        out.extend((bytes.len() as u32).to_be_bytes());
        out.extend(bytes);
    };
    part(&mut out, &encode_mark(&AppliedMark { index: 9, log_id: Bytes::from_static(b"id"), membership: Bytes::new() }));
    let mut records = stored_records();
    records.sort();
    for (table, key, value) in &records {
        part(&mut out, &[&[*table], key.as_slice()].concat());
        part(&mut out, value);
    }
    out.extend(0_u32.to_be_bytes());
    out.extend((records.len() as u64).to_be_bytes());
    out
}

/// The checksum is put right behind every case, or nothing behind the first records would ever be reached.
fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    [bytes, &xxhash_rust::xxh3::xxh3_64(bytes).to_be_bytes()].concat()
}

pub(super) fn snapshots() -> Target {
    let run = |bytes: &[u8]| {
        // The last bit says whether the checksum is right.
        let whole = if bytes.len().is_multiple_of(8) { bytes.to_vec() } else { with_checksum(bytes) };
        let mut parser = match SnapshotParser::new(whole.as_slice()) {
            Ok(parser) => parser,
            Err(why) => return if why.is_empty() { Err("no reason".into()) } else { Ok(Verdict::Refused) },
        };
        let mut last = Vec::new();
        loop {
            match parser.next_record() {
                Ok(Some((key, _))) if key <= last => return Err("records out of order were taken".into()),
                Ok(Some((key, _))) => last = key,
                Ok(None) => return Ok(Verdict::Taken),
                Err(_) => return Ok(Verdict::Refused),
            }
        }
    };
    let small = snapshot()[..60].to_vec();
    Target { name: "snapshots", words: &["GRAFTSNP"], longest: 8_192, seeds: vec![snapshot(), small], run: Box::new(run) }
}

pub(super) fn marks() -> Target {
    let run = |bytes: &[u8]| {
        if let Some((index, rest)) = decode_indexed(bytes) {
            same("an id", &bytes.to_vec(), &encode_indexed(index, &rest))?;
        }
        let Some(mark) = decode_mark(bytes) else { return Ok(Verdict::Refused) };
        same("a mark", &bytes.to_vec(), &encode_mark(&mark))?;
        Ok(Verdict::Taken)
    };
    let mark = AppliedMark { index: 7, log_id: Bytes::from_static(b"log"), membership: Bytes::from_static(b"members") };
    Target { name: "marks", words: &[], longest: 256, seeds: vec![encode_mark(&mark)], run: Box::new(run) }
}

fn small_file<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Outcome {
    let Ok(first) = serde_json::from_slice::<T>(bytes) else { return Ok(Verdict::Refused) };
    let written = serde_json::to_vec_pretty(&first).map_err(|error| error.to_string())?;
    let second: T = serde_json::from_slice(&written).map_err(|error| format!("what was written cannot be read: {error}"))?;
    same("a small file", &first, &second)?;
    Ok(Verdict::Taken)
}

pub(super) fn small_files() -> Target {
    let candidate =
        graftd::discovery::records::Candidate { name: "m1".into(), raft_id: 7, peer_address: "h:1".into(), client_address: "h:2".into() };
    let proposal = Proposal { format: 1, cluster_id: "c".into(), cluster_name: "graft".into(), members: vec![candidate] };
    let marker = r#"{"format": 1, "cluster_id": "c", "cluster_name": "graft", "epoch": 1, "member": "m1", "raft_id": 7}"#;
    let seeds = vec![
        serde_json::to_vec_pretty(&Identity::mint("m1")).expect("JSON"),
        marker.as_bytes().to_vec(),
        serde_json::to_vec_pretty(&proposal).expect("JSON"),
    ];
    let run = |bytes: &[u8]| {
        if let Ok(proposal) = serde_json::from_slice::<Proposal>(bytes) {
            let _ = (proposal.hash(), proposal.proposed(), proposal.raft_ids());
        }
        let read = [small_file::<Identity>(bytes)?, small_file::<Marker>(bytes)?, small_file::<Proposal>(bytes)?];
        taken(if read.contains(&Verdict::Taken) { Ok(()) } else { Err(()) })
    };
    let words = &["format", "raft_id", "member", "cluster_id", "members", "18446744073709551616", "1e3", ":"];
    Target { name: "small-files", words, longest: 1_024, seeds, run: Box::new(run) }
}
