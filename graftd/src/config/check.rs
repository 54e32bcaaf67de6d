//! What the keys mean to each other. Everything that is wrong is said at once.

use graft_machine::names::check_name;

use super::{Config, ConfigError, HostPort, Problem};

/// Longest member or cluster name, in bytes.
const NAME_MAX: usize = 63;
/// Heartbeats that must fit into the shortest election timeout.
const HEARTBEATS_PER_ELECTION: u64 = 3;
/// Most members that may form a cluster at once; more only cost time.
const EXPECT_MAX: u32 = 9;
/// Largest batch of commands in one entry, in bytes; with one more command it must fit the largest message that members take (16 MiB).
const BATCH_BYTES_MAX: u64 = 8 << 20;
/// Most entries that may be under way at once: openraft's queue to the state machine holds 1,024.
const ENTRIES_IN_FLIGHT_MAX: u64 = 256;
/// Most of what is counted one by one.
const COUNT_MAX: u64 = 1_000_000;

impl Config {
    /// Whether the keys fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        names(self, &mut problems);
        cluster(self, &mut problems);
        listeners(self, &mut problems);
        raft(self, &mut problems);
        bounds(self, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

/// Whether this can be the name of a member or of a cluster.
pub fn valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn names(config: &Config, problems: &mut Vec<Problem>) {
    let mut check = |key: &str, name: &str| {
        if !valid_name(name) {
            let why = format!("`{name}` is no name: 1 to {NAME_MAX} letters, digits, `.`, `_` or `-`");
            problems.push(Problem::of(key, why, "choose another name"));
        }
    };
    check("cluster.name", &config.cluster.name);
    if let Some(name) = &config.node.name {
        check("node.name", name);
    }
    if config.node.data_dir.as_os_str().is_empty() {
        problems.push(Problem::of("node.data_dir", "it is empty", "name a directory, or leave the key out for ./graft-data"));
    }
}

fn cluster(config: &Config, problems: &mut Vec<Problem>) {
    let cluster = &config.cluster;
    if let Some(expect) = cluster.expect {
        if !(1..=EXPECT_MAX).contains(&expect) || expect.is_multiple_of(2) {
            let why = format!("{expect} members: it must be odd, and at most {EXPECT_MAX}; an even number survives no more than one less");
            problems.push(Problem::of("cluster.expect", why, "use 1, 3 or 5, the same on every member"));
        }
        if expect > 1 && cluster.peers.is_empty() {
            let why = format!("{expect} members are expected, but no peers are named: the members could never meet");
            problems.push(Problem::of("cluster.peers", why, "list the members' peer addresses: peers = [\"HOST:PORT\", ..]"));
        }
        if !cluster.peers.is_empty() && (expect as usize) > cluster.peers.len() + 1 {
            let why = format!("{expect} members are expected, but {} peers are named", cluster.peers.len());
            problems.push(Problem::of("cluster.peers", why, "list the peer address of every member"));
        }
    } else if !cluster.peers.is_empty() {
        let why = "peers are named, but not how many members form the cluster: without that number a slow start could form two clusters";
        problems.push(Problem::of(
            "cluster.expect",
            why,
            format!("say expect = {}, the same on every member", cluster.peers.len().max(3) | 1),
        ));
    }
    if !cluster.peers.is_empty() && config.node.name.is_none() {
        let why = "members of a cluster are told apart by name, and this one has none";
        problems.push(Problem::of("node.name", why, "give each member a name of its own, like graft-0, graft-1, graft-2"));
    }
}

fn listeners(config: &Config, problems: &mut Vec<Problem>) {
    let listen = Some(config.client.listen.clone());
    let peer_listen = config.peer_listen();
    let pairs = [
        ("client.listen", &listen, "client.advertise", &config.client.advertise),
        ("cluster.peer_listen", &peer_listen, "cluster.peer_advertise", &config.cluster.peer_advertise),
    ];
    for (key, listen, advertise_key, advertise) in pairs {
        if let Some(listen) = listen {
            // Clients may be served openly if that is said; members never are: whoever reached the peer port could write the log.
            let for_members = key == "cluster.peer_listen";
            if !listen.is_loopback() && for_members {
                let why = format!("{listen} can be reached from other machines, and members of this version talk without TLS");
                problems.push(Problem::of(key, why, "listen on 127.0.0.1"));
            } else if !listen.is_loopback() && !config.security.insecure {
                let why = format!("{listen} can be reached from other machines, and this version has neither TLS nor authentication");
                problems.push(Problem::of(key, why, "listen on 127.0.0.1, or say --insecure if the network keeps strangers away"));
            }
            let unreachable = |address: &HostPort| address.is_unspecified();
            if advertise.as_ref().map_or(unreachable(listen), unreachable) {
                let why = format!("{listen} stands for all addresses of this machine; others cannot be told to connect to it");
                problems.push(Problem::of(advertise_key, why, "set it to the HOST:PORT at which others reach this member"));
            }
        } else if advertise.is_some() {
            problems.push(Problem::of(
                advertise_key,
                "it advertises a listener that is not opened",
                "set cluster.peers or cluster.peer_listen",
            ));
        }
    }
    for peer in &config.cluster.peers {
        if !peer.is_loopback() {
            let why = format!("{peer} is on another machine, and members of this version talk without TLS: on loopback only");
            problems.push(Problem::of("cluster.peers", why, "use loopback addresses"));
        }
    }
    if peer_listen.is_some_and(|peer| peer == config.client.listen && peer.port() != 0) {
        let why = "clients and members cannot share one port";
        problems.push(Problem::of("cluster.peer_listen", why, "use another port for members, like 7421"));
    }
}

fn raft(config: &Config, problems: &mut Vec<Problem>) {
    let raft = &config.raft;
    if raft.election_min.millis() <= HEARTBEATS_PER_ELECTION * raft.heartbeat.millis() {
        let why = format!(
            "{} is not more than {HEARTBEATS_PER_ELECTION} heartbeats of {}: one lost heartbeat would unseat a healthy leader",
            raft.election_min, raft.heartbeat
        );
        problems.push(Problem::of("raft.election_min", why, "raise it, or lower raft.heartbeat"));
    }
    if raft.election_max <= raft.election_min {
        let why = format!("{} is not above raft.election_min ({}): candidates would collide", raft.election_max, raft.election_min);
        problems.push(Problem::of("raft.election_max", why, "twice raft.election_min is usual"));
    }
    if config.scheduler.lease.millis() <= 2 * raft.election_max.millis() {
        let why = format!("{} would end before a new leader can be elected ({})", config.scheduler.lease, raft.election_max);
        problems.push(Problem::of("scheduler.lease", why, "make it several times raft.election_max; 10s is usual"));
    }
}

fn bounds(config: &Config, problems: &mut Vec<Problem>) {
    for name in config.scheduler.node_limits.keys() {
        let (namespace, node) = name.split_once('/').unwrap_or(("default", name));
        if let Some(error) = check_name(namespace).err().or(check_name(node).err()) {
            let why = format!("this names no node: it {error}");
            problems.push(Problem::of(format!("scheduler.node_limits.{name}"), why, "write `node` or `namespace/node`"));
        }
    }
    at_most(config, problems);
    let mut at_least = |key: &str, value: u64, least: u64, shown: String| {
        if value < least {
            problems.push(Problem::of(key, format!("{shown} is too small"), format!("use at least {least}")));
        }
    };
    let raft = &config.raft;
    at_least("raft.heartbeat", raft.heartbeat.millis(), 1, raft.heartbeat.to_string());
    at_least("raft.batch_commands", raft.batch_commands as u64, 1, raft.batch_commands.to_string());
    at_least("raft.batch_bytes", raft.batch_bytes.bytes() as u64, 1 << 10, raft.batch_bytes.to_string());
    at_least("raft.entries_in_flight", raft.entries_in_flight as u64, 1, raft.entries_in_flight.to_string());
    at_least("raft.pending_commands", raft.pending_commands as u64, raft.batch_commands as u64, raft.pending_commands.to_string());
    at_least("raft.snapshot_every", raft.snapshot_every, 16, raft.snapshot_every.to_string());
    at_least("raft.log_keep", raft.log_keep, (raft.entries_in_flight as u64).saturating_mul(16), raft.log_keep.to_string());
    for (key, size) in [("raft.snapshot_every_bytes", raft.snapshot_every_bytes), ("raft.log_keep_bytes", raft.log_keep_bytes)] {
        at_least(key, size.bytes() as u64, 1 << 20, size.to_string());
    }
    let storage = &config.storage;
    for (key, size) in [("storage.cache", storage.cache), ("storage.log_cache", storage.log_cache), ("storage.overlay", storage.overlay)] {
        at_least(key, size.bytes() as u64, 1 << 20, size.to_string());
    }
    at_least("storage.log_tail", storage.log_tail.bytes() as u64, 1 << 20, storage.log_tail.to_string());
    at_least("storage.flush_interval", storage.flush_interval.millis(), 10, storage.flush_interval.to_string());
    at_least("workflow.retention", config.workflow.retention.millis(), 1_000, config.workflow.retention.to_string());
    for (node, limit) in &config.scheduler.node_limits {
        at_least(&format!("scheduler.node_limits.{node}"), u64::from(*limit), 1, limit.to_string());
    }
}

/// Bounds from above: what is beyond them breaks something that no error would explain.
fn at_most(config: &Config, problems: &mut Vec<Problem>) {
    let raft = &config.raft;
    let batch_bytes = (raft.batch_bytes.bytes() as u64, raft.batch_bytes.to_string());
    let counted = |count: usize| (count as u64, count.to_string());
    let all = [
        ("raft.batch_bytes", batch_bytes, BATCH_BYTES_MAX, "the other members take no larger entries, and the log could never go on"),
        ("raft.batch_commands", counted(raft.batch_commands), COUNT_MAX, "so many commands are never there at once"),
        ("raft.entries_in_flight", counted(raft.entries_in_flight), ENTRIES_IN_FLIGHT_MAX, "heartbeats would wait behind them"),
        ("raft.pending_commands", counted(raft.pending_commands), COUNT_MAX, "they would not fit in memory"),
    ];
    for (key, (value, shown), most, because) in all {
        if value > most {
            problems.push(Problem::of(key, format!("{shown} is too much: {because}"), format!("use at most {most}")));
        }
    }
}
