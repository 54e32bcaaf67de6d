//! Replacing the whole state by a received snapshot.
//!
//! The received bytes lie in `<file>.incoming-<n>`. They are read once, checked on the way, and become a redb file of their own,
//! `<file>.installing-<n>`, in one durable transaction, which gives a state of an earlier version the derived tables that it lacks ([`check`]): what is
//! damaged, or does not fit the disk, is found out while nothing depends on it yet. Then that file is renamed over the store's and the
//! directory synced ([`install`]): before the rename the old state is there after a crash, after it the new one. Then the handles are exchanged under
//! the lock and the overlay is dropped. The old file, nameless now, lives as long as a view or a reader of it does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use redb::Database;

use super::disk::Disk;
use super::error::StorageError;
use super::layers::Base;
use super::snapshot::{SnapshotParser, SnapshotWriter};
use super::state_file::{RECORDS, STATE, make_tables, write_mark};
use super::state_store::Shared;
use super::{AppliedMark, file, rebuild};

const INCOMING: &str = ".incoming";
const INSTALLING: &str = ".installing";

/// A name beside the store's that nobody has had since the process began: a snapshot may still be checked, or wait to be installed, when the next
/// one comes.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{suffix}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    PathBuf::from(name)
}

/// Removes what an interrupted receive or install has left beside the store.
pub(super) fn remove_leftovers(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let failed = StorageError::during::<std::io::Error>("remove leftovers beside", path);
    let Some(own) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Err(StorageError::new(format!("open {}", path.display()), "the path names no file"));
    };
    for neighbour in disk.neighbours(path).map_err(&failed)? {
        let name = neighbour.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(suffix) = name.strip_prefix(&own) else { continue };
        if suffix.starts_with(INCOMING) || suffix.starts_with(INSTALLING) {
            tracing::info!(file = name, "removing what an interrupted snapshot has left");
            disk.remove(&neighbour).map_err(&failed)?;
        }
    }
    Ok(())
}

pub(super) fn receive(shared: &Shared) -> Result<SnapshotWriter, StorageError> {
    let disk = files(shared)?;
    let path = beside(&shared.path, INCOMING);
    let file = disk.scratch(&path).map_err(StorageError::during("make", &path))?;
    Ok(SnapshotWriter::new(file, path, disk.clone()))
}

fn files(shared: &Shared) -> Result<&Arc<dyn Disk>, StorageError> {
    shared.files.as_ref().ok_or_else(|| StorageError::new("receive a snapshot", "this store is over a bare disk, without a file"))
}

/// A received snapshot that has passed all checks: a file that can take the place of the store's. Dropping it removes the file.
pub struct CheckedSnapshot {
    database: Arc<Database>,
    base: Base,
    file: Leftover,
}

impl CheckedSnapshot {
    /// Up to where it goes.
    pub fn mark(&self) -> &AppliedMark {
        &self.base.mark
    }
}

/// A file that goes when this does, unless it was given another name.
struct Leftover {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    renamed: bool,
}

impl Leftover {
    fn rename(mut self, to: &Path) -> std::io::Result<()> {
        self.disk.rename(&self.path, to)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed at the next open.
            let _ = self.disk.remove(&self.path);
        }
    }
}

pub(super) fn check(shared: &Shared, snapshot: &SnapshotWriter) -> Result<CheckedSnapshot, StorageError> {
    let file = Leftover { path: beside(&shared.path, INSTALLING), disk: files(shared)?.clone(), renamed: false };
    let failed = StorageError::during::<String>("check a snapshot that was received for", &shared.path);
    let (database, base) = build(&*file.disk, snapshot.path(), &file.path, shared.options.cache_bytes).map_err(failed)?;
    Ok(CheckedSnapshot { database, base, file })
}

pub(super) fn install(shared: &Shared, snapshot: CheckedSnapshot) -> Result<AppliedMark, StorageError> {
    let CheckedSnapshot { database, base, file } = snapshot;
    let files = files(shared)?;
    // No flush while the file is replaced.
    let mut disk = shared.disk.lock().unwrap_or_else(PoisonError::into_inner);
    shared.failure.check()?;
    let failed = StorageError::during::<String>("install a snapshot over", &shared.path);
    file.rename(&shared.path).map_err(|error| failed(error.to_string()))?;
    if let Err(error) = files.sync_directory(&shared.path) {
        // Which of the two a power cut would leave is unknown now: stop, and find out by opening.
        let error = failed(error.to_string());
        shared.failure.set(error.clone());
        return Err(error);
    }
    let mark = base.mark.clone();
    let replaced = {
        let mut core = shared.core();
        let overlay = (std::mem::take(&mut core.active), std::mem::take(&mut core.frozen));
        core.applied = mark.clone();
        core.applied_count += 1;
        core.flushed_count = core.applied_count;
        let old = std::mem::replace(&mut core.base, Arc::new(base));
        shared.publish(&core);
        (overlay, old)
    };
    *disk = database;
    drop(disk);
    shared.flushed.notify_all();
    drop(replaced);
    Ok(mark)
}

fn build(disk: &dyn Disk, from: &Path, target: &Path, cache_bytes: usize) -> Result<(Arc<Database>, Base), String> {
    let input = disk.read(from).map_err(|error| error.to_string())?;
    let mut parser = SnapshotParser::new(input)?;
    let database = file::open_database(disk, target, STATE, cache_bytes).map_err(|error| error.to_string())?;
    let text = |error: redb::Error| error.to_string();
    let mut txn = database.begin_write().map_err(|error| error.to_string())?;
    file::durable(&mut txn, true).map_err(text)?;
    make_tables(&txn).map_err(text)?;
    {
        let mut records = txn.open_table(RECORDS).map_err(|error| error.to_string())?;
        while let Some((key, value)) = parser.next_record()? {
            records.insert(key.as_slice(), value.as_slice()).map_err(|error| error.to_string())?;
        }
    }
    rebuild::in_transaction(&txn).map_err(text)?;
    write_mark(&txn, parser.mark()).map_err(text)?;
    txn.commit().map_err(|error| error.to_string())?;
    let database = Arc::new(database);
    let base = Base::open(&database).map_err(text)?;
    Ok((database, base))
}
