//! A disk in memory that keeps only what was synced: after a cut, each write since the last sync is there, torn by sectors, or gone.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use redb::StorageBackend;

const SECTOR: usize = 512;

/// Random numbers from a seed (splitmix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

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
    syncs: u64,
    reads: u64,
    operations_left: Option<u64>,
    held: bool,
    held_up: bool,
}

/// Clones are handles to the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<(Mutex<Inner>, Condvar)>);

impl Disk {
    pub fn of(image: Vec<u8>) -> Self {
        let inner = Inner { live: image.clone(), durable: image, ..Inner::default() };
        Self(Arc::new((Mutex::new(inner), Condvar::new())))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        f(&mut self.0.0.lock().unwrap())
    }

    /// The power goes after so many more writes and syncs.
    pub fn cut_after(&self, operations: u64) {
        self.with(|inner| inner.operations_left = Some(operations));
    }

    /// How often it was synced.
    pub fn syncs(&self) -> u64 {
        self.with(|inner| inner.syncs)
    }

    /// How often it was read.
    pub fn reads(&self) -> u64 {
        self.with(|inner| inner.reads)
    }

    /// From now on a sync waits for [`Self::release`].
    pub fn hold(&self) {
        self.with(|inner| inner.held = true);
    }

    pub fn release(&self) {
        self.with(|inner| inner.held = false);
        self.0.1.notify_all();
    }

    /// Waits until a sync is being held up.
    pub fn wait_for_held_sync(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |inner| !inner.held_up).unwrap());
    }

    /// What a power cut leaves.
    pub fn image(&self, random: &mut Random) -> Vec<u8> {
        self.with(|inner| {
            let mut image = inner.durable.clone();
            let keep = random.below(101);
            for operation in &inner.unsynced {
                match operation {
                    Unsynced::Length(length) if random.below(100) < keep => image.resize(*length, 0),
                    Unsynced::Length(_) => {}
                    Unsynced::Write(offset, data) => {
                        for (n, sector) in data.chunks(SECTOR).enumerate() {
                            let at = offset + n * SECTOR;
                            if random.below(100) < keep && at + sector.len() <= image.len() {
                                image[at..at + sector.len()].copy_from_slice(sector);
                            }
                        }
                    }
                }
            }
            image
        })
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
        Ok(self.with(|inner| inner.live.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|inner| {
            inner.reads += 1;
            let range = offset as usize..offset as usize + out.len();
            out.copy_from_slice(inner.live.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|inner| {
            inner.step()?;
            inner.live.resize(length as usize, 0);
            inner.unsynced.push(Unsynced::Length(length as usize));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mutex, moved) = &*self.0;
        let mut inner = mutex.lock().unwrap();
        while inner.held {
            inner.held_up = true;
            moved.notify_all();
            inner = moved.wait(inner).unwrap();
        }
        inner.held_up = false;
        inner.step()?;
        inner.syncs += 1;
        inner.unsynced.clear();
        inner.durable = inner.live.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(|inner| {
            inner.step()?;
            let range = offset as usize..offset as usize + data.len();
            inner.live.get_mut(range).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
            inner.unsynced.push(Unsynced::Write(offset as usize, data.to_vec()));
            Ok(())
        })
    }
}
