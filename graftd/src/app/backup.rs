//! What is done with a snapshot file, offline: look into it, and make a member of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use graft_machine::tables::{MetaRecord, Record, TableId};
use graft_proto::peer_identity::is_name;

use super::options;
use crate::config::Config;
use crate::consensus::{MemberInfo, begin_anew};
use crate::discovery::data_dir::{DataDir, DataDirError};
use crate::discovery::records::{FORMAT, Marker};
use crate::storage::{LogStore, SNAPSHOT_CHUNK_BYTES, SnapshotParser, StateStore};

/// What is in a snapshot file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspected {
    /// Its size.
    pub bytes: u64,
    /// The last log entry that is in it.
    pub index: u64,
    /// Who the cluster was, and what time it was there.
    pub meta: MetaRecord,
    /// Records by table.
    pub records: BTreeMap<String, u64>,
}

/// Why a snapshot file is of no use, or cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It cannot be read, or is damaged.
    #[error("snapshot {path}: {why}")]
    Snapshot {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name that nobody can have.
    #[error("`{name}` is no name for a {what}: letters, digits, `.`, `_` and `-`, at most 63")]
    Name {
        /// Of what.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The directory is in use, or not empty.
    #[error("{0}")]
    DataDir(#[from] DataDirError),
    /// There is something in it.
    #[error("data directory {path}: it holds the data of a member already\n  → name a directory that is empty or does not exist yet")]
    NotEmpty {
        /// The directory.
        path: String,
    },
    /// It could not be written.
    #[error("data directory {path}: failed to write the restored state: {why}\n  → remove it, and try again with enough room")]
    Write {
        /// The directory.
        path: String,
        /// What the system said.
        why: String,
    },
}

/// Reads a snapshot file from its beginning to its end, with all its checks.
///
/// # Errors
/// If it cannot be read, is none, is damaged, or is of another format.
pub fn inspect(path: &Path) -> Result<Inspected, BackupError> {
    let wrong = |why: String| BackupError::Snapshot { path: path.display().to_string(), why };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let bytes = file.metadata().map_err(|error| wrong(error.to_string()))?.len();
    let mut parser = SnapshotParser::new(file).map_err(wrong)?;
    let mut found = Inspected { bytes, index: parser.mark().index, ..Inspected::default() };
    while let Some((key, value)) = parser.next_record().map_err(wrong)? {
        let table = TableId::ALL.iter().find(|table| **table as u8 == key[0]).ok_or_else(|| wrong(format!("it holds table {}", key[0])))?;
        *found.records.entry(format!("{table:?}")).or_default() += 1;
        if *table == TableId::Meta {
            match Record::decode(*table, &value) {
                Ok(Record::Meta(meta)) => found.meta = MetaRecord::clone(&meta),
                Ok(_) | Err(_) => return Err(wrong("what it says of its cluster is damaged".into())),
            }
        }
    }
    Ok(found)
}

/// A member that was made of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its data directory.
    pub data_dir: PathBuf,
    /// UUID of the new cluster.
    pub cluster_id: String,
    /// Its name.
    pub cluster_name: String,
}

/// Makes the first member of a new cluster of a snapshot file, in an empty directory. The cluster has a new id, so that nobody takes it for the
/// one that the state came from; its name stays unless another one is said.
///
/// # Errors
/// If the file is of no use, the directory is not empty, or it cannot be written: what is in the directory then is to be removed.
pub fn restore(path: &Path, data_dir: &Path, member: &str, cluster_name: Option<&str>) -> Result<Restored, BackupError> {
    let inspected = inspect(path)?;
    let cluster_name = cluster_name.unwrap_or(&inspected.meta.cluster_name).to_owned();
    for (what, name) in [("member", member), ("cluster", cluster_name.as_str())] {
        if !is_name(name) {
            return Err(BackupError::Name { what, name: name.to_owned() });
        }
    }
    if data_dir.exists() && std::fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::NotEmpty { path: data_dir.display().to_string() });
    }
    let (dir, contents) = DataDir::open(data_dir, Some(member), member, &cluster_name)?;
    let raft_id = contents.identity.raft_id;
    let cluster_id = uuid::Uuid::new_v4().to_string();
    let failed = |error: &dyn std::fmt::Display| BackupError::Write { path: data_dir.display().to_string(), why: error.to_string() };
    let config = Config::default();
    let state = StateStore::open(&dir.state_path(), options::state(&config), None).map_err(|error| failed(&error))?;
    let (log, _) = LogStore::open(&dir.log_path(), options::log(&config), None).map_err(|error| failed(&error))?;
    let mut incoming = state.receive_snapshot().map_err(|error| failed(&error))?;
    let file = File::open(path).map_err(|error| failed(&error))?;
    let (mut file, mut chunk) = (BufReader::with_capacity(SNAPSHOT_CHUNK_BYTES, file), vec![0; SNAPSHOT_CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk).map_err(|error| failed(&error))? {
            0 => break,
            read => incoming.write_chunk(&chunk[..read]).map_err(|error| failed(&error))?,
        }
    }
    state.check(incoming).and_then(|checked| state.install(checked)).map_err(|error| failed(&error))?;
    // Where it answers, it tells when it is started.
    let me = MemberInfo { raft_id, name: member.to_owned(), ..MemberInfo::default() };
    let epoch = begin_anew(&state, &log, &me, &cluster_id, &cluster_name).map_err(|error| failed(&error))?;
    state.claim(raft_id).and_then(|()| log.claim(raft_id)).map_err(|error| failed(&error))?;
    state.close();
    log.close();
    let marker = Marker {
        format: FORMAT,
        cluster_id: cluster_id.clone(),
        cluster_name: cluster_name.clone(),
        epoch,
        member: member.to_owned(),
        raft_id,
    };
    dir.write_marker(&marker).map_err(|error| failed(&error))?;
    Ok(Restored { data_dir: data_dir.to_owned(), cluster_id, cluster_name })
}
