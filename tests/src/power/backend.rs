//! A file whose unsynced writes live in memory.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::tearing::Tearing;

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// See the module.
#[derive(Debug)]
pub struct LossyFileBackend {
    file: FileBackend,
    unsynced: Mutex<Unsynced>,
}

#[derive(Debug)]
struct Unsynced {
    /// The length, as whoever uses the file sees it.
    len: u64,
    /// Bytes of the file from here on are nobody's: it was cut to this length since the last sync.
    valid: u64,
    sectors: BTreeMap<u64, [u8; SECTOR as usize]>,
    tearing: Tearing,
}

impl LossyFileBackend {
    /// Over a file.
    ///
    /// # Errors
    /// Its length cannot be found out.
    pub fn new(file: FileBackend, tearing: Tearing) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, unsynced: Mutex::new(Unsynced { len, valid: len, sectors: BTreeMap::new(), tearing }) })
    }

    fn lock(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the file holds, where that is still somebody's; the rest is zero.
    fn read_file(&self, valid: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let end = (offset + out.len() as u64).min(valid);
        if offset < end {
            self.file.read(offset, &mut out[..(end - offset) as usize])?;
        }
        Ok(())
    }

    /// Writes one sector to the file, as far as it lies within the length; the file is made longer if it has to be.
    fn put(&self, file_len: &mut u64, len: u64, sector: u64, data: &[u8; SECTOR as usize]) -> io::Result<()> {
        let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(len));
        if from >= to {
            return Ok(());
        }
        if *file_len < to {
            self.file.set_len(to)?;
            *file_len = to;
        }
        self.file.write(from, &data[..(to - from) as usize])
    }

    /// Lets some of what is not synced reach the file, where it stays. What was let through is forgotten: a transaction of gigabytes would write all of
    /// it again each time.
    fn flush_early(&self, unsynced: &mut Unsynced) -> io::Result<()> {
        let Unsynced { len, valid, sectors, tearing } = unsynced;
        // A file that was cut and has grown again would show what was cut off: the disk has cut it by now.
        if *valid < self.file.len()? {
            self.file.set_len(*valid)?;
        }
        let mut file_len = self.file.len()?;
        let early: Vec<u64> = sectors.keys().filter(|_| tearing.takes_early()).copied().collect();
        for sector in early {
            self.put(&mut file_len, *len, sector, &sectors[&sector])?;
            sectors.remove(&sector);
        }
        *valid = file_len.min(*len);
        Ok(())
    }
}

