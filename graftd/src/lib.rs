//! The Graft daemon: one binary that holds a replicated log and state, a scheduler and the APIs.
//!
//! A request comes in at the top and goes down: **api** makes a command of it, **consensus** puts it into the log of all members, the pure
//! state machine (`graft-machine`) applies it to the tables of **storage**, and the answer goes back the same way. News comes up as values:
//! what was applied has effects, which the **scheduler** on the leader turns into work for workers.
//!
//! Each floor sees only those below it. The leaves stand beside the floors: whoever needs one may use it, and it sees none of them. Only
//! **app** sees everything: it puts a daemon together, which the binary, the tests, the examples and `graft dev` all do in the same way:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let daemon = graftd::app::Daemon::start(graftd::config::Config::in_process(dir.path().join("data"))).await?;
//! daemon.ready().await?;
//! println!("http://{}", daemon.client_address());
//! daemon.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! `ARCHITECTURE.md` beside this crate tells the whole, `decisions/` why it is so.

// The leaves.
pub mod auth;
pub mod built;
pub mod clock;
pub mod config;
pub mod crowd;
pub mod discovery;
pub mod observability;
pub mod shutdown;
pub mod tls;

// The floors, bottom up.
pub mod storage;

pub mod consensus;

pub mod scheduler;

pub mod api;

pub mod app;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

/// Of every program that runs a member. A third of a busy member's time went into the system's one, and what had been freed stayed in pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The daemon's `main`: reads the command line, does what it says (nothing: runs until it is told to end or cannot go on), and returns the exit
/// code.
///
/// 0: drained · 2: unknown flag · 70: could not go on · 75: port or data directory in use · 76: taken out of the cluster · 77: data of another cluster · 78: configuration.
pub fn main_from_args() -> ExitCode {
    main_with_disk(storage::RealDisk::shared())
}

/// As [`main_from_args`], with the log and the state on another disk than the system's: for tests of what a disk can do to a daemon.
pub fn main_with_disk(disk: Arc<dyn storage::Disk>) -> ExitCode {
    let cli = config::Cli::parse();
    match &cli.command {
        None => app::run(&cli.flags, disk),
        Some(config::Command::Config(command)) => app::configuration(&cli.flags, command),
        Some(config::Command::Recover(args)) => app::recover(&cli.flags, args, &disk),
    }
}
