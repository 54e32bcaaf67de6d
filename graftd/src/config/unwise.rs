//! What is allowed, but will be regretted. `graftd config check` says it, `--strict` refuses it, and a daemon that starts logs it.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Config, Problem, Span};

/// Below this, a busy machine looks like a dead one.
const HEARTBEAT_LEAST: Span = Span::from_millis(20);
/// Above this, a dead leader holds everybody up for long.
const ELECTION_MOST: Span = Span::from_millis(10_000);
/// A worker that is silent for less than this may only be busy.
const LEASE_LEAST: Span = Span::from_millis(2_000);
/// Above this, the work of a dead worker lies for long.
const LEASE_MOST: Span = Span::from_millis(10 * 60_000);
/// Below this, nobody can look at what has ended.
const RETENTION_LEAST: Span = Span::from_millis(60_000);
/// Below this, requests that are under way are cut off.
const GRACE_LEAST: Span = Span::from_millis(1_000);
/// Above this, supervisors kill what drains (`deploy/graftd.service` waits 45 s).
const GRACE_MOST: Span = Span::from_millis(40_000);
/// Above this, a restart after a crash replays for long.
const FLUSH_MOST: Span = Span::from_millis(60_000);

/// Everything that is unwise.
pub(super) fn warnings(config: &Config) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let mut warn = |key: &str, why: String, remedy: &str| warnings.push(Problem::of(key, why, remedy));
    let (raft, scheduler, cluster) = (&config.raft, &config.scheduler, &config.cluster);
    if raft.heartbeat < HEARTBEAT_LEAST {
        let why = format!("{} is so short that a member which is only busy looks dead", raft.heartbeat);
        warn("raft.heartbeat", why, "50ms is usual");
    }
    if raft.election_max > ELECTION_MOST {
        let why = format!("{}: when the leader dies, nothing moves for as long", raft.election_max);
        warn("raft.election_max", why, "300ms is usual, a few seconds on slow disks or networks");
    }
    if scheduler.lease < LEASE_LEAST {
        let why = format!("{}: a worker that is only busy for so long loses its work, which then runs twice", scheduler.lease);
        warn("scheduler.lease", why, "10s is usual");
    }
    if scheduler.lease > LEASE_MOST {
        let why = format!("{}: the work of a worker that died waits as long", scheduler.lease);
        warn("scheduler.lease", why, "10s is usual: workers renew it while they work");
    }
    if config.storage.flush_interval > FLUSH_MOST {
        let why = format!("{}: a restart after a crash replays what came in as long", config.storage.flush_interval);
        warn("storage.flush_interval", why, "1s is usual");
    }
    if config.workflow.retention < RETENTION_LEAST {
        let why = format!("{}: a workflow is gone before anybody can look at how it ended", config.workflow.retention);
        warn("workflow.retention", why, "7d is usual; a start can say less for its own workflow");
    }
    if config.shutdown.grace < GRACE_LEAST {
        warn("shutdown.grace", format!("{}: requests that are under way are cut off", config.shutdown.grace), "30s is usual");
    }
    if config.shutdown.grace > GRACE_MOST {
        let why = format!("{}: most supervisors kill what takes so long (deploy/graftd.service after 45 s)", config.shutdown.grace);
        warn("shutdown.grace", why, "stay below what the supervisor waits, or make it wait longer");
    }
    if ["debug", "trace"].iter().any(|level| config.log.level.split(',').any(|part| part.eq_ignore_ascii_case(level))) {
        warn(
            "log.level",
            format!("`{}` writes several lines for each request", config.log.level),
            "name modules: info,graftd::scheduler=debug",
        );
    }
    if config.client.listen.port() == 0 {
        warn("client.listen", "each start takes another port, which clients cannot know".into(), "name a port; 7420 is usual");
    }
    if config.security.insecure && config.client.listen.is_loopback() {
        warn(
            "security.insecure",
            "it has no effect: clients are served on loopback".into(),
            "leave it out, so that it does not open what comes later",
        );
    }
    if config.node.data_dir.starts_with(std::env::temp_dir()) || config.node.data_dir.starts_with("/dev/shm") {
        let why =
            format!("{} is emptied by a restart of the machine, and with it goes what was acknowledged", config.node.data_dir.display());
        warn("node.data_dir", why, "use a directory that stays, like /var/lib/graft/data");
    }
    if cluster.expect.is_some_and(|expect| expect > 1) && cluster.name == Config::default().cluster.name {
        let why = "several members under the name that every cluster has: two clusters in one network could not be told apart";
        warn("cluster.name", why.into(), "give the cluster a name of its own");
    }
    if config.discovery.mdns && cluster.peer_ca.is_none() {
        let why = "members that anyone in the network can announce, and nothing by which they could show who they are";
        warn("discovery.mdns", why.into(), "name cluster.peer_ca, peer_cert and peer_key (`graft tls` makes them)");
    }
    let mut seen = BTreeSet::new();
    for peer in cluster.peers.iter().map(ToString::to_string) {
        if !seen.insert(peer.clone()) {
            warn("cluster.peers", format!("{peer} is named twice"), "name each member once");
        }
    }
    warnings
}

