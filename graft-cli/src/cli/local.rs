//! Commands that need no cluster, or bring their own: `dev`, `bench`, `completions`, `man`, `explain`, `schema`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::value;

/// Arguments of `graft dev`.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Keep the data here instead of in a temporary directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where it answers; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7420", value_name = "HOST:PORT")]
    pub(crate) listen: String,
}

/// Shapes of workflows that the bench starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One step.
    Single,
    /// Several steps, one after the other.
    Chain,
    /// One step, then several in parallel, then their join.
    Fanout,
}

/// Arguments of `graft bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Bench {
    /// Shape of the workflows.
    #[arg(long, value_enum, default_value_t = Workload::Single)]
    pub(crate) workload: Workload,
    /// Steps of a chain.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) steps: u32,
    /// Tasks of a fan-out.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) width: u32,
    /// Workflows in flight.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) concurrency: u32,
    /// How long is measured.
    #[arg(long, default_value = "10s", value_parser = value::some_time, value_name = "DURATION")]
    pub(crate) duration: Duration,
    /// How long it runs before it is measured.
    #[arg(long, default_value = "1s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) warmup: Duration,
    /// Bytes of a workflow's state, up to 1,000,000.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) payload: u32,
    /// Each step also changes the state: it increments a counter, and the final count is checked.
    #[arg(long)]
    pub(crate) write: bool,
    /// Workers, all in this process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,
    /// Where the plain fdatasync is measured, and where the data of a server in this process goes; otherwise the current directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) fsync_dir: Option<PathBuf>,
}

/// Arguments of `graft completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
    /// The program whose words it is to know.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) of: Program,
}

/// The programs of a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// This one.
    #[default]
    Graft,
    /// The daemon.
    Graftd,
}

/// Arguments of `graft man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Where the pages go; made if it is not there.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Arguments of `graft explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code of an error, such as GR0003; otherwise all codes are listed.
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

/// Arguments of `graft schema`.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// The kind, as documents name it: WorkflowList; otherwise all kinds are listed.
    #[arg(value_name = "KIND")]
    pub(crate) kind: Option<String>,
}
