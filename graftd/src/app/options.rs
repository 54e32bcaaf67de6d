//! Carries the configuration to the floors: every key that a floor reads passes through here.

use graft_proto::peer_identity::MemberIdentity;

use crate::config::{Cluster, Config};
use crate::consensus::{ConsensusOptions, MemberInfo};
use crate::peer_tls::{MaterialError, MaterialFiles, PeerSecurity};
use crate::scheduler::{SchedulerOptions, SeedLimits};
use crate::storage::{LogOptions, StateOptions};

/// Namespace of a node limit that names none.
const NAMESPACE_DEFAULT: &str = "default";

pub(super) fn state(config: &Config) -> StateOptions {
    let storage = &config.storage;
    StateOptions {
        cache_bytes: storage.cache.bytes(),
        overlay_bytes: storage.overlay.bytes(),
        flush_interval_ms: storage.flush_interval.millis(),
    }
}

pub(super) fn log(config: &Config) -> LogOptions {
    LogOptions { cache_bytes: config.storage.log_cache.bytes(), tail_bytes: config.storage.log_tail.bytes() }
}

/// Reads the files for TLS between members, if some are named.
pub(super) fn peer_security(config: &Config, member: &str) -> Result<PeerSecurity, MaterialError> {
    let Cluster { name, peer_ca, peer_cert, peer_key, .. } = &config.cluster;
    let (Some(ca), Some(cert), Some(key)) = (peer_ca, peer_cert, peer_key) else { return Ok(PeerSecurity::Plain) };
    let files = MaterialFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
    PeerSecurity::tls(files, MemberIdentity { cluster: name.clone(), member: member.to_owned() })
}

pub(super) fn consensus(config: &Config, member: MemberInfo, security: PeerSecurity) -> ConsensusOptions {
    let raft = &config.raft;
    ConsensusOptions {
        member,
        security,
        cluster_name: config.cluster.name.clone(),
        heartbeat_ms: raft.heartbeat.millis(),
        election_min_ms: raft.election_min.millis(),
        election_max_ms: raft.election_max.millis(),
        batch_commands: raft.batch_commands,
        batch_bytes: raft.batch_bytes.bytes(),
        entries_in_flight: raft.entries_in_flight,
        pending_commands_max: raft.pending_commands,
        snapshot_every_entries: raft.snapshot_every,
        snapshot_every_bytes: raft.snapshot_every_bytes.bytes() as u64,
        log_keep_entries: raft.log_keep,
        log_keep_bytes: raft.log_keep_bytes.bytes() as u64,
    }
}

pub(super) fn scheduler(config: &Config) -> SchedulerOptions {
    let scheduler = &config.scheduler;
    let nodes = scheduler.node_limits.iter().map(|(name, limit)| {
        let (namespace, node) = name.split_once('/').unwrap_or((NAMESPACE_DEFAULT, name));
        (namespace.to_owned(), node.to_owned(), *limit)
    });
    let total = (scheduler.total_limit > 0).then_some(scheduler.total_limit);
    SchedulerOptions {
        lease_ms: scheduler.lease.millis(),
        seed_limits: SeedLimits { total, nodes: nodes.collect() },
        ..SchedulerOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Size, Span};

    /// Every number of these sections, set to one of its own.
    fn distinct() -> Config {
        let mut config = Config::default();
        config.cluster.name = "c".into();
        config.raft.heartbeat = Span::from_millis(1);
        config.raft.election_min = Span::from_millis(2);
        config.raft.election_max = Span::from_millis(3);
        config.raft.batch_commands = 4;
        config.raft.batch_bytes = Size::from_bytes(5);
        config.raft.entries_in_flight = 6;
        config.raft.pending_commands = 7;
        config.raft.snapshot_every = 8;
        config.raft.log_keep = 9;
        config.raft.snapshot_every_bytes = Size::from_bytes(19);
        config.raft.log_keep_bytes = Size::from_bytes(20);
        config.storage.cache = Size::from_bytes(10);
        config.storage.log_cache = Size::from_bytes(11);
        config.storage.overlay = Size::from_bytes(12);
        config.storage.flush_interval = Span::from_millis(13);
        config.storage.log_tail = Size::from_bytes(14);
        config.scheduler.lease = Span::from_millis(15);
        config.scheduler.total_limit = 16;
        config.scheduler.node_limits = [("ocr".to_owned(), 17), ("team/ocr".to_owned(), 18)].into();
        config
    }

    #[test]
    fn every_key_of_raft_reaches_consensus() {
        let member = MemberInfo { name: "a".into(), ..MemberInfo::default() };
        let options = consensus(&distinct(), member.clone(), PeerSecurity::Plain);
        assert_eq!(options.member, member);
        assert_eq!(options.cluster_name, "c");
        assert_eq!((options.heartbeat_ms, options.election_min_ms, options.election_max_ms), (1, 2, 3));
        assert_eq!((options.batch_commands, options.batch_bytes), (4, 5));
        assert_eq!((options.entries_in_flight, options.pending_commands_max), (6, 7));
        assert_eq!((options.snapshot_every_entries, options.log_keep_entries), (8, 9));
        assert_eq!((options.snapshot_every_bytes, options.log_keep_bytes), (19, 20));
    }

    #[test]
    fn every_key_of_storage_reaches_the_two_files() {
        let config = distinct();
        let (state, log) = (state(&config), log(&config));
        assert_eq!((state.cache_bytes, state.overlay_bytes, state.flush_interval_ms), (10, 12, 13));
        assert_eq!((log.cache_bytes, log.tail_bytes), (11, 14));
    }

    #[test]
    fn every_key_of_the_scheduler_reaches_it() {
        let options = scheduler(&distinct());
        assert_eq!(options.lease_ms, 15);
        assert_eq!(options.seed_limits.total, Some(16));
        let nodes = [("default".into(), "ocr".into(), 17), ("team".into(), "ocr".into(), 18)];
        assert_eq!(options.seed_limits.nodes, nodes);
        assert_eq!(scheduler(&Config::default()).seed_limits.total, None, "0 is no limit");
    }
}
