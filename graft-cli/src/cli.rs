//! The tree of commands: names, flags, help. It decides nothing.
//!
//! Every verb's help ends in examples that can be pasted.

use std::num::ParseIntError;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A wait without an end, as it is written.
const FOREVER: &str = "forever";

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 error   2 usage   3 not found   4 conflict   5 not allowed   6 unavailable, try again   7 timeout
  10 workflow failed   11 workflow cancelled or terminated   12 workflow timed out   130 interrupted
Examples:
  graft dev
  graft workflow start order-1042 --node validate --state '{\"items\":3}'
  graft workflow watch order-1042";

/// Manage workflows and clusters of graftd.
#[derive(Debug, Parser)]
#[command(name = "graft", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 120)]
pub(crate) struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Where the cluster answers; several members separated by commas [default: http://127.0.0.1:7420].
    #[arg(long, global = true, env = "GRAFT_ADDR", value_name = "URL")]
    pub(crate) addr: Option<String>,
    /// Namespace of the workflows.
    #[arg(short, long, global = true, env = "GRAFT_NAMESPACE", default_value = "default")]
    pub(crate) namespace: String,
    /// How answers are written: for people, or for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// How long a request may take, repeats included (250ms, 10s, 5m).
    #[arg(long, global = true, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs: one document, or one per line where there is no end.
    Json,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Start, look at and steer workflows.
    #[command(subcommand, visible_alias = "wf")]
    Workflow(Workflow),
    /// See who does the work.
    #[command(subcommand)]
    Worker(Worker),
    /// See the members.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Run a development server in this process, its data in a temporary directory that is removed at the end.
    #[command(after_help = "Examples:\n  graft dev\n  graft dev --data-dir ./graft-data --listen 127.0.0.1:7500")]
    Dev(Dev),
    /// Measure a server with workers and clients of this process; without --addr the server runs in this process, too.
    #[command(
        after_help = "Examples:\n  graft bench --workload chain --steps 3 --concurrency 256 --duration 10s --addr http://127.0.0.1:7420\n  \
        graft bench --workload single --concurrency 1 -o json"
    )]
    Bench(Bench),
}

/// Verbs of `graft workflow`.
#[derive(Debug, Subcommand)]
pub(crate) enum Workflow {
    /// Start a workflow.
    #[command(after_help = "Examples:\n  graft workflow start order-1042 --node validate --state @order.json\n  \
        echo '{\"n\":1}' | graft workflow start --node count --state - --wait\n  \
        graft workflow start nightly --node report --on-conflict replace-finished --label team=sales")]
    Start(Start),
    /// Show one workflow with its state and open tasks.
    #[command(after_help = "Examples:\n  graft workflow get order-1042\n  graft workflow get order-1042 -o json | jq .state")]
    Get(Target),
    /// List workflows: the youngest first; with --prefix by id; with --status alone the oldest first.
    #[command(
        after_help = "Examples:\n  graft workflow list --status running --status paused\n  graft workflow list --prefix order- --all -o json"
    )]
    List(List),
    /// Follow a workflow until it ends, and exit with how it ended (0, 10, 11, 12): a growing tree on a terminal, a line per event elsewhere.
    #[command(after_help = "Examples:\n  graft workflow watch order-1042\n  graft workflow watch order-1042 -o json | jq -c .type")]
    Watch(Target),
    /// Show the events of a workflow, the oldest first.
    #[command(after_help = "Examples:\n  graft workflow history order-1042\n  graft workflow history order-1042 --all -o json")]
    History(History),
    /// Stop offering tasks; running attempts may finish.
    #[command(after_help = "Example:\n  graft workflow pause order-1042 --reason 'gateway is down'")]
    Pause(Control),
    /// Offer tasks again.
    #[command(after_help = "Example:\n  graft workflow resume order-1042")]
    Resume(Control),
    /// Tell running attempts, start nothing more, and end when they have ended.
    #[command(after_help = "Example:\n  graft workflow cancel order-1042 --reason 'ordered twice' --grace 10s")]
    Cancel(Cancel),
    /// End at once.
    #[command(after_help = "Example:\n  graft workflow terminate order-1042 --reason 'stuck'")]
    Terminate(Control),
}

/// Which workflow.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Id of the workflow.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Only this run of it, by its number; otherwise the current one.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) run: u64,
}

/// Arguments of `graft workflow start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Id of the workflow, at most 256 bytes; one is made if it is left out.
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Node of the first task.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: String,
    /// Config of the first task: JSON, or @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) config: Option<String>,
    /// First state: a JSON object, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) state: Option<String>,
    /// A label, to find it by; may be given again.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// What happens when the id is taken.
    #[arg(long, value_enum, default_value_t = OnConflict::Fail)]
    pub(crate) on_conflict: OnConflict,
    /// Identifies the request, so that a repeat of this command is answered with the first answer. A repeat with other arguments is refused;
    /// --deadline counts from now, so with it every repeat is another request.
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// End it as timed out if it has not ended after this long.
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) deadline: Option<Duration>,
    /// Wait until it has ended, or at most for this long (--wait=30s), and exit with how it ended (0, 10, 11, 12; 7 if it has not).
    #[arg(long, value_parser = wait, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = FOREVER)]
    pub(crate) wait: Option<Wait>,
}

/// How long a start waits for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as it takes.
    Forever,
    /// At most for so long.
    AtMost(Duration),
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

/// Arguments of `graft workflow list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this status; may be given again.
    #[arg(long, value_enum)]
    pub(crate) status: Vec<Status>,
    /// Only ids that start so.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Which page.
    #[command(flatten)]
    pub(crate) page: Page,
}

