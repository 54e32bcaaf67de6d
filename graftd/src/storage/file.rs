//! Opening a redb file: who may read it, what it is, and which format it has.
//!
//! Files are made with mode 0600 under another name and renamed when they are whole, with the directory synced, so that a power cut can
//! neither leave half a file nor lose one. A `format` table
//! says which of the two stores this is and in which format; it is written by the first transaction and checked at every open, before
//! anything else is read. It also names the member whose file it is, once that member has claimed it.

use std::io;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, Durability, ReadableDatabase, StorageBackend, TableDefinition, TableError, WriteTransaction};

use super::disk::{Disk, Opened};
use super::error::StorageError;

const FORMAT: TableDefinition<&str, &[u8]> = TableDefinition::new("format");
const FORMAT_KEY: &str = "format";
const OWNER_KEY: &str = "owner";
const CREATING: &str = ".creating";
/// A file of at most so many bytes is read as a whole when it is opened, and the checksum of every page is verified; of a larger one, pages
/// are trusted: it must be there in seconds.
const VERIFIED_BYTES_MAX: u64 = 1 << 30;

/// Which store a file is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Written into the file.
    pub(super) name: &'static str,
    /// The format that this build writes and reads.
    pub(super) format: u32,
}

/// Opens or creates the redb file at `path`.
pub(super) fn open_database(disk: &dyn Disk, path: &Path, kind: Kind, cache_bytes: usize) -> Result<Database, StorageError> {
    let failed = StorageError::during::<io::Error>("open", path);
    let open = |at: &Path| {
        let backend = disk.open(at).map_err(|error| match error {
            redb::Error::Io(error) => failed(error),
            error => StorageError::new(format!("open {}", path.display()), error),
        });
        open_backend(Opened(backend?), path, kind, cache_bytes)
    };
    let length = disk.len(path).map_err(&failed)?;
    if length.is_none() {
        // redb cannot open a file whose making was cut off: it gets its name when it is whole.
        let mut making = path.as_os_str().to_owned();
        making.push(CREATING);
        let making = PathBuf::from(making);
        disk.remove(&making).map_err(&failed)?;
        drop(open(&making)?);
        disk.rename(&making, path).and_then(|()| disk.sync_directory(path)).map_err(&failed)?;
    } else if length == Some(0) {
        // redb would take it for a new one.
        return Err(StorageError::new(
            format!("open {}", path.display()),
            "it is empty, and it never was: what was in it is lost".to_owned(),
        ));
    }
    open(path)
}

/// Opens or creates a redb database over a backend; `path` is its name in errors.
pub(super) fn open_backend(backend: impl StorageBackend, path: &Path, kind: Kind, cache_bytes: usize) -> Result<Database, StorageError> {
    let failed = StorageError::during::<redb::Error>("open", path);
    let bytes = backend.len().map_err(StorageError::during::<io::Error>("open", path))?;
    let verify = bytes <= VERIFIED_BYTES_MAX;
    if !verify {
        tracing::warn!(file = %path.display(), bytes, "too large to be verified as a whole when it is opened: damage shows where it is read");
    }
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(verify);
    let database = builder.create_with_backend(backend).map_err(|error| failed(error.into()))?;
    match read(&database, FORMAT_KEY).map_err(&failed)? {
        None => write(&database, FORMAT_KEY, &[&kind.format.to_be_bytes(), kind.name.as_bytes()].concat(), true).map_err(&failed)?,
        Some(found) => check_format(&found, kind).map_err(StorageError::during::<String>("open", path))?,
    }
    Ok(database)
}

/// Notes whose file it is, once, and refuses that of another member.
pub(super) fn claim(database: &Database, path: &Path, raft_id: u64, quick_repair: bool) -> Result<(), StorageError> {
    let failed = StorageError::during::<redb::Error>("open", path);
    let owner = raft_id.to_be_bytes();
    match read(database, OWNER_KEY).map_err(&failed)? {
        None => write(database, OWNER_KEY, &owner, quick_repair).map_err(failed),
        Some(found) if found == owner => Ok(()),
        Some(found) => {
            let found = found.as_slice().try_into().map_or("unknown".to_owned(), |id| u64::from_be_bytes(id).to_string());
            let why = format!("it is of the member with raft id {found}, and this is {raft_id}: were files of two members exchanged?");
            Err(StorageError::new(format!("open {}", path.display()), why))
        }
    }
}

/// Sets what every transaction of these stores needs: durable when committed and, where asked for, quick to open after a kill.
pub(super) fn durable(txn: &mut WriteTransaction, quick_repair: bool) -> Result<(), redb::Error> {
    txn.set_durability(Durability::Immediate)?;
    txn.set_quick_repair(quick_repair);
    Ok(())
}

fn read(database: &Database, key: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    match database.begin_read()?.open_table(FORMAT) {
        Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write(database: &Database, key: &str, value: &[u8], quick_repair: bool) -> Result<(), redb::Error> {
    let mut txn = database.begin_write()?;
    durable(&mut txn, quick_repair)?;
    txn.open_table(FORMAT)?.insert(key, value)?;
    txn.commit()?;
    Ok(())
}

fn check_format(found: &[u8], kind: Kind) -> Result<(), String> {
    let Some((format, name)) = found.split_first_chunk() else {
        return Err("its format record is damaged: restore this member from a backup, or wipe it and let it join again".into());
    };
    let (format, name) = (u32::from_be_bytes(*format), String::from_utf8_lossy(name));
    if name != kind.name {
        return Err(format!("it is a graft {name} file, not a {} file: were files exchanged or renamed?", kind.name));
    }
    if format != kind.format {
        return Err(format!("it has format {format}, and this graftd reads format {}: run the graftd version that wrote it", kind.format));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const ONE: Kind = Kind { name: "one", format: 1 };

    #[test]
    fn a_file_is_private_and_tells_its_kind_and_format() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.redb");
        drop(open_database(&RealDisk, &path, ONE, 1 << 20).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(open_database(&RealDisk, &path, ONE, 1 << 20).unwrap());
        let error = open_database(&RealDisk, &path, Kind { format: 2, ..ONE }, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("it has format 1, and this graftd reads format 2"), "{error}");
        let error = open_database(&RealDisk, &path, Kind { name: "two", format: 1 }, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("it is a graft one file, not a two file"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one.redb");
        std::fs::write(&path, vec![7; 8192]).unwrap();
        let error = open_database(&RealDisk, &path, ONE, 1 << 20).unwrap_err();
        assert!(error.doing.contains("one.redb"), "{error}");
    }
}
