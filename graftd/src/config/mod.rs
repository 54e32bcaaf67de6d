//! Configuration: one documented struct is the reference, and every key in it changes what the daemon does.
//!
//! Sources, each over the one before: the defaults below, the file of `--config` (TOML), the environment (`GRAFT__SECTION__KEY`), flags.
//! A key that nobody knows is refused with a suggestion, wherever it stands, since a misspelt key is a setting that silently does not hold.
//! Durations and sizes are text with a unit (`250ms`, `64MiB`). What the keys mean to each other is checked at the end, all problems at
//! once, before anything is opened.
//!
//! A leaf: it sees no floor of the house. `app` carries the values to the options of the floors.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

mod check;
mod error;
mod flags;
mod keys;
mod load;
mod units;

pub use check::valid_name;
pub use error::{ConfigError, Problem};
pub use flags::Flags;
pub use load::load;
pub use units::{HostPort, Size, Span};

/// Port on which clients and workers are served, unless told otherwise.
pub const CLIENT_PORT: u16 = 7420;
/// Port on which members talk to each other, unless told otherwise.
pub const PEER_PORT: u16 = 7421;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[node]`: this member.
    pub node: Node,
    /// `[client]`: where clients and workers are served.
    pub client: Client,
    /// `[cluster]`: the members together.
    pub cluster: Cluster,
    /// `[security]`: what is allowed without protection.
    pub security: Security,
    /// `[raft]`: consensus.
    pub raft: Raft,
    /// `[storage]`: the two files and the memory before them.
    pub storage: Storage,
    /// `[scheduler]`: how work is handed out.
    pub scheduler: Scheduler,
    /// `[workflow]`: defaults for workflows.
    pub workflow: Workflow,
    /// `[log]`: the daemon's own log.
    pub log: Log,
    /// `[shutdown]`: how it ends.
    pub shutdown: Shutdown,
}

/// `[node]`: this member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// `node.name`: the member's name, for people, unique in the cluster: letters, digits, `.`, `_`, `-`, at most 63. It is stored when the
    /// data directory is formatted and cannot change afterwards. Without peers it may be left out: then it is the host's name.
    pub name: Option<String>,
    /// `node.data_dir`: where the member keeps its identity, its log and its state. Made (mode 0700) if it does not exist.
    pub data_dir: PathBuf,
}

/// `[client]`: where clients and workers are served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// `client.listen`: `HOST:PORT` for gRPC, HTTP, health and metrics. Port 0 takes a free one.
    pub listen: HostPort,
    /// `client.advertise`: `HOST:PORT` at which others reach it; default: the address it listens on. Needed when that is `0.0.0.0` or `[::]`.
    pub advertise: Option<HostPort>,
}

/// `[cluster]`: the members together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// `cluster.name`: members of another name are ignored, and a data directory of another name is refused.
    pub name: String,
    /// `cluster.expect`: how many members form the cluster at its very first start: an odd number. All of them must be there; it never
    /// forms with fewer, however long it waits. Without meaning once the cluster is formed. Needed with `peers`.
    pub expect: Option<u32>,
    /// `cluster.peers`: where the first members talk to each other (`HOST:PORT`); this member's own address may be among them. None: a
    /// single member.
    #[serde(deserialize_with = "units::list")]
    pub peers: Vec<HostPort>,
    /// `cluster.peer_listen`: `HOST:PORT` for members. Default: `127.0.0.1:7421` if there are peers, else none is opened.
    pub peer_listen: Option<HostPort>,
    /// `cluster.peer_advertise`: `HOST:PORT` at which other members reach it; default: the address it listens on.
    pub peer_advertise: Option<HostPort>,
}

/// `[security]`: what is allowed without protection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// `security.insecure`: serve clients beyond loopback although there is neither TLS nor authentication. Anybody who reaches the port may
    /// then do anything. Members speak to each other on loopback only, whatever this says, until they have TLS.
    pub insecure: bool,
}

/// `[raft]`: consensus. The same on all members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raft {
    /// `raft.heartbeat`: how often a leader shows that it lives.
    pub heartbeat: Span,
    /// `raft.election_min`: silence after which a follower stands for election, at least; more than three heartbeats.
    pub election_min: Span,
    /// `raft.election_max`: the same, at most. It is also the leader lease: a follower that has heard a leader waits it out first.
    pub election_max: Span,
    /// `raft.batch_commands`: most commands in one log entry.
    pub batch_commands: usize,
    /// `raft.batch_bytes`: most bytes of commands in one log entry; a single larger command goes alone.
    pub batch_bytes: Size,
    /// `raft.entries_in_flight`: entries that the leader proposes before the first is applied.
    pub entries_in_flight: usize,
    /// `raft.pending_commands`: commands that may wait for an entry; more are refused as overload.
    pub pending_commands: usize,
    /// `raft.snapshot_every`: a snapshot point after so many entries, so that the log before it may go.
    pub snapshot_every: u64,
    /// `raft.snapshot_every_bytes`: a snapshot point, too, after so many bytes of entries.
    pub snapshot_every_bytes: Size,
    /// `raft.log_keep`: entries kept below the snapshot, for followers that are a little behind.
    pub log_keep: u64,
    /// `raft.log_keep_bytes`: of those, only so many bytes are kept (but never fewer than 16 times `raft.entries_in_flight` entries). The log
    /// file takes about the sum of the two byte bounds, twice that with large entries.
    pub log_keep_bytes: Size,
}

/// `[storage]`: the two files and the memory before them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// `storage.cache`: page cache of the state file.
    pub cache: Size,
    /// `storage.log_cache`: page cache of the log file.
    pub log_cache: Size,
    /// `storage.overlay`: changes held in memory before they are flushed to the state file; at twice as much, applying waits.
    pub overlay: Size,
    /// `storage.flush_interval`: longest time between two flushes.
    pub flush_interval: Span,
    /// `storage.log_tail`: newest log entries held in memory, for replication and apply.
    pub log_tail: Size,
}

/// `[scheduler]`: how work is handed out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scheduler {
    /// `scheduler.lease`: how long a silent worker keeps its attempts.
    pub lease: Span,
    /// `scheduler.total_limit`: attempts held at once in the whole cluster; 0 = no limit. A seed: it is written where no such record stands
    /// yet, and a record that stands is left alone.
    pub total_limit: u32,
    /// `scheduler.node_limits`: the same for single nodes: `ocr = 4`, or `"team-a/ocr" = 4` in another namespace than `default`. What stands
    /// before the first `/` is the namespace: a node whose own name holds one is written with its namespace in front.
    pub node_limits: BTreeMap<String, u32>,
}

/// `[workflow]`: defaults for workflows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workflow {
    /// `workflow.retention`: how long a finished workflow is kept when its start did not say.
    pub retention: Span,
}

/// `[log]`: the daemon's own log, on standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `log.format`: `auto` (text on a terminal, else JSON), `text` or `json`.
    pub format: LogFormat,
    /// `log.level`: `error`, `warn`, `info`, `debug`, `trace`, or directives per module as in `info,graftd::scheduler=debug`. The
    /// raft core is held back to warnings unless it is named (`info,openraft=info`).
    pub level: String,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[shutdown]`: how the daemon ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// `shutdown.grace`: longest time for the drain: leadership handed over, streams closed. What is left then is cut; nothing is lost.
    pub grace: Span,
}

