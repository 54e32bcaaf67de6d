//! The tree of commands: names, flags, help. It decides nothing.
//!
//! Every verb's help ends in examples that can be pasted. Each noun has a file ([`workflow`], [`task`], [`place`], [`access`], [`local`]); [`which`] holds the
//! arguments that several share, [`value`] reads what is written in them.
pub(crate) mod access;
pub(crate) mod local;
pub(crate) mod place;
pub(crate) mod task;
pub(crate) mod tls;
pub(crate) mod value;
pub(crate) mod which;
pub(crate) mod workflow;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

use access::{Audit, Token};
use local::{Bench, Completions, Dev, Explain, Man, Schema};
use place::{Cluster, Context, DebugBundle, Events, Worker};
use task::{DeadLetter, Limit, Task};
use tls::Tls;
use workflow::Workflow;

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 error   2 usage   3 not found   4 conflict   5 not allowed   6 unavailable, try again   7 timeout
  10 workflow failed   11 workflow cancelled or terminated   12 workflow timed out   130 interrupted
Environment:
  GRAFT_ADDR, GRAFT_NAMESPACE, GRAFT_CONTEXT   as --addr, --namespace and --context, which win over them
  GRAFT_TLS_CA, GRAFT_TLS_CERT, GRAFT_TLS_KEY, GRAFT_TLS_HOST   as --tls-ca, --tls-cert, --tls-key and --tls-host
  GRAFT_TOKEN_FILE   as --token-file
  NO_COLOR, CLICOLOR_FORCE   colours never, always   GRAFT_PAGER, PAGER   what shows a history on a terminal
Examples:
  graft dev
  graft workflow start order-1042 --node validate --state '{\"items\":3}'
  graft workflow watch order-1042
  graft explain GR0003";

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
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where the cluster answers; several members separated by commas [env: GRAFT_ADDR] [default: http://127.0.0.1:7420].
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) addr: Option<String>,
    /// Namespace of the workflows [env: GRAFT_NAMESPACE] [default: default].
    #[arg(short, long, global = true, value_parser = value::named)]
    pub(crate) namespace: Option<String>,
    /// Address and namespace by name, as `graft context add` noted them [env: GRAFT_CONTEXT].
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// How TLS is spoken with addresses that begin with https://.
    #[command(flatten)]
    pub(crate) tls: TlsFlags,
    /// Show the API token in this file; to other machines over TLS only [env: GRAFT_TOKEN_FILE].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How answers are written: for people, or for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Leave the headers of tables out.
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,
    /// When colours are used.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Say nothing on stderr but warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say on stderr who is asked, in which namespace, and how long it took.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// How long a request may take, repeats included (250ms, 10s, 5m).
    #[arg(long, global = true, default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,
}

/// Whom TLS believes, and what is shown of whoever asks.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TlsFlags {
    /// Believe the authorities in this file (PEM) alone, instead of those of this machine [env: GRAFT_TLS_CA].
    #[arg(long = "tls-ca", global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Show the certificate in this file (PEM) [env: GRAFT_TLS_CERT].
    #[arg(long = "tls-cert", global = true, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of that certificate (PEM) [env: GRAFT_TLS_KEY].
    #[arg(long = "tls-key", global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The name that certificates of members have to hold, where it is not that of the address [env: GRAFT_TLS_HOST].
    #[arg(long = "tls-host", global = true, value_name = "NAME")]
    pub(crate) host: Option<String>,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with wide terminals: more columns.
    Wide,
    /// For programs: one document, or one per line where there is no end.
    Json,
    /// For programs: one line for each thing.
    Jsonl,
    /// For programs, and for people who like it.
    Yaml,
    /// Only what the thing is called, one per line, as other verbs take it.
    Name,
}

