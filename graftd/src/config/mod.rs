//! Configuration: one documented struct is the reference, and every key in it changes what the daemon does.
//!
//! # The layers
//!
//! Each stands above the one before, key by key:
//!
//! 1. the **defaults**: the `Default`s in this file;
//! 2. the **file**: that of `--config`, or `/etc/graft/graftd.toml` if it exists;
//! 3. **`conf.d/*.toml`** beside the file, sorted by name: what a package, a secret store or a colleague adds without editing the file;
//! 4. the **environment**: `GRAFT__RAFT__HEARTBEAT=100ms` is `raft.heartbeat`;
//! 5. the **flags** of the command line.
//!
//! A list is replaced as a whole; `scheduler.node_limits` is a table, and each node in it a key of its own, so that a later layer adds nodes
//! or changes single ones.
//!
//! # From text to `Config`
//!
//! `layers.rs` turns each layer into what was *said*: a key, a value, and the place (`origin.rs`: file and line, variable, flag). `load.rs`
//! looks at every single thing that was said, also at what a later layer hides: is there such a key (`keys.rs`), and is this how it is
//! written (`units.rs`; in a file a number is a number, in the environment everything is text)? Then the `config` crate lays the layers over
//! each other, and `check.rs` says what does not fit together (`bounds.rs` has what each key may be by itself). All problems come out at once,
//! each with where it was said, before anything is opened: correcting a configuration is one round, not ten. A key that nobody knows is
//! refused, since a misspelt key is a setting that silently does not hold. What is allowed but unwise is a warning (`unwise.rs`).
//!
//! # What is made of it
//!
//! The struct is the only list of keys. The JSON Schema (`schema.rs`) is derived from it, comments included; the reference page
//! `deploy/configuration.md` (`reference.rs`) from that schema; `graftd config print` (`print.rs`) shows the values with their origins. A test
//! of `tests/keys` has a row for each key, with the test that shows what it changes.
//!
//! SIGHUP has all of it read again, in the same layers. `live.rs` says which keys a running daemon then takes over, and what else has changed and
//! needs a restart.
//!
//! There are no secrets in it: a secret is named by a key that ends in `_file`, so that everything here may be shown.
//!
//! A leaf: it sees no floor of the house. `app` carries the values to the options of the floors.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod bounds;
mod check;
mod error;
mod flags;
mod keys;
mod layers;
mod live;
mod load;
mod origin;
mod print;
mod reference;
mod schema;
mod units;
mod unwise;

pub use error::{ConfigError, Problem};
pub use flags::{CheckArgs, Cli, Command, ConfigCommand, Flags, Format, PrintArgs, RecoverArgs};
pub use keys::{all_keys, variable};
pub use live::{Change, live_keys};
pub use load::{Loaded, Sources, USUAL_FILE, load};
pub use origin::Origin;
pub use print::print;
pub use reference::page as reference_page;
pub use schema::schema;
pub use units::{HostPort, Share, Size, Span};
pub use unwise::data_dir_usable;

/// Port on which clients and workers are served, unless told otherwise.
pub const CLIENT_PORT: u16 = 7420;
/// Port on which members talk to each other, unless told otherwise.
pub const PEER_PORT: u16 = 7421;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// This member.
    pub node: Node,
    /// Where clients and workers are served.
    pub client: Client,
    /// The members together.
    pub cluster: Cluster,
    /// Where the other members might be, besides `cluster.peers`.
    pub discovery: Discovery,
    /// Who may do what.
    pub auth: Auth,
    /// What is allowed without protection.
    pub security: Security,
    /// Consensus. The same on all members.
    pub raft: Raft,
    /// The two files and the memory before them.
    pub storage: Storage,
    /// How work is handed out.
    pub scheduler: Scheduler,
    /// Defaults for workflows.
    pub workflow: Workflow,
    /// The daemon's own log, on standard error.
    pub log: Log,
    /// Spans of workflows and attempts, for a collector of OpenTelemetry.
    pub tracing: Tracing,
    /// How the daemon ends.
    pub shutdown: Shutdown,
}

/// `[node]`: this member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// The member's name, for people, unique in the cluster: letters, digits, `.`, `_`, `-`, at most 63. It is stored when the
    /// data directory is formatted and cannot change afterwards. Without peers it may be left out: then it is the host's name.
    pub name: Option<String>,
    /// Where the member keeps its identity, its log and its state. Made (mode 0700) if it does not exist.
    #[schemars(extend("x-graft-type" = "path"))]
    pub data_dir: PathBuf,
}