impl Config {
    /// A single member on a free loopback port: for tests, examples and `graft dev`.
    pub fn in_process(data_dir: impl Into<PathBuf>) -> Self {
        let mut config = Self::default();
        config.node.data_dir = data_dir.into();
        config.client.listen = HostPort::loopback(0);
        config
    }

    /// Where members are to be listened for; `None`: nowhere.
    pub fn peer_listen(&self) -> Option<HostPort> {
        match (&self.cluster.peer_listen, self.cluster.peers.is_empty()) {
            (Some(address), _) => Some(address.clone()),
            (None, false) => Some(HostPort::loopback(PEER_PORT)),
            (None, true) => None,
        }
    }

    /// How many members form the cluster.
    pub fn expect(&self) -> u32 {
        self.cluster.expect.unwrap_or(1)
    }
}

impl Default for Node {
    fn default() -> Self {
        Self { name: None, data_dir: "./graft-data".into() }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self { listen: HostPort::loopback(CLIENT_PORT), advertise: None }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self { name: "graft".into(), expect: None, peers: Vec::new(), peer_listen: None, peer_advertise: None }
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat: Span::from_millis(50),
            election_min: Span::from_millis(200),
            election_max: Span::from_millis(400),
            batch_commands: 1024,
            batch_bytes: Size::mebibytes(1),
            entries_in_flight: 4,
            pending_commands: 65_536,
            snapshot_every: 50_000,
            snapshot_every_bytes: Size::mebibytes(128),
            log_keep: 10_000,
            log_keep_bytes: Size::mebibytes(64),
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            cache: Size::mebibytes(256),
            log_cache: Size::mebibytes(32),
            overlay: Size::mebibytes(128),
            flush_interval: Span::from_millis(1000),
            log_tail: Size::mebibytes(64),
        }
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self { lease: Span::from_millis(10_000), total_limit: 0, node_limits: BTreeMap::new() }
    }
}

impl Default for Workflow {
    fn default() -> Self {
        Self { retention: Span::from_millis(7 * 24 * 3_600_000) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".into() }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Span::from_millis(30_000) }
    }
}
