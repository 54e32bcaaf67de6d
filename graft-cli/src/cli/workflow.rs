//! Verbs of `graft workflow`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::value::{self, Unfold, When};
use super::which::{Consent, Page, Target, Waiting, Watching};

/// Verbs of `graft workflow`.
#[derive(Debug, Subcommand)]
pub(crate) enum Workflow {
    /// Start a workflow, or many of a file.
    #[command(after_help = "Examples:\n  graft workflow start order-1042 --node validate --state @order.json\n  \
        echo '{\"n\":1}' | graft workflow start --node count --state - --wait\n  \
        graft workflow start nightly --node report --on-conflict replace-finished --label team=sales\n  \
        graft workflow start --many orders.jsonl -o jsonl\n\
        Lines of a file of many, of which only `node` must be there:\n  \
        {\"workflow_id\":\"order-1\",\"node\":\"validate\",\"state\":{\"items\":3},\"config\":{},\"labels\":{\"team\":\"sales\"},\
        \"on_conflict\":\"use-existing\"}")]
    Start(Start),
    /// Show one workflow with its state and open tasks.
    #[command(after_help = "Examples:\n  graft workflow get order-1042\n  graft workflow get order-1042 -o json | jq .state\n  \
        graft workflow get order-1042 --watch")]
    Get(Get),
    /// List workflows: the youngest first; with a node or labels by run; with --prefix by id; with --status alone the oldest first.
    #[command(after_help = "Examples:\n  graft workflow list --status running --status paused\n  \
        graft workflow list --node charge --since 2h --label team=sales\n  graft workflow list --prefix order- --all -o jsonl\n  graft workflow list --counts\n  \
        graft workflow list --status failed -o name | xargs -n1 graft workflow get")]
    List(List),
    /// Follow a workflow until it ends, and exit with how it ended (0, 10, 11, 12): a growing graph on a terminal, a line per event elsewhere.
    #[command(after_help = "Examples:\n  graft workflow watch order-1042\n  graft workflow watch order-1042 --unfold charge\n  \
        graft workflow watch order-1042 -o json | jq -c .type")]
    Watch(Watch),
    /// Show the events of a workflow, the oldest first; on a terminal in a pager.
    #[command(after_help = "Examples:\n  graft workflow history order-1042\n  graft workflow history order-1042 --all -o json\n  \
        graft workflow history order-1042 --all --no-pager")]
    History(History),
    /// Draw what ran after what: equal steps folded into one line with counts, loops into one round.
    #[command(after_help = "Examples:\n  graft workflow graph order-1042\n  graft workflow graph order-1042 --unfold charge\n  \
        graft workflow graph order-1042 --format mermaid > order.mmd\n  graft workflow graph order-1042 --format dot | dot -Tsvg > order.svg")]
    Graph(Graph),
    /// Stop offering tasks; running attempts may finish.
    #[command(after_help = "Example:\n  graft workflow pause order-1042 --reason 'gateway is down'")]
    Pause(Control),
    /// Offer tasks again.
    #[command(after_help = "Examples:\n  graft workflow resume order-1042\n  graft workflow resume order-1042 --wait=5m")]
    Resume(Resume),
    /// Tell running attempts, start nothing more, and end when they have ended.
    #[command(after_help = "Examples:\n  graft workflow cancel order-1042 --reason 'ordered twice' --grace 10s\n  \
        graft workflow cancel order-1042 --wait")]
    Cancel(Cancel),
    /// End at once. On a terminal it must be agreed to, by typing its id.
    #[command(after_help = "Examples:\n  graft workflow terminate order-1042 --reason 'stuck'\n  \
        graft workflow terminate order-1042 --yes\n  graft workflow terminate order-1042 --dry-run")]
    Terminate(Terminate),
    /// Write a workflow that has ended, whole, as one JSON document: itself, its state, its dead letters and its history.
    #[command(after_help = "Examples:\n  graft workflow export order-1042 > order-1042.json\n  \
        graft workflow export order-1042 --file order-1042.json")]
    Export(Export),
}

/// Arguments of `graft workflow start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Id of the workflow, at most 256 bytes; one is made if it is left out.
    #[arg(value_name = "ID", value_parser = value::named)]
    pub(crate) id: Option<String>,
    /// Node of the first task.
    #[arg(long, value_name = "NAME", required_unless_present = "many", default_value = "", hide_default_value = true)]
    pub(crate) node: String,
    /// Config of the first task: JSON, or @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) config: Option<String>,
    /// Offer the first task only after this long.
    #[arg(long, value_parser = value::duration, value_name = "DURATION")]
    pub(crate) delay: Option<Duration>,
    /// Priority of the first task: higher goes first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, hide_default_value = true)]
    pub(crate) priority: i32,
    /// First state: a JSON object, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) state: Option<String>,
    /// A label, to find it by; may be given again.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    pub(crate) labels: Vec<(String, String)>,
    /// What happens when the id is taken.
    #[arg(long, value_enum, default_value_t = OnConflict::Fail)]
    pub(crate) on_conflict: OnConflict,
    /// Identifies the request, so that a repeat of this command is answered with the first answer. A repeat with other arguments is refused;
    /// --deadline counts from now, so with it every repeat is another request.
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// End it as timed out if it has not ended after this long.
    #[arg(long, value_parser = value::duration, value_name = "DURATION")]
    pub(crate) deadline: Option<Duration>,
    /// The span that its spans belong below, as W3C Trace Context has it [default: that of the variable TRACEPARENT]. For each of many that names none.
    #[arg(long, value_name = "00-TRACE-SPAN-FLAGS")]
    pub(crate) traceparent: Option<String>,
    /// Whether the end is waited for.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// Start many: a file of JSON lines, or - for stdin, one workflow a line. Each gets an answer of its own; a refusal stops none of the others.
    #[arg(
        long,
        value_name = "FILE|-",
        conflicts_with_all = ["id", "node", "config", "delay", "priority", "state", "labels", "on_conflict", "request_id", "deadline", "wait"]
    )]
    pub(crate) many: Option<String>,
}

