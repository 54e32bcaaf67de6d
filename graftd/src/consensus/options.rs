//! The settings of this floor.

use openraft::{Config, SnapshotPolicy};

use std::time::Duration;

use super::error::OpenError;
use super::member::MemberInfo;
use crate::discovery::join_policy::JoinPolicy;
use crate::observability::traces::Traces;
use crate::tls::members::PeerSecurity;

/// Entries that are kept in the log below a snapshot, at least, as a multiple of what can be in flight: what is queued to be applied must
/// never be purged.
const KEEP_PER_ENTRY_IN_FLIGHT: u64 = 16;
/// How long sending or installing one snapshot may take, in milliseconds.
const SNAPSHOT_TIMEOUT_MS: u64 = 30 * 60_000;
/// Most entries of one request to append; the bytes are bounded where the log is read.
const ENTRIES_PER_APPEND: u64 = 64;
/// Committed entries that may wait for the state machine, far more than the log has in flight: a follower that catches up fills it.
const STATE_MACHINE_QUEUE: u64 = 65_536;
/// Wait before an unreachable member is tried again.
const BACKOFF: &str = "100ms";

/// What the leader keeps to when it changes the membership.
#[derive(Clone, Debug)]
pub struct MembershipRules {
    /// Who may join.
    pub join: JoinPolicy,
    /// Most members that vote; further ones stay learners.
    pub voters_max: usize,
    /// A learner becomes a voter when it has been caught up for so long.
    pub promote_after: Duration,
    /// A member may be replaced by a fresh one of its name when it has been silent for so long.
    pub replace_after: Duration,
}

impl Default for MembershipRules {
    fn default() -> Self {
        Self {
            join: JoinPolicy::Restricted { expected: Vec::new() },
            voters_max: 5,
            promote_after: Duration::from_secs(3),
            replace_after: Duration::from_secs(30),
        }
    }
}

/// How this member takes part. All times are in milliseconds.
#[derive(Clone, Debug)]
pub struct ConsensusOptions {
    /// This member.
    pub member: MemberInfo,
    /// Name of the cluster, for logs and status.
    pub cluster_name: String,
    /// How members speak to each other.
    pub security: PeerSecurity,
    /// What it keeps to when it leads and members come or go.
    pub membership: MembershipRules,
    /// Time between heartbeats.
    pub heartbeat_ms: u64,
    /// Shortest time without a leader before an election, on top of the leader lease.
    pub election_min_ms: u64,
    /// Longest one; also the leader lease.
    pub election_max_ms: u64,
    /// Most commands in one entry.
    pub batch_commands: usize,
    /// Most bytes in one entry (a single command may be larger).
    pub batch_bytes: usize,
    /// Entries that are under way at a time.
    pub entries_in_flight: usize,
    /// Most commands that wait or are under way; more are refused.
    pub pending_commands_max: usize,
    /// A snapshot is taken (the state is flushed, and the log before it may be purged) after so many entries.
    pub snapshot_every_entries: u64,
    /// A snapshot is taken, too, when the entries since the last one have more bytes than this.
    pub snapshot_every_bytes: u64,
    /// Entries that are kept in the log before the last snapshot, for followers that were away. At least 16 times `entries_in_flight`.
    pub log_keep_entries: u64,
    /// Of those, only so many bytes are kept, but never fewer than 16 times `entries_in_flight` entries.
    pub log_keep_bytes: u64,
    /// Who is told of the history, for spans.
    pub traces: Traces,
}

impl Default for ConsensusOptions {
    fn default() -> Self {
        Self {
            member: MemberInfo::default(),
            cluster_name: String::from("graft"),
            security: PeerSecurity::Plain,
            membership: MembershipRules::default(),
            heartbeat_ms: 50,
            election_min_ms: 150,
            election_max_ms: 300,
            batch_commands: 1024,
            batch_bytes: 1 << 20,
            entries_in_flight: 4,
            pending_commands_max: 65_536,
            snapshot_every_entries: 20_000,
            snapshot_every_bytes: 128 << 20,
            log_keep_entries: 20_000,
            log_keep_bytes: 64 << 20,
            traces: Traces::none(),
        }
    }
}

impl ConsensusOptions {
    /// Entries before the last snapshot that are kept whatever their bytes are.
    pub(crate) fn log_keep_least(&self) -> u64 {
        KEEP_PER_ENTRY_IN_FLIGHT * self.entries_in_flight as u64
    }

    /// openraft's settings.
    pub(crate) fn raft_config(&self) -> Result<Config, OpenError> {
        let invalid = |reason: String| OpenError::Options { reason };
        for (name, value) in [
            ("batch_commands", self.batch_commands),
            ("batch_bytes", self.batch_bytes),
            ("entries_in_flight", self.entries_in_flight),
            ("pending_commands_max", self.pending_commands_max),
            ("snapshot_every_entries", self.snapshot_every_entries as usize),
            ("snapshot_every_bytes", self.snapshot_every_bytes as usize),
        ] {
            if value == 0 {
                return Err(invalid(format!("{name} must be at least 1")));
            }
        }
        if self.pending_commands_max < self.batch_commands {
            return Err(invalid("pending_commands_max must be at least batch_commands".into()));
        }
        let keep = self.log_keep_least();
        if self.log_keep_entries < keep {
            return Err(invalid(format!("log_keep_entries must be at least {keep}: 16 times entries_in_flight")));
        }
        let config = Config {
            cluster_name: self.cluster_name.clone(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            enable_pre_vote: Some(true),
            // A restarted leader must win a new term: leases carry the term.
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every_entries),
            // `trim` alone purges: openraft's own purge counts entries only, and does not mix with one that is asked for.
            max_in_snapshot_log_to_keep: u64::MAX,
            // Entries that are being sent are never purged: a member that is away must not keep the log growing.
            replication_lag_threshold: self.log_keep_entries,
            install_snapshot_timeout: SNAPSHOT_TIMEOUT_MS,
            max_payload_entries: ENTRIES_PER_APPEND,
            // A full queue to the state machine would hold up the raft core, heartbeats included.
            state_machine_channel_size: Some(STATE_MACHINE_QUEUE),
            backoff: BACKOFF.into(),
            ..Config::default()
        };
        config.validate().map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        ConsensusOptions::default().raft_config().expect("valid");
    }

    #[test]
    fn every_option_of_openraft_s_reaches_it() {
        let options = ConsensusOptions {
            cluster_name: "c".into(),
            heartbeat_ms: 11,
            election_min_ms: 100,
            election_max_ms: 200,
            snapshot_every_entries: 777,
            log_keep_entries: 888,
            ..ConsensusOptions::default()
        };
        let config = options.raft_config().expect("valid");
        assert_eq!((config.cluster_name.as_str(), config.heartbeat_interval), ("c", 11));
        assert_eq!((config.election_timeout_min, config.election_timeout_max), (100, 200));
        assert_eq!((config.snapshot_policy, config.replication_lag_threshold), (SnapshotPolicy::LogsSinceLast(777), 888));
        assert_eq!((config.enable_pre_vote, config.enable_leader_restore), (Some(true), Some(false)));
    }

    #[test]
    fn a_log_that_could_be_purged_under_what_is_in_flight_is_refused() {
        let options = ConsensusOptions { log_keep_entries: 63, ..ConsensusOptions::default() };
        let error = options.raft_config().expect_err("too few");
        assert!(error.to_string().contains("at least 64"), "{error}");
    }
}