/// Whether the data directory can be made or written here, which only says something on the machine where the daemon is to run. What is tried
/// is taken away again.
pub fn data_dir_usable(dir: &Path) -> Result<(), String> {
    let dir = std::path::absolute(dir).map_err(|e| e.to_string())?;
    // What does not exist yet is made below the nearest directory that does.
    let standing = dir.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).unwrap_or(&dir);
    if !standing.is_dir() {
        return Err(format!("{} is in the way: it is no directory", standing.display()));
    }
    let probe = standing.join(format!(".graftd-check-{}", std::process::id()));
    std::fs::File::create_new(&probe)
        .and_then(|_| std::fs::remove_file(&probe))
        .map_err(|e| format!("{} cannot be written: {e}", standing.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(section: &str) -> Vec<String> {
        let config: Config = toml::from_str(section).unwrap();
        warnings(&config).into_iter().map(|warning| format!("{}: {}", warning.what, warning.why)).collect()
    }

    #[test]
    fn the_defaults_are_wise_and_each_folly_is_named() {
        assert_eq!(warned(""), Vec::<String>::new());
        for (text, expected) in [
            ("raft.heartbeat = \"5ms\"", "raft.heartbeat: 5ms is so short"),
            ("raft.election_max = \"20s\"", "raft.election_max: 20s: when the leader dies"),
            ("scheduler.lease = \"1s\"", "scheduler.lease: 1s: a worker that is only busy"),
            ("scheduler.lease = \"1h\"", "scheduler.lease: 1h: the work of a worker that died"),
            ("storage.flush_interval = \"5m\"", "storage.flush_interval: 5m: a restart"),
            ("workflow.retention = \"5s\"", "workflow.retention: 5s: a workflow is gone"),
            ("shutdown.grace = \"10ms\"", "shutdown.grace: 10ms: requests"),
            ("shutdown.grace = \"5m\"", "shutdown.grace: 5m: most supervisors"),
            ("log.level = \"trace\"", "log.level: `trace` writes"),
            ("client.listen = \"127.0.0.1:0\"", "client.listen: each start takes another port"),
            ("security.insecure = true", "security.insecure: it has no effect"),
            ("node.data_dir = \"/tmp/graft\"", "node.data_dir: /tmp/graft is emptied"),
            ("cluster.expect = 3", "cluster.name: several members"),
            ("discovery.mdns = true", "discovery.mdns: members that anyone in the network can announce"),
            ("cluster.peers = [\"a:1\", \"b:1\", \"a:1\"]", "cluster.peers: a:1 is named twice"),
        ] {
            let warned = warned(text);
            assert!(warned.len() == 1 && warned[0].starts_with(expected), "{text}: {warned:?}");
        }
        assert!(warned("log.level = \"info,graftd::scheduler=debug\"").is_empty(), "that is what is recommended");
    }

    #[test]
    fn a_data_directory_behind_a_file_is_not_usable_and_nothing_is_left_where_it_was_tried() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(data_dir_usable(&dir.path().join("a/b")), Ok(()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(dir.path().join("file"), "").unwrap();
        let refused = data_dir_usable(&dir.path().join("file/data")).unwrap_err();
        assert!(refused.contains("is in the way"), "{refused}");
    }
}
