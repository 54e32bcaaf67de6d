//! Disks that forget: what a power cut, a kill, a full and a broken disk leave of what a store has written.
//!
//! | file | what it tells |
//! |---|---|
//! | `medium` | one file: what was written, what was synced, and what is left of the difference |
//! | `sim_disk` | a directory of such files, in memory, as [`graftd::storage::Disk`]: names are lost, too |
//!
//! The model: a sync makes everything durable that was written to the file before. Of what was not synced, a power cut leaves each sector of 512 bytes
//! by chance, in no order, and each change of the length; of names that were not synced (made, renamed, removed) likewise. The end of the process
//! alone loses nothing yet, but makes nothing durable either.

mod medium;
mod sim_disk;

pub use medium::{Faults, Medium};
pub use sim_disk::{Hired, SimDisk};
