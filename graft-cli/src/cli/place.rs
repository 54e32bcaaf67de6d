//! Verbs about places: contexts, workers, members; what is true of the cluster as a whole.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::value;
use super::which::{Consent, Watching};

/// Verbs of `graft context`.
#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// Give a name to an address and a namespace, and to the files for TLS and the token, so that --context NAME stands for all of them.
    #[command(after_help = "Examples:\n  graft context add local --addr http://127.0.0.1:7420\n  \
        graft context add prod --addr http://10.0.0.1:7420,http://10.0.0.2:7420 -n sales --use\n  \
        graft context add eu --addr https://graft.example:7420 --tls-ca tls/ca.pem --token-file billing.token")]
    Add(ContextAdd),
    /// Make a context the one that counts where nothing else is said.
    #[command(after_help = "Example:\n  graft context use prod")]
    Use(ContextName),
    /// List contexts.
    #[command(after_help = "Examples:\n  graft context list\n  graft context list -o name")]
    List,
    /// Ask each address of a context who answers there, and how fast.
    #[command(after_help = "Examples:\n  graft context test\n  graft context test prod")]
    Test(ContextTest),
    /// Forget a context.
    #[command(after_help = "Example:\n  graft context remove prod")]
    Remove(ContextName),
}

/// Arguments of `graft context add`: the address, the namespace and the files are those of the global flags.
#[derive(Debug, Args)]
pub(crate) struct ContextAdd {
    /// Its name: letters, digits and - _ .
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Make it the current one as well.
    #[arg(long = "use")]
    pub(crate) make_current: bool,
    /// Put it in place of the one that has this name.
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Which context.
#[derive(Debug, Args)]
pub(crate) struct ContextName {
    /// Its name.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Arguments of `graft context test`.
#[derive(Debug, Args)]
pub(crate) struct ContextTest {
    /// Its name; otherwise the one that counts here.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Verbs of `graft worker`.
#[derive(Debug, Subcommand)]
pub(crate) enum Worker {
    /// List workers, what they serve and what they hold.
    #[command(after_help = "Examples:\n  graft worker list\n  graft worker list --all-namespaces -o json\n  graft worker list --watch")]
    List(WorkerList),
}

/// Arguments of `graft worker list`.
#[derive(Debug, Args)]
pub(crate) struct WorkerList {
    /// Those of all namespaces.
    #[arg(long)]
    pub(crate) all_namespaces: bool,
    /// Whether the look becomes a watch.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// Verbs of `graft cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show leader, members, whether each is ready, and log positions: each member is asked for its own, for a second at most.
    #[command(
        after_help = "Examples:\n  graft cluster status\n  graft cluster status --addr http://127.0.0.1:7420 -o json | jq .leader\n  \
        graft cluster status --watch=1s"
    )]
    Status(Watching),
    /// List the members, as `graft cluster status` does.
    #[command(after_help = "Examples:\n  graft cluster members\n  graft cluster members -o name")]
    Members(Watching),
    /// Ask every member how it is, and say what is wrong and what to do about it. Ends with 1 if something is.
    #[command(after_help = "Examples:\n  graft cluster doctor\n  graft cluster doctor -o json")]
    Doctor,
    /// Show how much each member logs; or change it at once, until its configuration is read again or it starts again.
    #[command(
        after_help = "Examples:\n  graft cluster log-level\n  graft cluster log-level info,graftd::scheduler=debug --member graft-1\n  \
        graft cluster log-level --reset"
    )]
    LogLevel(LogLevelArgs),
    /// Sample where a member spends its processor time, into a file for pprof. The process goes on meanwhile, a little slower.
    #[command(after_help = "Examples:\n  graft cluster profile --seconds 10 --file graft-0.pprof --member graft-0\n  \
        graft cluster profile --file leader.pprof && go tool pprof -top leader.pprof")]
    Profile(ProfileArgs),
    /// Start a workflow of one step, work it off in this process, and wait for its end: whether the cluster does what it is for. It is deleted an
    /// hour later.
    #[command(after_help = "Examples:\n  graft cluster try\n  graft cluster try --wait=10s --addr http://127.0.0.1:7420 -q")]
    Try(TryArgs),
    /// Name the first members of a cluster that is not formed yet, to one of them; it forms by itself then. Only where cluster.bootstrap is
    /// manual.
    #[command(after_help = "Examples:\n  graft cluster bootstrap --members graft-0,graft-1,graft-2 --dry-run\n  \
        graft cluster bootstrap --members graft-0,graft-1,graft-2 --yes --addr http://10.0.0.1:7420")]
    Bootstrap(BootstrapArgs),
    /// Make, list and revoke the tokens with which members join where cluster.join is restricted.
    #[command(subcommand)]
    JoinToken(JoinToken),
    /// Let the member of that name join where cluster.join is strict: the name that its certificate has.
    #[command(after_help = "Examples:\n  graft cluster approve graft-3\n  graft cluster approve graft-3 --ttl 1h")]
    Approve(ApproveArgs),
    /// Make a learner that has caught up a voter now, even if the number of voters becomes even.
    #[command(after_help = "Example:\n  graft cluster promote graft-3")]
    Promote(MemberName),
    /// Take a member out of the cluster, for ever: its data directory is of no use any more. One that leads hands over first.
    #[command(after_help = "Examples:\n  graft cluster remove graft-3 --dry-run\n  graft cluster remove graft-3")]
    Remove(RemoveArgs),
    /// Hand leadership to another voter, and wait until it leads.
    #[command(after_help = "Examples:\n  graft cluster transfer-leader\n  graft cluster transfer-leader graft-1")]
    TransferLeader(TransferArgs),
    /// Put the highest machine version into force that the members can follow, when all of them run the graftd that is to stay. There is no way
    /// back: an earlier graftd cannot take part any more.
    #[command(after_help = "Examples:\n  graft cluster upgrade --dry-run\n  graft cluster upgrade --yes")]
    Upgrade(UpgradeArgs),
    /// Save the whole state to a file, look into one, or make the first member of a new cluster of it.
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Let a member neither lead nor stand for election, and not be ready, until --undo or its next start: before its machine is worked on.
    #[command(after_help = "Examples:\n  graft cluster drain graft-2\n  graft cluster drain graft-2 --undo")]
    Drain(DrainArgs),
}