/// `[client]`: where clients and workers are served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// The address for gRPC, HTTP, health and metrics. Port 0 takes a free one.
    pub listen: HostPort,
    /// Where others reach it. When it is left out: the address it listens on. Needed when that is `0.0.0.0` or `[::]`. A member that listens on
    /// loopback answers REST under this name and those of loopback only.
    pub advertise: Option<HostPort>,
    /// File (PEM) with the certificate that clients and workers are shown, and those between it and its authority. With `client.key` it makes the
    /// port speak TLS alone. A file that changes is read again within seconds.
    pub cert: Option<PathBuf>,
    /// File (PEM) with the private key of the certificate.
    pub key: Option<PathBuf>,
    /// File (PEM) with certificates of the authority of clients and workers: each has to show a certificate that it has made, whose name
    /// is then who asks.
    pub callers_ca: Option<PathBuf>,
    /// Where health and metrics are served as well, in the clear and to whoever asks (`/livez`, `/readyz`, `/healthz`, `/metrics` and
    /// `grpc.health.v1`): for probes and scrapers that have no certificate. When it is left out: on `client.listen` alone.
    pub health_listen: Option<HostPort>,
    /// Whether a client or a worker has to show a certificate of `client.callers_ca` (`required`), or may also come without one (`optional`).
    pub callers: Callers,
}

/// Whether callers show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Callers {
    /// Each has to.
    #[default]
    Required,
    /// Each may.
    Optional,
}

/// `[cluster]`: the members together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// The cluster's name. Members of another name are ignored, and a data directory of another name is refused.
    pub name: String,
    /// How many members form the cluster at its very first start: an odd number. All of them must be there; it never
    /// forms with fewer, however long it waits. Without meaning once the cluster is formed. Needed with `peers` and
    /// `[discovery]`, unless `bootstrap` is `manual`.
    pub expect: Option<u32>,
    /// What forms the cluster at its very first start: `expect` (as many members as `expect` says are there) or `manual` (an operator names the
    /// members with `graft cluster bootstrap`). The same on all first members. A member that meets a cluster of its name that is formed
    /// already never forms one, and asks to join; `manual` is for members that only ever join, too.
    pub bootstrap: Bootstrap,
    /// Where the first members talk to each other (`HOST:PORT`); this member's own address may be among them. None, and nothing in
    /// `[discovery]`: a single member.
    #[serde(deserialize_with = "units::list")]
    pub peers: Vec<HostPort>,
    /// Where members are listened for. When it is left out: `127.0.0.1:7421` if there are peers or there is something in `[discovery]`, else
    /// none is opened.
    pub peer_listen: Option<HostPort>,
    /// Where other members reach this one. When it is left out: the address it listens on.
    pub peer_advertise: Option<HostPort>,
    /// File (PEM) with the certificates of the authority that all members trust. With `peer_cert` and `peer_key` it makes members speak TLS to
    /// each other; `graft tls init` makes one. A file that changes is read again within seconds.
    pub peer_ca: Option<PathBuf>,
    /// File (PEM) with this member's certificate, made for its name with `graft tls issue`, and those between it and the authority.
    pub peer_cert: Option<PathBuf>,
    /// File (PEM) with the private key of the certificate.
    pub peer_key: Option<PathBuf>,
    /// Who may join a cluster that is formed: `open` (everybody who names the cluster and has a certificate, where members have any),
    /// `restricted` (of those, who is expected, comes back under a member's name, or has a join token) or `strict` (of those, whom an operator
    /// has approved with `graft cluster approve`, by the name in its certificate). The leader decides: the same on all members.
    pub join: Join,
    /// Names of members that may join under the `restricted` policy; `*` stands for any part of a name: `graft-*`.
    #[serde(deserialize_with = "units::list")]
    pub expected_members: Vec<String>,
    /// File with a join token (`graft cluster join-token create`), shown to the cluster that this member asks to join. Read when the member
    /// starts without being part of a cluster.
    pub join_token_file: Option<PathBuf>,
    /// Most members that vote: an odd number. Further ones follow as learners, and take part when a voter is removed.
    pub max_voters: u32,
    /// A learner becomes a voter when it has been caught up with the log for so long.
    pub promote_after: Span,
    /// A member that comes back under its name with an empty disk takes the place of its lost self when that has been silent for so long.
    pub replace_after: Span,
}