/// Which page of something long, and how long a page is.
#[derive(Debug, Args)]
pub(crate) struct Page {
    /// Most rows of a page, up to 1000 [default: 100; with --all, pages of 1000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
    /// All pages, not only the first.
    #[arg(long)]
    pub(crate) all: bool,
    /// The page that begins here: `next_cursor` of the page before.
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "all")]
    pub(crate) cursor: String,
}

/// Arguments of `graft workflow history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Which workflow.
    #[command(flatten)]
    pub(crate) target: Target,
    /// Which page.
    #[command(flatten)]
    pub(crate) page: Page,
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

/// Arguments of `graft workflow cancel`.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Which workflow, and why.
    #[command(flatten)]
    pub(crate) control: Control,
    /// How long running attempts may take.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub(crate) grace: Duration,
}

/// Verbs of `graft worker`.
#[derive(Debug, Subcommand)]
pub(crate) enum Worker {
    /// List workers, what they serve and what they hold.
    #[command(after_help = "Examples:\n  graft worker list\n  graft worker list --all-namespaces -o json")]
    List(WorkerList),
}

/// Arguments of `graft worker list`.
#[derive(Debug, Args)]
pub(crate) struct WorkerList {
    /// Those of all namespaces.
    #[arg(long)]
    pub(crate) all_namespaces: bool,
}

/// Verbs of `graft cluster`.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show members, leader and log positions, as the member that answers sees them.
    #[command(after_help = "Examples:\n  graft cluster status\n  graft cluster status --addr http://127.0.0.1:7420 -o json | jq .leader")]
    Status,
}

/// Arguments of `graft dev`.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Keep the data here instead of in a temporary directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where it answers; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7420", value_name = "HOST:PORT")]
    pub(crate) listen: String,
}

/// Shapes of workflows that the bench starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// One step.
    Single,
    /// Several steps, one after the other.
    Chain,
    /// One step, then several in parallel, then their join.
    Fanout,
}

/// Arguments of `graft bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Bench {
    /// Shape of the workflows.
    #[arg(long, value_enum, default_value_t = Workload::Single)]
    pub(crate) workload: Workload,
    /// Steps of a chain.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) steps: u32,
    /// Tasks of a fan-out.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) width: u32,
    /// Workflows in flight.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) concurrency: u32,
    /// How long is measured.
    #[arg(long, default_value = "10s", value_parser = some_time, value_name = "DURATION")]
    pub(crate) duration: Duration,
    /// How long it runs before it is measured.
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "DURATION")]
    pub(crate) warmup: Duration,
    /// Bytes of a workflow's state, up to 1,000,000.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) payload: u32,
    /// Each step also changes the state: it increments a counter, and the final count is checked.
    #[arg(long)]
    pub(crate) write: bool,
    /// Workers, all in this process.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: u32,
    /// Where the plain fdatasync is measured, and where the data of a server in this process goes; otherwise the current directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) fsync_dir: Option<PathBuf>,
}

/// Reads `KEY=VALUE`.
fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE, such as team=sales".to_owned()),
    }
}

/// Reads `250ms`, `10s`, `5m`, `1h` or `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let refused = || "a duration is a whole number with a unit: 250ms, 10s, 5m, 1h or 7d".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let count: u64 = text[..digits].parse().map_err(|_: ParseIntError| refused())?;
    let (_, millis) = UNITS.iter().find(|(unit, _)| *unit == &text[digits..]).ok_or_else(refused)?;
    count.checked_mul(*millis).map(Duration::from_millis).ok_or_else(refused)
}

/// Reads a duration that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(time) })
}

/// Reads how long is waited.
fn wait(text: &str) -> Result<Wait, String> {
    if text == FOREVER { Ok(Wait::Forever) } else { some_time(text).map(Wait::AtMost) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    fn verbs(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
        let path = format!("{path}{}", command.get_name());
        if !command.has_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            found.push((path, help));
            return;
        }
        for sub in command.get_subcommands() {
            verbs(sub, &format!("{path} "), found);
        }
    }

    #[test]
    fn the_help_of_every_verb_has_an_example_of_that_verb_that_parses() {
        let mut found = Vec::new();
        verbs(&Cli::command(), "", &mut found);
        assert!(found.len() >= 13, "{found:?}");
        for (path, help) in found {
            let examples: Vec<&str> = help.lines().filter_map(|line| line.find(&path).map(|at| &line[at..])).collect();
            assert!(!examples.is_empty(), "the help of `{path}` has no example: {help}");
            for example in examples {
                let words = words(example.split(" | ").next().unwrap());
                Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("the example of `{path}` does not parse: {words:?}: {error}"));
            }
        }
    }

    /// Splits at spaces, as a shell does: what is quoted stays together.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "1.5s", "5 s", "-1s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(duration(bad).unwrap_err().contains("10s"), "{bad}");
        }
    }

    #[test]
    fn a_wait_takes_its_bound_after_an_equals_sign() {
        let wait = |words: &[&str]| {
            let cli = Cli::try_parse_from([&["graft", "workflow", "start", "a", "--node", "n"], words].concat()).unwrap();
            let Noun::Workflow(Workflow::Start(start)) = cli.noun else { panic!("another verb") };
            start.wait
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["--wait"]), Some(Wait::Forever));
        assert_eq!(wait(&["--wait=5s"]), Some(Wait::AtMost(Duration::from_secs(5))));
        assert!(super::wait("0s").unwrap_err().contains("longer than nothing"));
    }
}