/// Arguments of `graft cluster log-level`.
#[derive(Debug, Args)]
pub(crate) struct LogLevelArgs {
    /// error, warn, info, debug, trace, or directives per module; otherwise nothing is changed.
    #[arg(value_name = "LEVEL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) level: Option<String>,
    /// Only this member; may be given again. Otherwise all.
    #[arg(long = "member", value_name = "MEMBER")]
    pub(crate) members: Vec<String>,
    /// The level of each member's configuration again.
    #[arg(long, conflicts_with = "level")]
    pub(crate) reset: bool,
}

/// Arguments of `graft cluster profile`.
#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    /// For so many seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// The member; otherwise the one that leads.
    #[arg(long, value_name = "MEMBER")]
    pub(crate) member: Option<String>,
    /// Where it goes.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Arguments of `graft debug-bundle`.
#[derive(Debug, Args)]
pub(crate) struct DebugBundle {
    /// Where it goes: a directory that is empty or not there.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// Arguments of `graft cluster try`.
#[derive(Debug, Args)]
pub(crate) struct TryArgs {
    /// How long it may take.
    #[arg(long, default_value = "30s", value_parser = value::some_time, value_name = "DURATION")]
    pub(crate) wait: std::time::Duration,
}

/// Arguments of `graft cluster bootstrap`.
#[derive(Debug, Args)]
pub(crate) struct BootstrapArgs {
    /// Their names, an odd number, the member that is asked among them.
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    pub(crate) members: Vec<String>,
    /// Whether it was agreed to.
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Verbs of `graft cluster snapshot`.
#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Save the whole state of the cluster to a file, while it works on: everything that was acknowledged before is in it.
    #[command(after_help = "Example:\n  graft cluster snapshot save graft.snapshot")]
    Save(SnapshotFile),
    /// Check a file from end to end, and say what is in it. Needs no server.
    #[command(
        after_help = "Examples:\n  graft cluster snapshot inspect graft.snapshot\n  graft cluster snapshot inspect graft.snapshot -o json"
    )]
    Inspect(SnapshotFile),
    /// Make the first member of a new cluster of a file, in an empty data directory. Needs no server; start graftd on it, and others join.
    #[command(after_help = "Example:\n  graft cluster snapshot restore graft.snapshot --data-dir ./m1-data --member m1")]
    Restore(SnapshotRestore),
}

