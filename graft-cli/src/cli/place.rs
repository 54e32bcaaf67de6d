//! Verbs about places: contexts, workers, members; what is true of the cluster as a whole.

use clap::{Args, Subcommand};

use super::value;
use super::which::Watching;

/// Verbs of `graft context`.
#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// Give a name to an address and a namespace, so that --context NAME stands for both.
    #[command(after_help = "Examples:\n  graft context add local --addr http://127.0.0.1:7420\n  \
        graft context add prod --addr http://10.0.0.1:7420,http://10.0.0.2:7420 -n sales --use")]
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

/// Arguments of `graft context add`: the address and the namespace are those of the global flags.
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
    /// Show leader, members and log positions, as the member that answers sees them.
    #[command(
        after_help = "Examples:\n  graft cluster status\n  graft cluster status --addr http://127.0.0.1:7420 -o json | jq .leader\n  \
        graft cluster status --watch=1s"
    )]
    Status(Watching),
    /// List the members.
    #[command(after_help = "Examples:\n  graft cluster members\n  graft cluster members -o name")]
    Members(Watching),
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