impl StorageBackend for LossyFileBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let unsynced = self.lock();
        let end = offset + out.len() as u64;
        if end > unsynced.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{offset}..{end} of {} bytes", unsynced.len)));
        }
        self.read_file(unsynced.valid, offset, out)?;
        for (sector, data) in unsynced.sectors.range(offset / SECTOR..end.div_ceil(SECTOR)) {
            let start = sector * SECTOR;
            let (from, to) = (start.max(offset), (start + SECTOR).min(end));
            out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(&data[(from - start) as usize..(to - start) as usize]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut unsynced = self.lock();
        unsynced.valid = unsynced.valid.min(len);
        if len < unsynced.len {
            unsynced.sectors.split_off(&len.div_ceil(SECTOR));
            // What lies behind the end within the last sector is gone as well.
            if let Some(data) = unsynced.sectors.get_mut(&(len / SECTOR)) {
                data[(len % SECTOR) as usize..].fill(0);
            }
        }
        unsynced.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // A disk that takes long keeps nobody from reading meanwhile.
        let slowness = self.lock().tearing.slowness();
        std::thread::sleep(slowness);
        let mut unsynced = self.lock();
        let unsynced = &mut *unsynced;
        unsynced.tearing.breaks()?;
        if unsynced.tearing.lies() {
            return Ok(());
        }
        if unsynced.valid < self.file.len()? {
            self.file.set_len(unsynced.valid)?;
        }
        let mut file_len = self.file.len()?;
        let all: Vec<u64> = unsynced.sectors.keys().copied().collect();
        let pause = unsynced.tearing.pause(all.len());
        for (at, which) in unsynced.tearing.order(all.len()).into_iter().enumerate() {
            if let Some((_, moment)) = pause.filter(|(pause, _)| *pause == at) {
                std::thread::sleep(moment);
            }
            let sector = all[which];
            self.put(&mut file_len, unsynced.len, sector, &unsynced.sectors[&sector])?;
        }
        if file_len != unsynced.len {
            self.file.set_len(unsynced.len)?;
        }
        unsynced.sectors.clear();
        unsynced.valid = unsynced.len;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut unsynced = self.lock();
        let end = offset + data.len() as u64;
        if end > unsynced.len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{offset}..{end} of {} bytes", unsynced.len)));
        }
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let start = sector * SECTOR;
            let (from, to) = (start.max(offset), (start + SECTOR).min(end));
            let mut bytes = match unsynced.sectors.get(&sector) {
                Some(bytes) => *bytes,
                None if to - from == SECTOR => [0; SECTOR as usize],
                None => {
                    let mut bytes = [0; SECTOR as usize];
                    let within = (start + SECTOR).min(unsynced.len) - start;
                    self.read_file(unsynced.valid, start, &mut bytes[..within as usize])?;
                    bytes
                }
            };
            bytes[(from - start) as usize..(to - start) as usize].copy_from_slice(&data[(from - offset) as usize..(to - offset) as usize]);
            unsynced.sectors.insert(sector, bytes);
        }
        if unsynced.tearing.flushes_early() {
            self.flush_early(&mut unsynced)?;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loop_sim::rng::Rng;
    use std::fs::{self, File};
    use std::path::Path;

    fn open(path: &Path, seed: u64) -> LossyFileBackend {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        LossyFileBackend::new(FileBackend::new(file).unwrap(), Tearing::new(seed, None)).unwrap()
    }

    #[test]
    fn what_is_not_synced_is_seen_by_its_writer_and_lost_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let backend = open(&path, 1);
        backend.set_len(4096).unwrap();
        backend.write(100, b"synced").unwrap();
        backend.sync_data().unwrap();
        backend.write(100, b"waits!").unwrap();
        let mut out = [0; 6];
        backend.read(100, &mut out).unwrap();
        assert_eq!(&out, b"waits!");
        drop(backend);
        assert_eq!(&fs::read(&path).unwrap()[100..106], b"synced");
    }

    #[test]
    fn some_of_the_unsynced_reaches_the_file_in_whole_sectors_and_not_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..200 {
            let path = dir.path().join(format!("file-{seed}"));
            let backend = open(&path, seed);
            backend.set_len(4096).unwrap();
            backend.sync_data().unwrap();
            for round in 1..=4 {
                backend.write(0, &[round; 4096]).unwrap();
            }
            drop(backend);
            for sector in fs::read(&path).unwrap().chunks(512) {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
                if sector[0] == 0 { lost += 1 } else { kept += 1 }
            }
        }
        assert!(kept > 20 && lost > kept, "{kept} sectors were kept, {lost} lost");
    }

    #[test]
    fn a_file_that_was_cut_and_has_grown_again_shows_nothing_of_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let backend = open(&dir.path().join("file"), 3);
        backend.set_len(2048).unwrap();
        backend.write(0, &[7; 2048]).unwrap();
        backend.sync_data().unwrap();
        backend.set_len(700).unwrap();
        backend.set_len(2048).unwrap();
        let mut out = [1; 2048];
        backend.read(0, &mut out).unwrap();
        assert!(out[..700].iter().all(|byte| *byte == 7) && out[700..].iter().all(|byte| *byte == 0));
        backend.write(1000, &[9; 10]).unwrap();
        backend.sync_data().unwrap();
        backend.read(0, &mut out).unwrap();
        assert!(out[700..1000].iter().all(|byte| *byte == 0) && out[1000..1010].iter().all(|byte| *byte == 9));
    }

    #[test]
    fn whatever_is_written_is_read_back_like_from_memory() {
        let dir = tempfile::tempdir().unwrap();
        for seed in 0..30 {
            let backend = open(&dir.path().join(format!("file-{seed}")), seed);
            let (mut rng, mut model) = (Rng::new(seed), Vec::new());
            for _ in 0..300 {
                match rng.below(10) {
                    0 => {
                        model.resize(rng.below(20_000) as usize, 0_u8);
                        backend.set_len(model.len() as u64).unwrap();
                    }
                    1 => backend.sync_data().unwrap(),
                    2..6 if !model.is_empty() => {
                        let from = rng.below(model.len() as u64) as usize;
                        let to = (from + rng.below(3_000) as usize).min(model.len());
                        let byte = rng.next() as u8;
                        model[from..to].fill(byte);
                        backend.write(from as u64, &model[from..to]).unwrap();
                    }
                    _ => {
                        let mut out = vec![0; model.len()];
                        backend.read(0, &mut out).unwrap();
                        assert!(out == model, "seed {seed}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_database_over_it_keeps_what_it_has_committed_and_nothing_else() {
        use redb::{Builder, Durability, ReadableDatabase, TableDefinition};
        const TABLE: TableDefinition<u64, u64> = TableDefinition::new("t");
        let dir = tempfile::tempdir().unwrap();
        for seed in 0..40 {
            let path = dir.path().join(format!("{seed}.redb"));
            let mut committed = 0;
            for life in 0..6 {
                let database = Builder::new().create_with_backend(open(&path, seed << 8 | life)).unwrap();
                if committed > 0 {
                    let found = database.begin_read().unwrap().open_table(TABLE).unwrap().get(0).unwrap().unwrap().value();
                    assert!(found == committed, "seed {seed}, life {life}: {found} of {committed}");
                }
                for _ in 0..5 {
                    let mut txn = database.begin_write().unwrap();
                    txn.set_durability(Durability::Immediate).unwrap();
                    txn.set_quick_repair(true);
                    txn.open_table(TABLE).unwrap().insert(0, committed + 1).unwrap();
                    txn.commit().unwrap();
                    committed += 1;
                }
                let txn = database.begin_write().unwrap();
                txn.open_table(TABLE).unwrap().insert(0, 1_000_000).unwrap();
                // The power goes: neither the transaction nor the database comes to its end. The file's lock goes with a process, and this one lives.
                std::mem::forget(txn);
                database_dies(database, &path);
            }
        }
    }

    /// Forgets a database as a killed process does; its file goes on as a copy, which nobody has locked.
    fn database_dies(database: redb::Database, path: &Path) {
        std::mem::forget(database);
        let copy = path.with_extension("copy");
        fs::copy(path, &copy).unwrap();
        fs::rename(&copy, path).unwrap();
    }
}
