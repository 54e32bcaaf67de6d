//! Whether this build can apply what stands in the log and read what stands in the state. Asked when they are opened, so that a member which
//! was put back to an older version says so, and changes nothing; what comes later from a newer leader is not applied, and stops it as well.

use std::sync::atomic::{AtomicU32, Ordering};

use graft_machine::command::{ENTRY_FORMAT, FIRST_MACHINE_VERSION, LogEntry, MACHINE_VERSION};
use graft_machine::state::StateRead;
use graft_machine::tables::{Meta, MetaKey};
use openraft::EntryPayload;
use prost::Message;

use super::codec::Wire;
use super::types::Entry;
use crate::storage::{LogRecovered, LogStore, StateStore, StorageError};

/// The newest entries tell: a version that was raised stays so.
const LOOKED_AT: u64 = 64;
/// Of them, so many bytes are looked at.
const LOOKED_AT_BYTES: usize = 16 << 20;

/// Why a running member cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// Something is broken.
    Broken(String),
    /// The others went on in a way that this build cannot follow.
    TooNew(String),
}

/// The machine version in force here: what the entries of this member, if it leads, are written under.
#[derive(Debug, Default)]
pub(crate) struct InForce(AtomicU32);

impl InForce {
    pub(crate) fn new(version: u32) -> Self {
        Self(AtomicU32::new(version))
    }

    pub(crate) fn is(&self, version: u32) {
        self.0.store(version, Ordering::SeqCst);
    }

    pub(crate) fn in_force(&self) -> u32 {
        self.0.load(Ordering::SeqCst).max(FIRST_MACHINE_VERSION)
    }
}

/// Why an entry cannot be applied here, as a fragment that reads after it; `None`: it can.
pub(crate) fn of_a_newer(LogEntry { format, machine_version, .. }: &LogEntry) -> Option<String> {
    (*format > ENTRY_FORMAT || *machine_version > MACHINE_VERSION).then(|| {
        format!(
            "has format {format} and machine version {machine_version}, and this graftd goes up to {ENTRY_FORMAT} and {MACHINE_VERSION}: a newer \
             version wrote it"
        )
    })
}

/// The same, of a state.
pub(crate) fn too_high(version: u32) -> Option<String> {
    (version > MACHINE_VERSION)
        .then(|| format!("has machine version {version}, and this graftd goes up to {MACHINE_VERSION}: a newer version wrote it"))
}

/// What a newer version, or nobody that is known, has written; `None`: this build can go on from here.
///
/// # Errors
/// The log cannot be read.
pub fn unreadable(log: &LogStore, recovered: &LogRecovered, state: &StateStore) -> Result<Option<String>, StorageError> {
    let version = state.latest().get::<Meta>(&MetaKey {}).map_or(0, |meta| meta.machine_version);
    if let Some(why) = too_high(version) {
        return Ok(Some(format!("state.redb {why}")));
    }
    let Some(last) = &recovered.last else { return Ok(None) };
    for stored in log.read((last.index + 1).saturating_sub(LOOKED_AT), last.index + 1, LOOKED_AT_BYTES)?.into_iter().chain([last.clone()]) {
        let entry = match Entry::decode(stored.bytes) {
            Ok(entry) => entry,
            Err(error) => return Ok(Some(format!("log.redb, entry {}: {error}", stored.index))),
        };
        let EntryPayload::Normal(commands) = entry.payload else { continue };
        match LogEntry::decode(commands.0) {
            Ok(entry) => {
                if let Some(why) = of_a_newer(&entry) {
                    return Ok(Some(format!("log.redb, entry {}, {why}", stored.index)));
                }
            }
            Err(error) => return Ok(Some(format!("log.redb, entry {}: its commands cannot be read ({error})", stored.index))),
        }
    }
    Ok(None)
}