/// Which file.
#[derive(Debug, Args)]
pub(crate) struct SnapshotFile {
    /// The file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Arguments of `graft cluster snapshot restore`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotRestore {
    /// The file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the member keeps its data (node.data_dir): an empty directory, or one that does not exist yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// The member's name (node.name).
    #[arg(long, value_name = "NAME")]
    pub(crate) member: String,
    /// The cluster's name (cluster.name), if it is to be another one.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster_name: Option<String>,
}

/// Verbs of `graft cluster join-token`.
#[derive(Debug, Subcommand)]
pub(crate) enum JoinToken {
    /// Make a token and print it; its secret is shown this once.
    #[command(
        after_help = "Examples:\n  graft cluster join-token create > token\n  graft cluster join-token create --member graft-3 --ttl 10m\n  \
        graft cluster join-token create --uses 3 -o json | jq -r .token"
    )]
    Create(TokenCreate),
    /// List tokens and approvals that stand.
    #[command(after_help = "Examples:\n  graft cluster join-token list\n  graft cluster join-token list -o name")]
    List,
    /// Take a token or an approval away. Who has used it stays a member.
    #[command(after_help = "Example:\n  graft cluster join-token revoke 3f9c0d1e2a4b")]
    Revoke(GrantId),
}

/// Arguments of `graft cluster join-token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// Only the member of this name may use it.
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,
    /// Of no use after so long (at most 30d) [default: 1h].
    #[arg(long, value_parser = value::some_time, value_name = "DURATION")]
    pub(crate) ttl: Option<std::time::Duration>,
    /// How many members may use it.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) uses: u32,
}

/// Which token or approval.
#[derive(Debug, Args)]
pub(crate) struct GrantId {
    /// Its id, as `list` shows it: of an approval, the member's name.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// Arguments of `graft cluster approve`.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The member's name.
    #[arg(value_name = "NAME")]
    pub(crate) member: String,
    /// Of no use after so long (at most 30d) [default: 1d].
    #[arg(long, value_parser = value::some_time, value_name = "DURATION")]
    pub(crate) ttl: Option<std::time::Duration>,
}

/// Which member.
#[derive(Debug, Args)]
pub(crate) struct MemberName {
    /// Its name; or its raft id, where two have one name.
    #[arg(value_name = "MEMBER")]
    pub(crate) member: String,
}

/// Arguments of `graft cluster remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Which one.
    #[command(flatten)]
    pub(crate) which: MemberName,
    /// Whether it was agreed to.
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Arguments of `graft cluster transfer-leader`.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// The voter that is to lead; otherwise the one that is furthest.
    #[arg(value_name = "MEMBER")]
    pub(crate) to: Option<String>,
}

/// Arguments of `graft cluster upgrade`.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    /// This version, and not the highest that any member can follow.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) to: Option<u32>,
    /// Whether it was agreed to.
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Arguments of `graft cluster drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Which one.
    #[command(flatten)]
    pub(crate) which: MemberName,
    /// Let it take part again.
    #[arg(long)]
    pub(crate) undo: bool,
}

/// Arguments of `graft events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on after this position, as an event gave it; `earliest` for all that is kept; otherwise with what becomes true from now on.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "POSITION")]
    pub(crate) after: String,
    /// Only this type, such as task_failed; may be given again.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Only of workflows whose id starts so.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Of all namespaces.
    #[arg(long)]
    pub(crate) all_namespaces: bool,
    /// End after so many events.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// End when nothing has become true for this long.
    #[arg(long, value_parser = value::some_time, value_name = "DURATION")]
    pub(crate) idle: Option<std::time::Duration>,
}
