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
                return Ok(Self { id: leader.raft_id, term: status.term, client: Client::connect(leader.client_address.as_str())? });
            }
            if Instant::now() >= until {
                let seconds = LEADER_TIMEOUT.as_secs();
                return Err(CliError::Other(format!("the cluster has no leader after {seconds} s. See `graft cluster status`.")));
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Its counters.
    pub(crate) async fn stats(&self) -> CliResult<StatsResponse> {
        Ok(self.client.stats().await?)
    }
}

/// What the leader counted in the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Log entries with commands.
    pub(crate) entries: u64,
    /// Commands that resolve a step.
    pub(crate) step_commands: u64,
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
    /// The difference; `None` if another process answered the second time.
    pub(crate) fn between(before: &StatsResponse, after: &StatsResponse) -> Option<Self> {
        if before.member != after.member {
            return None;
        }
        Some(Self {
            entries: after.entries.checked_sub(before.entries)?,
            step_commands: after.step_commands.checked_sub(before.step_commands)?,
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

    #[test]
    fn counters_that_went_back_are_those_of_another_process() {
        let stats = |entries| StatsResponse { entries, member: 1, ..StatsResponse::default() };
        assert_eq!(Counted::between(&stats(5), &stats(9)).unwrap().entries, 4);
        assert_eq!(Counted::between(&stats(9), &stats(5)), None);
        assert_eq!(Counted::between(&stats(5), &StatsResponse { member: 2, ..stats(9) }), None);
    }
}