impl Format {
    /// Whether programs read it.
    pub(crate) fn is_for_programs(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl | Self::Yaml)
    }
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Start, look at and steer workflows.
    #[command(subcommand, visible_alias = "wf")]
    Workflow(Workflow),
    /// Look at open tasks, and help those that wait.
    #[command(subcommand)]
    Task(Task),
    /// See what was given up, and give it another chance.
    #[command(subcommand, visible_alias = "dl")]
    DeadLetter(DeadLetter),
    /// See who does the work.
    #[command(subcommand)]
    Worker(Worker),
    /// See and set how many attempts may be held at once.
    #[command(subcommand)]
    Limit(Limit),
    /// See the members, and change who they are.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Collect what is asked for first when something is wrong, from every member that answers: settings, state, metrics, logs. No secrets.
    #[command(
        after_help = "Examples:\n  graft debug-bundle ./graft-debug\n  graft debug-bundle ./graft-debug -o json | jq -r '.members[].error'"
    )]
    DebugBundle(DebugBundle),
    /// Make, list and revoke the tokens with which callers show who they are.
    #[command(subcommand)]
    Token(Token),
    /// Say who you are taken for, and what you may do.
    #[command(after_help = "Examples:\n  graft whoami\n  graft whoami --token-file billing.token -o json | jq .grants")]
    Whoami,
    /// See what administrators did, the latest first: who, from where, what, and how it ended.
    #[command(after_help = "Examples:\n  graft audit\n  graft audit --limit 20 -o wide\n  graft audit --before 4711 -o jsonl")]
    Audit(Audit),
    /// Follow what becomes true in all workflows, in the order of the log, until Ctrl-C.
    #[command(after_help = "Examples:\n  graft events\n  graft events --type task_dead_lettered --type failed -o jsonl\n  \
        graft events --after earliest --idle 1s --limit 100")]
    Events(Events),
    /// Name clusters, and choose between them.
    #[command(subcommand)]
    Context(Context),
    /// Make certificates with which members know each other. Needs no server.
    #[command(subcommand)]
    Tls(Tls),
    /// Say what an error means and what to do, by its code. Needs no server.
    #[command(after_help = "Examples:\n  graft explain GR0003\n  graft explain gr3 -o json\n  graft explain")]
    Explain(Explain),
    /// Write the JSON Schema of a kind of document, as `-o json` writes it. Needs no server.
    #[command(after_help = "Examples:\n  graft schema WorkflowList\n  graft schema")]
    Schema(Schema),
    /// Run a development server in this process, its data in a temporary directory that is removed at the end.
    #[command(after_help = "Examples:\n  graft dev\n  graft dev --data-dir ./graft-data --listen 127.0.0.1:7500")]
    Dev(Dev),
    /// Measure a server with workers and clients of this process; without --addr or --context the server runs in this process, too. Its workflows
    /// are deleted ten minutes after their end.
    #[command(
        after_help = "Examples:\n  graft bench --workload chain --steps 3 --concurrency 256 --duration 10s --addr http://127.0.0.1:7420\n  \
        graft bench --workload single --concurrency 1 -o json"
    )]
    Bench(Bench),
    /// Write what a shell needs to complete commands and flags.
    #[command(after_help = "Examples:\n  graft completions bash > ~/.local/share/bash-completion/completions/graft\n  \
        graft completions zsh > ~/.zfunc/_graft\n  graft completions fish > ~/.config/fish/completions/graft.fish\n  \
        graft completions bash --of graftd > ~/.local/share/bash-completion/completions/graftd")]
    Completions(Completions),
    /// Write manual pages, one for each verb, and those of graftd.
    #[command(after_help = "Example:\n  graft man ./man1")]
    Man(Man),
}

/// Colours of help and of mistakes in the command line, which are told before the flags are read: as `--color` says, wherever it stands.
pub(crate) fn color_of(words: impl Iterator<Item = OsString>) -> ColorChoice {
    let (mut choice, mut next) = (ColorChoice::Auto, false);
    for word in words {
        let word = word.to_string_lossy();
        let value = if next { Some(&*word) } else { word.strip_prefix("--color=") };
        choice = match value {
            Some("always") => ColorChoice::Always,
            Some("never") => ColorChoice::Never,
            _ => choice,
        };
        next = word == "--color";
    }
    choice
}

/// How a mistake in the command line is told, before the flags are read: as `--output` says, wherever it stands.
pub(crate) fn format_of(words: impl Iterator<Item = OsString>) -> Format {
    let (mut format, mut next) = (Format::Table, false);
    for word in words {
        let word = word.to_string_lossy();
        let after = |flag: &str| word.strip_prefix(flag).filter(|value| !value.is_empty());
        let value = if next { Some(&*word) } else { after("--output=").or_else(|| after("-o=")).or_else(|| after("-o")) };
        format = value.and_then(|value| Format::from_str(value, false).ok()).unwrap_or(format);
        next = word == "--output" || word == "-o";
    }
    format
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