/// What forms a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bootstrap {
    /// As many members as are expected.
    #[default]
    Expect,
    /// An operator names the members.
    Manual,
}

/// Who may join a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// Everybody of the cluster's name.
    Open,
    /// Who is expected, comes back, or has a token.
    #[default]
    Restricted,
    /// Who was approved.
    Strict,
}

/// `[discovery]`: where the other members might be, besides `cluster.peers`. Several of these may be used at once. What is found is a candidate
/// and nothing more: who it is, it has to show, and nobody is removed because he is not found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Discovery {
    /// Names (`HOST:PORT`) behind which members are: each address (A and AAAA) of such a name is a candidate. That of a headless Service, for
    /// instance. At most 16.
    #[serde(deserialize_with = "units::list")]
    pub dns: Vec<HostPort>,
    /// How long after an answer a name is asked for again.
    pub dns_every: Span,
    /// Announce this member by multicast DNS (service `_graft-peer._tcp.local`), in the network of its peer address, as long as it runs; and
    /// look for members of the same `cluster.name` that do so. Every machine in that network can read it, and anyone can announce anything:
    /// use it with TLS between members.
    pub mdns: bool,
    /// Name of a Service of Kubernetes whose endpoints are members, ready or not: its EndpointSlices are watched. The pod's service account
    /// must be allowed to get, list and watch `endpointslices` (`discovery.k8s.io`), nothing else.
    pub kubernetes_service: Option<String>,
    /// Name of the StatefulSet of Kubernetes whose pod this member is, as its name says (`graft-2` of `graft`). When this member is told to end, it
    /// asks whether that is to have such a pod any more; if not, it leaves the cluster for good before it ends, and begins anew when it is
    /// started again. The pod's service account must be allowed to get that one of the `statefulsets` (`apps`).
    pub kubernetes_stateful_set: Option<String>,
    /// Name of a ConfigMap of Kubernetes, empty at first, in which it is noted that the cluster was formed. A fresh member that finds it noted there
    /// forms no other one, and waits for help: when all volumes are lost at once, nobody goes on with an empty cluster as if nothing had
    /// happened. The pod's service account must be allowed to get and patch that one of the `configmaps`.
    pub kubernetes_sentinel: Option<String>,
    /// The namespace of all three. When it is left out: that of the service account.
    pub kubernetes_namespace: Option<String>,
    /// At which port its endpoints answer members: the name of a port of the Service, or a number.
    pub kubernetes_port: String,
    /// Where the API server answers (`HOST:PORT`, over TLS). When it is left out: where Kubernetes tells each pod that it does
    /// (`KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`).
    pub kubernetes_api: Option<HostPort>,
    /// Directory with the files `token`, `ca.crt` and `namespace` of the service account. They are read again when they are replaced.
    #[schemars(extend("x-graft-type" = "path"))]
    pub kubernetes_account: PathBuf,
}

/// `[auth]`: who may do what. The same on all members. A grant is written `ROLE[@NAMESPACE[=NODE,NODE..]]`; the roles are `viewer`, `operator`,
/// `worker`, `namespace-admin` and `cluster-admin`, and `*` stands for any part of a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether clients and workers have to show who they are, and may do only what they are granted. Otherwise whoever reaches the port may do
    /// everything.
    pub required: bool,
    /// File with the root token, of at least 32 characters: whoever shows it may do everything. It is what the first API tokens are made with (`graft
    /// token create`).
    pub root_token_file: Option<PathBuf>,
    /// What certificates of clients and tokens of an identity provider allow: lines like `certificate ops-* cluster-admin` and `claim
    /// groups=payments operator@billing`. Without meaning where `required` is false.
    #[serde(deserialize_with = "units::list")]
    pub rules: Vec<String>,
    /// Fields of states and configs whose values are shown as `"[redacted]"` to whoever does not administer the namespace: by name, wherever in a document it
    /// stands (`password`), or by JSON pointer from the top, in which `*` stands for any name or index (`/cards/*/number`). Workers are handed everything.
    /// Where `required` is false nobody is known to administer anything, and the values are hidden from all who read. What a node said when it failed
    /// is not searched.
    #[serde(deserialize_with = "units::list")]
    pub redacted_fields: Vec<String>,
    /// Identity provider whose tokens (JWT) are taken: its issuer, as its tokens have it, a URL. Its keys are asked for below
    /// `/.well-known/openid-configuration` there.
    pub oidc_issuer: Option<String>,
    /// For whom its tokens have to be made (`aud`). Needed with `oidc_issuer`.
    pub oidc_audience: Option<String>,
    /// The claim of its tokens that names whoever shows them, for histories.
    pub oidc_name_claim: String,
    /// File with the keys of the identity provider (a JSON Web Key Set), where it cannot be asked for them. It is read again every ten minutes.
    pub oidc_jwks_file: Option<PathBuf>,
    /// File (PEM) with the authorities that the identity provider's own certificate may be of. When it is left out: those of this machine.
    pub oidc_ca: Option<PathBuf>,
}

