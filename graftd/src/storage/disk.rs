//! What the stores lie on: the few things that they do to files, so that a test can put another disk below them.
//!
//! [`RealDisk`] is the system's. A test's disk may keep what was not synced in memory, and lose it; refuse as a full or a broken one does; or be
//! no disk at all. Nothing above the stores knows which it is.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::work::{self, Work};

/// What a store does to files. Names and their changes are durable when [`Self::sync_directory`] has returned, not before.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file for redb. One that is not there is made, for its owner alone, and its name is durable.
    ///
    /// # Errors
    /// It cannot be opened or made, or somebody else has it open.
    fn open(&self, path: &Path) -> Result<Box<dyn StorageBackend>, redb::Error>;

    /// Makes or empties a file that is written once, from its beginning to its end, and never survives a crash: a snapshot that is received.
    ///
    /// # Errors
    /// It cannot be made.
    fn scratch(&self, path: &Path) -> io::Result<Box<dyn Write + Send>>;

    /// Reads a file from its beginning.
    ///
    /// # Errors
    /// It cannot be opened.
    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// A file's length; `None` if it is not there.
    ///
    /// # Errors
    /// That cannot be found out.
    fn len(&self, path: &Path) -> io::Result<Option<u64>>;

    /// The files in the directory of `path`.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn neighbours(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Gives a file another name, whose file, if there is one, loses it.
    ///
    /// # Errors
    /// The names are as they were.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. It is no error if it is not there.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in the directory of `path` durable.
    ///
    /// # Errors
    /// Which names a power cut would leave is unknown.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Has a store's work done: by a thread, which is returned, or by somebody else.
    ///
    /// # Errors
    /// Nobody does it.
    fn hire(&self, name: &str, work: Arc<dyn Work>) -> io::Result<Option<JoinHandle<()>>> {
        work::thread(name, work).map(Some)
    }
}

/// The system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// As it is passed down.
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(Self)
    }

    /// Opens or creates a file of mode 0600 for reading and writing.
    fn private(&self, path: &Path) -> io::Result<File> {
        let new = !path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if new {
            self.sync_directory(path)?;
        }
        Ok(file)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> Result<Box<dyn StorageBackend>, redb::Error> {
        Ok(Box::new(FileBackend::new(self.private(path)?)?))
    }

    fn scratch(&self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        let file = self.private(path)?;
        file.set_len(0)?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn neighbours(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory(path))?.map(|entry| Ok(entry?.path())).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(directory(path))?.sync_all()
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file as redb takes it. What is not passed on would be gone without a word: without the locks, two processes share a file.
#[derive(Debug)]
pub(super) struct Opened(pub(super) Box<dyn StorageBackend>);

impl StorageBackend for Opened {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