/// What a start does when the id is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnConflict {
    /// Refuse.
    Fail,
    /// Answer with the run that is there.
    UseExisting,
    /// Start a new run if the one that is there has ended; refuse otherwise.
    ReplaceFinished,
}

/// Statuses to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Status {
    /// Tasks are offered.
    Running,
    /// No task is offered until it is resumed.
    Paused,
    /// Running attempts have been told; nothing starts.
    Cancelling,
    /// Every task has resolved.
    Completed,
    /// A task was given up.
    Failed,
    /// Cancelled on request.
    Cancelled,
    /// Ended at once on request.
    Terminated,
    /// Its deadline passed.
    TimedOut,
}

/// Arguments of `graft workflow get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Which workflow.
    #[command(flatten)]
    pub(crate) target: Target,
    /// Whether the look becomes a watch; it ends with the workflow.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// Arguments of `graft workflow list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this status; may be given again.
    #[arg(long, value_enum)]
    pub(crate) status: Vec<Status>,
    /// Only those with an open task or a dead letter of this node.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) node: String,
    /// Only those with this label; may be given again, and then with all of them.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = value::label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Only those started since then: how long ago (2h), or exactly (2026-11-24T04:05:06Z).
    #[arg(long, value_parser = value::when, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Only those started before then.
    #[arg(long, value_parser = value::when, value_name = "TIME")]
    pub(crate) until: Option<When>,
    /// Only ids that start so.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Say how many workflows of the namespace are in each status, instead of listing them.
    #[arg(long, conflicts_with_all = ["status", "node", "labels", "since", "until", "prefix", "limit", "all", "cursor"])]
    pub(crate) counts: bool,
    /// Which page.
    #[command(flatten)]
    pub(crate) page: Page,
    /// Whether the look becomes a watch.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// Arguments of `graft workflow watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Which workflow.
    #[command(flatten)]
    pub(crate) target: Target,
    /// Show the tasks of this node one by one instead of folded; `all` for every node; may be given again.
    #[arg(long, value_parser = value::unfold, value_name = "NODE|all")]
    pub(crate) unfold: Vec<Unfold>,
}

/// Arguments of `graft workflow history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Which workflow.
    #[command(flatten)]
    pub(crate) target: Target,
    /// Write straight to the terminal, not through $PAGER.
    #[arg(long)]
    pub(crate) no_pager: bool,
    /// Which page.
    #[command(flatten)]
    pub(crate) page: Page,
}

/// Forms of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For people.
    Tree,
    /// A Mermaid flowchart, for Markdown and wikis.
    Mermaid,
    /// For Graphviz.
    Dot,
}

/// Arguments of `graft workflow graph`.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// Which workflow.
    #[command(flatten)]
    pub(crate) target: Target,
    /// Its form; -o json, jsonl and yaml have one of their own.
    #[arg(long, value_enum, default_value_t = GraphFormat::Tree)]
    pub(crate) format: GraphFormat,
    /// Show the tasks of this node one by one instead of folded; `all` for every node; may be given again.
    #[arg(long, value_parser = value::unfold, value_name = "NODE|all")]
    pub(crate) unfold: Vec<Unfold>,
}

/// Arguments of the verbs that steer a workflow.
#[derive(Debug, Args)]
pub(crate) struct Control {
    /// Which workflow.
    #[command(flatten)]
    pub(crate) target: Target,
    /// Why, for the history.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Arguments of `graft workflow terminate`.
#[derive(Debug, Args)]
pub(crate) struct Terminate {
    /// Which workflow, and why.
    #[command(flatten)]
    pub(crate) control: Control,
    /// Whether it may happen.
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Arguments of `graft workflow resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Which workflow, and why.
    #[command(flatten)]
    pub(crate) control: Control,
    /// Whether the end is waited for.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `graft workflow cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Which workflow, and why.
    #[command(flatten)]
    pub(crate) control: Control,
    /// How long running attempts may take.
    #[arg(long, default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) grace: Duration,
    /// Whether the end is waited for. Having ended as cancelled is success here.
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// Arguments of `graft workflow export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Which workflow.
    #[command(flatten)]
    pub(crate) target: Target,
    /// Write it here instead of to stdout: all of it or nothing.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}
