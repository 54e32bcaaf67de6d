//! The disk: lossy files, and names that are durable when their directory is synced.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use graftd::storage::{Disk, RealDisk};
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::backend::LossyFileBackend;
use super::tearing::Tearing;

/// See the module.
#[derive(Debug)]
pub struct LossyDisk {
    real: RealDisk,
    seed: u64,
    opened: AtomicU64,
    control: Option<PathBuf>,
    /// Renames whose directory has not been synced: new name, and where the file is until then.
    renamed: Mutex<Vec<(PathBuf, PathBuf)>>,
}

impl LossyDisk {
    /// Of a seed; the control file says how long a sync takes.
    pub fn new(seed: u64, control: Option<PathBuf>) -> Self {
        Self { real: RealDisk, seed, opened: AtomicU64::new(0), control, renamed: Mutex::default() }
    }

    fn renamed(&self) -> MutexGuard<'_, Vec<(PathBuf, PathBuf)>> {
        self.renamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the file of this name is.
    fn place(&self, path: &Path) -> PathBuf {
        let renamed = self.renamed();
        renamed.iter().rev().find(|(name, _)| name == path).map_or_else(|| path.to_owned(), |(_, place)| place.clone())
    }
}

impl Disk for LossyDisk {
    fn open(&self, path: &Path) -> Result<Box<dyn StorageBackend>, redb::Error> {
        let place = self.place(path);
        // It makes the file where there is none, private and with a durable name.
        drop(self.real.open(&place)?);
        let file = std::fs::File::options().read(true).write(true).open(&place)?;
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let tearing = Tearing::new(self.seed ^ number << 32, self.control.clone());
        Ok(Box::new(LossyFileBackend::new(FileBackend::new(file)?, tearing)?))
    }

    fn scratch(&self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        self.real.scratch(path)
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.real.read(&self.place(path))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        self.real.len(&self.place(path))
    }

    fn neighbours(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut names = self.real.neighbours(path)?;
        for (name, place) in self.renamed().iter().filter(|(name, _)| name.parent() == path.parent()) {
            names.retain(|known| known != place && known != name);
            names.push(name.clone());
        }
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let place = self.place(from);
        if self.real.len(&place)?.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", from.display())));
        }
        let mut renamed = self.renamed();
        renamed.retain(|(name, _)| name != from && name != to);
        renamed.push((to.to_owned(), place));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let place = self.place(path);
        let mut renamed = self.renamed();
        renamed.retain(|(name, _)| name != path);
        // What has another name now, which is not durable yet, is there by that name alone.
        let has_another = renamed.iter().any(|(_, there)| *there == place);
        if has_another { Ok(()) } else { self.real.remove(&place) }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut renamed = self.renamed();
        let (here, elsewhere) = renamed.drain(..).partition::<Vec<_>, _>(|(name, _)| name.parent() == path.parent());
        *renamed = elsewhere;
        for (name, place) in here {
            self.real.rename(&place, &name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_is_there_for_its_maker_and_lost_until_the_directory_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (making, name) = (dir.path().join("a.creating"), dir.path().join("a"));
        let disk = LossyDisk::new(1, None);
        let backend = disk.open(&making).unwrap();
        backend.set_len(10).unwrap();
        backend.sync_data().unwrap();
        drop(backend);
        disk.rename(&making, &name).unwrap();
        assert_eq!((disk.len(&name).unwrap(), disk.neighbours(&name).unwrap()), (Some(10), vec![name.clone()]));
        assert!(!name.exists(), "a power cut now, and it has its old name");
        disk.remove(&making).unwrap();
        assert_eq!(disk.len(&name).unwrap(), Some(10), "nothing is there by its old name");
        disk.sync_directory(&name).unwrap();
        assert!(name.exists() && !making.exists());
        assert!(disk.rename(&making, &name).is_err());
    }

    #[test]
    fn the_control_file_slows_syncs_down() {
        let dir = tempfile::tempdir().unwrap();
        let (control, path) = (dir.path().join("control"), dir.path().join("a"));
        let disk = LossyDisk::new(1, Some(control.clone()));
        let backend = disk.open(&path).unwrap();
        std::fs::write(&control, "sync_ms=40\n").unwrap();
        let begun = std::time::Instant::now();
        backend.sync_data().unwrap();
        assert!(begun.elapsed().as_millis() >= 40);
    }
}