/// `[security]`: what is allowed without protection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Serve clients beyond loopback although there is no TLS, or nobody has to show who it is. Anybody who reaches the port may
    /// then do anything. On loopback, members may also speak to each other without TLS then; beyond it they never do.
    pub insecure: bool,
}

/// `[raft]`: consensus. The same on all members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Raft {
    /// How often a leader shows that it lives.
    pub heartbeat: Span,
    /// Silence after which a follower stands for election, at least; three heartbeats or more. The leader lease passes before it.
    pub election_min: Span,
    /// Silence after which a follower stands for election, at most. It is also the leader lease: a follower that has heard a leader waits it
    /// out first.
    pub election_max: Span,
    /// Most commands in one log entry.
    pub batch_commands: usize,
    /// Most bytes of commands in one log entry; a single larger command goes alone.
    pub batch_bytes: Size,
    /// Entries that the leader proposes before the first is applied.
    pub entries_in_flight: usize,
    /// Commands that may wait for an entry; more are refused as overload.
    pub pending_commands: usize,
    /// A snapshot point after so many entries, so that the log before it may go.
    pub snapshot_every: u64,
    /// A snapshot point, too, after so many bytes of entries.
    pub snapshot_every_bytes: Size,
    /// Entries kept below the snapshot, for followers that are a little behind.
    pub log_keep: u64,
    /// Of the entries of `raft.log_keep`, only so many bytes are kept (but never fewer than 16 times `raft.entries_in_flight` entries). The log
    /// file takes about the sum of the two byte bounds, twice that with large entries.
    pub log_keep_bytes: Size,
}

/// `[storage]`: the two files and the memory before them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Page cache of the state file.
    pub cache: Size,
    /// Page cache of the log file.
    pub log_cache: Size,
    /// Changes held in memory before they are flushed to the state file; at twice as much, applying waits.
    pub overlay: Size,
    /// Longest time between two flushes.
    pub flush_interval: Span,
    /// Newest log entries held in memory, for replication and apply.
    pub log_tail: Size,
    /// Free space of the disk that is kept for what runs: with less, a leader refuses to start workflows, and still takes results. When it is
    /// left out: 5 % of the disk, but 256 MiB at least and 4 GiB at most. 0 = none is kept.
    pub disk_reserve: Option<Size>,
}

/// `[scheduler]`: how work is handed out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scheduler {
    /// How long a silent worker keeps its attempts.
    pub lease: Span,
    /// Attempts held at once in the whole cluster; 0 = no limit. A seed: it is written where no such record stands
    /// yet, and a record that stands is left alone.
    pub total_limit: u32,
    /// Attempts of single nodes held at once: `ocr = 4`, or `"team-a/ocr" = 4` in another namespace than `default`. What stands
    /// before the first `/` is the namespace: a node whose own name holds one is written with its namespace in front.
    pub node_limits: BTreeMap<String, u32>,
}

/// `[workflow]`: defaults for workflows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Workflow {
    /// How long a finished workflow is kept when its start did not say.
    pub retention: Span,
}

/// `[log]`: the daemon's own log, on standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How the log is written: `auto` (text on a terminal, else JSON), `text` or `json`.
    pub format: LogFormat,
    /// How much is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives per module as in `info,graftd::scheduler=debug`. The
    /// raft core is held back to warnings unless it is named (`info,openraft=info`). `info,history=debug` adds a line of the leader for what becomes of
    /// each workflow and attempt, with the ids of its trace and its span.
    pub level: String,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
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

