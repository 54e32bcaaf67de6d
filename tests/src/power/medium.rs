//! A file in memory that keeps only what was synced: after a power cut, each write since the last sync is there, torn by sectors, or gone.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::loop_sim::rng::Rng;

const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Debug, Default)]
struct Inner {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// Says that it has synced, and has not.
    lies: bool,
}

/// What goes wrong with a disk; shared by its files.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Wrong>>);

#[derive(Debug, Default)]
struct Wrong {
    operations_left: Option<u64>,
    room: Option<u64>,
    syncs_until_error: Option<u64>,
    lies: bool,
    met: bool,
    broke: bool,
}

impl Faults {
    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes after so many more writes and syncs: nothing works from then on.
    pub fn cut_after(&self, operations: u64) {
        self.wrong().operations_left = Some(operations);
    }

    /// From now on so many bytes more fit; `None`: as many as there are.
    pub fn room(&self, bytes: Option<u64>) {
        self.wrong().room = bytes;
    }

    /// The sync after so many more fails, once; what it was to make durable never will be.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.wrong().syncs_until_error = Some(syncs);
    }

    /// A log that is opened from now on is told that its syncs are done, and they are not; a power cut takes all of it back to where it was opened. What no
    /// disk may do, and what a store does that acknowledges too early: so that a test that would not notice is noticed.
    pub fn lie(&self) {
        self.wrong().lies = true;
    }

    pub(super) fn lies(&self) -> bool {
        self.wrong().lies
    }

    /// Whether the power is gone.
    pub fn is_cut(&self) -> bool {
        self.wrong().operations_left == Some(0)
    }

    /// Whether anything was refused.
    pub fn met(&self) -> bool {
        self.wrong().met
    }

    /// Whether a sync has failed.
    pub fn broke(&self) -> bool {
        self.wrong().broke
    }

    /// There is room again, and syncs succeed.
    pub fn mend(&self) {
        let mut wrong = self.wrong();
        (wrong.room, wrong.syncs_until_error) = (None, None);
    }

    /// One operation more, which may be the first that does not work any more.
    pub(super) fn step(&self) -> io::Result<()> {
        let mut wrong = self.wrong();
        match &mut wrong.operations_left {
            Some(0) => {
                wrong.met = true;
                Err(io::Error::other("the power is cut"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// So many bytes more are to fit.
    pub(super) fn grow(&self, bytes: u64) -> io::Result<()> {
        let mut wrong = self.wrong();
        match &mut wrong.room {
            Some(room) if *room < bytes => {
                wrong.met = true;
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(room) => {
                *room -= bytes;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// One sync more, which may fail.
    fn sync(&self) -> io::Result<()> {
        let mut wrong = self.wrong();
        match wrong.syncs_until_error {
            Some(0) => {
                (wrong.syncs_until_error, wrong.met, wrong.broke) = (None, true, true);
                // EIO has no name in the standard library.
                Err(io::Error::from_raw_os_error(5))
            }
            left => {
                wrong.syncs_until_error = left.map(|left| left - 1);
                Ok(())
            }
        }
    }
}

/// A file. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub struct Medium {
    inner: Arc<Mutex<Inner>>,
    faults: Faults,
}

impl Medium {
    /// A file with this content, durable.
    pub fn of(image: Vec<u8>) -> Self {
        Self::of_disk(image, Faults::default())
    }

    /// As [`Self::of`], on a disk with these faults.
    pub(super) fn of_disk(image: Vec<u8>, faults: Faults) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { live: image.clone(), durable: image, ..Inner::default() })), faults }
    }

    /// The same file, with what is not synced yet, for the next process: handles of the one before are of no more use.
    pub(super) fn handed_on(&self, faults: Faults) -> Self {
        Self { inner: Arc::new(Mutex::new(self.inner().clone())), faults }
    }

    /// From now on its syncs are none.
    pub(super) fn lie(&self) {
        self.inner().lies = true;
    }

    /// Whether it is the same file.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Faults::cut_after`].
    pub fn cut_after(&self, operations: u64) {
        self.faults.cut_after(operations);
    }

    /// What the end of the process leaves: the system writes everything in the end.
    pub fn as_written(&self) -> Vec<u8> {
        self.inner().live.clone()
    }

    /// What a power cut leaves.
    pub fn image(&self, rng: &mut Rng) -> Vec<u8> {
        let inner = self.inner();
        let mut image = inner.durable.clone();
        let keep = if inner.lies { 0 } else { rng.below(101) };
        for operation in &inner.unsynced {
            match operation {
                Unsynced::Length(length) if rng.below(100) < keep => image.resize(*length, 0),
                Unsynced::Length(_) => {}
                Unsynced::Write(offset, data) => {
                    for (n, sector) in data.chunks(SECTOR).enumerate() {
                        let at = offset + n * SECTOR;
                        if rng.below(100) < keep && at + sector.len() <= image.len() {
                            image[at..at + sector.len()].copy_from_slice(sector);
                        }
                    }
                }
            }
        }
        image
    }

    /// Writes behind the end.
    pub(super) fn push(&self, data: &[u8]) -> io::Result<()> {
        let end = self.inner().live.len() as u64;
        self.set_len(end + data.len() as u64)?;
        self.write(end, data)
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let range = offset as usize..offset as usize + out.len();
        out.copy_from_slice(self.inner().live.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.faults.step()?;
        let mut inner = self.inner();
        self.faults.grow(length.saturating_sub(inner.live.len() as u64))?;
        inner.live.resize(length as usize, 0);
        inner.unsynced.push(Unsynced::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.step()?;
        let synced = self.faults.sync();
        let mut inner = self.inner();
        match synced {
            Ok(()) if inner.lies => return Ok(()),
            Ok(()) => {}
            Err(error) => {
                // As Linux does it: the pages count as clean, and are not written again.
                inner.unsynced.clear();
                return Err(error);
            }
        }
        // What was written since is all that differs.
        let Inner { live, durable, unsynced, .. } = &mut *inner;
        durable.resize(live.len(), 0);
        for operation in unsynced.drain(..) {
            match operation {
                Unsynced::Write(offset, data) => {
                    let end = (offset + data.len()).min(live.len());
                    if offset < end {
                        durable[offset..end].copy_from_slice(&live[offset..end]);
                    }
                }
                Unsynced::Length(length) => {
                    let from = length.min(live.len());
                    durable[from..].copy_from_slice(&live[from..]);
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.step()?;
        let mut inner = self.inner();
        let range = offset as usize..offset as usize + data.len();
        inner.live.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        inner.unsynced.push(Unsynced::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}
