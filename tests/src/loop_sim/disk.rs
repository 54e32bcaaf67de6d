//! A disk in memory that keeps only what was synced: after a power cut, each write since the last sync is there, torn by sectors, or gone.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::rng::Rng;

const SECTOR: usize = 512;

#[derive(Debug)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct Inner {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
    operations_left: Option<u64>,
}

/// Clones are handles to the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    /// A disk with this content.
    pub fn of(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Inner { live: image.clone(), durable: image, ..Inner::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes after so many more writes and syncs.
    pub fn cut_after(&self, operations: u64) {
        self.inner().operations_left = Some(operations);
    }

    /// What the end of the process leaves: the system writes everything in the end.
    pub fn as_written(&self) -> Vec<u8> {
        self.inner().live.clone()
    }

    /// What a power cut leaves.
    pub fn image(&self, rng: &mut Rng) -> Vec<u8> {
        let inner = self.inner();
        let mut image = inner.durable.clone();
        let keep = rng.below(101);
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
}

impl Inner {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => Err(io::Error::other("the power is cut")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let range = offset as usize..offset as usize + out.len();
        out.copy_from_slice(self.inner().live.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.live.resize(length as usize, 0);
        inner.unsynced.push(Unsynced::Length(length as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
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
        let mut inner = self.inner();
        inner.step()?;
        let range = offset as usize..offset as usize + data.len();
        inner.live.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        inner.unsynced.push(Unsynced::Write(offset as usize, data.to_vec()));
        Ok(())
    }
}
