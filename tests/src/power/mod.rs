//! Disks that forget: what a power cut, a kill, a full and a broken disk leave of what a store has written.
//!
//! | file | what it tells |
//! |---|---|
//! | `medium` | one file in memory: what was written, what was synced, and what is left of the difference |
//! | `sim_disk` | a directory of such files, as [`graftd::storage::Disk`]: names are lost, too |
//! | [`backend`], [`disk`] | the same for real processes and files: what was written and not synced stays in the process, and dies with it |
//! | [`tearing`] | what of it reaches the file all the same |
//!
//! The model: a sync makes everything durable that was written to the file before. Of what was not synced, a power cut leaves each sector of 512 bytes
//! by chance, in no order, and each change of the length; of names that were not synced (made, renamed, removed) likewise. In memory, the end of
//! the process alone loses nothing yet, but makes nothing durable either.
//!
//! The system keeps what a killed process has written, so a kill alone never shows who forgets to sync: on a lossy disk, `kill -9` is a power cut.
//! What is *synced* is written to the file, and not synced again: nobody takes the power from the machine that runs the tests. A sync takes
//! its time in the middle, so that a kill can tear it. The variables [`DISK`], [`SEED`] and [`CONTROL`] put a daemon on such a disk
//! ([`main_from_args`]); the control file says, at any time, how long a sync takes (`sync_ms=250`), whether it is one (`lies`: a broken
//! disk, with which tests are tested), and whether it fails (`breaks`: with an IO error; `panics`: with a panic of the thread that asked for it).

pub mod backend;
pub mod disk;
mod medium;
mod sim_disk;
pub mod tearing;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use graftd::storage::RealDisk;

use disk::LossyDisk;
pub use medium::{Faults, Medium};
pub use sim_disk::{Hired, SimDisk};

/// The variable that says which disk: `lossy`; otherwise the system's.
pub const DISK: &str = "GRAFT_TEST_DISK";
/// The variable with the seed of what a power cut leaves.
pub const SEED: &str = "GRAFT_TEST_DISK_SEED";
/// The variable with the path of the control file.
pub const CONTROL: &str = "GRAFT_TEST_DISK_CONTROL";

/// The daemon's `main`, on the disk that the environment asks for.
pub fn main_from_args() -> ExitCode {
    match std::env::var(DISK).as_deref() {
        Err(_) => graftd::main_with_disk(RealDisk::shared()),
        Ok("lossy") => {
            let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
            let control = std::env::var_os(CONTROL).map(PathBuf::from);
            // Every life of a process draws anew.
            let seed = seed ^ u64::from(std::process::id()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            graftd::main_with_disk(Arc::new(LossyDisk::new(seed, control)))
        }
        Ok(other) => {
            eprintln!("{DISK}={other}: there is lossy");
            ExitCode::from(2)
        }
    }
}
