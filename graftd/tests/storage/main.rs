//! The storage floor, through its public face.
//!
//! Random tests take their seed from `GRAFT_SEED` when it is set and print it, with the command, when they fail. A seed repeats every
//! choice of the test and of its disk; which writes share a commit is up to the threads.

mod caches;
mod damage;
mod disk;
mod group_commit;
mod log;
mod log_model;
mod older;
mod power_cut;
mod state;
mod state_model;
