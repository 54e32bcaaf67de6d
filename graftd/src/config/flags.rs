//! The command line of `graftd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::LogFormat;
use crate::built;

/// Durable workflow orchestration: the Graft daemon.
///
/// With no arguments it is a single development member on loopback that keeps its data in ./graft-data.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "graftd", version, long_version = built::IN_WORDS, after_help = EXAMPLES)]
pub struct Cli {
    /// Settings.
    #[command(flatten)]
    pub flags: Flags,
    /// What to do; nothing: run the daemon.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Settings that can be said on the command line.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Configuration file (TOML); the files conf.d/*.toml beside it are read too [default: /etc/graft/graftd.toml if it exists]
    #[arg(long, short, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Where this member keeps its data [node.data_dir; default: ./graft-data]
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Where clients and workers are served [client.listen; default: 127.0.0.1:7420]
    #[arg(long, value_name = "HOST:PORT", global = true)]
    pub listen: Option<String>,
    /// This member's name [node.name; default without peers: the host's name]
    #[arg(long, value_name = "NAME", global = true)]
    pub name: Option<String>,
    /// How the log is written [log.format; default: auto]
    #[arg(long, value_name = "FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
    /// How much is logged: error, warn, info, debug, trace, or directives [log.level; default: info]
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
    /// Allow listening beyond loopback although nothing is encrypted and nobody has to say who they are [security.insecure]
    #[arg(long, global = true)]
    pub insecure: bool,
}

/// What `graftd` does besides running.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Look at the configuration: check it, show what is in force and who said it, describe it for programs
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Go on alone with the data of this member, after the majority of its cluster was lost for good
    ///
    /// For the last resort, on one survivor, with no graftd running on its data. It becomes the only member, in a later epoch of the cluster; what
    /// stands in its log counts. What was acknowledged is complete only if this is the survivor that is furthest: ask each with --dry-run, and
    /// choose the highest term, then the highest index. The members that are left behind are refused from then on: start them with empty
    /// data directories, and they join. With a majority left, do not use it: wait, or use `graft cluster remove`.
    #[command(after_help = RECOVER_EXAMPLES)]
    Recover(RecoverArgs),
}

/// How `recover` is agreed to.
#[derive(Clone, Debug, Default, Args)]
pub struct RecoverArgs {
    /// Change nothing, only say what this member has
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it
    #[arg(long)]
    pub yes: bool,
}

/// `graftd config ..`.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say everything that is wrong with the configuration, and where it was said; starts nothing
    ///
    /// Exit code 0: it is good. 78: the daemon would refuse it. Files that it names (certificates, tokens) are looked into with --files alone.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Show the configuration that is in force, as a file that says the same
    ///
    /// Nothing in it is secret: secrets are named by the files that hold them.
    #[command(after_help = PRINT_EXAMPLES)]
    Print(PrintArgs),
    /// Show the JSON Schema (2020-12) of the configuration file
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema,
}

/// How `config check` looks.
#[derive(Clone, Debug, Default, Args)]
pub struct CheckArgs {
    /// Refuse also what is allowed, but unwise
    #[arg(long)]
    pub strict: bool,
    /// Read the files that it names as well: certificates, keys, tokens, headers
    #[arg(long)]
    pub files: bool,
}

/// What `config print` shows, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct PrintArgs {
    /// The defaults, whatever is configured
    #[arg(long)]
    pub defaults: bool,
    /// Where each value was said: file and line, variable, flag, or default
    #[arg(long)]
    pub show_origin: bool,
    /// How it is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: Format,
}

/// How `config print` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As a configuration file.
    #[default]
    Toml,
    /// For programs.
    Json,
}

const EXAMPLES: &str = "\
Every key of the configuration file can also be set in the environment: GRAFT__RAFT__HEARTBEAT=100ms.
Flags stand above the environment, the environment above conf.d, conf.d above the file.

Examples:
  graftd
  graftd --data-dir /var/lib/graft --listen 127.0.0.1:9000
  graftd --config /etc/graft/graftd.toml
  graftd config check --config /etc/graft/graftd.toml

Signals:
  SIGTERM, SIGINT   drain and end; a second one ends it at once
  SIGHUP            read the configuration again: what needs a restart is said in the log

Exit codes:
  0    drained
  2    unknown flag
  65   a file of the data directory is damaged, missing, of another version or of another member; or the other
       members run a later version that this one cannot follow
  70   it could not go on, also for a disk that was full or broke while it ran; the log says why
  74   the disk refuses at the start: read-only, full or broken
  75   the port or the data directory is in use
  76   this member was taken out of its cluster, or left behind by a recovery
  77   the data are of another cluster
  78   the configuration, or what it points to, is refused
  130  ended at once by a second signal
  134  (SIGABRT) it met a broken invariant of its own; the log says which";

const RECOVER_EXAMPLES: &str = "\
Examples:
  graftd recover --config /etc/graft/graftd.toml --dry-run
  graftd recover --config /etc/graft/graftd.toml --yes";

const CHECK_EXAMPLES: &str = "\
Examples:
  graftd config check
  graftd config check --config graftd.toml --strict --files
  GRAFT__RAFT__HEARTBEAT=100ms graftd config check";

const PRINT_EXAMPLES: &str = "\
Examples:
  graftd config print --show-origin
  graftd config print --config graftd.toml --format json
  graftd config print --defaults > graftd.toml";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  graftd config schema > graftd.schema.json";

/// Which flag sets which key.
const FLAGS: [(&str, &str); 6] = [
    ("--data-dir", "node.data_dir"),
    ("--listen", "client.listen"),
    ("--name", "node.name"),
    ("--log-format", "log.format"),
    ("--log-level", "log.level"),
    ("--insecure", "security.insecure"),
];

/// The flag that sets a key.
pub(super) fn flag_of(key: &str) -> Option<&'static str> {
    FLAGS.iter().find(|(_, sets)| *sets == key).map(|(flag, _)| *flag)
}

impl Flags {
    /// What was said: the flag, the key that it sets, the value.
    pub(super) fn overrides(&self) -> Vec<(&'static str, &'static str, String)> {
        let format = self.log_format.map(|format| format.to_possible_value().expect("no format is hidden").get_name().to_owned());
        let values = [
            self.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
            self.listen.clone(),
            self.name.clone(),
            format,
            self.log_level.clone(),
            self.insecure.then(|| "true".to_owned()),
        ];
        FLAGS.into_iter().zip(values).filter_map(|((flag, key), value)| Some((flag, key, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::all_keys;

    #[test]
    fn every_flag_is_of_a_key_and_says_so_in_its_help() {
        let command = Cli::command();
        let settings = command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "config" | "help" | "version"));
        let mut said = Vec::new();
        for arg in settings {
            let flag = format!("--{}", arg.get_long().unwrap());
            let (_, key) = FLAGS.iter().find(|(name, _)| *name == flag).unwrap_or_else(|| panic!("{flag} sets no key"));
            assert!(arg.get_help().unwrap().to_string().contains(&format!("[{key}")), "{flag} does not name {key}");
            assert!(all_keys().contains(&(*key).to_owned()), "{key}");
            said.push(flag);
        }
        assert_eq!(said.len(), FLAGS.len());
        command.debug_assert();
    }
}
