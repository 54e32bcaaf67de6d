//! Whether this build can apply what stands in the log and read what stands in the state. Asked when they are opened, so that a member which
//! was put back to an older version says so, and changes nothing; what comes later from a newer leader stops it in `apply`.

use graft_machine::command::{ENTRY_FORMAT, LogEntry, MACHINE_VERSION};
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

/// What a newer version, or nobody that is known, has written; `None`: this build can go on from here.
///
/// # Errors
/// The log cannot be read.
pub fn unreadable(log: &LogStore, recovered: &LogRecovered, state: &StateStore) -> Result<Option<String>, StorageError> {
    let version = state.latest().get::<Meta>(&MetaKey {}).map_or(0, |meta| meta.machine_version);
    if version > MACHINE_VERSION {
        return Ok(Some(format!(
            "state.redb has machine version {version}, and this graftd goes up to {MACHINE_VERSION}: a newer version wrote it"
        )));
    }
    let Some(last) = &recovered.last else { return Ok(None) };
    for stored in log.read((last.index + 1).saturating_sub(LOOKED_AT), last.index + 1, LOOKED_AT_BYTES)?.into_iter().chain([last.clone()]) {
        let entry = match Entry::decode(stored.bytes) {
            Ok(entry) => entry,
            Err(error) => return Ok(Some(format!("log.redb, entry {}: {error}", stored.index))),
        };
        let EntryPayload::Normal(commands) = entry.payload else { continue };
        match LogEntry::decode(commands.0) {
            Ok(entry) if entry.format <= ENTRY_FORMAT && entry.machine_version <= MACHINE_VERSION => {}
            Ok(LogEntry { format, machine_version, .. }) => {
                return Ok(Some(format!(
                    "log.redb, entry {}, has format {format} and machine version {machine_version}, and this graftd goes up to {ENTRY_FORMAT} and {MACHINE_VERSION}: a newer version wrote it",
                    stored.index
                )));
            }
            Err(error) => return Ok(Some(format!("log.redb, entry {}: its commands cannot be read ({error})", stored.index))),
        }
    }
    Ok(None)
}
