//! What of the unsynced reaches the file before its time, and how long a sync takes: drawn from a seed, and told by the control file.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use crate::loop_sim::rng::Rng;

/// So many writes in a thousand are followed by a flush of something that nobody had asked for.
const EARLY_PERMILLE: u64 = 60;
/// So many sectors in a thousand go out in such a flush.
const EARLY_SECTORS_PERMILLE: u64 = 300;
/// So many syncs in a thousand stop for a moment in the middle.
const PAUSE_PERMILLE: u64 = 250;
/// The longest of those moments, in microseconds.
const PAUSE_US_MAX: u64 = 2_000;

/// What a system says of a disk that does not work, on Linux.
const EIO: i32 = 5;

/// See the module.
#[derive(Debug)]
pub struct Tearing {
    rng: Rng,
    control: Option<PathBuf>,
}

impl Tearing {
    /// Of a seed.
    pub fn new(seed: u64, control: Option<PathBuf>) -> Self {
        Self { rng: Rng::new(seed), control }
    }

    /// Whether something goes out now, unasked. A disk that lies keeps everything to itself: what it held when it began to is as whole as it was.
    pub fn flushes_early(&mut self) -> bool {
        self.rng.chance(EARLY_PERMILLE) && !self.lies()
    }

    /// Whether this sector is among it.
    pub fn takes_early(&mut self) -> bool {
        self.rng.chance(EARLY_SECTORS_PERMILLE)
    }

    /// The order in which a sync writes so many sectors.
    pub fn order(&mut self, many: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..many).collect();
        for at in (1..many).rev() {
            order.swap(at, self.rng.below(at as u64 + 1) as usize);
        }
        order
    }

    /// Where a sync of so many sectors stops for a moment, and for how long.
    pub fn pause(&mut self, many: usize) -> Option<(usize, Duration)> {
        (many > 0 && self.rng.chance(PAUSE_PERMILLE))
            .then(|| (self.rng.below(many as u64) as usize, Duration::from_micros(self.rng.below(PAUSE_US_MAX))))
    }

    /// How long every sync takes at the moment, besides.
    pub fn slowness(&self) -> Duration {
        let ms = self.said().lines().find_map(|line| line.strip_prefix("sync_ms=")?.trim().parse().ok());
        Duration::from_millis(ms.unwrap_or(0))
    }

    /// Whether syncs only say that they have been done.
    pub fn lies(&self) -> bool {
        self.said().lines().any(|line| line.trim() == "lies")
    }

    /// Fails, if syncs fail now, as those of a disk that is broken; panics, if the code above is to be the broken thing.
    pub fn breaks(&self) -> io::Result<()> {
        let said = self.said();
        let says = |word: &str| said.lines().any(|line| line.trim() == word);
        assert!(!says("panics"), "the control file asks for it");
        if says("breaks") { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }

    fn said(&self) -> String {
        self.control.as_ref().and_then(|control| fs::read_to_string(control).ok()).unwrap_or_default()
    }
}
