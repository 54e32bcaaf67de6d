//! Verbs of `graft task`, `graft dead-letter` and `graft limit`.

use clap::{Args, Subcommand, ValueEnum};

use super::value::{self, TaskRef};
use super::which::{Consent, DeadLetterWhich, Page, TaskTarget, Waiting, Watching};

/// Verbs of `graft task`.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// List open tasks and dead letters: of one workflow by number; else by node, run and number.
    #[command(after_help = "Examples:\n  graft task list --workflow order-1042\n  graft task list --node charge --state blocked --all\n  \
        graft task list --state dead-lettered -o name")]
    List(TaskList),
    /// Show one task: its config, what it waits for, every attempt that failed.
    #[command(after_help = "Examples:\n  graft task get order-1042/7\n  graft task get order-1042/7 -o json | jq .failed_attempts")]
    Get(TaskTarget),
    /// Make a task that waits (for its delay, its backoff, a change of the state) ready now.
    #[command(after_help = "Example:\n  graft task retry order-1042/7 --reason 'gateway is back'")]
    Retry(TaskRetry),
}

/// States of open tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskState {
    /// It waits for a worker, or a worker has it.
    Ready,
    /// It waits for a time.
    Delayed,
    /// It waits for a change of the workflow's state.
    Blocked,
    /// It was given up and waits for an operator.
    DeadLettered,
}

/// Arguments of `graft task list`.
#[derive(Debug, Args)]
pub(crate) struct TaskList {
    /// Only of this workflow.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    pub(crate) workflow: String,
    /// Only of this run of it, by its number; otherwise the current one.
    #[arg(long, default_value_t = 0, hide_default_value = true, requires = "workflow")]
    pub(crate) run: u64,
    /// Only of this node.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) node: String,
    /// Only in this state; may be given again.
    #[arg(long, value_enum)]
    pub(crate) state: Vec<TaskState>,
    /// Which page.
    #[command(flatten)]
    pub(crate) page: Page,
    /// Whether the look becomes a watch.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// Arguments of `graft task retry`.
#[derive(Debug, Args)]
pub(crate) struct TaskRetry {
    /// Which task.
    #[command(flatten)]
    pub(crate) target: TaskTarget,
    /// Why, for the history.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Verbs of `graft dead-letter`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetter {
    /// List tasks that were given up, the oldest first.
    #[command(after_help = "Examples:\n  graft dead-letter list\n  graft dead-letter list --node charge --error timeout --since 2h\n  \
        graft dead-letter list --all -o jsonl")]
    List(DeadLetterList),
    /// Show one dead letter: its input, and what every attempt said.
    #[command(after_help = "Examples:\n  graft dead-letter get order-1042/7\n  graft dead-letter get order-1042/7 -o json | jq .config")]
    Get(TaskTarget),
    /// Give one another chance, or all that a filter finds; a workflow that had ended for it runs again.
    #[command(after_help = "Examples:\n  graft dead-letter redrive order-1042/7 --reason 'card was renewed'\n  \
        graft dead-letter redrive order-1042/7 --config '{\"gateway\":\"b\"}' --state-patch '{\"tries\":null}' --wait\n  \
        graft dead-letter redrive --node charge --error timeout --dry-run\n  \
        graft dead-letter redrive --node charge --error timeout --yes --reason 'gateway is back'")]
    Redrive(Redrive),
    /// Give one up for good, or all that a filter finds; their workflows go on without them, and one that has failed stays failed.
    #[command(after_help = "Examples:\n  graft dead-letter discard order-1042/7 --reason 'order was withdrawn'\n  \
        graft dead-letter discard --workflow order-1042 --dry-run\n  graft dead-letter discard --every --until 30d --yes")]
    Discard(Discard),
}

/// Arguments of `graft dead-letter list`.
#[derive(Debug, Args)]
pub(crate) struct DeadLetterList {
    /// Which.
    #[command(flatten)]
    pub(crate) which: DeadLetterWhich,
    /// Which page.
    #[command(flatten)]
    pub(crate) page: Page,
    /// Whether the look becomes a watch.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// Which dead letters something is done with: one, or what a filter finds.
#[derive(Debug, Args)]
pub(crate) struct OneOrMany {
    /// This one: its workflow and its number, such as order-1042/7; with @RUN of another run than the current one.
    #[arg(value_name = "WORKFLOW/TASK", value_parser = value::task_ref, conflicts_with_all = ["workflow", "run", "node", "error", "since", "until", "every", "limit", "cursor"])]
    pub(crate) one: Option<TaskRef>,
    /// All that a filter finds.
    #[command(flatten)]
    pub(crate) which: DeadLetterWhich,
    /// All dead letters of the namespace that the rest of the filter finds, be it none.
    #[arg(long)]
    pub(crate) every: bool,
    /// Most of those that a filter finds, the oldest first, up to 10000; those that are refused do not count [default: 1000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: Option<u32>,
    /// Go on where the same filter has stopped: its `next_cursor`.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) cursor: String,
    /// Why, for the history.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Whether it may happen. What a filter finds is shown and must be agreed to, on a terminal by typing how many it is, and then exactly
    /// those are meant; anywhere else only by --yes.
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Arguments of `graft dead-letter redrive`.
#[derive(Debug, Args)]
pub(crate) struct Redrive {
    /// Which, and why.
    #[command(flatten)]
    pub(crate) which: OneOrMany,
    /// Another config: JSON, or @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) config: Option<String>,
    /// Change the workflow's state with it: a merge patch (RFC 7396), or @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) state_patch: Option<String>,
    /// Whether the end of its workflow is waited for.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `graft dead-letter discard`.
#[derive(Debug, Args)]
pub(crate) struct Discard {
    /// Which, and why.
    #[command(flatten)]
    pub(crate) which: OneOrMany,
}

/// Verbs of `graft limit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Limit {
    /// List limits, and what is held under them.
    #[command(after_help = "Examples:\n  graft limit list\n  graft limit list --all-namespaces --watch")]
    List(LimitList),
    /// Set how many attempts of a node, or of the whole cluster, may be held at once. Attempts that are held already go on.
    #[command(after_help = "Examples:\n  graft limit set charge --max 10\n  graft limit set --cluster --max 500")]
    Set(LimitSet),
    /// Take a limit away.
    #[command(after_help = "Examples:\n  graft limit unset charge\n  graft limit unset --cluster")]
    Unset(LimitWhich),
}

/// Arguments of `graft limit list`.
#[derive(Debug, Args)]
pub(crate) struct LimitList {
    /// Those of nodes of all namespaces.
    #[arg(long)]
    pub(crate) all_namespaces: bool,
    /// Whether the look becomes a watch.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// Which limit.
#[derive(Debug, Args)]
pub(crate) struct LimitWhich {
    /// The node.
    #[arg(value_name = "NODE", required_unless_present = "cluster")]
    pub(crate) node: Option<String>,
    /// The whole cluster, all namespaces together.
    #[arg(long, conflicts_with = "node")]
    pub(crate) cluster: bool,
}

/// Arguments of `graft limit set`.
#[derive(Debug, Args)]
pub(crate) struct LimitSet {
    /// Which.
    #[command(flatten)]
    pub(crate) which: LimitWhich,
    /// Attempts at once.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max: u32,
}
