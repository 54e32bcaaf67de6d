//! A disk in memory, below a whole member: files by their names, and names that are durable only when their directory was synced.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use graftd::storage::{Disk, Work};
use redb::StorageBackend;

use super::medium::{Faults, Medium};
use crate::loop_sim::rng::Rng;

type Names = BTreeMap<PathBuf, Medium>;

/// A store's work that somebody has to do.
pub type Hired = (String, Arc<dyn Work>);

/// A change of names.
#[derive(Clone, Debug)]
enum Change {
    Make(PathBuf, Medium),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Change {
    fn does(&self, names: &mut Names) {
        match self {
            Self::Make(path, medium) => drop(names.insert(path.clone(), medium.clone())),
            Self::Rename(from, to) => {
                if let Some(medium) = names.remove(from) {
                    names.insert(to.clone(), medium);
                }
            }
            Self::Remove(path) => drop(names.remove(path)),
        }
    }
}

#[derive(Default)]
struct Inner {
    live: Names,
    durable: Names,
    unsynced: Vec<Change>,
    hired: Vec<Hired>,
}

/// The disk of one process. Clones are handles to the same one.
#[derive(Clone, Default)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    faults: Faults,
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").field("names", &self.inner().live.keys()).finish_non_exhaustive()
    }
}

impl SimDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(names: Names, durable: Names, unsynced: Vec<Change>, faults: Faults) -> Self {
        let inner = Inner { live: names, durable, unsynced, hired: Vec::new() };
        Self { inner: Arc::new(Mutex::new(inner)), faults }
    }

    /// What goes wrong with it.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The work that stores have asked to be done since it was last looked at: there are no threads here.
    pub fn hired(&self) -> Vec<Hired> {
        std::mem::take(&mut self.inner().hired)
    }

    /// The power goes, and comes again: what is left for the next process. Nothing works on this one any more.
    pub fn cut(&self, rng: &mut Rng) -> Self {
        self.faults.cut_after(0);
        let inner = self.inner();
        let mut names = inner.durable.clone();
        let keep = rng.below(101);
        for change in &inner.unsynced {
            if rng.below(100) < keep {
                change.does(&mut names);
            }
        }
        let faults = Faults::default();
        let left: Names = names.iter().map(|(path, medium)| (path.clone(), Medium::of_disk(medium.image(rng), faults.clone()))).collect();
        Self::of(left.clone(), left, Vec::new(), faults)
    }

    /// The process ends, and nothing else: the next one finds everything as it was written, and as little of it synced. Nothing works on this one
    /// any more.
    pub fn killed(&self) -> Self {
        self.faults.cut_after(0);
        let inner = self.inner();
        let faults = Faults::default();
        // A file has several names here: in both lists, and in the changes between them.
        let mut known: Vec<(Medium, Medium)> = Vec::new();
        let mut handed_on = |medium: &Medium| {
            if let Some((_, new)) = known.iter().find(|(old, _)| old.is(medium)) {
                return new.clone();
            }
            let new = medium.handed_on(faults.clone());
            known.push((medium.clone(), new.clone()));
            new
        };
        let mut all = |names: &Names| -> Names { names.iter().map(|(path, medium)| (path.clone(), handed_on(medium))).collect() };
        let (live, durable) = (all(&inner.live), all(&inner.durable));
        let unsynced = inner.unsynced.iter().map(|change| match change {
            Change::Make(path, medium) => Change::Make(path.clone(), handed_on(medium)),
            other => other.clone(),
        });
        let unsynced = unsynced.collect();
        Self::of(live, durable, unsynced, faults)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.faults.step()?;
        let mut inner = self.inner();
        change.does(&mut inner.live);
        inner.unsynced.push(change);
        Ok(())
    }

    fn found(&self, path: &Path) -> io::Result<Medium> {
        self.inner().live.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> Result<Box<dyn StorageBackend>, redb::Error> {
        if let Ok(medium) = self.found(path) {
            if self.faults.lies() && path.ends_with("log.redb") {
                medium.lie();
            }
            return Ok(Box::new(medium));
        }
        let medium = Medium::of_disk(Vec::new(), self.faults.clone());
        self.change(Change::Make(path.to_owned(), medium.clone()))?;
        self.sync_directory(path)?;
        Ok(Box::new(medium))
    }

    fn scratch(&self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        let medium = Medium::of_disk(Vec::new(), self.faults.clone());
        self.change(Change::Make(path.to_owned(), medium.clone()))?;
        Ok(Box::new(Appending(medium)))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.found(path)?.as_written())))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        match self.found(path) {
            Ok(medium) => medium.len().map(Some),
            Err(_) => Ok(None),
        }
    }

    fn neighbours(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.inner().live.keys().filter(|name| name.parent() == path.parent()).cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.found(from)?;
        self.change(Change::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.found(path) {
            Ok(_) => self.change(Change::Remove(path.to_owned())),
            Err(_) => Ok(()),
        }
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.faults.step()?;
        let mut inner = self.inner();
        inner.durable = inner.live.clone();
        inner.unsynced.clear();
        Ok(())
    }

    fn hire(&self, name: &str, work: Arc<dyn Work>) -> io::Result<Option<JoinHandle<()>>> {
        self.inner().hired.push((name.to_owned(), work));
        Ok(None)
    }
}

/// Writes a file from its beginning to its end.
struct Appending(Medium);

impl Write for Appending {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.push(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
