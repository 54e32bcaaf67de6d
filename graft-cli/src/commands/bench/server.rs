//! The server that is measured: one in this process if no address is given, and the counters of the leader in any case.

use std::path::Path;
use std::time::Duration;

use graft_client::Client;
use graft_client::proto::StatsResponse;
use graftd::app::Daemon;
use graftd::config::Config;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::commands::dev::{failed, refused};
use crate::error::{CliError, CliResult};

/// Longest wait for a leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A server in this process, its data in a temporary directory.
pub(crate) struct Here {
    daemon: Daemon,
    _data: TempDir,
}

impl Here {
    /// Starts it. Its data goes below `directory`, so that it is on the disk whose fdatasync is measured.
    pub(crate) async fn start(directory: &Path) -> CliResult<Self> {
        let data = tempfile::Builder::new().prefix(".graft-bench-").tempdir_in(directory).map_err(|error| {
            CliError::Usage(format!(
                "failed to make a directory in {}: {error}. Name one that can be written with --fsync-dir.",
                directory.display()
            ))
        })?;
        let daemon = Daemon::start(Config::in_process(data.path())).await.map_err(refused)?;
        daemon.ready().await.map_err(|failure| failed(&failure))?;
        Ok(Self { daemon, _data: data })
    }

    /// Where it answers.
    pub(crate) fn addr(&self) -> String {
        format!("http://{}", self.daemon.client_address())
    }

    /// Stops it and removes its data.
    pub(crate) async fn stop(self) {
        self.daemon.shutdown().await;
    }
}

/// The member that leads, and how to ask it.
pub(crate) struct Leader {
    id: u64,
    term: u64,
    client: Client,
}

impl PartialEq for Leader {
    /// The same member in the same term: it has led all the time.
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.term) == (other.id, other.term)
    }
}

impl Leader {
    /// Asks who leads, until somebody does.
    pub(crate) async fn find(client: &Client) -> CliResult<Self> {
        let until = Instant::now() + LEADER_TIMEOUT;
        loop {
            let status = client.cluster_status().await?;
            if let Some(leader) = status.members.iter().find(|member| status.leader > 0 && member.raft_id == status.leader) {
                return Ok(Self { id: leader.raft_id, term: status.term, client: client.at(&leader.client_address)? });
            }
            if Instant::now() >= until {
                let seconds = LEADER_TIMEOUT.as_secs();
                return Err(CliError::Other(format!("the cluster has no leader after {seconds} s. See `graft cluster status`.")));
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Reads its counters.
    pub(crate) async fn read(&self) -> CliResult<Reading> {
        let stats = self.client.stats().await?;
        Ok(Reading { at: Instant::now(), stats })
    }
}

/// The leader's counters at one moment.
pub(crate) struct Reading {
    at: Instant,
    stats: StatsResponse,
}

/// What the leader counted between two readings; where not said otherwise, in the window.
#[derive(Debug, PartialEq)]
pub(crate) struct Counted {
    /// How long that was.
    pub(crate) took: Duration,
    /// Commands that resolve a step, for each step that the workers executed, in the whole run.
    pub(crate) commands_per_step: Option<f64>,
    /// Log entries with commands, for each of those steps.
    pub(crate) entries_per_step: Option<f64>,
    /// Starts.
    pub(crate) start_commands: u64,
    /// Session commands.
    pub(crate) session_commands: u64,
    /// Everything else.
    pub(crate) other_commands: u64,
    /// Durable commits of the log file.
    pub(crate) log_fsyncs: u64,
    /// Durable commits of the state file.
    pub(crate) state_fsyncs: u64,
    /// Highest resident memory of the process so far.
    pub(crate) peak_memory_bytes: u64,
}

impl Counted {
    /// From the readings before the run and before, after and behind its window and end, and the steps that the workers executed in it;
    /// `None` if not all are of one process.
    pub(crate) fn of([first, before, after, last]: [&Reading; 4], steps: u64) -> Option<Self> {
        let members = [first, before, after, last].map(|reading| reading.stats.member);
        if members.iter().any(|member| *member != members[0]) {
            return None;
        }
        let run = last.stats.step_commands.checked_sub(first.stats.step_commands)?;
        let (took, before, after) = (after.at - before.at, &before.stats, &after.stats);
        let window = after.step_commands.checked_sub(before.step_commands)?;
        let entries = after.entries.checked_sub(before.entries)?;
        let ratio = |count: u64, of: u64| (of > 0).then(|| count as f64 / of as f64);
        let commands_per_step = ratio(run, steps);
        Some(Self {
            took,
            commands_per_step,
            entries_per_step: ratio(entries, window).and_then(|per_command| Some(per_command * commands_per_step?)),
            start_commands: after.start_commands.checked_sub(before.start_commands)?,
            session_commands: after.session_commands.checked_sub(before.session_commands)?,
            other_commands: after.other_commands.checked_sub(before.other_commands)?,
            log_fsyncs: after.log_fsyncs.checked_sub(before.log_fsyncs)?,
            state_fsyncs: after.state_fsyncs.checked_sub(before.state_fsyncs)?,
            peak_memory_bytes: after.peak_memory_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(second: u64, step_commands: u64, entries: u64) -> Reading {
        let stats = StatsResponse { member: 1, step_commands, entries, ..StatsResponse::default() };
        Reading { at: Instant::now() + Duration::from_secs(second), stats }
    }

    #[test]
    fn a_reading_that_took_long_does_not_count_more_for_each_step() {
        // Of the 1,000 steps of the run the server resolved 700 between the readings of the window, however many the workers saw meanwhile.
        let readings = [reading(0, 50, 5), reading(1, 250, 30), reading(4, 950, 100), reading(5, 1_050, 111)];
        let counted = Counted::of(readings.each_ref(), 1_000).unwrap();
        assert_eq!((counted.commands_per_step, counted.entries_per_step), (Some(1.0), Some(0.1)));
        assert_eq!(counted.took.as_secs_f64().round(), 3.0);
        let idle = [reading(0, 9, 1), reading(1, 9, 1), reading(2, 9, 1), reading(3, 9, 1)];
        let counted = Counted::of(idle.each_ref(), 0).unwrap();
        assert_eq!((counted.commands_per_step, counted.entries_per_step), (None, None));
    }

    #[test]
    fn counters_that_went_back_are_those_of_another_process() {
        let went_back = [reading(0, 5, 5), reading(1, 9, 9), reading(2, 7, 7), reading(3, 8, 8)];
        assert_eq!(Counted::of(went_back.each_ref(), 4), None);
        let mut moved = [reading(0, 5, 5), reading(1, 6, 6), reading(2, 7, 7), reading(3, 8, 8)];
        assert!(Counted::of(moved.each_ref(), 4).is_some());
        moved[3].stats.member = 2;
        assert_eq!(Counted::of(moved.each_ref(), 4), None);
    }
}