/// `[tracing]`: spans of workflows and attempts, for a collector of OpenTelemetry. The same on all members: the leader exports them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// Where the collector takes spans: `https://HOST:PORT` (4317 is usual for gRPC, 4318 for HTTP), or `http://` on this machine. Over HTTP a path may
    /// follow, below which they are posted to `/v1/traces`. When it is left out, none are exported, and nodes are handed the `traceparent` that
    /// their workflow was started with.
    pub endpoint: Option<String>,
    /// How they are brought there: OTLP over gRPC, or posted over HTTP in protobuf.
    pub protocol: Otlp,
    /// File with headers that the collector wants, `name: value` in a line: what it asks for to let somebody in. It is read with every batch.
    pub headers_file: Option<PathBuf>,
    /// How many of the workflows are traced whose start had no `traceparent`, each whole or not at all. One with a `traceparent` is traced if that
    /// says so.
    pub sample: Share,
    /// File (PEM) with the authorities that the collector's certificate may be of. When it is left out: those of this machine.
    pub ca: Option<PathBuf>,
    /// Send spans to a collector on another machine although there is no TLS. Whoever is between can read them: the names of workflows, nodes and
    /// workers, and what errors say. States and configs are in none.
    pub insecure: bool,
}

/// A way of OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Otlp {
    /// Over gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// Over HTTP, in protobuf.
    #[serde(rename = "http/protobuf")]
    Http,
}

/// `[shutdown]`: how the daemon ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// Longest time for the drain: leadership handed over, streams closed. What is left then is cut; nothing is lost. The last writes and
    /// goodbyes take 9 seconds more at most.
    pub grace: Span,
}

impl Config {
    /// A single member on a free loopback port: for tests, examples and `graft dev`.
    pub fn in_process(data_dir: impl Into<PathBuf>) -> Self {
        let mut config = Self::default();
        config.node.data_dir = data_dir.into();
        config.client.listen = HostPort::loopback(0);
        // It goes with the test, however full the disk is.
        config.storage.disk_reserve = Some(Size::from_bytes(0));
        config
    }

    /// Where members are to be listened for; `None`: nowhere.
    pub fn peer_listen(&self) -> Option<HostPort> {
        match (&self.cluster.peer_listen, self.seeks_members()) {
            (Some(address), _) => Some(address.clone()),
            (None, true) => Some(HostPort::loopback(PEER_PORT)),
            (None, false) => None,
        }
    }

    /// Whether anything says where other members might be.
    pub fn seeks_members(&self) -> bool {
        let Discovery { dns, mdns, kubernetes_service, .. } = &self.discovery;
        !self.cluster.peers.is_empty() || !dns.is_empty() || *mdns || kubernetes_service.is_some()
    }

    /// The number with which the name of this pod of `discovery.kubernetes_stateful_set` ends; `None`: it is no pod of one.
    pub fn pod_ordinal(&self) -> Option<u64> {
        let (pod, stateful_set) = (self.node.name.as_ref()?, self.discovery.kubernetes_stateful_set.as_ref()?);
        let number = pod.strip_prefix(stateful_set.as_str())?.strip_prefix('-')?;
        number.parse().ok().filter(|ordinal: &u64| ordinal.to_string() == number)
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
        let listen = HostPort::loopback(CLIENT_PORT);
        Self { listen, advertise: None, cert: None, key: None, callers_ca: None, health_listen: None, callers: Callers::default() }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            name: "graft".into(),
            expect: None,
            peers: Vec::new(),
            peer_listen: None,
            peer_advertise: None,
            peer_ca: None,
            peer_cert: None,
            peer_key: None,
            bootstrap: Bootstrap::default(),
            join: Join::default(),
            expected_members: Vec::new(),
            join_token_file: None,
            max_voters: 5,
            promote_after: Span::from_millis(3_000),
            replace_after: Span::from_millis(30_000),
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            required: false,
            root_token_file: None,
            rules: Vec::new(),
            redacted_fields: Vec::new(),
            oidc_issuer: None,
            oidc_audience: None,
            oidc_name_claim: "sub".into(),
            oidc_jwks_file: None,
            oidc_ca: None,
        }
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            dns: Vec::new(),
            dns_every: Span::from_millis(5_000),
            mdns: false,
            kubernetes_service: None,
            kubernetes_stateful_set: None,
            kubernetes_sentinel: None,
            kubernetes_namespace: None,
            kubernetes_port: PEER_PORT.to_string(),
            kubernetes_api: None,
            kubernetes_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
        }
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat: Span::from_millis(50),
            election_min: Span::from_millis(150),
            election_max: Span::from_millis(300),
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
            disk_reserve: None,
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

impl Default for Tracing {
    fn default() -> Self {
        Self { endpoint: None, protocol: Otlp::Grpc, headers_file: None, sample: Share::ALL, ca: None, insecure: false }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Span::from_millis(30_000) }
    }
}
