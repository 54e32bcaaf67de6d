//! What a plain fdatasync of 4 KiB costs on this machine: the yardstick for everything that is durable.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of one write.
const BLOCK: usize = 4_096;
/// Blocks of the file that is written, over and over.
const BLOCKS: u64 = 256;
/// Most samples, and longest time, of one measurement.
const SAMPLES_MAX: usize = 200;
const TIME_MAX: Duration = Duration::from_secs(1);

/// All samples of the run.
#[derive(Debug, Default)]
pub(crate) struct Disk(Vec<u64>);

impl Disk {
    /// Adds samples.
    pub(crate) fn add(&mut self, samples: Vec<u64>) {
        self.0.extend(samples);
    }

    /// The median in microseconds; `None` if nothing was measured.
    pub(crate) fn p50_us(&self) -> Option<u64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }
}

/// Overwrites blocks of a file in `directory`, each followed by an fdatasync; microseconds of each. The file is removed.
pub(crate) fn samples(directory: &Path) -> io::Result<Vec<u64>> {
    let temporary = tempfile::Builder::new().prefix(".graft-bench-").tempdir_in(directory)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(temporary.path().join("fdatasync"))?;
    let block = [b'x'; BLOCK];
    for _ in 0..BLOCKS {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let begun = Instant::now();
    let mut samples = Vec::with_capacity(SAMPLES_MAX);
    for number in 0..SAMPLES_MAX as u64 {
        let one = Instant::now();
        file.seek(SeekFrom::Start(number % BLOCKS * BLOCK as u64))?;
        file.write_all(&block)?;
        file.sync_data()?;
        samples.push(u64::try_from(one.elapsed().as_micros()).unwrap_or(u64::MAX));
        if begun.elapsed() > TIME_MAX {
            break;
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_all_samples() {
        let mut disk = Disk::default();
        assert_eq!(disk.p50_us(), None);
        disk.add(vec![9, 1]);
        disk.add(vec![5]);
        assert_eq!(disk.p50_us(), Some(5));
    }

    #[test]
    fn nothing_is_left_in_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!samples(directory.path()).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
